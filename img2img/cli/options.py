"""Command-line options made from dataclasses, and the options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import GenericAlias
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from img2img.errors import ExitStatus
from img2img.runtime.tasks.settings import MAX_PIXELS, PANELS

Command = TypeVar("Command", bound=Callable[..., Any])
Kind = TypeVar("Kind")

Photos = Annotated[
    list[str] | None,
    typer.Argument(metavar="PHOTO", help="Files, folders, globs, or - for stdin.", show_default=False),
]
Pictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="Files, folders, globs, or - for stdin.", show_default=False),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|N|none",
        help="Side of the tiles in input pixels. Affects memory and time, never the result.",
        rich_help_panel="Model",
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(
        "--raw",
        metavar="WxH",
        help="Video: read rgb24 frames of this size from stdin and write the results to stdout, for ffmpeg.",
        show_default=False,
        rich_help_panel="Input",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="List the jobs with a time estimate and do nothing.", rich_help_panel="Batch"),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Keep running, and process new and changed pictures of a folder once they are complete. Ctrl-C or SIGTERM "
        "ends it.",
        rich_help_panel="Batch",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON line per result and a summary line on stdout.",
        rich_help_panel="Messages",
    ),
]
MaxPixels = Annotated[int | None, typer.Option("--max-pixels", min=1, metavar="N", help=MAX_PIXELS, show_default=False)]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        metavar="N",
        help="CPU threads. Default: all cores.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel="Messages")]


def with_options(kind: type[Any]) -> Callable[[Command], Command]:
    """Decorator: give a Typer command with the parameter `**given` one option per field of a dataclass.

    The command makes the object itself, as `Settings(**given)` or with `gathered`.

    Args:
        kind: a dataclass whose fields are declared with `settings.option`.
    """

    def decorate(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        own = [
            one.replace(annotation=hints[name])
            for name, one in inspect.signature(command).parameters.items()
            if one.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *_parameters(kind))]
        parameters.sort(key=_panel_order)
        command.__signature__ = inspect.Signature(parameters, return_annotation=ExitStatus)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def gathered(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """An object of a dataclass from the values of its options.

    Typer passes a repeatable option as a list, or as None if it is not given. The field is a tuple.
    """
    repeatable = {one.name for one in fields(kind) if isinstance(one.default, tuple)}  # type: ignore[arg-type]
    return kind(**{name: tuple(value or ()) if name in repeatable else value for name, value in given.items()})


def _panel_order(parameter: inspect.Parameter) -> int:
    """A command's own panels come first, then the shared ones in their order."""
    panel = getattr(parameter.annotation.__metadata__[0], "rich_help_panel", None)
    return PANELS.index(panel) if panel in PANELS else -1


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints: dict[str, Any] = get_type_hints(kind)
    found = []
    for one in fields(kind):
        about = dict(one.metadata)
        names, hint = about.pop("names"), hints[one.name]
        required = about.pop("required", False)
        long = [name for name in names if name.startswith("--")] or [f"--{one.name.replace('_', '-')}"]
        short = [name for name in names if not name.startswith("--")]
        default: Any = inspect.Parameter.empty if required else one.default
        if get_origin(hint) is tuple:  # Typer's form of a repeatable option
            item = GenericAlias(list, get_args(hint)[:1])
            hint, default = (item, default) if required else (item | None, None)
        panel = about.pop("panel")
        extra = typer.Option(
            *long,
            *short,
            help=about.pop("help"),
            rich_help_panel=None if panel == "Options" else panel,
            show_default=not isinstance(default, bool) and default not in (None, "", inspect.Parameter.empty),
            **about,
        )
        annotation: Any = Annotated[hint, extra]
        found.append(
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return found
