"""Makes low-resolution pictures from photos: MATLAB's bicubic, or the two-order degradation of Real-ESRGAN.

`jpeg_noise` has the degradation for networks that keep the size.

Real-ESRGAN is Wang et al. 2021, section 3; the defaults are the published training options. Each order is blur, resize,
noise, JPEG. The second order adds a sinc filter, before or after its JPEG.

The steps use OpenCV and numpy. albumentations 2.0 has most of them, but not as published, or not as a pure function of
a random generator. `GaussNoise` draws from OpenCV's global generator, which a run cannot seed and a resume cannot
restore. `ShotNoise` works in linear light. `ImageCompression` gives RGB to an encoder that expects BGR, so that red is
compressed like blue. `RingingOvershoot` and `AdvancedBlur` lack the cut-offs by kernel size, and the isotropic and
plateau-shaped kernels.
"""

import math
from typing import Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from img2img.data import degradation_steps as steps
from img2img.data import kernels
from img2img.data.bicubic import imresize
from img2img.data.degradation_parts import (
    Blur,
    Cutoffs,
    Noise,
    Pixels,
    Quality,
    Shares,
    Sides,
    add_noise,
    draw_integer,
    draw_kernel,
    draw_side,
)
from img2img.data.jpeg_noise import JpegNoise, JpegNoiseConfig
from img2img.data.ranges import Probability, Range, rising
from img2img.errors import ConfigError
from img2img.section import Section

Filter = Literal["area", "bilinear", "bicubic"]
Kind = Literal["bicubic", "real", "jpeg-noise"]


class ResizeShares(Shares):
    up: Probability = Field(default=0.2, description="enlarge")
    down: Probability = Field(default=0.7, description="shrink")
    keep: Probability = Field(default=0.1, description="keep the size")


class SecondResizeShares(ResizeShares):
    up: Probability = Field(default=0.3, description="enlarge")
    down: Probability = Field(default=0.4, description="shrink")
    keep: Probability = Field(default=0.3, description="keep the size")


class SecondBlur(Blur):
    probability: Probability = Field(default=0.8, description="probability of a blur")
    sigma: Range = Field(default=(0.2, 1.5), description="standard deviation in pixels")


class Resize(Section):
    shares: ResizeShares = Field(default=ResizeShares(), description="probabilities of the directions")
    range: Range = Field(default=(0.15, 1.5), description="smallest and largest factor, with 1 in between")
    filters: tuple[Filter, ...] = Field(
        default=("area", "bilinear", "bicubic"), min_length=1, description="filters, all equally likely"
    )

    @model_validator(mode="after")
    def _around_one(self) -> Self:
        if not self.range[0] <= 1 <= self.range[1]:
            raise ValueError(f"range = {list(self.range)} must include 1, the border between shrinking and enlarging")
        return self


class SecondResize(Resize):
    shares: SecondResizeShares = Field(default=SecondResizeShares(), description="probabilities of the directions")
    range: Range = Field(default=(0.3, 1.2), description="smallest and largest factor, with 1 in between")


class SecondNoise(Noise):
    sigma: Range = Field(default=(1.0, 25.0), description="Gaussian noise: standard deviation on a scale of 255")
    poisson: Range = Field(default=(0.05, 2.5), description="Poisson noise: factor")


class Order(Section):
    blur: Blur = Field(default=Blur(), description="blur")
    resize: Resize = Field(default=Resize(), description="resize")
    noise: Noise = Field(default=Noise(), description="noise")
    jpeg: Annotated[tuple[Quality, Quality], AfterValidator(rising)] = Field(
        default=(30, 95), description="lowest and highest JPEG quality"
    )


class SecondOrder(Order):
    # Separate classes at every level, because a partly given section takes its other values from its class's defaults.
    blur: SecondBlur = Field(default=SecondBlur(), description="blur")
    resize: SecondResize = Field(default=SecondResize(), description="resize")
    noise: SecondNoise = Field(default=SecondNoise(), description="noise")


class FinalSinc(Section):
    probability: Probability = Field(default=0.8, description="probability of the final sinc filter")
    before_jpeg: Probability = Field(default=0.5, description="probability that it comes before the last JPEG step")
    sides: Sides = Field(default=(7, 21), description="smallest and largest kernel side in pixels, odd")
    cutoff: Cutoffs = Field(default=(math.pi / 3, math.pi), description="cut-off, radians per pixel")


