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
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A second picture for models that take one, for example in the wanted style. 'img2img models info' "
            "says what it is. All pictures get the same one.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Write N different results per picture, for models with a latent code (PHOTO_MODEL_1.png ...). In "
            "templates, {domain} is the number. Sample k has the same code for every picture. Default: one result, "
            "with a code of zeros.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Random seed of --samples. Another seed gives others.", rich_help_panel="Model"
        ),
    ] = 0,
    truncation: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="With --samples: draw values of the code again that are larger than T (or smaller than -T). Small "
            "numbers give more usual and less varied results. Default: no limit.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="Write one contact sheet per picture: the picture and its results in all domains, or its samples.",
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
    watch: options.Watch = False,
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
    img2img translate photos/ -m RUN/model.onnx --reference style.png
    img2img translate a.png -m RUN/model.onnx --samples 8 --seed 1  writes a_MODEL_1.png to a_MODEL_8.png

    The result has the size of the picture and keeps transparency, 16 bits, EXIF and the ICC profile. Grey pictures
    become colour pictures.
    """
    from img2img.cli.process import process
    from img2img.runtime.network.grid import parse_tile
    from img2img.runtime.tasks.translate import TranslateTask
    from img2img.runtime.tasks.values import parse_colour, parse_size

    settings = Settings(**given)
    task = TranslateTask(
        to=tuple(to or ()),
        reference=reference,
        samples=samples,
        seed=seed,
        truncation=truncation,
        max_pixels=settings.max_pixels,
        sheet=grid,
        direction=direction,
        size=parse_size(size),
        background=None if background is None else parse_colour(background, "--background"),
        tile=parse_tile(tile),
        strength=settings.strength,
    )
    if grid and settings.color_fix:
        raise UsageError("--color-fix does not work with --grid: omit one of them")
    if raw is not None:
        from img2img.cli.video import stream

        wrong = {"--json": json, "--dry-run": dry_run, "--grid": grid}
        return stream(pictures, raw, task, settings, quiet=quiet, wrong=wrong)
    return process(pictures, task, settings, dry_run=dry_run, json=json, quiet=quiet, watch=watch)
