"""What the inpainting methods share: filling holes in photos."""

import copy
import inspect
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img.data import folders
from img2img.data.cache import CachedData
from img2img.data.holes import HoleCrops, held_out_crops
from img2img.data.masks import MaskConfig, Masks
from img2img.data.ranges import Factors, Side
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
from img2img.text import count_of

MAX_HELD_OUT = 48
"""Maximum number of held-out photos in a validation."""

SHEET_ROWS = 6
"""Rows of the contact sheet."""

HOLE_COLOUR = (255, 0, 255)
"""Colour of the holes on the contact sheet."""


class InpaintingData(CachedData):
    """Photos, and the holes to cut into them."""

    folders: tuple[Path, ...] = Field(min_length=1, description="photo folders, searched recursively")
    validation: tuple[Path, ...] = Field(default=(), description="held-out photos; empty: a twentieth of each folder")
    crop: Side = Field(default=256, description="side of the crops in pixels")
    shrink: Factors = Field(
        default=(0.5, 1.0), description="smallest and largest factor by which photos are shrunk before they are cropped"
    )
    flip: bool = Field(default=True, description="mirror half of the crops")
    masks: MaskConfig = MaskConfig()


class WeighingConfig(Section):
    """Weights of the hole and of the rest of the picture in the reconstruction objectives."""

    by: Literal["picture", "region"] = Field(
        default="picture",
        description="one mean over the whole picture (picture), or one over the hole and one over the rest (region)",
    )
    hole: float = Field(default=1.0, ge=0, description="region: weight of the hole")
    valid: float = Field(default=1.0, ge=0, description="region: weight of the known pixels")


class InpaintingConfig(GANConfig):
    """Settings that all inpainting methods share. Discriminators see results with the known pixels pasted back."""

    channels_last: bool | None = Field(
        default=True, description="NHWC memory layout; gated convolutions are a third faster with it, also on a CPU"
    )
    data: InpaintingData = Field(description="photos, and holes in them")
    objectives: ObjectiveWeights = Field(
        default={"l1": 1.0},
        description="reconstruction objectives and their weights, computed before the known pixels are pasted back",
    )
    weighing: WeighingConfig = WeighingConfig()