class DegradationConfig(Section):
    kind: Kind = Field(
        default="bicubic",
        description="bicubic: MATLAB's imresize; real: Real-ESRGAN's two orders (first, second, final, sharpen); "
        "jpeg-noise: JPEG artefacts and noise, for scale 1 (jpeg_noise)",
    )
    first: Order = Field(default=Order(), description="first order")
    second: SecondOrder = Field(default=SecondOrder(), description="second order")
    final: FinalSinc = Field(default=FinalSinc(), description="final sinc filter")
    sharpen: bool = Field(
        default=True, description="real: degrade the sharpened photo and use it as the target of pixel objectives"
    )
    jpeg_noise: JpegNoiseConfig = Field(default=JpegNoiseConfig(), description="jpeg-noise: artefacts and noise")


class Degradation(Protocol):
    """Shrinks a picture, as a pure function of the picture and the state of `rng`.

    Attributes:
        scale: how many times smaller the result is.
        sharpen: whether it expects sharpened photos (`degradation_steps.sharpen`).
    """

    scale: int
    sharpen: bool

    def __call__(self, high: Pixels, rng: np.random.Generator) -> Pixels:
        """Shrink `high`, uint8 RGB `[H, W, 3]`, to uint8 RGB `[H / scale, W / scale, 3]`.

        H and W are multiples of `scale`.
        """


def build(config: DegradationConfig, scale: int) -> Degradation:
    """Build the degradation of `config.kind` that makes pictures `scale` times smaller.

    Raises:
        ConfigError: `config.kind` keeps the size, but `scale` is above 1.
    """
    if config.kind == "jpeg-noise":
        if scale != 1:
            raise ConfigError(f"data.degradation.kind = jpeg-noise is for scale 1, not {scale}; use real")
        return JpegNoise(config.jpeg_noise)
    return Bicubic(scale) if config.kind == "bicubic" else Real(config, scale)


class Bicubic:
    """MATLAB's antialiased bicubic (`data.bicubic`). Draws no random numbers."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.sharpen = False

    def __call__(self, high: Pixels, rng: np.random.Generator) -> Pixels:
        return imresize(high, 1 / self.scale) if self.scale > 1 else high


class Real:
    """Real-ESRGAN's two orders. See the module and `Degradation`."""

    def __init__(self, config: DegradationConfig, scale: int) -> None:
        self.config = config
        self.scale = scale
        self.sharpen = config.sharpen

    def __call__(self, high: Pixels, rng: np.random.Generator) -> Pixels:
        config, full = self.config, high.shape[:2]
        target = (full[0] // self.scale, full[1] // self.scale)
        picture = steps.from_rgb(high)
        picture = _blur_resize_noise(picture, config.first, full, rng)
        picture = steps.compress_jpeg(picture, draw_integer(config.first.jpeg, rng))
        picture = _blur_resize_noise(picture, config.second, target, rng)

        # The authors found that the other sequences (filter, JPEG, resize) distort lines.
        quality = draw_integer(config.second.jpeg, rng)
        interpolation = _draw_filter(config.second.resize, rng)
        kernel = _draw_final_kernel(config.final, rng)

        def resize_and_filter(picture: steps.Floats) -> steps.Floats:
            picture = steps.resize(picture, target, interpolation)
            return picture if kernel is None else steps.convolve(picture, kernel)

        if rng.random() < config.final.before_jpeg:
            picture = steps.compress_jpeg(resize_and_filter(picture), quality)
        else:
            picture = resize_and_filter(steps.compress_jpeg(picture, quality))
        return steps.to_rgb(picture)


def _blur_resize_noise(
    picture: steps.Floats, order: Order, size: tuple[int, ...], rng: np.random.Generator
) -> steps.Floats:
    """Apply one order up to its JPEG. The resize factor is relative to `size`, height and width."""
    if rng.random() < order.blur.probability:
        picture = steps.convolve(picture, draw_kernel(order.blur, rng))
    factor = _draw_factor(order.resize, rng)
    scaled = (max(int(size[0] * factor), 1), max(int(size[1] * factor), 1))
    picture = steps.resize(picture, scaled, _draw_filter(order.resize, rng))
    return add_noise(picture, order.noise, rng)


def _draw_final_kernel(final: FinalSinc, rng: np.random.Generator) -> kernels.Kernel | None:
    if rng.random() >= final.probability:
        return None
    return kernels.sinc(draw_side(final.sides, rng), rng.uniform(*final.cutoff))


def _draw_factor(resize: Resize, rng: np.random.Generator) -> float:
    shares, drawn = resize.shares, rng.random()
    if drawn < shares.up:
        return rng.uniform(1, resize.range[1])
    return rng.uniform(resize.range[0], 1) if drawn < shares.up + shares.down else 1.0


def _draw_filter(resize: Resize, rng: np.random.Generator) -> str:
    return resize.filters[int(rng.integers(len(resize.filters)))]
