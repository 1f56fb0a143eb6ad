"""`img2img inpaint PHOTO... --mask MASK`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from img2img.cli import options
from img2img.errors import ExitStatus
from img2img.runtime.tasks.settings import Settings

_HOLES = "Holes"


@options.with_options(Settings)
def inpaint(
    photos: options.Photos = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask",
            metavar="FILE|FOLDER|alpha",
            help="A picture of the photo's size that is white where to fill; a folder of such pictures, named like the "
            "photos; or alpha: fill the transparent parts of the photo (the result is opaque).",
            show_default=False,
            rich_help_panel=_HOLES,
        ),
    ] = None,
    mask_color: Annotated[
        str | None,
        typer.Option(
            metavar="#RRGGBB",
            help="Fill the parts of the photo that have this colour.",
            show_default=False,
            rich_help_panel=_HOLES,
        ),
    ] = None,
    tolerance: Annotated[
        int,
        typer.Option(
            min=0,
            max=255,
            help="Largest distance from --mask-color per channel, in steps of 1/255.",
            rich_help_panel=_HOLES,
        ),
    ] = 16,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Fill this box: left, top, width and height in pixels. Repeatable.",
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
            help="Grow the holes on every side, for masks that are a little too tight.",
            rich_help_panel=_HOLES,
        ),
    ] = 0,
    feather: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="PIXELS",
            help="Width of the rim inside a hole where the result blends into the photo, so that no seam shows.",
            rich_help_panel=_HOLES,
        ),
    ] = 3,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="DOMAIN",
            help="What the filled picture shows, for models with domains; 'img2img models info' lists them.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="N|keep|fit",
            help="Largest side at which the network sees a hole and its surroundings. Larger windows are reduced, and "
            "the filling is enlarged again. keep: never reduce. fit: reduce only if memory runs out. Default: 2048 for "
            "models that copy patches (the bundled one does), the training size for models of whole pictures, 512 for "
            "others.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    watch: options.Watch = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    **given: Any,
) -> ExitStatus:
    """Fill holes in photos: remove objects, repair scratches, complete missing parts.

    \b
    img2img inpaint photo.png --mask mask.png -m RUN/model.onnx   writes photo_MODEL.png
    img2img inpaint photos/ --mask masks/                         masks have the names of the photos
    img2img inpaint cut.png --mask alpha                          fills the erased parts
    img2img inpaint photo.jpg --box 40,30,200,80 --dilate 4
    img2img inpaint photo.png --mask-color '#ff00ff' -o mended.png
    img2img inpaint bird.png --mask mask.png -m RUN --to sparrow  fills in what a sparrow has there

    Pixels outside the holes stay the same, bit for bit. Lossy formats (jpg) encode the whole photo again.
    """
    from img2img.cli.process import process
    from img2img.runtime.tasks.inpaint import InpaintTask
    from img2img.runtime.tasks.values import parse_box, parse_colour, parse_size

    settings = Settings(**given)
    task = InpaintTask(
        mask=mask,
        key=None if mask_color is None else parse_colour(mask_color, "--mask-color"),
        tolerance=tolerance,
        boxes=tuple(parse_box(text) for text in box or []),
        dilate=dilate,
        feather=feather,
        size=None if size is None else parse_size(size),
        to=() if to is None else (to,),
        max_pixels=settings.max_pixels,
        strength=settings.strength,
    )
    return process(photos, task, settings, dry_run=dry_run, json=json, quiet=quiet, watch=watch)
