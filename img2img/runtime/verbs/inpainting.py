"""Filling holes in pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from img2img.errors import PictureError, UsageError
from img2img.runtime.listing import files, targets
from img2img.runtime.listing.files import Source
from img2img.runtime.listing.naming import show
from img2img.runtime.listing.targets import Job, Naming
from img2img.runtime.verbs.verb import Verb

if TYPE_CHECKING:
    from img2img.runtime.batches.settings import Settings
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.counting import Progress
    from img2img.runtime.network.session import Model
    from img2img.runtime.network.sizing import Size

ALPHA = "alpha"


@dataclass(frozen=True, kw_only=True)
class Inpainting(Verb):
    """
    Attributes:
        mask: a picture, white where to fill; a folder of such pictures, named like the photos; or "alpha".
        key: RGB, 0..255: what has this colour, within `tolerance` steps of 255, is filled.
        boxes: x, y, width, height in pixels.
        dilate, feather, size: see `inpaint.inpaint`.
        max_pixels: of a mask.
        masks: made by `prepared`: photo -> its mask file.

    Raises:
        UsageError: nothing says what to fill.
    """

    task: ClassVar[str] = "inpaint"

    mask: str | None = None
    key: tuple[int, int, int] | None = None
    tolerance: int = 16
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    dilate: int = 0
    feather: int = 3
    size: Size = 512
    max_pixels: int | None = None
    masks: dict[Path | None, Path] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.mask is None and self.key is None and not self.boxes:
            raise UsageError("say what to fill: --mask FILE, FOLDER or alpha, --mask-color or --box")

    @property
    def _where(self) -> Path | None:
        return Path(self.mask) if self.mask is not None and self.mask != ALPHA else None

    def find(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        return models.find(settings.model) if settings.model is not None else models.for_task("inpaint")

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        name = targets.as_part(card.name)
        return [Naming(f"_{name}", settings.output, settings.format, model=name)]

    def photos(self, sources: Sequence[Source]) -> list[Source]:
        """The photos among `sources`: a pattern, or a folder with its subfolders, may hold the masks as well."""
        where = self._where
        if where is None:
            return list(sources)
        if not where.exists():
            raise UsageError(f"--mask {show(where)}: no such file or folder")
        found = [source for source in sources if source.path is None or not _is_mask(where, source.path, source.root)]
        if not found:
            raise UsageError(f"nothing but masks among the inputs: {show(where)} is what --mask names")
        return found

    def prepared(self, jobs: Sequence[Job], sources: Sequence[Source]) -> tuple[Self, list[Job]]:
        where = self._where
        if where is None:
            return self, list(jobs)
        found: dict[Path | None, Path] = {}
        checked = []
        for job, source in zip(jobs, sources, strict=True):
            # What exists has a mask as well: by it the journal sees whether the result is to be made again.
            if job.problem is None and (job.skip is None or job.exists):
                try:
                    found[job.source] = self._mask_of(source, where)
                except PictureError as error:
                    changes: dict[str, Any] = {"problem": error} if job.skip is None else {"exists": False}
                    job = dataclasses.replace(job, **changes)
            checked.append(job)
        return dataclasses.replace(self, masks=found), checked

    def _mask_of(self, source: Source, where: Path) -> Path:
        from img2img.runtime.verbs import masks

        if not where.is_dir():
            return where
        if source.path is None:
            raise UsageError("a photo from stdin has no name to look for in a folder of masks: name a mask file")
        return masks.in_folder(where, source)

    def facts(self, job: Job) -> dict[str, Any]:
        facts = super().facts(job)
        del facts["masks"], facts["mask"], facts["max_pixels"]
        file = self.masks.get(job.source)
        if file is not None:
            from img2img.runtime.batches import digests

            return {**facts, "mask": digests.of_file(file).sha256}
        return {**facts, "mask": self.mask}

    def apply(self, model: Model, job: Job, picture: Picture, progress: Progress) -> Picture:
        from img2img.runtime.verbs import masks
        from img2img.runtime.verbs.inpaint import inpaint

        file = self.masks.get(job.source)
        given = masks.read(file, max_pixels=self.max_pixels) if file is not None else None
        wanted = masks.Wanted(self.mask == ALPHA, self.key, self.tolerance, self.boxes)
        picture, hole = wanted.apply(picture, given)
        return inpaint(
            model,
            picture,
            hole,
            size=self.size,
            dilate=self.dilate,
            feather=self.feather,
            strength=self.strength,
            progress=progress,
        )


def _is_mask(where: Path, path: Path, root: Path | None) -> bool:
    folder = files.identity(where / "x").removesuffix("x")
    if root is not None and files.identity(root / "x").startswith(folder):
        return False  # photos/ was named, and the masks lie in a folder around it
    return files.identity(path) == files.identity(where) or files.identity(path).startswith(folder)
