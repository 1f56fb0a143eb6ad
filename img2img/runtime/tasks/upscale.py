"""Enlarges pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.image import blending, hdr
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network.tiling import AUTO, Progress, Tile, rescaled, run_tiled
from img2img.runtime.tasks import result_size, wrapping
from img2img.runtime.tasks.ensemble import RUNS, eightfold
from img2img.runtime.tasks.result_size import ResultSize
from img2img.runtime.tasks.task import Task
from img2img.runtime.tasks.wrapping import resized, wrapped

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


DEFAULT_MODEL = "upscale-x4"


MAX_SCALE = 256

_ADDED = (*result_size.FIELDS, "ensemble", "wrap")
"""Options that version 0.2 does not have."""


@dataclass(frozen=True, kw_only=True)
class UpscaleTask(Task):
    """
    Attributes:
        scale: enlargement factor; None: the model's own.
        width, height, long_side: wanted side of the result in pixels, instead of `scale`; the other side follows.
        megapixels: wanted number of pixels, in millions.
        fit: the box WIDTHxHEIGHT that the result must fill in one direction and fit in the other.
        ensemble: see `ensemble`.
        wrap: see `wrapping`; "x", "y" or "xy".
        budget: a time such as "60s"; the best bundled model that finishes all inputs in this time is used.

    Raises:
        UsageError: `scale` is not a number above 0 and up to `MAX_SCALE`, another value is out of range, or there are
            several sizes.
    """

    name: ClassVar[str] = "upscale"
    doing: ClassVar[str] = "upscaling"

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_side: int | None = None
    megapixels: float | None = None
    fit: str | None = None
    ensemble: bool = False
    wrap: str | None = None
    budget: str | None = None

    def __post_init__(self) -> None:
        if self.wrap is not None:
            wrapping.check(self.wrap)
        assert self.size is None or self.scale is None  # `size` has checked it
        if self.scale is not None and not 0 < self.scale <= MAX_SCALE:
            raise UsageError(f"--scale {self.scale:g}: use a number above 0 and up to {MAX_SCALE}")

    @property
    def size(self) -> ResultSize | None:
        """The wanted size, if it is not given by `scale`."""
        given = {name.replace("_", "-"): getattr(self, name) for name in result_size.FIELDS}
        if all(value is None for value in given.values()):
            return None
        return result_size.parse({"scale": self.scale, **given})

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if self.budget is not None:
            return self._affordable(settings, pixels)
        if settings.model is None and self.scale is not None:
            return models.for_scale(self.scale)
        return models.find(settings.model or DEFAULT_MODEL)

    @property
    def accepts_model(self) -> bool:
        return self.budget is None

    def _affordable(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import estimate, models

        assert self.budget is not None
        if settings.model is not None:
            raise UsageError("--budget chooses the model: omit --model")
        budget, count = estimate.parse_duration(self.budget), pixels()
        if count is None:
            raise UsageError("--budget does not work with --raw: the number of frames is unknown")
        usual = models.read_card(models.find(DEFAULT_MODEL))
        scale = self.scale or (usual.scale if usual is not None else None)
        fitting = models.candidates(self.name, scale, device=settings.device)
        choice = estimate.choose_model(fitting, count, budget, device=settings.device, threads=settings.threads)
        if choice.note is not None:
            raise UsageError(f"--budget {self.budget}: {choice.note}")
        return choice.path

    def with_card(self, card: Card) -> Self:
        _require_picture_only(card)
        return self

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        factor, size = f"{self.scale or card.scale:g}", self.size
        label, scale = (f"x{factor}", factor) if size is None else (size.label, size.label)
        return [Naming(f"_{label}", settings.output, settings.format, model=card.name, scale=scale)]

    def area_factor(self, card: Card) -> float:
        return (self.scale or card.scale) ** 2

    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        return upscale(
            model,
            picture,
            scale=self.scale,
            size=self.size,
            tile=self.tile,
            strength=self.strength,
            ensemble=self.ensemble,
            wrap=self.wrap,
            progress=progress,
        )

    def journal_key(self, job: Job) -> dict[str, Any]:
        facts = super().journal_key(job)
        del facts["budget"]  # the model that it has chosen counts
        # Older journals lack what was added later.
        return {name: value for name, value in facts.items() if name not in _ADDED or value not in (None, False)}


Pixels = npt.NDArray[Any]


def upscale(
    model: Network,
    picture: Picture,
    *,
    scale: float | None = None,
    size: ResultSize | None = None,
    tile: Tile = AUTO,
    strength: float = 1.0,
    ensemble: bool = False,
    wrap: str | None = None,
    progress: Progress | None = None,
) -> Picture:
    """Enlarge a picture with a model.

    The network runs once. Where `scale` is not its own, a Lanczos resize follows, up or down: x8 with a x4 network is
    its x4 result enlarged twice. Colour is spread under full transparency first, and alpha runs as a grey picture of
    its own, unless it is the same everywhere.

    Args:
        model: a loaded model without further inputs.
        picture: any size from 1x1, 8 or 16 bits; depth, channels, format, EXIF and ICC profile are kept.
        scale: enlargement factor; the size is rounded to whole pixels, at least 1. None: the model's own.
        size: the wanted size, instead of `scale`.
        tile: see `tiling.Tile`.
        ensemble: average the results of the picture's eight orientations. Takes eight times as long.
        wrap: "x", "y" or "xy": the picture repeats in these directions, and so will the result.
        strength: 0 returns a Lanczos resize, 1 the network's result; values in between blend the two.
        progress: receives numbers of finished input pixels that add up to the picture's.

    Raises:
        UsageError: the model also needs a mask, a domain or a reference; `scale` is not a positive number, or `size` is
            more than `MAX_SCALE` times the picture's; the model does not support tiles; or with `wrap`, its results
            depend on the whole picture.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    card = model.card
    _require_picture_only(card)
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be a number above 0, not {scale}")
    if strength != 1:
        blending.check_strength(strength)
    if wrap is not None and card.context is None:
        raise UsageError(f"--wrap: results of {card.name} depend on the whole picture; use another model")
    height, width = picture.colour.shape[:2]
    if size is None:
        target = _scaled(width, scale or card.scale), _scaled(height, scale or card.scale)
    else:
        target = size.of(width, height)
        if max(target[0] / width, target[1] / height) > MAX_SCALE:
            raise UsageError(f"{target[0]}x{target[1]} is more than {MAX_SCALE} times the size of the picture")
    network = partial(_native, model, tile=tile, ensemble=ensemble, wrap=wrap)
    work = (RUNS if ensemble else 1) * (width + _beside("x", wrap, card)) * (height + _beside("y", wrap, card))
    run = partial(_enlarged, network, size=target, strength=strength, wrap=wrap, work=work)
    run = partial(run, progress=progress)
    return hdr.in_working_range(run, picture) if picture.is_pq else run(picture)


