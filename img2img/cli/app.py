"""The table of commands, and a Typer program that imports a command only when it is called."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

import img2img
from img2img import threads
from img2img.cli import console
from img2img.errors import OUT_OF_FILES, ExitStatus, Img2ImgError, UsageError, is_out_of_files

PROGRAM = "img2img"

_METAVAR = re.compile(r"<(.*?)>")  # Typer's: <float>, <int range>, <png|jpg>
_NOTES = re.compile(r"\s*\[([^\[\]]*)\]$")  # [default: 3; 0<=x<=10; required]
_LIMITS = re.compile(r"x[<>]|<=?x")

# name: (module:function, one line of help). To add a command, add a line.
COMMANDS = {
    "upscale": ("img2img.cli.upscale:upscale", "Enlarge photos."),
    "restore": ("img2img.cli.restore:restore", "Remove JPEG artefacts and noise from photos."),
    "translate": ("img2img.cli.translate:translate", "Translate pictures into another domain."),
    "inpaint": ("img2img.cli.inpaint:inpaint", "Fill holes in photos."),
    "serve": ("img2img.cli.serve:serve", "Serve a page in the browser and an HTTP API."),
    "morph": ("img2img.cli.morph:morph", "Morph one picture into another."),
    "train": ("img2img.cli.train:train", "Train a model on your own pictures."),
    "export": ("img2img.cli.export:export", "Export a trained network to ONNX, or change its precision."),
    "import": ("img2img.cli.import_:import_", "Import third-party checkpoints (.pth, .safetensors)."),
    "blend": ("img2img.cli.blend:blend", "Interpolate between two runs or model files."),
    "evaluate": ("img2img.cli.evaluate:evaluate", "Compare a model with simple baselines."),
    "compare": ("img2img.cli.compare:compare", "Show models and results next to each other on one page."),
    "report": ("img2img.cli.report:report", "Write an HTML page about a training run, or compare runs."),
    "data": ("img2img.cli.data:data", "Check a data set before training."),
    "degrade": ("img2img.cli.degrade:degrade", "Preview the training degradations on your photos."),
    "doctor": ("img2img.cli.doctor:doctor", "Check this machine: what works and how fast."),
    "models": ("img2img.cli.models:models", "List, show and verify models."),
}

# The base class of all errors in a command line. Newer versions of Typer bundle Click, older ones import it.
try:
    _click: Any = import_module("typer._click.exceptions")
except ImportError:
    _click = import_module("click.exceptions")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (default: those of the process) and return the exit status.

    Errors print one line on stderr; `--debug`, anywhere on the line, adds the traceback.
    """
    words = list(sys.argv[1:] if args is None else args)
    words, console.debug = without_debug(words)
    with console.safe_streams():
        try:
            status = _guarded(words)
        except KeyboardInterrupt:  # again, while the first one was being reported
            status = ExitStatus.INTERRUPTED
        if args is None and threads.are_abandoned():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status


