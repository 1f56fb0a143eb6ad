"""`img2img models`"""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from img2img.cli import console
from img2img.runtime import models as runtime_models
from img2img.runtime.models import Installed
from img2img.runtime.naming import show


def models(
    json: Annotated[
        bool, typer.Option("--json", help="One line of JSON a model: its whole card and its path.")
    ] = False,
) -> None:
    """List the installed models: those that came with img2img, and those in your own folder.

    Any other ONNX file works too: give its path to --model.
    """
    found = runtime_models.installed()
    if json:
        for model in found:
            sys.stdout.write(jsonlib.dumps(_record(model)) + "\n")
        return
    header = ("name", "task", "scale", "parameters", "precision", "where")
    rows = [header, *(_row(model) for model in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for model in found:
        if model.problem:
            console.say(f"warning: {model.problem}")
    console.say(f"your own models go to {runtime_models.user_folder()}")


def _row(model: Installed) -> tuple[str, ...]:
    where = "bundled" if model.bundled else show(model.path)
    card = model.card
    if card is None:
        return show(model.name), "unreadable" if model.problem else "no card", "", "", "", where
    return show(model.name), card.task, f"x{card.scale}", _count(card.parameters), card.precision, where


def _count(parameters: int) -> str:
    if parameters < 1_000_000:
        return f"{parameters / 1000:.0f} k" if parameters >= 1000 else str(parameters)
    return f"{parameters / 1e6:.2f} M"


def _record(model: Installed) -> dict[str, Any]:
    card = asdict(model.card) if model.card is not None else None
    return {
        "name": model.name,
        "path": str(model.path),
        "bundled": model.bundled,
        "card": card,
        "problem": model.problem,
    }
