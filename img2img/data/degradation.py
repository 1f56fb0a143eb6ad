"""Makes low-resolution pictures from photos: MATLAB's bicubic, or the two-order degradation of Real-ESRGAN.

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
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from img2img.data import degradation_steps as steps
from img2img.data import kernels
from img2img.data.bicubic import imresize
from img2img.data.ranges import Probability, Range, rising
from img2img.section import Section

Pixels = NDArray[np.uint8]


def _odd(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] % 2 == 0 or pair[1] % 2 == 0:
        raise ValueError(f"{list(pair)}: kernel sides must be odd, so that there is a middle pixel")
    return pair


Quality = Annotated[int, Field(ge=1, le=100)]
Side = Annotated[int, Field(ge=3, le=99)]
Sides = Annotated[tuple[Side, Side], AfterValidator(rising), AfterValidator(_odd)]
Cutoff = Annotated[float, Field(gt=0, le=math.pi)]
Cutoffs = Annotated[tuple[Cutoff, Cutoff], AfterValidator(rising)]
Filter = Literal["area", "bilinear", "bicubic"]

LARGE = 13
"""Kernels with at least this side use the lower cut-offs for the sinc filter."""


class _Shares(Section):
    """Probabilities of mutually exclusive cases."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        shares = self.model_dump()
        if abs(sum(shares.values()) - 1) > 1e-6:
            listed = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise ValueError(f"the probabilities must sum to 1, not {sum(shares.values()):g}: {listed}")
        return self


class KernelShares(_Shares):
    isotropic: Probability = Field(default=0.45, description="Gaussian, isotropic")
    anisotropic: Probability = Field(default=0.25, description="Gaussian, anisotropic at a random angle")
    generalised: Probability = Field(default=0.12, description="generalised Gaussian, isotropic")
    generalised_anisotropic: Probability = Field(default=0.03, description="generalised Gaussian, anisotropic")
    plateau: Probability = Field(default=0.12, description="plateau-shaped, isotropic")
    plateau_anisotropic: Probability = Field(default=0.03, description="plateau-shaped, anisotropic")


class ResizeShares(_Shares):
    up: Probability = Field(default=0.2, description="enlarge")
    down: Probability = Field(default=0.7, description="shrink")
    keep: Probability = Field(default=0.1, description="keep the size")


class SecondResizeShares(ResizeShares):
    up: Probability = Field(default=0.3, description="enlarge")
    down: Probability = Field(default=0.4, description="shrink")
    keep: Probability = Field(default=0.3, description="keep the size")


class Blur(Section):
    probability: Probability = Field(default=1.0, description="probability of a blur")
    sides: Sides = Field(default=(7, 21), description="smallest and largest kernel side in pixels, odd")
    sinc: Probability = Field(default=0.1, description="probability of a sinc filter instead of the kernels below")
    cutoff: Cutoffs = Field(default=(math.pi / 3, math.pi), description="cut-off of the sinc filter, radians per pixel")
    cutoff_large: Cutoffs = Field(
        default=(math.pi / 5, math.pi), description=f"the same for kernels of {LARGE} px and more"
    )
    kernels: KernelShares = Field(default=KernelShares(), description="probabilities of the kernel shapes")
    sigma: Range = Field(default=(0.2, 3.0), description="standard deviation in pixels")
    generalised_beta: Range = Field(default=(0.5, 4.0), description="shape parameter of the generalised Gaussian")
    plateau_beta: Range = Field(default=(1.0, 2.0), description="shape parameter of the plateau")


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


