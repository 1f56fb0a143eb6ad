"""Makes poor photos from good ones without changing their size: JPEG artefacts and noise, for networks of scale 1."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from img2img.data import degradation_steps as steps
from img2img.data.degradation_parts import Blur, Noise, Pixels, Quality, Shares, add_noise, draw_integer, draw_kernel
from img2img.data.ranges import Probability, Range, rising
from img2img.section import Section

BLOCK = 8
"""Side of a JPEG block in pixels."""


class Faults(Shares):
    jpeg: Probability = Field(default=0.5, description="JPEG artefacts")
    noise: Probability = Field(default=0.25, description="noise")
    both: Probability = Field(default=0.15, description="noise, then JPEG artefacts")
    none: Probability = Field(default=0.1, description="no fault, so that good photos stay as they are")


class SlightBlur(Blur):
    probability: Probability = Field(default=0.0, description="probability of a blur")
    sinc: Probability = Field(default=0.0, description="probability of a sinc filter instead of the kernels below")
    sigma: Range = Field(default=(0.2, 1.0), description="standard deviation in pixels")


class CameraNoise(Noise):
    gaussian: Probability = Field(default=0.7, description="probability of Gaussian noise; otherwise Poisson noise")
    sigma: Range = Field(default=(0.5, 25.0), description="Gaussian noise: standard deviation on a scale of 255")
    poisson: Range = Field(default=(0.05, 1.5), description="Poisson noise: factor")
    levels: Annotated[int, Field(ge=1, le=256)] = Field(
        default=128,
        description="Poisson noise: assumed minimum number of grey levels. Fewer levels mean stronger noise, and flat "
        "crops have few",
    )
    grey: Probability = Field(default=0.2, description="probability of the same noise in all channels")
    chroma: Probability = Field(
        default=0.15, description="probability of blotchy noise in Cb and Cr only, with the standard deviations above"
    )


class JpegNoiseConfig(Section):
    """JPEG artefacts and noise."""

    faults: Faults = Field(default=Faults(), description="probabilities of the faults")
    blur: SlightBlur = Field(default=SlightBlur(), description="blur before the faults, except `none`; off by default")
    noise: CameraNoise = Field(default=CameraNoise(), description="noise")
    jpeg: Annotated[tuple[Quality, Quality], AfterValidator(rising)] = Field(
        default=(5, 100), description="lowest and highest JPEG quality"
    )
    twice: Probability = Field(
        default=0.15, description="probability of an earlier JPEG compression with a shifted block grid"
    )
    full_chroma: Probability = Field(
        default=0.3, description="probability of JPEG without chroma subsampling (4:4:4 instead of 4:2:0)"
    )


class JpegNoise:
    """JPEG artefacts and noise at full size. See the module and `degradation.Degradation`."""

    scale = 1
    sharpen = False

    def __init__(self, config: JpegNoiseConfig) -> None:
        self.config = config

    def __call__(self, high: Pixels, rng: np.random.Generator) -> Pixels:
        config = self.config
        fault = config.faults.draw(rng)
        if fault == "none":
            return high
        picture = steps.from_rgb(high)
        if rng.random() < config.blur.probability:
            picture = steps.convolve(picture, draw_kernel(config.blur, rng))
        if fault != "jpeg":
            picture = _add_noise(picture, config.noise, rng)
        if fault != "noise":
            picture = _compress(picture, config, rng)
        return steps.to_rgb(picture)


def _add_noise(picture: steps.Floats, noise: CameraNoise, rng: np.random.Generator) -> steps.Floats:
    if rng.random() >= noise.chroma:
        return add_noise(picture, noise, rng)
    # Demosaicking and the denoiser of a camera leave chroma noise that is wider than a pixel.
    return steps.add_chroma_noise(picture, rng.uniform(*noise.sigma), side=int(rng.integers(1, 4)), rng=rng)


def _compress(picture: steps.Floats, config: JpegNoiseConfig, rng: np.random.Generator) -> steps.Floats:
    """Compress once, or twice like a photo that was saved, cropped, and saved again.

    The picture starts at a random place of the block grid. If crops always started at a corner of a block, networks
    would learn where blocks end from the padding at the edge of the crop, and see no blocks in whole photos.
    """
    for _ in range(2 if rng.random() < config.twice else 1):
        top, left = (int(shift) for shift in rng.integers(0, BLOCK, 2))
        picture = _compress_once(_shifted(picture, top, left), config, rng)[top:, left:]
    return picture


def _shifted(picture: steps.Floats, top: int, left: int) -> steps.Floats:
    return np.pad(picture, ((top, 0), (left, 0), (0, 0)), mode="edge")


def _compress_once(picture: steps.Floats, config: JpegNoiseConfig, rng: np.random.Generator) -> steps.Floats:
    full = rng.random() < config.full_chroma
    return steps.compress_jpeg(picture, draw_integer(config.jpeg, rng), full_chroma=full)


SHIFT = BLOCK // 2

Fault = Callable[[Pixels, np.random.Generator], Pixels]
"""Adds a fault to uint8 RGB `[H, W, 3]` and keeps the size."""


def jpeg(quality: int) -> Fault:
    """JPEG of `quality` with 4:2:0, which most programs write.

    Its block grid starts half a block outside the photo. A photo that is a JPEG itself would otherwise survive a high
    quality almost unchanged, because both grids agree.
    """

    def compress(photo: Pixels, rng: np.random.Generator) -> Pixels:
        return steps.to_rgb(steps.compress_jpeg(_shifted(steps.from_rgb(photo), SHIFT, SHIFT), quality))[SHIFT:, SHIFT:]

    return compress


def gaussian_noise(sigma: float) -> Fault:
    """Gaussian noise with standard deviation `sigma`, 0..255, independent in each channel, then clipped and rounded."""
    return lambda photo, rng: steps.to_rgb(steps.add_gaussian_noise(steps.from_rgb(photo), sigma, grey=False, rng=rng))


STANDARD: dict[str, Fault] = {
    "jpeg10": jpeg(10),
    "jpeg20": jpeg(20),
    "noise15": gaussian_noise(15),
    "jpeg40": jpeg(40),
    "jpeg95": jpeg(95),
}
"""The faults that restoration is measured with: those of ARCNN (Dong et al. 2015) and DnCNN (Zhang et al. 2017), and
quality 95 for photos that are good already.
"""


def standard_faults(config: JpegNoiseConfig) -> dict[str, Fault]:
    """Return those of STANDARD that a network trained with `config` has seen, or all if there are none."""
    shares = config.faults
    seen = {"jpeg": shares.jpeg + shares.both > 0, "noise": shares.noise + shares.both > 0}
    return {name: fault for name, fault in STANDARD.items() if seen[name.rstrip("0123456789")]} or STANDARD
