"""What SRGAN, ESRGAN and Real-ESRGAN share: photos are made small, and a generator restores them, in two stages.

The fidelity stage ("PSNR-oriented") minimises the distance to the truth. The adversarial stage starts from that
generator. It adds the distance between VGG19 features and a discriminator, and keeps a little of the first distance.
"""

import dataclasses
import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, cast, runtime_checkable

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img.data import degradation, folders
from img2img.data.cache import CachedData
from img2img.data.degradation import DegradationConfig
from img2img.data.photos import PhotoCrops
from img2img.data.ranges import Count, Factors, Side
from img2img.errors import ConfigError, DownloadError
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.evaluation.results import MAX_PSNR
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.methods import held_out_photos
from img2img.methods.adversarial import AdversarialLoss, add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import NetworkConfig, ObjectiveWeights, PerceptualConfig, RunConfig
from img2img.methods.figures import distances
from img2img.methods.gan import GANConfig
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.methods.stages import settings_of_run
from img2img.methods.teacher import Teacher, absolute, describe
from img2img.networks.norms import inference_copy
from img2img.text import count_of

MAX_HELD_OUT = 12
"""Maximum number of held-out photos in a validation."""

SHEET_ROWS = 4
"""Rows of the contact sheet."""

WITHOUT_VGG = "--set perceptual.weight=0 --set matching.weight=0.05 --set objectives.l1=1"
"""Settings that replace VGG19's features by the discriminator's. Those start untrained, so L1 gets a higher weight."""


class PhotoData(CachedData):
    """Photos, and how they are made small."""

    folders: tuple[Path, ...] = Field(min_length=1, description="photo folders, searched recursively")
    validation: tuple[Path, ...] = Field(default=(), description="held-out photos; empty: a twentieth of each folder")
    crop: Side = Field(default=144, description="side of the high-resolution crops in pixels")
    candidates: Count = Field(
        default=3, description="crops to draw for each one used; the one with most detail is used"
    )
    shrink: Factors = Field(
        default=(1.0, 1.0), description="smallest and largest factor by which photos are shrunk before they are cropped"
    )
    degradation: DegradationConfig = Field(default=DegradationConfig(), description="how photos are made small")


