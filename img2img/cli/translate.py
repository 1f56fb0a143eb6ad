"""`img2img translate PICTURE...`"""

from __future__ import annotations

from typing import Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.runtime.tasks.settings import Settings


@options.with_settings
def translate(
    pictures: options.Pictures = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="DOMAIN",
            help="What to turn the pictures into: a domain of the model (a call without --to lists them); may be "
            "repeated where domains go together (blond and male); all makes one result for each.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="One contact sheet a picture: itself and its results in all domains.",
            rich_help_panel="Output",
        ),
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where --model names the folder of a run that made several models (CycleGAN): which of them.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="fit|keep|N",
            help="How the network sees a picture: fit as it is, but at the size that it learned from where the "
            "picture is less than half or more than twice that, and smaller where memory runs out, which is said; "
            "keep as it is, and fail where memory runs out; N with a shorter side of N pixels. The result has the "
            "picture's own size whatever this says.",
            rich_help_panel="Model",
        ),
    ] = "fit",
    background: Annotated[
        str | None,
        typer.Option(
            metavar="COLOR",
            help="Lay transparent pictures over white, black or #RRGGBB first; the result is opaque. Default: "
            "transparency is kept. Drawings without a ground want white: that is what networks learned them on.",
            show_default=False,
            rich_help_panel="Reading",
        ),
    ] = None,
    tile: options.Tile = "auto",
    raw: options.Raw = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    *,
    settings: Settings,
) -> ExitStatus:
    """Turn pictures into another domain: horses into zebras, outlines into colour, one style into another.

    \b
    img2img translate photo.jpg -m RUN/model.onnx           beside it: photo_MODEL.jpg
    img2img translate faces/ -m faces.onnx --to blond       their results in faces_blond/
    img2img translate a.png -m styles.onnx --to all -o out/ out/DOMAIN/a.png for each domain
    img2img translate big.jpg -m RUN/model.onnx --size 256  as the network was trained
    img2img translate outline.png -m outline-to-color --background white

    Results have the size of their pictures; transparency, 16 bits, EXIF and ICC profiles are kept; grey becomes colour.
    """
    from img2img.cli.process import process
    from img2img.runtime.tasks.translate import TranslateTask

    task = TranslateTask(
        to=tuple(to or ()),
        sheet=grid,
        direction=direction,
        size=options.parse_size(size),
        background=None if background is None else _ground(background),
        tile=options.parse_tile(tile),
        strength=settings.strength,
    )
    if grid and settings.color_fix:
        raise UsageError("--color-fix matches a result to its picture, and a --grid is neither: leave one of them out")
    if raw is not None:
        from img2img.cli.video import stream

        wrong = {"--json": json, "--dry-run": dry_run, "--grid": grid}
        return stream(pictures, raw, task, settings, quiet=quiet, wrong=wrong)
    return process(pictures, task, settings, dry_run=dry_run, json=json, quiet=quiet)


def _ground(text: str) -> tuple[int, int, int]:
    named = {"white": (255, 255, 255), "black": (0, 0, 0)}
    return named.get(text) or options.parse_colour(text, "--background")
