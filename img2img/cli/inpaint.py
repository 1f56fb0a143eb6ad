"""`img2img inpaint PHOTO... --mask MASK`"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, PictureError, UsageError
from img2img.runtime import files, targets
from img2img.runtime.files import Source
from img2img.runtime.naming import show
from img2img.runtime.targets import Existing, Job

if TYPE_CHECKING:
    from img2img.runtime.pictures import Picture

_HOLES = "Holes"
ALPHA = "alpha"


def inpaint(
    photos: options.Photos,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="FILE|FOLDER|alpha",
            help="A picture of the photo's size, white where to fill; a folder of such pictures, named like the "
            "photos; or alpha: fill what is transparent in the photo itself, so that the result is opaque.",
            show_default=False,
            rich_help_panel=_HOLES,
        ),
    ] = None,
    mask_color: Annotated[
        str | None,
        typer.Option(
            metavar="#RRGGBB",
            help="Fill what has this colour in the photo.",
            show_default=False,
            rich_help_panel=_HOLES,
        ),
    ] = None,
    tolerance: Annotated[
        int,
        typer.Option(
            min=0,
            max=255,
            help="How far a pixel may be from --mask-color, in steps of 255 in every channel.",
            rich_help_panel=_HOLES,
        ),
    ] = 16,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Fill this box, in pixels from the left and the top; may be repeated.",
            show_default=False,
            rich_help_panel=_HOLES,
        ),
    ] = None,
    dilate: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="PIXELS",
            help="Make the holes larger on every side: for masks that are a little too tight.",
            rich_help_panel=_HOLES,
        ),
    ] = 0,
    feather: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="PIXELS",
            help="Width of the rim inside a hole where the result runs into its surroundings, so that no seam shows.",
            rich_help_panel=_HOLES,
        ),
    ] = 3,
    output: options.Output = None,
    model: options.ModelName = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="N|keep|fit",
            help="The network sees a hole and its surroundings. Where these are larger than N pixels it sees them "
            "reduced, and what it has filled is enlarged; keep never reduces, fit only where memory runs out.",
            rich_help_panel="Model",
        ),
    ] = "512",
    strength: options.Strength = 1.0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    format: options.Format = None,
    quality: options.Quality = None,
    existing: options.WhenExisting = Existing.SKIP,
    recursive: options.Recursive = False,
    first_frame: options.FirstFrame = False,
    max_pixels: options.MaxPixels = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> ExitStatus:
    """Fill holes in photos: remove things, mend scratches, complete what is missing.

    \b
    img2img inpaint photo.png --mask mask.png -m RUN/model.onnx   beside it: photo_MODEL.png
    img2img inpaint photos/ --mask masks/                         masks of the same names
    img2img inpaint cut.png --mask alpha                          what was erased
    img2img inpaint photo.jpg --box 40,30,200,80 --dilate 4
    img2img inpaint photo.png --mask-color '#ff00ff' -o mended.png

    Pixels outside the holes come back as they were, bit for bit; formats with loss (jpg) encode the whole photo anew.
    """
    seen = options.parse_size(size)
    key = None if mask_color is None else _colour(mask_color)
    boxes = tuple(_box(text) for text in box or [])
    if mask is None and key is None and not boxes:
        raise UsageError("say what to fill: --mask FILE, FOLDER or alpha, --mask-color or --box")
    where = Path(mask) if mask is not None and mask != ALPHA else None
    sources = files.collect(photos, recursive=recursive, exclude=targets.output_folder(output))
    sources = _without_masks(sources, where)

    from img2img.cli.chosen import Chosen
    from img2img.cli.process import Apply, Manner, process
    from img2img.runtime import masks, models

    path = models.find(model) if model is not None else models.for_task("inpaint")
    chosen = Chosen(path, "inpaint", device=device, threads=threads, quiet=json or quiet)
    name = targets.as_part(chosen.card.name)
    jobs = targets.plan(sources, targets.Naming(f"_{name}", output, format, model=name), existing=existing)
    files_of = _mask_files(jobs, sources, where)
    jobs = [
        job if not isinstance(found := files_of.get(job.source), PictureError) else replace(job, problem=found)
        for job in jobs
    ]
    wanted = masks.Wanted(mask == ALPHA, key, tolerance, boxes)

    def apply() -> Apply:
        from img2img.runtime.inpaint import inpaint as run

        network = chosen.load()

        def work(job: Job, picture: Picture, *, progress: Callable[[int], None]) -> Picture:
            file = files_of.get(job.source)
            given = masks.read(file, max_pixels=max_pixels) if isinstance(file, Path) else None
            picture, hole = wanted.apply(picture, given)
            return run(
                network, picture, hole, size=seen, dilate=dilate, feather=feather, strength=strength, progress=progress
            )

        return work

    manner = Manner(first_frame, max_pixels, quality, json, quiet)
    return process(jobs, apply, manner, area=1)


def _colour(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        raise UsageError(f"--mask-color {text}: say a colour as #RRGGBB, such as '#ff00ff' (in quotes, for the shell)")
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _box(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise UsageError(f"--box {text}: say four whole numbers: left, top, width and height, such as 40,30,200,80")
    return x, y, width, height


def _without_masks(sources: Sequence[Source], where: Path | None) -> list[Source]:
    """The photos among `sources`: a pattern, or a folder with its subfolders, may hold the masks as well."""
    if where is None:
        return list(sources)
    if not where.exists():
        raise UsageError(f"--mask {show(where)}: no such file or folder")

    def is_mask(path: Path, root: Path | None) -> bool:
        folder = files.identity(where / "x").removesuffix("x")
        if root is not None and files.identity(root / "x").startswith(folder):
            return False  # photos/ was named, and the masks lie in a folder around it
        return files.identity(path) == files.identity(where) or files.identity(path).startswith(folder)

    photos = [source for source in sources if source.path is None or not is_mask(source.path, source.root)]
    if not photos:
        raise UsageError(f"nothing but masks among the inputs: {show(where)} is what --mask names")
    return photos


def _mask_files(
    jobs: Sequence[Job], sources: Sequence[Source], where: Path | None
) -> dict[Path | None, Path | PictureError]:
    """The mask file of each photo that is to be done, or why there is none."""
    from img2img.runtime import masks

    found: dict[Path | None, Path | PictureError] = {}
    if where is None:
        return found
    for job, source in zip(jobs, sources, strict=True):
        if job.problem is not None or job.skip is not None:
            continue
        if not where.is_dir():
            found[job.source] = where
        elif source.path is None:
            raise UsageError("a photo from stdin has no name to look for in a folder of masks: name a mask file")
        else:
            try:
                found[job.source] = masks.in_folder(where, source)
            except PictureError as error:
                found[job.source] = error
    return found