class SuperResolutionConfig(RunConfig):
    """Settings of both stages.

    A recipe has one class per stage, named in `stages`. `with_defaults` and `parse` of either class use the class of
    the stage that the values name, so each stage has its own defaults.
    """

    stages: ClassVar[dict[str, "type[SuperResolutionConfig]"]]

    channels_last: bool | None = Field(
        default=True, description="NHWC memory layout; these networks are faster with it, also on a CPU"
    )
    stage: Literal["fidelity", "adversarial"] = Field(default="fidelity", description="stage to train")
    scale: int = Field(default=4, ge=1, le=64, description="upscaling factor; 1 restores without enlarging")
    data: PhotoData = Field(description="photos")
    generator: NetworkConfig = Field(description="generator; its scale follows `scale`")
    objectives: ObjectiveWeights = Field(default={"l1": 1.0}, description="reconstruction objectives and their weights")
    perceptual: PerceptualConfig = PerceptualConfig()
    teacher: str | None = Field(
        default=None,
        description="name or path of a model file of the same scale whose results the network also learns to give; "
        "none: no teacher",
    )
    teacher_weight: float = Field(
        default=1.0,
        gt=0,
        description="weight of L1 to the teacher's result. 1 is that of L1 to the truth in the fidelity stages: FAKD "
        "(He et al. 2020) weighs both equally. Adversarial stages need less, such as the weight of objectives.l1",
    )
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="none", description="weight initialisation; none: the one that each network was published with"
    )

    @field_validator("teacher")
    @classmethod
    def _absolute_teacher(cls, value: str | None) -> str | None:
        return None if value is None else absolute(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.crop % self.scale:
            raise ValueError(f"data.crop = {self.data.crop} is not a multiple of scale = {self.scale}")
        if self.data.degradation.kind == "jpeg-noise" and self.scale != 1:
            raise ValueError(
                f"data.degradation.kind = jpeg-noise keeps the size of photos: use scale = 1, not {self.scale}"
            )
        return self

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        """Return the class of the stage in `values`."""
        return cast(type[Self], cls.stages.get(str(values.get("stage", "fidelity")), cls))

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As in `RunConfig`. An adversarial stage takes the scale and the generator of the run that it starts from."""
        if values.get("stage") == "adversarial" and values.get("start"):
            values = settings_of_run(Path(str(values["start"])), ("scale", "generator")) | values
        return super().with_defaults(values)

    @classmethod
    def parse(cls, values: dict[str, Any], *, where: str) -> Self:
        if values.get("stage", "fidelity") == "fidelity":
            ours, theirs = (cls.stages[stage].model_fields for stage in ("fidelity", "adversarial"))
            if foreign := [key for key in values if key in theirs and key not in ours]:
                raise ConfigError(
                    f"{where}: settings of the adversarial stage: {', '.join(foreign)}; add --stage adversarial"
                )
        return super().parse(values, where=where)


@runtime_checkable
class Foldable(Protocol):
    """A network that is trained in another form than it runs in."""

    def folded(self) -> nn.Module:
        """Return the same function in the form that runs."""


class SuperResolution(Method):
    """The base of the super-resolution methods.

    Batches hold `low`, uint8 `[N, 3, h, w]`, and `high`, uint8 `[N, 3, h * scale, w * scale]`. If the degradation
    sharpens, they also hold `sharp`, of the shape of `high`: the target of the reconstruction objectives (Wang et al.
    2021, section 3.4). The discriminator's real pictures are `high` in any case.

    Networks work in 0..1. The constructor reads no data and no VGG weights; `load` does.
    """

    def __init__(self, config: SuperResolutionConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.facts = facts or {}
        self.teacher: Teacher | None = None
        adversarial = config if isinstance(config, GANConfig) else None
        generator = built_networks.build_from_spec(
            config.generator, scheme=config.initialise, scale=config.scale, channels=3
        )
        self.multiple: int = getattr(generator, "multiple", 1)  # networks with strides or pixel unshuffling have one
        unit = config.scale * self.multiple
        if config.data.crop % unit:
            raise ConfigError(f"data.crop = {config.data.crop}: {config.generator.name} needs a multiple of {unit}")
        self.networks = {"generator": generator}
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        self.notes: list[str] = []
        self.adversarial: AdversarialLoss | None = None
        if adversarial is not None:
            self._add_discriminator(adversarial)
        compared = any(weight > 0 for weight in config.objectives.values()) or config.perceptual.weight
        if not (compared or config.teacher) and not (adversarial and adversarial.matching.weight):
            raise ConfigError("no objective has a weight above 0: there is nothing to learn from")
        # In the adversarial stage, blurred results come closest to the truth, so distributions are compared instead.
        self.headline = "closeness" if self.adversarial else "psnr_y"

    def _add_discriminator(self, config: GANConfig) -> None:
        crop = self.config.data.crop
        # For sides between two multiples of 32, vgg-style averages its last feature map.
        discriminator = config.build(
            config.discriminator, fixed={"inputs": 3}, defaults={"size": max(crop // 32 * 32, 32)}
        )
        if crop < (least := getattr(discriminator, "minimum", 1)):
            raise ConfigError(f"data.crop = {crop}: {config.discriminator.name} needs at least {least} pixels")
        losses = add_discriminators(self, config, {"discriminator": discriminator}, signed=False)
        self.adversarial = losses["discriminator"]
        if config.start is None:
            self.notes.append(
                "the adversarial stage starts with an untrained generator; the papers start it from a fidelity run, "
                "which gives fewer artefacts: --set start=RUN"
            )

    def load(self) -> Dataset[Batch]:
        config, data = self.config, self.config.data
        reading = folders.Reading.of(data)
        paths = folders.find(data.folders)
        if data.validation:
            held = folders.find(data.validation)
        else:
            paths, held = folders.hold_out(paths)
        self.terms = self._reconstruction_loss()  # before photos are decoded, which takes longer
        if config.teacher is not None:
            self.teacher = Teacher(config.teacher, scale=config.scale, side=data.crop // config.scale)
            self.facts = {"teacher": self.teacher.facts}
            self.notes.append(f"{self.teacher.note}, weight {config.teacher_weight:g}")
        degrade = degradation.build(data.degradation, config.scale)
        photos = folders.Photos.read(paths, smallest=data.crop, limit_mb=data.cache_mb, reading=reading)
        unit = config.scale * self.multiple
        least = math.ceil((11 + 2 * config.scale) / unit) * unit  # SSIM's window inside the border
        held = held[: min(MAX_HELD_OUT, config.validate_pictures)]
        kept = folders.Photos.read(held, smallest=max(8 * config.scale, least), reading=reading)
        self.validation, self.faults = held_out_photos.degraded(
            [held_out_photos.centre(photo, unit) for photo in kept.pixels], degrade, config.seed
        )
        self.notes.append(
            f"{count_of(len(photos.paths), 'training photo')} ({photos.megapixels:.1f} megapixels), "
            f"{len(kept.pixels)} held out"
        )
        if photos.small:
            self.notes.append(f"skipped photos smaller than the {data.crop} px crop: {len(photos.small)}")
        self.notes += [photos.note] if photos.note else []
        self.notes += folders.dark_note(paths, reading)
        return PhotoCrops(
            photos.pixels,
            size=data.crop,
            scale=config.scale,
            seed=config.seed,
            candidates=data.candidates,
            degradation=degrade,
            shrink=data.shrink,
        )

    def _reconstruction_loss(self) -> ReconstructionLoss:
        try:
            return ReconstructionLoss(self.config.objectives, self.config.perceptual, signed=False)
        except DownloadError as error:
            without = WITHOUT_VGG if self.adversarial else "--set perceptual.weight=0"
            raise ConfigError(
                f"cannot download the VGG19 weights from {error.path} ({error.__cause__}); get that file by other "
                f"means and give it with --set perceptual.weights=FILE, or train without it: {without}"
            ) from error

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        if self.adversarial is None:
            terms, loss, _ = self._restore(networks, batches[0])
            yield "generator", loss
            return {"loss": loss.detach()} | (terms if len(terms) > 1 else {})
        figures: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            real = _to_unit(batch["high"])
            if place == 0:  # as in the official code, the generator is updated first
                result = yield from self._update_generator(self.adversarial, networks, batch, real, figures)
            else:
                with torch.no_grad():
                    result = networks["generator"](_to_unit(batch["low"]))
            loss, more = self.adversarial.discriminator_loss(networks["discriminator"], real, result)
            yield "discriminator", loss
            figures |= more
        return figures | self.adversarial.gradient()

    def _update_generator(
        self, adversarial: AdversarialLoss, networks: Networks, batch: Batch, real: Tensor, figures: dict[str, Tensor]
    ) -> Generator[tuple[str, Tensor], None, Tensor]:
        terms, distance, result = self._restore(networks, batch)
        score, more = adversarial.generator_loss(networks["discriminator"], result, real)
        loss = distance + score
        yield "generator", loss
        figures |= {"loss": loss.detach()} | terms | more
        return result.detach()

    def _restore(self, networks: Networks, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the reconstruction terms by name, their weighted sum, and the result."""
        low = _to_unit(batch["low"])
        result = networks["generator"](low)
        terms, loss = self.terms(result, _to_unit(batch.get("sharp", batch["high"])))
        if self.teacher is not None:
            distance = F.l1_loss(result.float(), self.teacher(low))
            terms["teacher"] = distance.detach()
            loss = loss + self.config.teacher_weight * distance
        return terms, loss, result

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure `psnr_y` and `ssim_y` as in the papers, without a border of `scale` pixels.

        The adversarial stage adds `sharpness` (1: that of the truth, below: blurred, above: noisy), `swd`, the sliced
        Wasserstein distance between results and truths, and `closeness`, which is minus that. If the degradation
        sharpens, the truths are sharpened photos. With `jpeg-noise`, every photo is measured with each of the standard
        faults, and `gain_FAULT` is the PSNR on Y above that of the input.
        """
        generator, scale = networks["generator"], self.config.scale
        device = next(generator.parameters()).device
        results = [
            held_out_photos.to_picture(generator(held_out_photos.to_tensor(low).to(device)))
            for low, _ in self.validation
        ]
        truths = [truth for _, truth in self.validation]
        both = [(luma(result), luma(truth)) for result, truth in zip(results, truths, strict=True)]
        quality = [min(psnr(*pair, border=scale), MAX_PSNR) for pair in both]
        figures = {
            "psnr_y": float(np.mean(quality)),
            "ssim_y": float(np.mean([ssim(a, b, border=scale) for a, b in both])),
        }
        for fault in dict.fromkeys(self.faults):
            gains = [
                ours - min(psnr(luma(low), truth, border=scale), MAX_PSNR)
                for ours, (_, truth), (low, _), name in zip(quality, both, self.validation, self.faults, strict=True)
                if name == fault
            ]
            figures[f"gain_{fault}"] = float(np.mean(gains))
        if self.adversarial:
            figures["sharpness"] = distances(results, truths)["sharpness"]
            figures["swd"] = sliced_wasserstein(results, truths)
            figures["closeness"] = -figures["swd"]
        rows = [
            [*([low] if scale == 1 else held_out_photos.enlarged(low, truth.shape)), result, truth]
            for (low, truth), result in zip(self.validation[:SHEET_ROWS], results, strict=False)
        ]
        return Validation(figures, [*(["input"] if scale == 1 else ["low", "bicubic"]), "result", "truth"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        network: nn.Module = inference_copy(networks["generator"], "running")
        if isinstance(network, Foldable):
            network = network.folded()
        scale, teacher = self.config.scale, self.facts.get("teacher")
        taught = f", taught by {describe(teacher)}" if teacher else ""
        card = card_of(
            self.config,
            network,
            name="restore" if scale == 1 else f"upscale-x{scale}",
            task="upscale",
            method=f"{self.config.method}, {self.config.stage} stage{taught}",
            scale=scale,
            multiple=self.multiple,
            minimum=1,
            input_quality="clean" if self.config.data.degradation.kind == "bicubic" else "degraded",
        )
        if teacher:
            card = dataclasses.replace(card, extra={**card.extra, "teacher": dict(teacher)})
        return [ModelExport(network, card)]


def _to_unit(batch: Tensor) -> Tensor:
    return batch.float().div(255)
