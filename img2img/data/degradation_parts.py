"""Parts that degradations share: the settings of blur and noise, and how they are drawn.

The defaults are the published options of Real-ESRGAN's first order (Wang et al. 2021, section 3).
"""

import math
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from img2img.data import degradation_steps as steps
from img2img.data import kernels
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

LARGE = 13
"""Kernels with at least this side use the lower cut-offs for the sinc filter."""


class Shares(Section):
    """Probabilities of mutually exclusive cases."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        shares = self.model_dump()
        if abs(sum(shares.values()) - 1) > 1e-6:
            listed = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise ValueError(f"the probabilities must sum to 1, not {sum(shares.values()):g}: {listed}")
        return self

    def draw(self, rng: np.random.Generator) -> str:
        """Draw the name of a case."""
        shares = self.model_dump()
        return str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


class KernelShares(Shares):
    isotropic: Probability = Field(default=0.45, description="Gaussian, isotropic")
    anisotropic: Probability = Field(default=0.25, description="Gaussian, anisotropic at a random angle")
    generalised: Probability = Field(default=0.12, description="generalised Gaussian, isotropic")
    generalised_anisotropic: Probability = Field(default=0.03, description="generalised Gaussian, anisotropic")
    plateau: Probability = Field(default=0.12, description="plateau-shaped, isotropic")
    plateau_anisotropic: Probability = Field(default=0.03, description="plateau-shaped, anisotropic")


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
    side = draw_side(blur.sides, rng)
    if rng.random() < blur.sinc:
        return kernels.sinc(side, rng.uniform(*(blur.cutoff_large if side >= LARGE else blur.cutoff)))
    name = blur.kernels.draw(rng)
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


def draw_side(sides: tuple[int, int], rng: np.random.Generator) -> int:
    return 2 * int(rng.integers(sides[0] // 2, sides[1] // 2, endpoint=True)) + 1


def draw_integer(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*limits, endpoint=True))
