"""`img2img translate PICTURE...`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.runtime.tasks.settings import Settings


@options.with_options(Settings)
def translate(
    pictures: options.Pictures = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="DOMAIN",
            help="Target domain of the model; 'img2img models info' lists them. Repeatable if domains can be combined "
            "(blond and male). all: one result per domain.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="Write one contact sheet per picture: the picture and its results in all domains.",
            rich_help_panel="Output",
        ),
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which model of a run folder with several models to use (CycleGAN: AtoB or BtoA).",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="fit|keep|N",
            help="Size at which the network sees the picture. fit: the picture's own size, or the training size if "
            "the two differ by more than a factor of 2; smaller if memory runs out (prints a note). keep: the "
            "picture's own size. N: shorter side of N pixels. The result always has the picture's size.",
            rich_help_panel="Model",
        ),
    ] = "fit",
    background: Annotated[
        str | None,
        typer.Option(
            metavar="COLOR",
            help="Put transparent pictures on a colour, such as white or #RRGGBB; the result is opaque. Default: keep "
            "the transparency. Use white for drawings without a background: networks are trained on white.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None,
    tile: options.Tile = "auto",
    raw: options.Raw = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    **given: Any,
) -> ExitStatus:
    """Translate pictures into another domain: horses into zebras, label maps into streets, one style into another.

    \b
    img2img translate photo.jpg -m RUN/model.onnx           writes photo_MODEL.jpg
    img2img translate faces/ -m faces.onnx --to blond       writes faces_blond/
    img2img translate a.png -m styles.onnx --to all -o out/ writes out/DOMAIN/a.png for each domain
    img2img translate big.jpg -m RUN/model.onnx --size 256  runs at the training size
    img2img translate emoji.png -m emoji-styles --to blob --background white

    The result has the size of the picture and keeps transparency, 16 bits, EXIF and the ICC profile. Grey pictures
    become colour pictures.
    """
    from img2img.cli.process import process
    from img2img.runtime.network.grid import parse_tile
    from img2img.runtime.tasks.translate import TranslateTask

    settings = Settings(**given)
    task = TranslateTask(
        to=tuple(to or ()),
        sheet=grid,
        direction=direction,
        size=options.parse_size(size),
        background=None if background is None else options.parse_colour(background, "--background"),
        tile=parse_tile(tile),
        strength=settings.strength,
    )
    if grid and settings.color_fix:
        raise UsageError("--color-fix does not work with --grid: omit one of them")
    if raw is not None:
        from img2img.cli.video import stream

        wrong = {"--json": json, "--dry-run": dry_run, "--grid": grid}
        return stream(pictures, raw, task, settings, quiet=quiet, wrong=wrong)
    return process(pictures, task, settings, dry_run=dry_run, json=json, quiet=quiet)
