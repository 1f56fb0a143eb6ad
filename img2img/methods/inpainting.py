"""InpaintingWrapper holes in photos: what the inpainting methods share."""

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img.data import folders
from img2img.data.cache import CachedData
from img2img.data.holes import HoleCrops, held_out
from img2img.data.masks import MaskConfig, Masks
from img2img.data.ranges import Factors
from img2img.errors import ConfigError
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.exchange.wrappers import InpaintingWrapper
from img2img.lookup import lookup
from img2img.methods.cards import card_of
from img2img.methods.config import NetworkConfig, ObjectiveWeights, PerceptualConfig
from img2img.methods.figures import Picture, diversity, spread, to_pictures, to_signed
from img2img.methods.gan import GANConfig
from img2img.methods.hole_figures import Mask, hole_figures, telea
from img2img.methods.method import Batch, Method, ModelExport, Networks, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet
from img2img.objectives.reconstruction import MaskedReconstruction
from img2img.section import Section

MAX_HELD_OUT = 48
"""Held-out photos that a validation fills."""

SHEET_ROWS = 6
"""Rows of the contact sheet."""

HOLE_COLOUR = (255, 0, 255)
"""Colour of the holes in the contact sheet."""


class InpaintingData(CachedData):
    folders: tuple[Path, ...] = Field(min_length=1, description="folders of photos; searched with their subfolders")
    validation: tuple[Path, ...] = Field(default=(), description="held-out photos; empty: a twentieth of each folder")
    crop: PositiveInt = Field(default=256, description="side of the crops in pixels")
    shrink: Factors = Field(
        default=(0.5, 1.0), description="smallest and largest factor that photos are shrunk by before they are cropped"
    )
    flip: bool = Field(default=True, description="mirror half of the crops")
    masks: MaskConfig = MaskConfig()


class WeighingConfig(Section):
    by: Literal["picture", "region"] = Field(
        default="picture", description="one mean over the whole picture; or one over the hole and one over the rest"
    )
    hole: float = Field(default=1.0, ge=0, description="by region: weight of the hole")
    valid: float = Field(default=1.0, ge=0, description="by region: weight of the pixels around it")


class InpaintingConfig(GANConfig):
    """What every inpainting recipe has. Only results are judged that have the known pixels pasted back."""

    channels_last: bool | None = Field(
        default=True, description="store tensors as NHWC: a third faster for gated convolutions on a CPU too"
    )
    data: InpaintingData = Field(description="photos, and holes in them")
    objectives: ObjectiveWeights = Field(default={"l1": 1.0}, description="objective to weight, before pasting")
    weighing: WeighingConfig = WeighingConfig()


