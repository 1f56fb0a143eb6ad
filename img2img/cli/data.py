"""`img2img data check DIR... --for METHOD`: check a data set before training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console, options, trainer
from img2img.errors import ConfigError, ExitStatus, UsageError
from img2img.methods import METHODS
from img2img.text import count_of, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from img2img.data.check import Group, Report
    from img2img.data.plan import Finding

SHOWN = 3  # files listed under a finding
LONGEST = 240  # characters of a file name


def data(
    action: Annotated[str, typer.Argument(metavar="check", help="Check a data set.")],
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders or tables, as for train --data.")],
    method: Annotated[
        str, typer.Option("--for", "-f", metavar="METHOD", help=f"Method to train: {', '.join(METHODS)}.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as --set data.crop=128."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FILE",
            help="Show training pictures as the method sees them, odd ones first: .png, .jpg, .webp or .html.",
        ),
    ] = None,
    max_pixels: options.MaxPixels = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON line.")] = False,
) -> ExitStatus:
    """Check a data set before training.

    \b
    img2img data check street/ --for pix2pix          with A/ and B/, trainA/ and trainB/, or AB pictures
    img2img data check horses/ zebras/ --for cyclegan
    img2img data check faces/ --for stargan           a sub-folder per domain, or CelebA's table
    img2img data check horses/ zebras/ --for cyclegan --sheet sheet.html

    Reports counts, sizes, unreadable files, names without a partner, duplicates between training and held-out pictures,
    and how the method will use the data. Exit status: 0 ready for training (warnings allowed), 1 not ready.
    """
    if action != "check":
        raise UsageError(f"data {show(action)}: use 'img2img data check DIR... --for METHOD'")
    from img2img.evaluation.sheet_rows import format_of

    if sheet is not None and sheet.suffix.lower() != ".html" and format_of(sheet.suffix) is None:
        raise UsageError(f"--sheet {show(sheet)}: use a file name that ends in .png, .jpg, .webp or .html")
    config = _settings(method, folders, [*(assignments or []), *trainer.limit(max_pixels)])
    from img2img.data import check

    with _progress() as progress:
        report = check.check(config.data, progress)
    if json:
        console.write_json({"method": method, **report.record()})
    else:
        _show(report, method, folders)
    if sheet is not None and not report.trainable:
        console.say(f"{show(sheet)} is not written: first correct the errors above")
    elif sheet is not None:
        from img2img.cli.data_sheet import write

        write(sheet, method, config, report)
        console.say(f"wrote {show(sheet)}")
    return ExitStatus.OK if report.trainable else ExitStatus.SOME_FAILED


def _settings(method: str, folders: list[Path], assignments: list[str]) -> Any:
    """Return the configuration of the method, as `train` would build it."""
    import importlib.util

    missing = [name for name in ("torch", "pydantic") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"checking data needs {', '.join(missing)}: pip install 'img2img[train]'")
    from img2img import methods
    from img2img.methods.config import assign

    if absent := [folder for folder in folders if not folder.exists()]:
        raise UsageError(f"{show(absent[0])}: no such folder or file")
    recipe = methods.find(method).recipe
    values = recipe.with_defaults({"method": method, "data": {"folders": [str(folder) for folder in folders]}})
    assign(values, assignments)
    return recipe.parse(values, where="settings")  # Any: every recipe defines its own data section


def _show(report: Report, method: str, folders: list[Path]) -> None:
    # File names are shown relative to the folder that holds all of them.
    top = os.path.commonpath([folder.absolute() for folder in folders])
    names = [top, os.path.relpath(top)]
    if len(folders) == 1:
        names.append(str(folders[0]))

    def say(text: str) -> None:
        for name in names:
            text = text.replace(f"{name}{os.sep}", "")
        console.say(text)

    for sentence in report.summary:
        say(sentence)
    if report.summary:
        console.say("")
    if report.groups:
        rows = [("part", "split", "pictures", "sizes", "kinds"), *(_row(group) for group in report.groups)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[2] = row[2].rjust(widths[2])
            console.say("  ".join(cells).rstrip())
        console.say("")
    for finding in report.findings:
        _show_finding(finding, say)
    counts = [sum(finding.level == level for finding in report.findings) for level in ("error", "warning")]
    said = [count_of(n, word) for n, word in zip(counts, ("error", "warning"), strict=True) if n]
    console.say(
        f"{method} {'can' if report.trainable else 'cannot'} train on this" + (f": {', '.join(said)}" if said else "")
    )


def _show_finding(finding: Finding, say: Callable[[str], None]) -> None:
    if len(finding.files) == 1:
        say(f"{finding.level}: {finding.text}: {finding.files[0]}")
        return
    say(f"{finding.level}: {finding.text}{':' if finding.files else ''}")
    for file in finding.files[:SHOWN]:
        say(f"    {file if len(file) < LONGEST else file[: LONGEST - 4] + ' ...'}")
    if len(finding.files) > SHOWN:
        console.say(f"    and {len(finding.files) - SHOWN} more (--json lists all)")


def _row(group: Group) -> tuple[str, ...]:
    sizes = list(dict.fromkeys(f"{w}x{h}" for w, h in (group.smallest, group.median, group.largest)))
    words = sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    words += f", median {sizes[1]}" if len(sizes) == 3 else ""
    all_of_it = len(group.modes) == 1
    kinds = ", ".join(mode if all_of_it else f"{count} {mode}" for mode, count in group.modes.items())
    if group.grey and "grey" not in group.modes:
        kinds += " (no colour)" if group.grey == group.count else f" ({group.grey} without colour)"
    return show(group.name), group.split, str(group.count), words, kinds


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    if not console.is_terminal():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("checking"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
