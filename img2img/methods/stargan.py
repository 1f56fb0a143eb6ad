"""StarGAN: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation"."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.utils.data import Dataset

from img2img import objectives
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.errors import ConfigError
from img2img.exchange.wrappers import DomainWrapper
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    OptimiserConfig,
    PerceptualConfig,
    ScheduleConfig,
)
from img2img.methods.domain_validation import DomainValidation
from img2img.methods.figures import Picture, to_pictures, to_signed
from img2img.methods.gan import GANConfig
from img2img.methods.labels import (
    ClassificationLoss,
    LogitRecorder,
    MultiSetGenerator,
    build_labelled_discriminator,
    build_labelled_generator,
    permute_within_sets,
    with_mask_vector,
)
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy

ADAM = OptimiserConfig(rate=1e-4, betas=(0.5, 0.999))


class Config(GANConfig):
    """Sections 4 and 5 and the official code: WGAN-GP with 5 discriminator updates for one of the generator, 1 domain
    classification, 10 reconstruction, Adam 1e-4, batch 16 of 128 px.

    For CelebA as published: `data.centre = 178`. The official code counts the discriminator's updates, 200,000 of them;
    `steps` are the generator's, a fifth.
    """

    method: Literal["stargan"] = Field(default="stargan", description="method")
    data: DomainData = Field(description="pictures of several domains")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan"),
        description="generator; one that knows no labels gets them as channels beside the picture's",
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan-discriminator"),
        description="discriminator; beside one that knows no domains a classifier is put",
    )
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="wgan-gp", discriminator_steps=5), description="the game (equation 8)"
    )
    matching: MatchingConfig = MatchingConfig(kind="class-mean")
    classification: float = Field(default=1.0, ge=0, description="weight of the domain classification, of both sides")
    reconstruction: float = Field(
        default=10.0, ge=0, description="weight of the reconstruction, G(G(x, target), origin) = x"
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l1", description="distance of the reconstruction")
    pairs: float = Field(
        default=0.0,
        ge=0,
        description="weight of the distance to the picture of the same name in the wanted domain, where there is one; "
        "0: unpaired, as published",
    )
    perceptual: PerceptualConfig = Field(
        default=PerceptualConfig(), description="a further distance of the reconstruction"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm, where a generator has it, in validation and export: statistics of the picture, or "
        "those of training",
    )
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="none", description="initialisation of the networks; none: torch's own"
    )
    steps: PositiveInt = Field(default=40_000, description="training steps, each an update of the generator")
    batch: PositiveInt = Field(default=16, description="pictures an update, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class StarGAN(Method):
    """See the module. Batches: `image` uint8 `[N, 3, H, W]`; `label` and `known` float32 `[N, K]`, `set` int64 `[N]`;
    with `pairs` also `partner`, `partner_label` and `told`, see `labelled.DomainCrops`.

    Networks: `generator` of (picture -1..1, label, see `labels.with_mask_vector`), `discriminator` to (scores, domain
    logits).
    """

    recipe = Config
    headline = "closeness"

    data: DomainSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        if facts is None:
            self.data = DomainSet.read(config.data, seed=config.seed, paired=config.pairs > 0)
            self.notes += self.data.notes
            facts = {
                "domains": list(self.data.domains),
                "exclusive": self.data.exclusive,
                "sets": [[block.start, block.stop] for block in self.data.blocks],
                "set_exclusive": list(self.data.set_exclusive),
            }
        self.facts = facts
        self.blocks = [slice(*block) for block in facts["sets"]]
        self.count, self.columns = len(self.blocks), len(facts["domains"])
        if config.batch // config.accumulate < 2 * self.count:
            raise ConfigError(
                f"batch = {config.batch} in accumulate = {config.accumulate} parts: a part needs {2 * self.count} "
                "pictures, since the wanted labels are those of the other pictures in it"
            )
        if config.matching.weight and config.matching.kind == "pairwise":
            raise ConfigError("matching.kind = pairwise needs pairs, StarGAN has none: use class-mean or mean")
        mask_columns = self.count if self.count > 1 else 0
        self.networks = {"generator": build_labelled_generator(config, self.columns + mask_columns, config.data.crop)}
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        discriminator = build_labelled_discriminator(config, self.columns, config.data.crop)
        self.adversarial = add_discriminators(self, config, {"discriminator": discriminator})["discriminator"]
        self.classify = ClassificationLoss(self.blocks, facts["set_exclusive"])
        self.terms = ReconstructionLoss({config.objective: config.reconstruction}, config.perceptual)
        self.drawn = objectives.build(config.objective)

    def load(self) -> Dataset[Batch]:
        self.domain_validation = DomainValidation(self.data, self.classify)
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        generator, discriminator, config = networks["generator"], networks["discriminator"], self.config
        figures: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            real, label, known = to_signed(batch["image"]), batch["label"], batch["known"]
            origin = with_mask_vector(label, batch["set"], self.count)
            # The wanted labels are those of other pictures of the batch, so their distribution is that of the data.
            others = permute_within_sets(batch["set"])
            wanted, target = label[others], origin[others]
            if config.pairs:
                told = batch["told"] > 0
                wanted = torch.where(told[:, None], batch["partner_label"], wanted)
                target = with_mask_vector(wanted, batch["set"], self.count)
            with torch.set_grad_enabled(place == len(batches) - 1):  # the last one also teaches the generator
                fake = generator(real, target)
            judge = LogitRecorder(discriminator)
            adversarial, more = self.adversarial.discriminator_loss(judge, real, fake)  # equation 1, or 8
            classified = self.classify(judge.logits[0], label, known)  # equation 2
            yield "discriminator", adversarial + config.classification * classified  # equation 5
            figures |= more | {"classification_real": classified.detach()}
        judge = LogitRecorder(discriminator)
        # Pictures of the wanted domains: what features and relativistic scores are compared with.
        like = real[others]
        if config.pairs:
            told = told[:, None, None, None]
            like = torch.where(told, to_signed(batch["partner"]), like)
        adversarial, more = self.adversarial.generator_loss(judge, fake, like, wanted)
        classified = self.classify(judge.logits[-1], wanted, known)  # equation 3
        loss = adversarial + config.classification * classified
        figures |= more | {"classification_fake": classified.detach()}
        if self.terms:
            terms, reconstruction = self.terms(generator(fake, origin), real)  # equation 4
            loss = loss + reconstruction  # equation 6
            figures |= {"reconstruction" if name == config.objective else name: term for name, term in terms.items()}
        if config.pairs:
            # A mean over all pictures, to which those without a partner add nothing: so parts of a batch, and
            # processes, add up whatever their shares.
            drawn = self.drawn(torch.where(told, fake, like), like)
            loss = loss + config.pairs * drawn
            figures |= {"pairs": drawn.detach()}
        yield "generator", loss
        return {"loss": loss.detach()} | figures | self.adversarial.gradient()

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Held-out pictures in every domain; of attributes, with each of them turned round.

        `swd` is the mean over domains of the sliced Wasserstein distance of what was translated into the domain and
        real pictures of it, `closeness` minus that; `recognised` the share in which the discriminator finds what was
        wanted. `label_effect` and `diversity` are watched by `training.health`. Figures with `_input` are those of
        doing nothing. Where pictures of several domains have one name, as one thing drawn in several styles, `l1` and
        `ssim` compare what was made with what it should be. Domains of other data sets are shown, not measured.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        made: list[list[Picture]] = []
        said: list[Tensor] = []
        for held in self.domain_validation.sources:
            label, sets = self.domain_validation.target_labels(held)
            device = next(generator.parameters()).device
            picture = to_signed(torch.from_numpy(held.picture).permute(2, 0, 1)[None].to(device))
            results = generator(
                picture.expand(len(label), -1, -1, -1), with_mask_vector(label, sets, self.count).to(device)
            )
            made.append(to_pictures(results))
            said.append(networks["discriminator"](results)[1].float().cpu())
        return Validation(self.domain_validation.measure(made, said), *self.domain_validation.sheet(made))

    def models(self, networks: Networks) -> list[ModelExport]:
        """One file for all domains. With several data sets, `domain` has the columns of all of them.

        See `labels.MultiSetGenerator`.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        asked = generator if self.count == 1 else MultiSetGenerator(generator, self.blocks, self.facts["set_exclusive"])
        domains = {"domains": tuple(self.facts["domains"]), "exclusive": self.facts["exclusive"]}
        card = card_of(self.config, generator, name="stargan", task="translate", method="stargan", **domains)
        return [ModelExport(DomainWrapper(asked), card)]
