"""The options of commands that turn pictures into pictures, made of what `runtime.settings` declares."""

from __future__ import annotations

import functools
import inspect
import string
from collections.abc import Callable
from dataclasses import fields
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from img2img.errors import ExitStatus, UsageError
from img2img.runtime.tasks.settings import SECTIONS, Settings

Photos = Annotated[
    list[str] | None,
    typer.Argument(metavar="PHOTO", help="Files, folders (their pictures), globs, or - for stdin.", show_default=False),
]
Pictures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURE", help="Files, folders (their pictures), globs, or - for stdin.", show_default=False
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|N|none",
        help="Side of the pieces that a picture is cut into, in input pixels. They change memory and time, never the "
        "result.",
        rich_help_panel="Model",
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(
        "--raw",
        metavar="WxH",
        help="Video: stdin is a stream of rgb24 frames of this size, stdout one of the results (-o -), for ffmpeg.",
        show_default=False,
        rich_help_panel="Reading",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="List what would be done, with an estimate, and do nothing.", rich_help_panel="Batch"
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One line of JSON a file on stdout, and a summary line at the end.", rich_help_panel="Speaking"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel="Speaking")]


def with_settings(command: Callable[..., ExitStatus]) -> Callable[..., ExitStatus]:
    """A Typer command whose parameter `settings: Settings` has become one option for each of its fields."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "settings"
    ]
    shared = _parameters()
    names = [one.name for one in shared]

    @functools.wraps(command)
    def run(**given: Any) -> ExitStatus:
        settings = Settings(**{name: given.pop(name) for name in names})
        return command(**given, settings=settings)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
    parameters.sort(key=_section)
    run.__signature__ = inspect.Signature(parameters, return_annotation=ExitStatus)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__  # its signature is another one
    return run


def _section(parameter: inspect.Parameter) -> int:
    """--help lists sections as they first occur: a command's own, then the shared ones in their order."""
    panel = getattr(parameter.annotation.__metadata__[0], "rich_help_panel", None)
    return SECTIONS.index(panel) if panel in SECTIONS else -1


def _parameters() -> list[inspect.Parameter]:
    hints: dict[str, Any] = get_type_hints(Settings)
    found = []
    for one in fields(Settings):
        about = dict(one.metadata)
        names, kind = about.pop("names"), hints[one.name]
        long = [name for name in names if name.startswith("--")] or [f"--{one.name.replace('_', '-')}"]
        short = [name for name in names if not name.startswith("--")]
        default = one.default
        if get_origin(kind) is tuple:
            kind, default = GenericAlias(list, get_args(kind)[:1]) | None, None  # how Typer says "repeated"
        show = default not in (None, False, True)
        extra = typer.Option(
            *long, *short, help=about.pop("help"), rich_help_panel=about.pop("panel"), show_default=show, **about
        )
        found.append(
            inspect.Parameter(
                one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, extra]
            )
        )
    return found


def parse_size(text: str) -> int | Literal["keep", "fit"]:
    """--size as `translate` and `inpaint` take it."""
    if text == "keep":
        return "keep"
    if text == "fit":
        return "fit"
    return _side(text, f"--size {text}: say keep, fit, or a side in pixels such as 256")


def parse_colour(text: str, option: str) -> tuple[int, int, int]:
    """A colour as #RRGGBB, for the option `option`."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or not set(digits) <= set(string.hexdigits):
        raise UsageError(f"{option} {text}: say a colour as #RRGGBB, such as '#ff00ff' (in quotes, for the shell)")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """--tile as `run_tiled` takes it: "auto", a side in pixels, or None for the whole picture at once."""
    if text == "none":
        return None
    if text == "auto":
        return "auto"
    return _side(text, f"--tile {text}: say auto, none, or a side in pixels such as 256")


def _side(text: str, otherwise: str) -> int:
    try:
        side = int(text)
    except ValueError:
        side = 0
    if side < 1:
        raise UsageError(otherwise)
    return side
