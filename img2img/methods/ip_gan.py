"""IP-GAN: Bao et al. 2018, "Towards Open-Set Identity Preserving Face Synthesis".

Section and equation numbers are those of chapter 5 of Bao's doctoral thesis, with its misprints corrected. Training has
two stages. The first trains the identity network to classify. The second keeps it fixed. Its optimiser, batch size and
the length of the attribute code are not published; they are those of CVAE-GAN here. Pictures without a label, which the
second stage could also use, are not supported.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.data.ranges import BatchSize, Count, Steps
from img2img.errors import ConfigError
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.exchange.wrappers import ConditionalWrapper
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    OptimiserConfig,
    RunConfig,
    ScheduleConfig,
)
from img2img.methods.figures import distances, diversity, spread, to_pictures, to_signed
from img2img.methods.gan import ADAM, GANConfig
from img2img.methods.label_classes import (
    build_square,
    check_square,
    classification,
    read_labels,
    with_published_layer,
)
from img2img.methods.label_models import resized
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.methods.stages import settings_of_run
from img2img.networks.norms import inference_copy
from img2img.objectives import normal_codes
from img2img.objectives.feature_matching import FeatureMatching

SHEET_ROWS = 8
REFERENCE = {"about": "a picture of the wanted identity", "multiple": 1, "minimum": 1}
SIZES = ("crop", "load", "aspect", "centre")
"""Settings of the data that the synthesis stage takes over, because the identity network knows pictures of one size."""


class Config(RunConfig):
    """Identity stage (equation 5.1): VGG-16 classifies the pictures by identity."""

    stages: ClassVar[dict[str, "type[Config]"]]

    method: Literal["ip-gan"] = Field(default="ip-gan", description="method")
    stage: Literal["identity", "synthesis"] = Field(default="identity", description="stage to train")
    data: DomainData = Field(description="pictures of several identities, one folder each")
    identity: NetworkConfig = Field(default=NetworkConfig(name="vgg16"), description="identity network")
    optimiser: OptimiserConfig = ADAM
    steps: Steps = Field(default=20_000, description="training steps")
    batch: BatchSize = Field(default=128, description="pictures per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        return cast(type[Self], cls.stages.get(str(values.get("stage", "synthesis")), cls))

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As in `RunConfig`. The synthesis stage takes the identity network, and the sizes of its pictures, from the
        run that it starts from.
        """
        if values.get("stage", "synthesis") == "synthesis" and values.get("start"):
            run = settings_of_run(Path(str(values["start"])), ("identity", "data"))
            data = values.get("data", {})
            if "identity" in run and isinstance(data, dict):
                sizes = {key: value for key, value in run.get("data", {}).items() if key in SIZES}
                values = {"identity": run["identity"], **values, "data": {**sizes, **data}}
        return super().with_defaults(values)


class Synthesis(Config, GANConfig):
    """Synthesis stage (equations 5.2 to 5.7): cross-entropy for the discriminator; for the generator half the squared
    distances of pixels, of discriminator features and of identity features; KL. All weights are 1, except 0.1 for the
    pixels if identity and attributes come from two pictures.

    As published, a distance is a sum over the values of a picture or layer.
    """

    stage: Literal["identity", "synthesis"] = Field(default="synthesis", description="stage to train")
    code: Count = Field(default=100, description="length of the code of the attributes (not published)")
    attributes: NetworkConfig = Field(
        default=NetworkConfig(name="vgg16"), description="attribute network, which gives the code"
    )
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="inverted-vgg16"), description="generator, from identity features and code"
    )
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="dcgan"), description="discriminator")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.0),
        description="adversarial objective. With weight 0 it trains the discriminator only, and the generator matches "
        "features instead (asymmetric training)",
    )
    reconstruction: NonNegativeFloat = Field(
        default=1.0,
        description="weight of half the squared distance to the picture, a sum over its values, if identity and "
        "attributes come from the same picture, as in every second step",
    )
    other_reconstruction: NonNegativeFloat = Field(
        default=0.1, description="the same, if they come from two pictures (lambda)"
    )
    matching: MatchingConfig = MatchingConfig(weight=1.0, kind="pairwise", distance="l2", reduction="half-sum")
    identity_matching: NonNegativeFloat = Field(
        default=1.0, description="weight of half the squared distance of the identity features, a sum over them"
    )
    kl: NonNegativeFloat = Field(
        default=1.0, description="weight of the KL divergence of the codes from N(0, 1), a sum over their numbers"
    )
    steps: Steps = Field(default=100_000, description="training steps")


