"""Fills holes in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import naming
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.files.source import Source, identity
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.runtime.image import blending, hdr, holes
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.holes import Box, Mask, Patch
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import input_size
from img2img.runtime.network.grid import Grid
from img2img.runtime.network.input_size import Size
from img2img.runtime.network.tiling import Progress, rescaled, run_tiled
from img2img.runtime.tasks import results
from img2img.runtime.tasks.task import Task
from img2img.text import show

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


ALPHA = "alpha"
MASK = "the mask"


@dataclass(frozen=True, kw_only=True)
class InpaintTask(Task):
    """Fill holes in every picture of a batch.

    Attributes:
        mask: a picture that is white where to fill, or the content of its file; a folder of such pictures, named like
            the photos; or "alpha".
        key: RGB, 0..255: fill this colour, within `tolerance` steps of 1/255.
        boxes: x, y, width, height in pixels.
        dilate, feather, size, to: see `inpaint`.
        max_pixels: limit for masks.
        masks: photo -> its mask file, set by `with_masks`.

    Raises:
        UsageError: no option selects anything to fill.
    """

    name: ClassVar[str] = "inpaint"
    doing: ClassVar[str] = "inpainting"

    mask: str | bytes | None = dataclasses.field(default=None, repr=False)
    key: tuple[int, int, int] | None = None
    tolerance: int = 16
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    dilate: int = 0
    feather: int = 3
    size: Size | None = None
    to: tuple[str, ...] = ()
    max_pixels: int | None = None
    masks: dict[Location | None, Path] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.mask is None and self.key is None and not self.boxes:
            raise UsageError("nothing to fill: use --mask FILE, FOLDER or alpha, --mask-color or --box")

    @property
    def _where(self) -> Path | None:
        return Path(self.mask) if isinstance(self.mask, str) and self.mask != ALPHA else None

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if settings.model is None:
            return models.for_task("inpaint")
        return models.find(settings.model, part="inpaint")

    def with_card(self, card: Card) -> Self:
        _check_inputs(card, self.to)
        return dataclasses.replace(self, size=_default_size(card)) if self.size is None else self

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        name = naming.safe_name(card.name)
        return [Naming(f"_{name}", settings.output, settings.format, model=card.name)]

    def select_sources(self, sources: Sequence[Source]) -> list[Source]:
        """The photos among `sources`. A glob, or a folder with its subfolders, may contain the masks too."""
        where = self._where
        if where is None:
            return list(sources)
        if any(isinstance(source.path, StorageFile) for source in sources):
            raise UsageError(
                "--mask FILE only works with photos on this machine; for URIs use --mask alpha, --mask-color or --box"
            )
        if not where.exists():
            raise UsageError(f"--mask {show(where)}: no such file or folder")
        found = [source for source in sources if source.path is None or not _is_mask(where, source.path, source.root)]
        if not found:
            raise UsageError(f"all inputs are masks: --mask names {show(where)}")
        return found

    def with_masks(self, jobs: Sequence[Job], sources: Sequence[Source]) -> tuple[Self, list[Job]]:
        where = self._where
        if where is None:
            return self, list(jobs)
        found: dict[Location | None, Path] = {}
        checked = []
        for job, source in zip(jobs, sources, strict=True):
            # Existing results have masks too: the journal uses them to decide whether to redo the result.
            if job.problem is None and (job.skip is None or job.exists):
                try:
                    found[job.source] = self._mask_of(source, where)
                except PictureError as error:
                    changes: dict[str, Any] = {"problem": error} if job.skip is None else {"exists": False}
                    job = dataclasses.replace(job, **changes)
            checked.append(job)
        return dataclasses.replace(self, masks=found), checked

    def _mask_of(self, source: Source, where: Path) -> Path:
        from img2img.runtime.tasks import masks

        if not where.is_dir():
            return where
        if source.path is None:
            raise UsageError("a photo from stdin has no name to find its mask by: use a mask file instead of a folder")
        return masks.in_folder(where, source)

    def journal_key(self, job: Job) -> dict[str, Any]:
        facts = super().journal_key(job)
        del facts["masks"], facts["mask"], facts["max_pixels"]
        if not self.to:  # older journals do not know labels
            del facts["to"]
        file = self.masks.get(job.source)
        if file is not None:
            from img2img.runtime.files import digests

            return {**facts, "mask": digests.of_file(file).sha256}
        if isinstance(self.mask, bytes):
            from img2img.runtime.files import digests

            return {**facts, "mask": digests.of_bytes(self.mask).sha256}
        return {**facts, "mask": self.mask}

    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        from img2img.runtime.tasks import masks

        source = self.mask if isinstance(self.mask, bytes) else self.masks.get(job.source)
        notes: list[str] = []
        given = None if source is None else masks.read(source, max_pixels=self.max_pixels, note=notes.append)
        picture = dataclasses.replace(picture, notes=(*picture.notes, *notes))
        wanted = masks.MaskSources(self.mask == ALPHA, self.key, self.tolerance, self.boxes)
        picture, hole = wanted.apply(picture, given)
        return inpaint(
            model,
            picture,
            hole,
            to=self.to,
            size=self.size,
            dilate=self.dilate,
            feather=self.feather,
            strength=self.strength,
            progress=progress,
            selection=self._selection(job),
        )

    def _selection(self, job: Job) -> str:
        """What selects the holes of this photo, for messages."""
        parts = {
            MASK: job.source in self.masks or isinstance(self.mask, bytes),
            "the transparency": self.mask == ALPHA,
            "the colour": self.key is not None,
            "the box": len(self.boxes) == 1,
            "the boxes": len(self.boxes) > 1,
        }
        return " and ".join(part for part, is_used in parts.items() if is_used)


def _is_mask(where: Path, path: Location, root: Location | None) -> bool:
    folder = identity(where / "x").removesuffix("x")
    if root is not None and identity(root / "x").startswith(folder):
        return False  # the input is photos/, and the mask folder contains it
    return identity(path) == identity(where) or identity(path).startswith(folder)


Pixels = npt.NDArray[Any]

DEFAULT_SIZE = 512
"""Largest side of a window in pixels, for networks that do not reduce it themselves."""
DEFAULT_FEATHER = 3


def inpaint(
    model: Network,
    picture: Picture,
    mask: Mask,
    *,
    to: str | Sequence[str] = (),
    size: Size | None = None,
    dilate: int = 0,
    feather: int = DEFAULT_FEATHER,
    strength: float = 1.0,
    progress: Progress | None = None,
    selection: str = MASK,
) -> Picture:
    """Fill the holes of a picture. All other pixels stay the same, bit for bit.

    The network sees a window around each hole, not the whole picture: the bounding box of the hole plus half its side
    (at least 64 pixels) per side. Holes that fit into one window share it. The network never sees the pixels inside
    the hole or under full transparency; a smooth continuation of the visible pixels replaces them. At the rim of the
    hole, the result is blended with that continuation, so that no seam shows and nothing of the removed object remains.
    A network that was trained on whole pictures (the card has a `side`) sees the whole picture instead of windows.

    Args:
        model: a loaded model for inpainting.
        picture: any size, 8 or 16 bits; depth, channels, alpha, format, EXIF and ICC profile are kept.
        mask: bool [H, W], true where to fill.
        to: for models with domains, the domain of the filled picture.
        size: largest side of a window in pixels; larger windows are reduced and the filling is enlarged again. None:
            512, or the size of the pictures that the network was trained on (the card's `side`), or 2048 if it reduces
            pictures itself. See `input_size.Size` for other values.
        dilate: number of pixels to grow the mask by.
        feather: width of the blended rim inside the (grown) mask, in pixels.
        strength: 0 returns the picture, 1 the network's result; values in between blend the two.
        progress: receives numbers of pixels that add up to the picture's.
        selection: where `mask` comes from, for messages: "the box", for example.

    Raises:
        UsageError: the model is not for inpainting or needs further inputs, or an option is out of range.
        PictureError: the mask differs in size from the picture, or covers all of it.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    size = _default_size(model.card) if size is None else size
    _check(model, to, size, dilate, feather, strength)
    label = results.label_of(model.card, to)
    run = partial(
        _filled,
        model if label is None else model.with_inputs(domain=label),
        mask=mask,
        size=size,
        dilate=dilate,
        feather=feather,
        strength=strength,
        progress=progress,
        selection=selection,
    )
    return hdr.in_working_range(run, picture) if picture.is_pq else run(picture)


def _filled(
    model: Network,
    picture: Picture,
    *,
    mask: Mask,
    size: Size,
    dilate: int,
    feather: int,
    strength: float,
    progress: Progress | None,
    selection: str,
) -> Picture:
    width, height = picture.size
    if mask.shape != (height, width):
        raise PictureError(f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the photo {width}x{height}")
    hole = holes.grow(mask, dilate)
    notes = list(picture.notes)
    if hole.all():
        raise PictureError(_covers_all(selection, dilate if not mask.all() else 0))
    if not hole.any():
        notes.append("the mask is empty: nothing was filled")
        if progress is not None:
            progress(width * height)
        return dataclasses.replace(picture, notes=tuple(notes))
    colour = picture.colour.copy()
    known = ~hole if picture.alpha is None else ~hole & (picture.alpha > 0)
    hole = hole.copy()  # what is still to be filled
    if model.card.side is None:
        patches = holes.patches(hole, size if isinstance(size, int) else DEFAULT_SIZE)
    else:
        patches = [Patch(Box(0, 0, height, width), hole.copy())]
    areas = [patch.own.size for patch in patches]
    report = None if progress is None else rescaled(progress, sum(areas), width * height)
    for patch, area in zip(patches, areas, strict=True):
        place = patch.window.place
        view = bleed(colour[place], known[place].astype(colour.dtype))
        # A network that copies must not copy what only stands in for transparent pixels.
        unknown = ~known[place] if model.card.resizes else hole[place]
        filled = _of_window(model, view, unknown, size, notes)
        # The depth is that of this patch alone: no other hole touches it.
        share = holes.depth(patch.own, feather + 1) / np.float32(feather + 1)
        new = blending.blend(colour[place], blending.blend(view, filled, share), strength)
        colour[place][patch.own] = new[patch.own]
        _settle(patch, hole, known)
        if report is not None:
            report(area)
    return dataclasses.replace(picture, colour=colour, notes=tuple(notes))


def _check_inputs(card: Card, to: str | Sequence[str]) -> None:
    """Raise UsageError if the model needs a reference, or if `to` does not name a domain that it has."""
    if "reference" in card.inputs:
        raise UsageError(f"{card.name} needs a reference beside the mask")
    results.label_of(card, to)


def _default_size(card: Card) -> int:
    return input_size.MOST_SIDE if card.resizes else card.side or DEFAULT_SIZE


def _covers_all(selection: str, dilate: int) -> str:
    """The message that nothing is left to fill the holes from. `dilate`: 0 if they cover all without it."""
    covers = "cover" if " and " in selection or selection.endswith("boxes") else "covers"
    if dilate:
        return f"{selection}, grown by {dilate} pixels, {covers} the whole photo: use a smaller dilate"
    if selection == MASK:
        return f"{selection} {covers} the whole photo: white means fill; is it the wrong way round?"
    return f"{selection} {covers} the whole photo: nothing is left to fill it from"


def _check(model: Network, to: str | Sequence[str], size: Size, dilate: int, feather: int, strength: float) -> None:
    card = model.card
    if card.task != "inpaint":
        raise UsageError(f"{card.name} is for {card.task!r}: it takes no mask")
    _check_inputs(card, to)
    input_size.check_size(size)
    blending.check_strength(strength)
    for name, value in (("dilate", dilate), ("feather", feather)):
        if value < 0:
            raise UsageError(f"{name} must be a number of pixels from 0 on, not {value}")


def _of_window(model: Network, view: Pixels, hole: Mask, size: Size, notes: list[str]) -> Pixels:
    """The network's result for one window, at the window's size: like `view`, [h, w, C]."""
    whole = (view.shape[1], view.shape[0])

    def run(seen: tuple[int, int]) -> Pixels:
        return run_tiled(_with_mask(model, holes.resize_mask(hole, seen)), lanczos(view, seen), tile=None)

    seen = whole
    if isinstance(size, int) and max(whole) > size:
        seen = input_size.scaled(whole, size / max(whole))
    return lanczos(input_size.run_until_it_fits(run, seen, shrink=size == "fit", note=notes.append), whole)


def _with_mask(model: Network, hole: Mask) -> Network:
    """The model with its mask, padded as `run_tiled` pads a picture that it runs whole."""
    grid = Grid(model.card)
    rows, columns = (grid.padded_indices(length) for length in hole.shape)
    bound = model.with_inputs(mask=hole[rows[:, None], columns].astype(np.float32)[None, None])
    # A mask goes with the one window that it was made for: where memory runs out, no tiles are tried.
    return bound.with_card(dataclasses.replace(model.card, context=None))


def _settle(patch: Patch, hole: Mask, known: Mask) -> None:
    """What has been filled is a surrounding like any other for the patches that follow."""
    place = patch.window.place
    hole[place][patch.own] = False
    known[place][patch.own] = True
