"""`img2img compare INPUT... --with SIDE --with SIDE -o sheet.html`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.evaluation.comparison.wishes import Wishes
from img2img.text import show

_TASK = "Task"
_STUDY = "User study"
_SHEETS = (".png", ".jpg", ".jpeg", ".webp")


def compare(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Files, folders or globs. With --votes: further files of votes.",
            show_default=False,
        ),
    ] = None,
    sides: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="SIDE",
            help="A model (name, ONNX file or run folder), a folder of results with the names of the inputs, or a "
            "baseline: bicubic, telea or copy. Repeatable. A name of an installed model wins over a folder.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The page to write (.html), or a contact sheet of up to 24 pictures (.png, .jpg, .webp).",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="The true pictures, named like the inputs. Adds PSNR, SSIM and L1. Without it: NIQE.",
            show_default=False,
        ),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include subfolders of the inputs.")] = False,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            metavar="FACTOR",
            help="Enlargement factor of all models. Default: their own.",
            show_default=False,
            rich_help_panel=_TASK,
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="DOMAIN",
            help="Target domain of the models that have domains; see translate.",
            show_default=False,
            rich_help_panel=_TASK,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A second picture for the models that take one; see translate.",
            show_default=False,
            rich_help_panel=_TASK,
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER|alpha",
            help="Where to fill, for models that inpaint and for telea; see inpaint.",
            show_default=False,
            rich_help_panel=_TASK,
        ),
    ] = None,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="Write a page for a user study: two sides without names next to each other, in random order. The page "
            "saves the votes as JSON.",
            rich_help_panel=_STUDY,
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Random seed of the order of --blind.", rich_help_panel=_STUDY)
    ] = 0,
    votes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Report the votes that pages of --blind have saved: the share that prefers each side, with its 95 % "
            "confidence interval.",
            show_default=False,
            rich_help_panel=_STUDY,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where the networks run.", rich_help_panel="Model")
    ] = "auto",
    threads: options.Threads = None,
    max_pixels: options.MaxPixels = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON line per picture and one for the means; with --votes, one line.",
            rich_help_panel="Messages",
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> ExitStatus:
    """Compare models, earlier results and simple baselines, picture by picture, on one page that works offline.

    \b
    img2img compare photos/ --with upscale-x4 --with bicubic -o sheet.html
    img2img compare low/ --with upscale-x4 --with their-results/ --truth high/ -o sheet.html
    img2img compare photos/ --with runs/a --with runs/b -o sheet.png
    img2img compare photos/ --with inpaint --with telea --mask masks/ -o sheet.html
    img2img compare photos/ --with runs/a --with runs/b --blind -o study.html
    img2img compare --votes anna.json ben.json

    The page has a slider between any two sides, synchronised zoom, a map of their differences, and the figures of each
    picture. A side that fails for a picture is reported, and the rest is shown.
    """
    if votes:
        if sides or output is not None or truth is not None or blind:
            raise UsageError("--votes reports the votes of a study: omit --with, --truth, --blind and -o")
        from img2img.cli import compare_votes

        return compare_votes.report([*votes, *(inputs or ())], json=json)
    if not inputs:
        raise UsageError("name pictures or folders to compare")
    file = _checked_output(output, blind=blind)
    originals = None if truth is None else Path(truth)
    wishes = Wishes(
        scale=scale,
        to=tuple(to or ()),
        reference=reference,
        mask=mask,
        device=device,
        threads=threads,
        max_pixels=max_pixels,
    )
    from img2img.cli import compare_run

    request = compare_run.Request(
        inputs,
        sides or [],
        wishes,
        file,
        originals,
        recursive=recursive,
        blind=blind,
        seed=seed,
        json=json,
        quiet=quiet,
    )
    return compare_run.compare(request)


def _checked_output(output: str | None, *, blind: bool) -> Path:
    """The file to write. Raises UsageError."""
    if output is None:
        raise UsageError("say what to write with -o: a page (sheet.html) or a contact sheet (sheet.png)")
    suffix = Path(output).suffix.lower()
    if suffix not in (".html", ".htm", *_SHEETS):
        raise UsageError(f"-o {show(output)}: the name must end in .html, .png, .jpg or .webp")
    if blind and suffix in _SHEETS:
        raise UsageError(f"-o {show(output)}: --blind writes a page: use a name that ends in .html")
    return Path(output)