Config.stages = {"identity": Config, "synthesis": Synthesis}


class IPGAN(Method):
    """IP-GAN. Batches hold `image` uint8 `[N, 3, crop, crop]` and `label` float32 `[N, K]`, one-hot.

    Networks: `identity` returns the logits of the identities and the identity features. In the synthesis stage,
    `attributes` returns mean and log variance of the code of a picture, and `generator` makes a picture from identity
    features and code.
    """

    recipe = Config
    data: DomainSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        self.synthesis = config if isinstance(config, Synthesis) else None
        self.headline = "closeness" if self.synthesis else "classified"
        if facts is None:
            if self.synthesis and config.start is None:
                raise ConfigError(
                    "ip-gan needs a trained identity network: train one with --stage identity --out RUN, then start "
                    "from it with --start RUN"
                )
            self.data = read_labels(config)
            self.notes += self.data.notes
            facts = {"domains": list(self.data.domains)}
        self.facts = facts
        crop = config.data.crop
        check_square(config.method, crop)
        sizes: dict[str, Any] = {} if "size" in config.identity.options else {"size": crop}
        identity = built_networks.build_from_spec(config.identity, inputs=3, outputs=len(facts["domains"]), **sizes)
        self.networks = {"identity": identity}
        self.averaged = ("identity",)
        self.optimisers = {"generator": OptimiserSpec(("identity",), config.optimiser)}
        if self.synthesis is not None:
            identity.requires_grad_(False)
            self._add_synthesis(self.synthesis, identity)

    def _add_synthesis(self, config: Synthesis, identity: nn.Module) -> None:
        crop = config.data.crop
        picture = torch.zeros(1, 3, crop, crop)
        with torch.no_grad():
            features = identity.eval()(picture)[1].shape[1]
        attributes = build_square(
            config, "attributes", crop, (picture,), [(1, 2 * config.code)], inputs=3, outputs=2 * config.code
        )
        vector = torch.zeros(1, features + config.code)
        generator = build_square(
            config, "generator", crop, (vector,), [(1, 3, crop, crop)], inputs=vector.shape[1], outputs=3
        )
        discriminator = build_square(config, "discriminator", crop, (picture,), [], inputs=3)
        self.networks |= {"attributes": attributes, "generator": generator}
        self.averaged = ("identity", "attributes", "generator")
        self.needs_from_start = ("identity",)
        self.optimisers = {
            "generator": OptimiserSpec(("generator",), config.optimiser),
            "attributes": OptimiserSpec(("attributes",), config.optimiser),
        }
        matching = with_published_layer(config.matching, discriminator)
        losses = add_discriminators(
            self, config.model_copy(update={"matching": matching}), {"discriminator": discriminator}
        )
        self.adversarial = losses["discriminator"]
        self.pixels = ReconstructionLoss({"l2": 3 * crop**2 / 2}, config.perceptual)
        self.identity_matching = FeatureMatching("pairwise", "l2", reduction="half-sum")

    def load(self) -> Dataset[Batch]:
        self.held_out = spread(self.data.held_out, self.config.validate_pictures)
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        if self.synthesis is None:
            real, label = to_signed(batches[0]["image"]), batches[0]["label"]
            loss = classification(networks["identity"](real)[0], label)  # equation 5.1
            yield "generator", loss
            return {"loss": loss.detach()}
        return (yield from self._synthesise(self.synthesis, networks, batches))

    def _synthesise(self, config: Synthesis, networks: Networks, batches: Sequence[Batch]) -> Step:
        networks["identity"].eval()  # the loop puts all networks into training mode
        same = self.step_number % 2 == 0
        figures: dict[str, Tensor] = {}
        for batch in batches:
            given = to_signed(batch["image"])  # x^s
            shown = given if same else given[torch.randperm(len(given), device=given.device)]  # x^a
            with torch.no_grad():
                _, identity = networks["identity"](given)
            mean, log_variance = networks["attributes"](shown)[0].chunk(2, 1)
            code = normal_codes.draw(mean, log_variance)
            fake = networks["generator"](torch.cat((identity, code), 1))
            loss, more = self.adversarial.discriminator_loss(networks["discriminator"], shown, fake)  # equation 5.4
            yield "discriminator", loss
            figures |= more
        weight = config.reconstruction if same else config.other_reconstruction
        divergence = normal_codes.divergence(mean, log_variance)  # equation 5.3
        terms, pixels = self.pixels(fake, shown)  # equation 5.2
        yield "attributes", config.kl * divergence + weight * pixels
        # The other terms do not train the attribute network (algorithm 5.1), so its part of the graph is cut off.
        fake = networks["generator"](torch.cat((identity, code.detach()), 1))
        loss = weight * self.pixels(fake, shown)[1]
        matched, more = self.adversarial.generator_loss(networks["discriminator"], fake, shown)  # equation 5.5
        _, identity_of_fake = networks["identity"](fake)
        identity_matched = self.identity_matching([identity], [identity_of_fake])  # equation 5.7
        loss = loss + matched + config.identity_matching * identity_matched
        yield "generator", loss
        figures |= {"reconstruction" if name == "l2" else name: term for name, term in terms.items()} | more
        figures |= {"identity_matching": identity_matched.detach(), "kl": divergence.detach()}
        return {"loss": loss.detach()} | figures | self.adversarial.gradient()

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Identity stage: `classified`, the share of held-out pictures whose identity is recognised.

        Synthesis stage: each held-out picture gets the identity of the next one of another identity. `identified` is
        the share of results that the identity network takes for that identity. `closeness` is minus `swd`, the sliced
        Wasserstein distance between results and held-out pictures. `reconstruction` is the mean absolute error, 0..1,
        of pictures that keep their identity.
        """
        device = next(networks["identity"].parameters()).device
        pictures = [
            to_signed(torch.from_numpy(held.picture).permute(2, 0, 1)[None].to(device)) for held in self.held_out
        ]
        labels = [int(held.label.argmax()) for held in self.held_out]

        def found(picture: Tensor) -> int:
            return int(networks["identity"](picture)[0].argmax())

        if self.synthesis is None:
            right = [found(picture) == label for picture, label in zip(pictures, labels, strict=True)]
            rows = [[held.picture] for held in self.held_out[:SHEET_ROWS]]
            return Validation({"classified": sum(right) / len(right)}, ["held out"], rows)
        model = self._model(networks)
        others = [_next_other(labels, place) for place in range(len(labels))]
        results = [model(picture, pictures[other]) for picture, other in zip(pictures, others, strict=True)]
        shown = [to_pictures(result)[0] for result in results]
        own = [to_pictures(model(picture, picture))[0] for picture in pictures]
        real = [held.picture for held in self.held_out]
        swd = sliced_wasserstein(shown, real)
        right = [found(result) == labels[other] for result, other in zip(results, others, strict=True)]
        figures = {
            "closeness": -swd,
            "swd": swd,
            "identified": sum(right) / len(right),
            "reconstruction": distances(own, real)["l1"],
            "diversity": diversity(shown, real),
        }
        chosen = spread(list(range(len(real))), SHEET_ROWS)
        rows = [[real[i], real[others[i]], shown[i], own[i]] for i in chosen]
        return Validation(figures, ["attributes", "identity", "result", "reconstruction"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return the model of the synthesis stage. The identity stage has none: it only prepares the other."""
        if self.synthesis is None:
            return []
        model = self._model(networks)
        card = card_of(self.config, model, name="ip-gan", task="translate", method="ip-gan", reference=REFERENCE)
        return [ModelExport(ConditionalWrapper(model, ("reference",)), card)]

    def _model(self, networks: Networks) -> "IdentityTransfer":
        parts = {name: inference_copy(networks[name], "running") for name in ("identity", "attributes", "generator")}
        return IdentityTransfer(size=self.config.data.crop, **parts).eval()


class IdentityTransfer(nn.Module):
    """A picture with the attributes of one picture, `[N, 3, H, W]`, and the identity of another, `[N, 3, h, w]`, -1..1.

    Pictures are resized to `size` x `size` pixels, and the result to the size of the first.
    """

    def __init__(self, identity: nn.Module, attributes: nn.Module, generator: nn.Module, size: int) -> None:
        super().__init__()
        self.identity = identity
        self.attributes = attributes
        self.generator = generator
        self.size = size

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        _, identity = self.identity(resized(reference, self.size, self.size))
        mean = self.attributes(resized(image, self.size, self.size))[0].chunk(2, 1)[0]
        return resized(self.generator(torch.cat((identity, mean), 1)), image.shape[2], image.shape[3])


def _next_other(labels: Sequence[int], place: int) -> int:
    """Return the place of the next picture of another label, or `place` if there is none."""
    order = [*range(place + 1, len(labels)), *range(place)]
    return next((other for other in order if labels[other] != labels[place]), place)