class Noise(Section):
    gaussian: Probability = Field(default=0.5, description="probability of Gaussian noise; otherwise Poisson noise")
    sigma: Range = Field(default=(1.0, 30.0), description="Gaussian noise: standard deviation on a scale of 255")
    poisson: Range = Field(default=(0.05, 3.0), description="Poisson noise: factor")
    levels: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1,
        description="Poisson noise: assumed minimum number of grey levels. Fewer levels mean stronger noise, and flat "
        "crops have few (published: 1)",
    )
    grey: Probability = Field(default=0.4, description="probability of the same noise in all channels")


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
    kind: Literal["bicubic", "real"] = Field(
        default="bicubic", description="bicubic: MATLAB's imresize; real: Real-ESRGAN's two orders, configured below"
    )
    first: Order = Field(default=Order(), description="first order")
    second: SecondOrder = Field(default=SecondOrder(), description="second order")
    final: FinalSinc = Field(default=FinalSinc(), description="final sinc filter")
    sharpen: bool = Field(
        default=True, description="real: degrade the sharpened photo and use it as the target of pixel objectives"
    )


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
    """Build the degradation of `config.kind` that makes pictures `scale` times smaller."""
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
        picture = steps.compress_jpeg(picture, _draw_integer(config.first.jpeg, rng))
        picture = _blur_resize_noise(picture, config.second, target, rng)

        # The authors found that the other sequences (filter, JPEG, resize) distort lines.
        quality = _draw_integer(config.second.jpeg, rng)
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


def add_noise(picture: steps.Floats, noise: Noise, rng: np.random.Generator) -> steps.Floats:
    """Return `picture` with random noise as configured by `noise`."""
    gaussian = rng.random() < noise.gaussian
    strength = rng.uniform(*(noise.sigma if gaussian else noise.poisson))
    grey = rng.random() < noise.grey
    if gaussian:
        return steps.add_gaussian_noise(picture, strength, grey=grey, rng=rng)
    return steps.add_poisson_noise(picture, strength, grey=grey, min_levels=noise.levels, rng=rng)


def draw_kernel(blur: Blur, rng: np.random.Generator) -> kernels.Kernel:
    """Draw a random kernel as configured by `blur`."""
    side = _draw_side(blur.sides, rng)
    if rng.random() < blur.sinc:
        return kernels.sinc(side, rng.uniform(*(blur.cutoff_large if side >= LARGE else blur.cutoff)))
    shares = blur.kernels.model_dump()
    name = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    shape = {"sigma": rng.uniform(*blur.sigma)}
    if name.endswith("anisotropic"):
        shape |= {"across": rng.uniform(*blur.sigma), "angle": rng.uniform(-math.pi, math.pi)}
    if name.startswith("generalised"):
        return kernels.generalised(side, _draw_beta(blur.generalised_beta, rng), **shape)
    if name.startswith("plateau"):
        return kernels.plateau(side, _draw_beta(blur.plateau_beta, rng), **shape)
    return kernels.gaussian(side, **shape)


def _draw_beta(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw below and above 1 equally often if the limits allow both. Most of a range such as 0.5..4 gives flat tops."""
    low, high = limits
    if low <= 1 <= high:
        low, high = (low, 1.0) if rng.random() < 0.5 else (1.0, high)
    return rng.uniform(low, high)


def _draw_final_kernel(final: FinalSinc, rng: np.random.Generator) -> kernels.Kernel | None:
    if rng.random() >= final.probability:
        return None
    return kernels.sinc(_draw_side(final.sides, rng), rng.uniform(*final.cutoff))


def _draw_side(sides: tuple[int, int], rng: np.random.Generator) -> int:
    return 2 * int(rng.integers(sides[0] // 2, sides[1] // 2, endpoint=True)) + 1


def _draw_integer(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*limits, endpoint=True))


def _draw_factor(resize: Resize, rng: np.random.Generator) -> float:
    shares, drawn = resize.shares, rng.random()
    if drawn < shares.up:
        return rng.uniform(1, resize.range[1])
    return rng.uniform(resize.range[0], 1) if drawn < shares.up + shares.down else 1.0


def _draw_filter(resize: Resize, rng: np.random.Generator) -> str:
    return resize.filters[int(rng.integers(len(resize.filters)))]
