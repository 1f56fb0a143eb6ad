"""Options that every command which turns pictures into pictures has, so that they are called the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from img2img.errors import UsageError
from img2img.runtime.targets import Existing

_OUTPUT, _MODEL, _READING, _SPEAKING = "Output", "Model", "Reading", "Speaking"


class FileFormat(StrEnum):
    """Extensions that --format takes."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    AVIF = "avif"


Photos = Annotated[
    list[str],
    typer.Argument(metavar="PHOTO", help="Files, folders (their pictures), globs, or - for stdin.", show_default=False),
]
Pictures = Annotated[
    list[str],
    typer.Argument(
        metavar="PICTURE", help="Files, folders (their pictures), globs, or - for stdin.", show_default=False
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="WHERE",
        help="A file; a folder (names are kept); a template of {stem} {name} {dir} {model} {domain} {scale} {ext}; or "
        "- for stdout. Default: beside a file or a folder, its name and what was done (PHOTO_x4.png, PHOTO_MODEL.png, "
        "PHOTO_DOMAIN.png; FOLDER_x4); for stdin, stdout.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Format = Annotated[
    FileFormat | None,
    typer.Option(
        "--format",
        help="Format of the results. Default: the extension's, or the input's, or png.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        min=1, max=100, metavar="1..100", help="Of jpg, webp and avif.", show_default=False, rich_help_panel=_OUTPUT
    ),
]
WhenExisting = Annotated[
    Existing,
    typer.Option(
        "--existing",
        help="Where an output exists: skip leaves it and says so, so that calling again continues a batch that was cut "
        "short; overwrite replaces it; fail stops before anything is done.",
        rich_help_panel=_OUTPUT,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH",
        help="A name that 'img2img models' lists, or an ONNX file.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda[:N]", help="What the network runs on.", rich_help_panel=_MODEL)
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|N|none",
        help="Side of the pieces that a picture is cut into, in input pixels. They change memory and time, never the "
        "result.",
        rich_help_panel=_MODEL,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="0..1",
        help="How much of the network's result is taken: 0 is the input, 1 the result, between is a blend.",
        rich_help_panel=_MODEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPU threads of the network. Default: all cores.", show_default=False, rich_help_panel=_MODEL
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Folders with all their subfolders; the tree is kept.", rich_help_panel=_READING
    ),
]
FirstFrame = Annotated[
    bool, typer.Option("--first-frame", help="Take the first frame of an animation.", rich_help_panel=_READING)
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Refuse larger inputs: a small file can claim to be a huge picture.",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One line of JSON a file on stdout, and a summary line at the end.", rich_help_panel=_SPEAKING
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=_SPEAKING)]


def parse_size(text: str) -> int | Literal["keep", "fit"]:
    """--size as `translate` and `inpaint` take it."""
    if text == "keep":
        return "keep"
    if text == "fit":
        return "fit"
    try:
        side = int(text)
    except ValueError:
        side = 0
    if side < 1:
        raise UsageError(f"--size {text}: say keep, fit, or a side in pixels such as 256")
    return side


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """--tile as `run_tiled` takes it: "auto", a side in pixels, or None for the whole picture at once."""
    if text == "none":
        return None
    if text == "auto":
        return "auto"
    try:
        side = int(text)
    except ValueError:
        side = 0
    if side < 1:
        raise UsageError(f"--tile {text}: say auto, none, or a side in pixels such as 256")
    return side