def _require_picture_only(card: Card) -> None:
    for name in card.inputs:
        if name not in ("image", "latent"):  # a missing latent code is zeros
            raise UsageError(f"{card.name} needs a {name} in addition to the picture")


Enlarge = Callable[[Pixels, Progress | None, Callable[[str], None]], Pixels]
"""Enlarges a plane by the model's own factor. Receives a function for progress and one for notes."""


def _native(
    model: Network,
    plane: Pixels,
    progress: Progress | None,
    note: Callable[[str], None],
    *,
    tile: Tile,
    ensemble: bool,
    wrap: str | None,
) -> Pixels:
    def run(view: Pixels) -> Pixels:
        return run_tiled(model, view, tile=tile, progress=progress, note=note)

    enlarge = partial(eightfold, run) if ensemble else run
    if wrap is None:
        return enlarge(plane)
    assert model.card.context is not None
    return wrapped(enlarge, plane, wrap, model.card.context, model.card.scale)


def _enlarged(
    network: Enlarge,
    picture: Picture,
    *,
    size: tuple[int, int],
    strength: float,
    wrap: str | None,
    work: int,
    progress: Progress | None,
) -> Picture:
    """`work`: pixels that the network sees of each plane."""
    notes = list(picture.notes)
    colour, alpha = picture.colour, picture.alpha
    planes = 1
    if alpha is not None:
        colour = bleed(colour, alpha)
        planes += not _is_constant(alpha)
    pixels = colour.shape[0] * colour.shape[1]
    report = None if progress is None else rescaled(progress, planes * work, pixels)

    def resize(plane: Pixels) -> Pixels:
        if plane.shape[1::-1] == size:
            return plane
        return lanczos(plane, size) if wrap is None else resized(lanczos, plane, size, wrap)

    large = resize(network(colour, report, notes.append))
    if strength < 1:
        large = blending.blend(resize(colour), large, strength)
    large_alpha = None
    if alpha is not None:
        if planes == 1:
            large_alpha = np.full(large.shape[:2], alpha.flat[0], alpha.dtype)
        else:
            large_alpha = resize(network(alpha[..., None], report, notes.append))[..., 0]
    return dataclasses.replace(picture, colour=large, alpha=large_alpha, notes=tuple(notes))


def _beside(axis: str, wrap: str | None, card: Card) -> int:
    """Pixels that `wrap` adds in one direction."""
    return 2 * (card.context or 0) if wrap is not None and axis in wrap else 0


def _scaled(side: int, factor: float) -> int:
    return max(1, math.floor(side * factor + 0.5))


def _is_constant(alpha: Pixels) -> bool:
    return bool((alpha == alpha.flat[0]).all())
