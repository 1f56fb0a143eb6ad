"""`img2img upscale PHOTO...`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.runtime.tasks.settings import Settings


@options.with_options(Settings)
def upscale(
    photos: options.Photos = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            metavar="FACTOR",
            help="Enlargement factor. Picks the closest model; Lanczos covers the difference. "
            "Default: the model's own.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Width of the result, instead of --scale.", rich_help_panel="Model"),
    ] = None,
    height: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Height of the result.", rich_help_panel="Model")
    ] = None,
    long_side: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Longer side of the result.", rich_help_panel="Model")
    ] = None,
    megapixels: Annotated[
        float | None, typer.Option(metavar="N", help="Million pixels of the result.", rich_help_panel="Model")
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Largest result that fits this box: --fit 3840x2160.", rich_help_panel="Model"
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Average the results of the eight orientations of each picture. A little better, eight times as long.",
            rich_help_panel="Model",
        ),
    ] = False,
    wrap: Annotated[
        str | None,
        typer.Option(
            metavar="x|y|xy", help="Seamless textures: the result repeats in these directions.", rich_help_panel="Model"
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Use the best bundled model that finishes all inputs in this time on this machine (60s, 5min, 2h).",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    tile: options.Tile = "auto",
    raw: options.Raw = None,
    watch: options.Watch = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    **given: Any,
) -> ExitStatus:
    """Enlarge photos.

    \b
    img2img upscale photo.jpg                  writes photo_x4.jpg
    img2img upscale photos/ -r                 writes the same tree to photos_x4/
    img2img upscale *.png -o large/ --scale 2
    img2img upscale photo.jpg --fit 3840x2160  for a 4K screen; keeps the proportions
    curl -s URL | img2img upscale - > large.png

    If a picture cannot be read, the others are still processed. Files are written completely or not at all.
    """
    from img2img.cli.process import process
    from img2img.runtime.network.grid import parse_tile
    from img2img.runtime.tasks.upscale import UpscaleTask

    settings = Settings(**given)
    if watch and budget is not None:
        raise UsageError("--watch cannot be combined with --budget: nobody knows how many pictures will come")
    task = UpscaleTask(
        scale=scale,
        width=width,
        height=height,
        long_side=long_side,
        megapixels=megapixels,
        fit=fit,
        ensemble=tta,
        wrap=wrap,
        budget=budget,
        tile=parse_tile(tile),
        strength=settings.strength,
    )
    if raw is not None:
        from img2img.cli.video import stream

        return stream(
            photos, raw, task, settings, quiet=quiet, wrong={"--json": json, "--dry-run": dry_run, "--watch": watch}
        )
    return process(photos, task, settings, dry_run=dry_run, json=json, quiet=quiet, watch=watch)