class Inpainting(Method):
    """Data, validation and export of an inpainting method.

    Batches hold the truth `image`, uint8 `[N, 3, H, W]`, and `mask`, uint8 `[N, 1, H, W]`, 1 = fill. The network
    "generator" takes a picture in -1..1 with zeros in the hole, and the mask. It returns a picture, or several pictures
    from the first guess to the last.

    Batch norm uses the statistics of training in validation and export. The statistics of a single picture are
    unreliable if it has a hole, and meaningless in a bottleneck of one pixel.
    """

    headline = "psnr"
    """PSNR in the holes. It favours blur, so look at `swd` and the contact sheet too if there is a discriminator."""

    def __init__(self, config: InpaintingConfig, generator: nn.Module) -> None:
        self.config: InpaintingConfig = config
        self.networks = {"generator": generator}
        self.averaged = ("generator",)
        self.reconstruction = InpaintingReconstructionLoss(config.objectives, config.perceptual, config.weighing)
        self.notes = []
        self.held_out: list[tuple[Picture, Mask]] = []
        if not config.has_discriminator:
            if not self.reconstruction:
                raise ConfigError("nothing to learn from: adversarial, matching and all objectives have weight 0")
            self.notes.append("adversarial.weight = 0: no discriminator, only the distance to the truth is minimised")

    @property
    @abstractmethod
    def title(self) -> str:
        """The method's name in the card."""

    def load(self) -> Dataset[Batch]:
        data = self.config.data
        reading = folders.Reading.of(data)
        masks = Masks(data.masks, reading)
        paths = folders.find(data.folders)
        if data.validation:
            held = folders.find(data.validation)
        else:
            paths, held = folders.hold_out(paths)
        photos = folders.Photos.read(paths, smallest=data.crop, limit_mb=data.cache_mb, reading=reading)
        held = spread(held, min(MAX_HELD_OUT, self.config.validate_pictures))
        held_photos = folders.Photos.read(held, smallest=data.crop, reading=reading)
        self.held_out = held_out_crops(held_photos.pixels, masks, size=data.crop, shrink=data.shrink)
        self.notes.append(f"{count_of(len(photos.paths), 'training photo')}, {len(self.held_out)} held out")
        if small := len(photos.small) + len(held_photos.small):
            self.notes.append(f"skipped photos smaller than the {data.crop} px crop: {small}")
        self.notes += [photos.note] if photos.note else []
        self.notes += folders.dark_note(paths, reading)
        if masks.out_of_range:
            low, high = (f"{share:.0%}" for share in data.masks.share)
            skipped = len(masks.out_of_range)
            self.notes.append(f"skipped masks whose holes are not {low} to {high} of the picture: {skipped}")
        return HoleCrops(
            photos.pixels, size=data.crop, masks=masks, seed=self.config.seed, shrink=data.shrink, flip=data.flip
        )

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the holes only, see `hole_figures`, and compare with Telea's method, which learns nothing.

        `swd` is the sliced Wasserstein distance between filled and true pictures; lower is better. Unlike PSNR and SSIM
        it does not favour blur.
        """
        generator = inference_copy(networks["generator"], "running")
        device = next(generator.parameters()).device
        results: list[Picture] = []
        raw: list[Picture] = []
        for photo, hole in self.held_out:
            truth = to_signed(torch.from_numpy(photo).permute(2, 0, 1)[None].to(device))
            mask = torch.from_numpy(hole)[None, None].to(device).float()
            whole = stages(generator(truth * (1 - mask), mask))[-1]
            raw += to_pictures(whole)
            results += to_pictures(paste(whole, truth, mask))
        truths, masks = [photo for photo, _ in self.held_out], [mask for _, mask in self.held_out]
        baseline = [telea(photo, mask) for photo, mask in self.held_out]
        figures = hole_figures(results, truths, masks) | {"swd": sliced_wasserstein(results, truths)}
        baseline_figures = hole_figures(baseline, truths, masks) | {"swd": sliced_wasserstein(baseline, truths)}
        figures |= {f"{name}_telea": value for name, value in baseline_figures.items()}
        figures["diversity"] = diversity(raw, truths)
        empty = [
            np.where(mask[:, :, None] > 0, np.array(HOLE_COLOUR, np.uint8), photo)
            for photo, mask in self.held_out[:SHEET_ROWS]
        ]
        rows = [list(row) for row in zip(empty, baseline, results, truths, strict=False)]
        return Validation(figures, ["hole", "telea", "result", "truth"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], "running")
        card = card_of(self.config, generator, name=self.config.method, task="inpaint", method=self.title)
        return [ModelExport(InpaintingWrapper(generator), card)]


class MaskChannel(nn.Module):
    """Makes an inpainting generator of any generator. The mask becomes a fourth channel of its input.

    Takes a picture `[N, 3, H, W]` with zeros in the hole, and a mask `[N, 1, H, W]`.
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
    """The distance between a whole result, before pasting, and the truth. Weights are as for `ReconstructionLoss`.

    Raises:
        ConfigError: as for `ReconstructionLoss`, or an objective cannot be weighted by region.
    """

    def __init__(self, weights: dict[str, float], perceptual: PerceptualConfig, weighing: WeighingConfig) -> None:
        self.terms = ReconstructionLoss(weights, perceptual)
        self.by_region: dict[str, tuple[MaskedReconstruction, float]] = {}
        if weighing.by == "region":  # the perceptual distance always covers the whole picture
            for name, (objective, weight) in self.terms.terms.items():
                self.by_region[name] = MaskedReconstruction(objective, weighing.hole, weighing.valid), weight
            self.terms.terms = {}

    def __bool__(self) -> bool:
        return bool(self.terms) or bool(self.by_region)

    def __call__(self, result: Tensor, truth: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the unweighted terms by name, detached, and their weighted sum."""
        figures, loss = self.terms(result, truth)
        for name, (objective, weight) in self.by_region.items():
            value = objective(result, truth, mask)
            figures[name] = value.detach()
            loss = loss + weight * value
        return figures, loss


def build_generator(config: InpaintingConfig) -> nn.Module:
    """Build the generator of `config`, which takes a picture with an empty hole, and the mask.

    Raises:
        ConfigError: the network is unknown, or its result does not have the size of the picture.
    """
    name, crop = config.generator.name, config.data.crop
    network_type = lookup("network", built_networks.NETWORKS, name)
    takes_mask = "mask" in inspect.signature(network_type.forward).parameters
    defaults: dict[str, Any] = {"size": crop}
    if name == "unet":
        defaults["downs"] = UNet.depth(crop)
    fixed = {"inputs": 3 if takes_mask else 4, "outputs": 3, "output": "whole"}
    built = config.build(config.generator, fixed=fixed, defaults=defaults)
    generator = built if takes_mask else MaskChannel(built)
    shape = _output_shape("generator", name, generator, crop, 3, 1)
    if shape != (3, crop, crop):
        raise ConfigError(
            f"generator.name = {name} turns a {crop} x {crop} picture into {' x '.join(map(str, shape))}: "
            "inpainting needs three channels of the same size"
        )
    return generator


def build_discriminator(
    config: InpaintingConfig, network_config: NetworkConfig, *, key: str, channels: int, size: int
) -> nn.Module:
    """Build the discriminator of `config.<key>`, for pictures of `channels` channels and side `size`.

    Raises:
        ConfigError: the network is unknown, or cannot take such pictures.
    """
    discriminator = config.build(network_config, fixed={"inputs": channels}, defaults={"size": size})
    _output_shape(key, network_config.name, discriminator, size, channels)
    return discriminator


def truth_and_mask(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the truth in -1..1 and the mask as float."""
    return to_signed(batch["image"]), batch["mask"].float()


def stages(output: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a generator as a tuple, from the first guess to the last."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


def paste(result: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the result in the hole and the known pixels around it."""
    return result * mask + truth * (1 - mask)


def _output_shape(key: str, name: str, network: nn.Module, size: int, *channels: int) -> tuple[int, ...]:
    """Run `network` once, so that faults show before training, and return the shape `[C, ...]` of its output.

    Args:
        channels: the number of channels of each input.
    """
    network.eval()
    try:
        with torch.no_grad():
            try:  # for shapes only: attention over a large crop would fill the memory
                output = copy.deepcopy(network).to("meta")(
                    *(torch.zeros(1, n, size, size, device="meta") for n in channels)
                )
            except RuntimeError:  # an operator of the network does not support that
                output = network(*(torch.zeros(1, count, size, size) for count in channels))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{key}.name = {name} cannot take pictures of {size} x {size}: {error}") from error
    network.train()
    return tuple(stages(output)[-1].shape[1:])
