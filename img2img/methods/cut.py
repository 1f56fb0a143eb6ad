"""CUT and FastCUT: Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image Translation"."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img.data.ranges import Steps
from img2img.data.unpaired import UnpairedSet
from img2img.errors import ConfigError
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods import unpaired
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import NetworkConfig, ScheduleConfig
from img2img.methods.figures import spread, to_signed
from img2img.methods.gan import check_crop
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.two_sided import TwoSidedConfig
from img2img.networks.initialise import initialise
from img2img.networks.norms import inference_copy
from img2img.networks.patch_projection import PatchProjection, random_places
from img2img.networks.unet import UNet
from img2img.objectives.patch_nce import PatchNCE
from img2img.objectives.recorder import Recorder

SHEET_ROWS = 8
"""Rows of the contact sheet."""

CONTRAST = "weight of PatchNCE (lambda_X, equation 5)"
IDENTITY = "PatchNCE between G(b) and b as well, with the same weight; both are then halved (lambda_Y, equation 5)"
EQUIVARIANCE = (
    "mirror half of the inputs of the generator, but not those that results are compared with (FastCUT, appendix C.1)"
)


class Config(TwoSidedConfig):
    """Section 4 and appendix C: ResNet-9 and 70x70 PatchGAN with blur, LSGAN + PatchNCE of A and of B."""

    method: Literal["cut"] = Field(default="cut", description="method")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="resnet", options={"blur": True}), description="generator, A to B"
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "instance", "blur": True}), description="discriminator"
    )
    contrast: float = Field(default=1.0, gt=0, description=CONTRAST)
    identity: bool = Field(default=True, description=IDENTITY)
    equivariance: bool = Field(default=False, description=EQUIVARIANCE)
    temperature: float = Field(default=0.07, gt=0, description="temperature of PatchNCE (equation 1)")
    patches: PositiveInt = Field(default=256, description="places per layer that are compared with each other")
    layers: tuple[str, ...] = Field(
        default=(), description="generator layers that are compared; empty: the five of the paper, for resnet"
    )
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="xavier", description="weight initialisation; none: PyTorch's default"
    )
    steps: Steps = Field(default=400_000, description="training steps; the paper trains for 400 epochs")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class FastConfig(Config):
    """FastCUT, section 4 and appendix C.1: PatchNCE of A alone with weight 10, mirrored inputs, half of the epochs."""

    method: Literal["fastcut"] = Field(default="fastcut", description="method")  # type: ignore[assignment]
    contrast: float = Field(default=10.0, gt=0, description=CONTRAST)
    identity: bool = Field(default=False, description=IDENTITY)
    equivariance: bool = Field(default=True, description=EQUIVARIANCE)
    steps: Steps = Field(default=200_000, description="training steps; the paper trains for 200 epochs")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.75)


class CUT(Method):
    """CUT: one generator, one discriminator, and a contrastive loss instead of a way back.

    Batches hold `a` and `b`, uint8 `[N, 3, H, W]`. Networks: `generator` (A to B), `discriminator` and `projection` (H
    in the paper), which only the loss uses.
    """

    recipe: ClassVar[type[Config]] = Config
    headline = "closeness"

    data: UnpairedSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        defaults = {"downs": UNet.depth(config.data.crop)} if config.generator.name == "unet" else {}
        generator = config.build(config.generator, fixed={"inputs": 3, "outputs": 3}, defaults=defaults)
        check_crop(config.data.crop, config.generator, generator)
        layers = config.layers or getattr(generator, "encoder_layers", ())
        if not layers:
            raise ConfigError(
                f"generator.name = {config.generator.name}: set layers to the names of the layers whose features "
                "PatchNCE compares; only resnet has a default"
            )
        self.layers = layers
        projection = initialise(PatchProjection(_channels(generator, layers, config)), config.initialise, config.gain)
        self.networks = {"generator": generator, "projection": projection}
        self.optimisers = {"generator": OptimiserSpec(("generator", "projection"), config.optimiser)}
        self.averaged = ("generator",)
        self.contrast = PatchNCE(config.temperature)
        discriminator = config.build(config.discriminator, fixed={"inputs": 3}, defaults={"size": config.data.crop})
        check_crop(config.data.crop, config.discriminator, discriminator)
        self.adversarial = add_discriminators(self, config, {"discriminator": discriminator}, halve=True)[
            "discriminator"
        ]

    def load(self) -> Dataset[Batch]:
        self.data = UnpairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        self.notes += self.data.notes
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        generator, discriminator = networks["generator"], networks["discriminator"]
        # As in the official code, the discriminator is updated first. The generator is updated on the last batch.
        for batch in batches:
            a, b = (to_signed(batch[side]) for side in "ab")
            last = batch is batches[-1]
            mirrored = self.config.equivariance and bool(torch.rand(()) < 0.5)
            with torch.set_grad_enabled(last):
                given = a.flip(3) if mirrored else a
                result = generator(given)
            loss, more = self.adversarial.discriminator_loss(discriminator, b, result)
            figures |= more
            yield "discriminator", loss
        loss, more = self.adversarial.generator_loss(discriminator, result, b)
        figures |= more
        contrast = self._compare(networks, a, result.flip(3) if mirrored else result)
        figures["contrast"] = contrast.detach()
        if self.config.identity:
            same = self._compare(networks, b, generator(b))
            figures["contrast_identity"] = same.detach()
            contrast = (contrast + same) / 2
        loss = loss + self.config.contrast * contrast
        yield "generator", loss
        return {"loss": loss.detach()} | figures | self.adversarial.gradient()

    def _compare(self, networks: Networks, source: Tensor, result: Tensor) -> Tensor:
        """PatchNCE between the generator's features of a picture and of its result."""
        recorder, projection = Recorder(networks["generator"], self.layers), networks["projection"]
        features = recorder.encode(result)
        places = random_places(features, self.config.patches)
        with torch.no_grad():
            keys = projection(recorder.encode(source), places)
        contrast: Tensor = self.contrast(projection(features, places), keys)
        return contrast

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the results. `closeness` is minus their sliced Wasserstein distance to real pictures of B.

        See `unpaired.measure`.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        a, b = ([one.picture for one in side] for side in (self.data.held_out_a, self.data.held_out_b))
        results = unpaired.translate(generator, a)
        figures = unpaired.measure(results, a, b, self.data.truth)
        figures["closeness"] = -figures["swd"]
        rows = [list(row) for row in zip(a, results, strict=True)]
        return Validation(figures, ["input", "result"], spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        method = self.config.method
        card = card_of(self.config, generator, name=method, task="translate", method=method)
        return [ModelExport(TranslationWrapper(generator), card)]


class FastCUT(CUT):
    """FastCUT: CUT with other defaults. It takes about 1.6 times as many steps per second."""

    recipe = FastConfig


@torch.no_grad()
def _channels(generator: nn.Module, layers: Sequence[str], config: Config) -> list[int]:
    """Return the channels of each of the layers."""
    picture = torch.zeros(1, 3, config.data.crop, config.data.crop)
    return [one.shape[1] for one in Recorder(generator, layers).encode(picture)]