class Inpainting(Method):
    """Data, validation and export of a method that fills holes.

    Batches: `image` uint8 `[N, 3, H, W]`, the truth, and `mask` uint8 `[N, 1, H, W]`, 1 = fill. The network
    "generator" takes (picture -1..1 with zeros in the hole, mask) and returns a picture, or several from the first
    guess to the last one.

    Batch norm, where a network has it, uses the statistics of training in validation and export: those of one
    picture say little where it has a hole, and nothing in a bottleneck of one pixel.
    """

    headline = "psnr"
    """Of the holes. It favours a blur: where the adversarial part matters, look at `swd` and the contact sheet too."""

    def __init__(self, config: InpaintingConfig, generator: nn.Module) -> None:
        self.config: InpaintingConfig = config
        self.networks = {"generator": generator}
        self.averaged = ("generator",)
        self.reconstruction = InpaintingReconstructionLoss(config.objectives, config.perceptual, config.weighing)
        self.notes = []
        self.held: list[tuple[Picture, Mask]] = []
        if not config.has_discriminator:
            if not self.reconstruction:
                raise ConfigError("nothing to learn from: adversarial, matching and all objectives have weight 0")
            self.notes.append(
                "adversarial.weight = 0: no discriminator, only the distance to the truth is learned from"
            )

    @property
    @abstractmethod
    def title(self) -> str:
        """What the card calls the method."""

    def load(self) -> Dataset[Batch]:
        data = self.config.data
        masks = Masks(data.masks)
        paths = folders.find(data.folders)
        if data.validation:
            held = folders.find(data.validation)
        else:
            paths, held = folders.hold_out(paths)
        photos = folders.Photos.read(paths, smallest=data.crop, limit_mb=data.cache_mb)
        held_photos = folders.Photos.read(spread(held, MAX_HELD_OUT), smallest=data.crop)
        self.held = held_out(held_photos.pixels, masks, size=data.crop, shrink=data.shrink)
        self.notes.append(f"{len(photos.paths)} photos to train on, {len(self.held)} held out")
        if small := len(photos.small) + len(held_photos.small):
            self.notes.append(f"{small} photos are smaller than the {data.crop} px crop and passed over")
        self.notes += [photos.note] if photos.note else []
        if masks.small_or_large:
            low, high = (f"{share:.0%}" for share in data.masks.share)
            self.notes.append(f"{len(masks.small_or_large)} masks passed over: their holes are not {low} to {high}")
        return HoleCrops(
            photos.pixels, size=data.crop, masks=masks, seed=self.config.seed, shrink=data.shrink, flip=data.flip
        )

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Figures of the holes alone, see `hole_figures`; those of Telea's method, which learns nothing, beside them.

        `swd` is the sliced Wasserstein distance of the filled pictures to the true ones (lower is better): unlike
        PSNR and SSIM it does not favour a blur.
        """
        generator = inference_copy(networks["generator"], "running")
        device = next(generator.parameters()).device
        results: list[Picture] = []
        raw: list[Picture] = []
        for photo, hole in self.held:
            truth = to_signed(torch.from_numpy(photo).permute(2, 0, 1)[None].to(device))
            mask = torch.from_numpy(hole)[None, None].to(device).float()
            whole = stages(generator(truth * (1 - mask), mask))[-1]
            raw += to_pictures(whole)
            results += to_pictures(paste(whole, truth, mask))
        truths, masks = [photo for photo, _ in self.held], [mask for _, mask in self.held]
        baseline = [telea(photo, mask) for photo, mask in self.held]
        figures = hole_figures(results, truths, masks) | {"swd": sliced_wasserstein(results, truths)}
        learned_nothing = hole_figures(baseline, truths, masks) | {"swd": sliced_wasserstein(baseline, truths)}
        figures |= {f"{name}_telea": value for name, value in learned_nothing.items()}
        figures["diversity"] = diversity(raw, truths)
        empty = [
            np.where(mask[:, :, None] > 0, np.array(HOLE_COLOUR, np.uint8), photo)
            for photo, mask in self.held[:SHEET_ROWS]
        ]
        rows = [list(row) for row in zip(empty, baseline, results, truths, strict=False)]
        return Validation(figures, ["hole", "telea", "ours", "truth"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], "running")
        card = card_of(self.config, generator, name=self.config.method, task="inpaint", method=self.title)
        return [ModelExport(InpaintingWrapper(generator), card)]


class MaskChannel(nn.Module):
    """Any generator as one that fills holes: the mask is a fourth channel of its input.

    Input (picture `[N, 3, H, W]` with zeros in the hole, mask `[N, 1, H, W]`); output as the generator's.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.multiple: int = getattr(generator, "multiple", 1)
        self.minimum: int = getattr(generator, "minimum", 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        filled: Tensor = self.generator(torch.cat((image, mask), 1))
        return filled


class InpaintingReconstructionLoss:
    """The distance of a whole result, before pasting, from the truth. Words and weights as of `ReconstructionLoss`.

    Raises:
        ConfigError: as of `ReconstructionLoss`, or an objective cannot be weighed by region.
    """

    def __init__(self, words: dict[str, float], perceptual: PerceptualConfig, weighing: WeighingConfig) -> None:
        self.terms = ReconstructionLoss(words, perceptual)
        self.apart: dict[str, tuple[MaskedReconstruction, float]] = {}
        if weighing.by == "region":  # the perceptual distance sees the whole picture in any case
            for word, (objective, weight) in self.terms.terms.items():
                self.apart[word] = MaskedReconstruction(objective, weighing.hole, weighing.valid), weight
            self.terms.terms = {}

    def __bool__(self) -> bool:
        return bool(self.terms) or bool(self.apart)

    def __call__(self, result: Tensor, truth: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The terms, unweighted and detached, by name; and their weighted sum."""
        figures, loss = self.terms(result, truth)
        for word, (objective, weight) in self.apart.items():
            value = objective(result, truth, mask)
            figures[word] = value.detach()
            loss = loss + weight * value
        return figures, loss


def build_generator(config: InpaintingConfig) -> nn.Module:
    """The generator of `config`, as one of (picture with an empty hole, mask).

    Raises:
        ConfigError: there is no such network, or its result is not of the picture's size.
    """
    wish, crop = config.generator, config.data.crop
    takes_mask = "mask" in inspect.signature(lookup("network", built_networks.NETWORKS, wish.name).forward).parameters
    advice: dict[str, Any] = {"size": crop}
    if wish.name == "unet":
        advice["downs"] = UNet.depth(crop)
    fixed = {"inputs": 3 if takes_mask else 4, "outputs": 3, "output": "whole"}
    built = _build(config, wish, "generator", fixed=fixed, advice=advice)
    generator = built if takes_mask else MaskChannel(built)
    shape = _output_shape("generator", wish.name, generator, crop, 3, 1)
    if shape != (3, crop, crop):
        raise ConfigError(
            f"generator.name = {wish.name} turns a {crop} x {crop} picture into {' x '.join(map(str, shape))}: "
            "inpainting needs three channels of the same size"
        )
    return generator


def build_discriminator(
    config: InpaintingConfig, wish: NetworkConfig, *, key: str, channels: int, size: int
) -> nn.Module:
    """The discriminator that `config.<key>` wishes for, of pictures of `channels` channels and side `size`.

    Raises:
        ConfigError: there is no such network, or it cannot take such pictures.
    """
    discriminator = _build(config, wish, key, fixed={"inputs": channels}, advice={"size": size})
    _output_shape(key, wish.name, discriminator, size, channels)
    return discriminator


def truth_and_mask(batch: Batch) -> tuple[Tensor, Tensor]:
    """Truth -1..1 and mask, float, of a batch."""
    return to_signed(batch["image"]), batch["mask"].float()


def stages(output: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a generator returned, from the first guess to the last one."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def paste(result: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """The result in the hole, the known pixels around it."""
    return result * mask + truth * (1 - mask)


def _build(config: GANConfig, wish: NetworkConfig, key: str, **data: dict[str, Any]) -> nn.Module:
    try:
        return config.build(wish, **data)
    except TypeError as error:  # it asks for what holes do not have, a number of domains for example
        raise ConfigError(f"{key}.name = {wish.name} does not fit: {error}") from error


def _output_shape(key: str, name: str, network: nn.Module, size: int, *channels: int) -> tuple[int, ...]:
    """Shape `[C, ...]` of what `network` makes of one picture a channel count, so that faults show before training."""
    network.eval()
    try:
        with torch.no_grad():
            output = network(*(torch.zeros(1, count, size, size) for count in channels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{key}.name = {name} cannot take pictures of {size} x {size}: {error}") from error
    network.train()
    return tuple(stages(output)[-1].shape[1:])