def _guarded(words: list[str]) -> int:
    """Run the command line `words` and turn exceptions into messages and an exit status."""
    try:
        with console.signals():
            status = run(words)
            sys.stdout.flush()
    except KeyboardInterrupt:
        console.say("interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:  # nobody reads our output any more, as in `img2img models | head -1`
        return ExitStatus.SOME_FAILED
    except Img2ImgError as error:
        console.error(OUT_OF_FILES if is_out_of_files(error) else str(error), error)
        return error.status
    except Exception as error:
        if is_out_of_files(error):
            console.error(OUT_OF_FILES, error)
            return ExitStatus.SOME_FAILED
        text = " ".join(str(error).split())
        console.error(f"{type(error).__name__}: {text}" if text else type(error).__name__, error)
        if not console.debug:
            console.say("this is a bug in img2img; run again with --debug for the traceback")
        return ExitStatus.SOME_FAILED
    return status


def run(args: Sequence[str]) -> int:
    """Parse `args`, run the command and return its exit status. Raises UsageError, and what the command raises."""
    program = build()
    if f"_{PROGRAM}_COMPLETE".upper() in os.environ:
        program.main(list(args), prog_name=PROGRAM)
    try:
        with program.make_context(PROGRAM, list(args)) as context:
            return int(program.invoke(context) or ExitStatus.OK)
    except typer.Exit as end:
        return end.exit_code
    except _click.ClickException as error:
        if not args:  # no arguments: show the help
            error.show()
            return ExitStatus.USAGE
        raise UsageError(_one_line(error, args)) from error


def build() -> TyperGroup:
    """The program: global options, and commands that are imported when called."""
    shell = typer.Typer(
        name=PROGRAM,
        cls=_Group,
        no_args_is_help=True,
        rich_markup_mode=None,  # rich's import costs more than all the rest of --help
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    shell.callback()(_global_options)
    group = cast(TyperGroup, typer.main.get_command(shell))
    for name, (target, help_line) in COMMANDS.items():
        group.add_command(cast(Any, _Lazy(name, target, help_line)))
    return group


def without_debug(args: Sequence[str]) -> tuple[list[str], bool]:
    """`args` without --debug, which is valid before and after the command, and whether it was there."""
    end = args.index("--") if "--" in args else len(args)
    before = [word for word in args[:end] if word != "--debug"]
    return [*before, *args[end:]], len(before) < end


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {img2img.__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Also valid after the command.")] = False,
) -> None:
    """Image-to-image translation with GANs: use a model on your pictures, or train your own.

    Exit status: 0 all done, 1 some files failed, 2 usage error, 130 interrupted.
    """


class _Quick:
    """A command or group that converts texts, choices and numbers without Typer.

    Newer versions of Typer import pydantic to convert any value, even a missing one. That takes 0.1 s or more, much
    of the time for a small picture.
    """

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]  # of the command that this is mixed into
        for param in params:
            if not getattr(param, "is_quick", False) and hasattr(param, "type_descriptor"):  # older versions have none
                param.is_quick, param.process_value = True, _convert_if_necessary(param, param.process_value)
        return params


def _convert_if_necessary(param: Any, convert: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    kind = param.type_descriptor.annotation
    is_list = param.multiple or param.nargs == -1

    def process_value(context: Any, value: Any) -> Any:
        if not is_list and isinstance(kind, type):
            value = _converted(kind, value, context, param)
        is_text = kind == list[str] if is_list else kind is str
        is_converted = not is_list and isinstance(kind, type) and type(value) is kind
        if param.required or not (value is None or is_text or is_converted):
            return convert(context, value)
        if is_list:
            value = () if value is None else list(value)
        return value if param.callback is None else param.callback(context, param, value)

    return process_value


def _converted(kind: type[Any], value: Any, context: Any, param: Any) -> Any:
    """The choice or number that a text means. Raises typer.BadParameter. Other types and None: the value itself."""
    if not isinstance(value, str):
        return value
    if issubclass(kind, Enum):
        if value not in kind._value2member_map_:
            known = ", ".join(map(repr, kind._value2member_map_))
            raise typer.BadParameter(f"{value!r} is not one of {known}", context, param)
        return kind(value)
    if kind not in (int, float):
        return value
    info = param.type_descriptor.parameter_info
    low, high = info.min, info.max
    try:
        number = kind(value)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise typer.BadParameter(f"{value!r} is not {what}", context, param) from error
    if (low is None or low <= number) and (high is None or number <= high):
        return number
    limits = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in {low}..{high}"
    raise typer.BadParameter(f"{value} is not {limits}", context, param)


class _Group(_Quick, TyperGroup):
    """The program."""


class _Lazy(TyperCommand):
    """A name and a line of help. Imports the real command when it is called or its options are needed."""

    def __init__(self, name: str, target: str, help_line: str) -> None:
        super().__init__(name, help=help_line, rich_markup_mode=None)
        self.target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module, function = self.target.split(":")
        real = _command(cast(str, self.name), getattr(import_module(module), function))
        return real.make_context(info_name, args, parent, **extra)


class _PanelCommand(_Quick, TyperCommand):
    """A command whose --help groups the options by their `rich_help_panel`, without rich."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                panel = getattr(param, "rich_help_panel", None) or default
                panels.setdefault(panel, []).append(_help_entry(param, *record))
        for title, entries in panels.items():
            with formatter.section(title):
                formatter.write_dl(entries)


def _help_entry(param: Any, names: str, text: str) -> tuple[str, str]:
    """One entry of --help: names with a short metavar, and a range only once, as `1..100`."""
    # Newer versions of Typer keep the limits in the parameter, older ones in its type.
    low, high = (getattr(param, end, None) for end in ("min", "max"))
    if low is None and high is None:
        kind = getattr(param, "type", None)
        low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    limits = "" if low is None and high is None else f"{'' if low is None else low}..{'' if high is None else high}"
    if param.param_type_name == "argument":
        names = param.metavar or names
    elif limits and param.metavar is None:
        names = _METAVAR.sub(limits, names)
        limits = ""
    elif param.metavar is None:
        names = _METAVAR.sub(lambda match: match[1], names)
    notes = _NOTES.search(text)
    if notes is None:
        return names, text
    kept = [note for note in notes[1].split("; ") if not _LIMITS.search(note)]
    if limits not in ("", "1..", "0.."):  # a count needs no explanation
        kept.append(limits)
    return names, text[: notes.start()] + (f"  [{'; '.join(kept)}]" if kept else "")


def _command(name: str, function: Callable[..., Any]) -> Any:
    shell = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    shell.command(name, cls=_PanelCommand)(function)
    return typer.main.get_command(shell)


def _one_line(error: Any, args: Sequence[str]) -> str:
    text = " ".join(error.format_message().split()).replace(": Value error, ", ": ")  # pydantic's prefix
    words = [word for word in args if not word.startswith("-")]
    if words and words[0] not in COMMANDS and text.startswith("No such command"):
        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        guess = f"did you mean {close[0]!r}?" if close else f"commands: {', '.join(COMMANDS)}"
        if not close and Path(words[0]).exists():
            guess = f"to enlarge that file: {PROGRAM} upscale {words[0]}"
        return f"no such command: {words[0]!r}; {guess}"
    command = f"{PROGRAM} {words[0]}" if words and words[0] in COMMANDS else PROGRAM
    return f"{text[:1].lower()}{text[1:].rstrip('.')} (see {command} --help)"
