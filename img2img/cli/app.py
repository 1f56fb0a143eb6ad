"""The table of commands, and a Typer program that imports a command's module only when that command is called."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

import img2img
from img2img.errors import ExitStatus, UsageError

PROGRAM = "img2img"

# name: (module:function, one line of help). This is all there is to adding a command.
COMMANDS = {
    "upscale": ("img2img.cli.upscale:upscale", "Enlarge photos: files, folders, globs, or - for stdin."),
    "translate": ("img2img.cli.translate:translate", "Turn pictures into another domain with a model of your own."),
    "inpaint": ("img2img.cli.inpaint:inpaint", "Fill holes in photos: by masks, transparency, a colour or boxes."),
    "train": ("img2img.cli.train:train", "Train a model on your own pictures."),
    "export": ("img2img.cli.export:export", "Write a trained network as a model file; change its precision."),
    "import": ("img2img.cli.import_:import_", "Make a model file of published weights (.pth, .safetensors)."),
    "blend": ("img2img.cli.blend:blend", "Make a model between two training runs or model files."),
    "evaluate": ("img2img.cli.evaluate:evaluate", "Measure a model beside what can be had without it."),
    "data": ("img2img.cli.data:data", "Check a data set before you train on it."),
    "degrade": ("img2img.cli.degrade:degrade", "Show what training makes of your photos, before you train."),
    "doctor": ("img2img.cli.doctor:doctor", "Show what works on this machine, how fast, and what to do."),
    "models": ("img2img.cli.models:models", "List, show and check the installed models."),
}

# Typer carries its own copy of Click since 0.2x and used the installed one before; this is the base class in both.
_ClickException = cast(Any, typer.BadParameter.__mro__[2])


def run(args: Sequence[str]) -> int:
    """Parse `args`, run the command, return its exit status. Raises what the command raises; UsageError for bad use."""
    program = build()
    if f"_{PROGRAM}_COMPLETE".upper() in os.environ:
        program.main(list(args), prog_name=PROGRAM)
    try:
        with program.make_context(PROGRAM, list(args)) as context:
            return int(program.invoke(context) or ExitStatus.OK)
    except typer.Exit as end:
        return end.exit_code
    except _ClickException as error:
        if not args:  # the help, shown because nothing was asked for
            error.show()
            return ExitStatus.USAGE
        raise UsageError(_one_line(error, args)) from error


def build() -> TyperGroup:
    """The program: global options, and commands that are still to be imported."""
    shell = typer.Typer(
        name=PROGRAM,
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
    """`args` without --debug, which is taken before and after the command; and whether it was there."""
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
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; also taken after the command.")] = False,
) -> None:
    """Image-to-image with GANs: upscale photos with a model file, or train a model of your own.

    Exit status: 0 all done, 1 some files failed, 2 wrong use, 130 interrupted.
    """


class _Lazy(TyperCommand):
    """A name and a line of help; becomes the real command when somebody calls it or asks for its options."""

    def __init__(self, name: str, target: str, help_line: str) -> None:
        super().__init__(name, help=help_line, rich_markup_mode=None)
        self.target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module, function = self.target.split(":")
        real = _command(cast(str, self.name), getattr(import_module(module), function))
        return real.make_context(info_name, args, parent, **extra)


class _Sectioned(TyperCommand):
    """A command whose --help lists the options under their `rich_help_panel`, without rich."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _command(name: str, function: Callable[..., Any]) -> Any:
    shell = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    shell.command(name, cls=_Sectioned)(function)
    return typer.main.get_command(shell)


def _one_line(error: Any, args: Sequence[str]) -> str:
    text = " ".join(error.format_message().split())
    words = [word for word in args if not word.startswith("-")]
    if words and words[0] not in COMMANDS and text.startswith("No such command"):
        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        guess = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
        if not close and Path(words[0]).exists():
            guess = f"to enlarge that file: {PROGRAM} upscale {words[0]}"
        return f"there is no command {words[0]!r}; {guess}"
    command = f"{PROGRAM} {words[0]}" if words and words[0] in COMMANDS else PROGRAM
    return f"{text[:1].lower()}{text[1:].rstrip('.')} (see {command} --help)"
