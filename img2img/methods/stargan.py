"""StarGAN: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation"."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from img2img import objectives
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.data.ranges import BatchSize, Steps
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
    """Sections 4 and 5 and the official code: WGAN-GP with 5 discriminator updates per generator update, 1 domain
    classification, 10 reconstruction, Adam 1e-4, batch 16, 128 px.

    For CelebA as published, set `data.centre = 178`. The official code counts 200,000 discriminator updates; `steps`
    counts generator updates, a fifth of that.
    """

    matching_kinds = ("class-mean", "mean")

    method: Literal["stargan"] = Field(default="stargan", description="method")
    data: DomainData = Field(description="pictures of several domains")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan"),
        description="generator; one without a label input gets the labels as extra channels",
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="stargan-discriminator"),
        description="discriminator; one without domain outputs gets a separate classifier",
    )
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="wgan-gp", discriminator_steps=5),
        description="adversarial objective (equation 8)",
    )
    matching: MatchingConfig = MatchingConfig(kind="class-mean")
    classification: float = Field(
        default=1.0, ge=0, description="weight of the domain classification, for both networks"
    )
    reconstruction: float = Field(
        default=10.0, ge=0, description="weight of the reconstruction, G(G(x, target), origin) = x"
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l1", description="distance in the reconstruction")
    pairs: float = Field(
        default=0.0,
        ge=0,
        description="weight of the distance to the picture of the same name in the target domain, if there is one; 0: "
        "unpaired, as published",
    )
    perceptual: PerceptualConfig = Field(
        default=PerceptualConfig(), description="additional distance in the reconstruction"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="none", description="weight initialisation; none: PyTorch's default"
    )
    steps: Steps = Field(default=40_000, description="training steps (generator updates)")
    batch: BatchSize = Field(default=16, description="pictures per update, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class StarGAN(Method):
    """StarGAN.

    Batches hold `image` uint8 `[N, 3, H, W]`, `label` and `known` float32 `[N, K]`, and `set` int64 `[N]`. With `pairs`
    they also hold `partner`, `partner_label` and `has_partner`, see `labelled.DomainCrops`.

    Networks: `generator` takes a picture in -1..1 and a label, see `labels.with_mask_vector`. `discriminator` returns
    scores and domain logits.
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
        if config.batch_of_a_part < 2 * self.count:
            raise ConfigError(
                f"batch = {config.batch} in accumulate = {config.accumulate} parts: each part needs "
                f"{2 * self.count} pictures or more, because its pictures exchange their labels"
            )
        mask_columns = self.count if self.count > 1 else 0
        self.networks = {"generator": build_labelled_generator(config, self.columns + mask_columns, config.data.crop)}
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        discriminator = build_labelled_discriminator(config, self.columns, config.data.crop)
        self.adversarial = add_discriminators(self, config, {"discriminator": discriminator})["discriminator"]
        if self.adversarial.penalty is not None and getattr(discriminator, "projects", False):
            raise ConfigError(
                f"discriminator '{config.discriminator.name}' judges a picture together with its domain, and penalties "
                "judge pictures that have none: use an objective without one, --set adversarial.name=hinge"
            )
        self.classify = ClassificationLoss(self.blocks, facts["set_exclusive"])
        self.terms = ReconstructionLoss({config.objective: config.reconstruction}, config.perceptual)
        self.pair_distance = objectives.build(config.objective)

    def load(self) -> Dataset[Batch]:
        self.domain_validation = DomainValidation(self.data, self.classify, self.config.validate_pictures)
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        generator, discriminator, config = networks["generator"], networks["discriminator"], self.config
        figures: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            real, label, known = to_signed(batch["image"]), batch["label"], batch["known"]
            origin = with_mask_vector(label, batch["set"], self.count)
            # Target labels come from other pictures of the batch, so they are distributed as in the data.
            others = permute_within_sets(batch["set"])
            target_label, target = label[others], origin[others]
            if config.pairs:
                has_partner = batch["has_partner"] > 0
                target_label = torch.where(has_partner[:, None], batch["partner_label"], target_label)
                target = with_mask_vector(target_label, batch["set"], self.count)
            with torch.set_grad_enabled(number == len(batches) - 1):  # the last result also trains the generator
                fake = generator(real, target)
            scorer = LogitRecorder(discriminator, (label, target_label))
            adversarial, more = self.adversarial.discriminator_loss(scorer, real, fake)  # equation 1, or 8
            classified = self.classify(scorer.logits[0], label, known)  # equation 2
            yield "discriminator", adversarial + config.classification * classified  # equation 5
            figures |= more | {"classification_real": classified.detach()}
        scorer = LogitRecorder(discriminator, (target_label,))
        # Real pictures of the target domains, for feature matching and relativistic scores.
        reference = real[others]
        if config.pairs:
            has_partner = has_partner[:, None, None, None]
            reference = torch.where(has_partner, to_signed(batch["partner"]), reference)
        adversarial, more = self.adversarial.generator_loss(scorer, fake, reference, target_label)
        classified = self.classify(scorer.logits[-1], target_label, known)  # equation 3
        loss = adversarial + config.classification * classified
        figures |= more | {"classification_fake": classified.detach()}
        if self.terms:
            terms, reconstruction = self.terms(generator(fake, origin), real)  # equation 4
            loss = loss + reconstruction  # equation 6
            figures |= {"reconstruction" if name == config.objective else name: term for name, term in terms.items()}
        if config.pairs:
            # The mean is over all pictures, and those without a partner add 0. So the means of parts of a batch, and
            # of processes, can be averaged, however many partners each of them has.
            distance = self.pair_distance(torch.where(has_partner, fake, reference), reference)
            loss = loss + config.pairs * distance
            figures |= {"pairs": distance.detach()}
        yield "generator", loss
        return {"loss": loss.detach()} | figures | self.adversarial.gradient()

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Translate held-out pictures into every domain, or with each attribute flipped.

        `swd` is the sliced Wasserstein distance between translated and real pictures of a domain, averaged over the
        domains, and `closeness` is minus that. `recognised` is the fraction of results that the discriminator assigns
        to the target domain. `training.health` watches `label_effect` and `diversity`. Figures ending in `_input`
        measure the inputs themselves.

        If several domains have pictures of the same name, `l1` and `ssim` compare results with those pictures.
        Translations into domains of other data sets are shown and not measured.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        results: list[list[Picture]] = []
        logits: list[Tensor] = []
        for held in self.domain_validation.sources:
            label, sets = self.domain_validation.target_labels(held)
            device = next(generator.parameters()).device
            picture = to_signed(torch.from_numpy(held.picture).permute(2, 0, 1)[None].to(device))
            target = with_mask_vector(label, sets, self.count).to(device)
            translated = generator(picture.expand(len(label), -1, -1, -1), target)
            results.append(to_pictures(translated))
            logits.append(networks["discriminator"](translated)[1].float().cpu())
        return Validation(self.domain_validation.measure(results, logits), *self.domain_validation.sheet(results))

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return one model for all domains.

        For several data sets, its input `domain` has the columns of all of them, see `labels.MultiSetGenerator`.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        network = generator
        if self.count > 1:
            network = MultiSetGenerator(generator, self.blocks, self.facts["set_exclusive"])
        domains = {"domains": tuple(self.facts["domains"]), "exclusive": self.facts["exclusive"]}
        card = card_of(self.config, generator, name="stargan", task="translate", method="stargan", **domains)
        return [ModelExport(DomainWrapper(network), card)]
