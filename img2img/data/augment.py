"""Augmentation for small data sets: random rotations and colours. Off by default."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from img2img.section import Section

if TYPE_CHECKING:
    import albumentations

Pixels = NDArray[np.uint8]


class AugmentConfig(Section):
    """What albumentations changes in a training picture before the crop. Nothing if all values are 0."""

    rotate: float = Field(
        default=0.0, ge=0, le=180, description="largest random rotation in degrees; edges are mirrored"
    )
    colour: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="strength of random brightness, contrast and saturation; hue gets a quarter of it",
    )

    def __bool__(self) -> bool:
        return self.rotate > 0 or self.colour > 0


def augment(config: AugmentConfig, rng: np.random.Generator, picture: Pixels) -> Pixels:
    """Return `picture`, uint8 `[H, W, 1 or 3]`, with random changes.

    They depend only on `rng`, so that a run resumes exactly.
    """
    return picture if not config else _run(config, rng, image=picture)["image"]


def augment_pair(
    config: AugmentConfig, rng: np.random.Generator, source: Pixels, target: Pixels, *, labels: bool
) -> tuple[Pixels, Pixels]:
    """Change both pictures of a pair, uint8 `[H, W, 1 or 3]`, in the same way.

    If `labels`, `source` is a label map: it is only rotated, and its classes are not mixed.
    """
    if not config:
        return source, target
    if labels:
        made = _run(config, rng, image=target, mask=source)
        return made["mask"], made["image"]
    made = _run(config, rng, image=target, source=source)
    return made["source"], made["image"]


def _run(config: AugmentConfig, rng: np.random.Generator, **pictures: Pixels) -> dict[str, Pixels]:
    transform = _transform(config.rotate, config.colour)
    transform.set_random_seed(int(rng.integers(2**31)))
    made: dict[str, Any] = transform(**pictures)
    return {name: np.ascontiguousarray(made[name]).reshape(pictures[name].shape) for name in pictures}


@lru_cache(maxsize=4)
def _transform(rotate: float, colour: float) -> "albumentations.Compose":
    import os

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # stops the import from looking for updates online
    import albumentations
    import cv2

    steps: list[Any] = []
    if rotate:
        steps.append(
            albumentations.Affine(
                rotate=(-rotate, rotate),
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            )
        )
    if colour:
        span = (max(0.0, 1 - colour), 1 + colour)
        hue = (-colour / 4, colour / 4)
        steps.append(albumentations.ColorJitter(brightness=span, contrast=span, saturation=span, hue=hue, p=1))
    return albumentations.Compose(steps, additional_targets={"source": "image"})
