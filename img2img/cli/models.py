"""`img2img models [list|info|verify|schema]`"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console
from img2img.errors import ExitStatus, ModelError, UsageError
from img2img.runtime.network import models as runtime_models
from img2img.runtime.network.models import Installed
from img2img.text import count_of, show

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.header import Header, Tensor

ACTIONS = ("list", "info", "verify", "schema")


def models(
    action: Annotated[str, typer.Argument(metavar="list|info|verify|schema", help="What to do.")] = "list",
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Names or .onnx files for info and verify.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line per model.")] = False,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where verify runs the self-test.")] = "auto",
) -> ExitStatus:
    """List the installed models, show one of them, or verify that they are intact and work on this machine.

    \b
    img2img models                        lists the bundled models and those in your own folder
    img2img models info upscale-x4        shows the card: task, licence, data and figures
    img2img models verify                 checks digest, card, external weights, inputs and a self-test of all models
    img2img models verify mine.onnx
    img2img models schema                 prints the JSON schema of model cards

    Other ONNX files work too: pass their path to --model. Exit status: 0 no problem found, 1 verify found one.
    """
    if action not in ACTIONS:
        guess = f"; did you mean 'models info {show(action)}'?" if _is_model(action) else ""
        raise UsageError(f"models {show(action)}: use one of {', '.join(ACTIONS)}{guess}")
    names = wanted or []
    if action in ("list", "schema") and names:
        raise UsageError(f"models {action} takes no names; use 'models info {show(names[0])}'")
    if device != "auto" and action != "verify":
        raise UsageError("--device is only valid for models verify")
    if action == "verify":
        return _verify(names, device, json)
    if action == "info":
        _info(names, json)
    elif action == "schema":
        from img2img.runtime.network.card import json_schema

        sys.stdout.write(jsonlib.dumps(json_schema(), indent=2) + "\n")
    else:
        _list(json)
    return ExitStatus.OK


def _is_model(text: str) -> bool:
    try:
        runtime_models.find(text)
    except ModelError:
        return False
    return True


def _list(json: bool) -> None:
    found = runtime_models.installed()
    if json:
        for model in found:
            console.write_json(_record(model))
        return
    header = ("name", "task", "scale", "parameters", "precision", "where")
    _write_table([header, *(_row(model) for model in found)])
    for model in found:
        if model.problem:
            console.say(f"warning: {model.problem}")
    console.say(f"folder for your own models: {runtime_models.user_folder()}")


def _info(names: list[str], json: bool) -> None:
    if len(names) != 1:
        raise UsageError("models info needs the name or file of one model (img2img models lists them)")
    from img2img.runtime.network import header

    path = runtime_models.find(names[0])
    card = runtime_models.read_card(path)
    model = Installed(_name(path), path, _is_bundled(path), card)
    found = header.read(path)
    size = path.stat().st_size
    if json:
        record = {**_record(model), "bytes": size, **asdict(found)}
        console.write_json(record)
        return
    sys.stdout.write(f"{show(model.name)}\n")
    _write_table(_facts(model, found, size), indent=2)
    for title, tensors in (("inputs", found.inputs), ("outputs", found.outputs)):
        sys.stdout.write(f"\n{title}\n")
        _write_table([(show(one.name), one.type, _shape(one)) for one in tensors], indent=2)
    if card is not None and card.metrics:
        sys.stdout.write("\nfigures\n")
        rows = []
        for data, group in card.metrics.items():
            figures = ", ".join(f"{key} {value}" for key, value in group.items() if key != "command")
            rows.append((show(data), show(figures), show(str(group.get("command", "")))))
        _write_table(rows, indent=2)
    if card is None:
        console.say("this file has no card; its properties are probed when it is used")


def _verify(names: list[str], device: str, json: bool) -> ExitStatus:
    paths = [runtime_models.find(name) for name in names] or [one.path for one in runtime_models.installed()]
    if not paths:
        raise ModelError(
            f"no model is installed (looked in {runtime_models.user_folder()} and {runtime_models.bundled_folder()})"
        )
    from img2img.runtime.network import verify

    faulty = 0
    width = max(len(show(_name(path))) for path in paths)
    for path in paths:
        checks = verify.verify(path, device=device)
        passed = verify.passed(checks)
        faulty += not passed
        if json:
            record = {
                "name": _name(path),
                "path": str(path),
                "passed": passed,
                "checks": [asdict(one) for one in checks],
            }
            console.write_json(record)
        else:
            for one in checks:
                line = f"{show(_name(path)):<{width}}  {one.name:<9}  {one.status:<7}  {show(one.detail)}"
                sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
    console.say(f"{count_of(len(paths), 'model')} checked, {f'{faulty} failed' if faulty else 'no problem found'}")
    return ExitStatus.SOME_FAILED if faulty else ExitStatus.OK


def _name(path: Path) -> str:
    return path.stem


def _is_bundled(path: Path) -> bool:
    return path.parent.resolve() == runtime_models.bundled_folder().resolve()


def _facts(model: Installed, found: Header, size: int) -> list[tuple[str, str]]:
    rows = [("file", show(model.path) + (" (bundled)" if model.bundled else "")), ("size", f"{size:,} bytes")]
    opsets = ", ".join(
        f"{version}" + (f" of {show(domain)}" if domain else "") for domain, version in found.opsets.items()
    )
    versions = [("opset", f"{opsets}, IR version {found.ir_version}")]
    card = model.card
    if card is None:
        return [*rows, *versions, ("card", "none")]
    least = f"multiples of {card.multiple}, at least {max(card.minimum, card.multiple)} pixels"
    about = [
        ("task", card.task if card.scale == 1 else f"{card.task}, x{card.scale}"),
        ("method", card.method),
        ("domains", ", ".join(card.domains) + (" (exclusive)" if card.exclusive and card.domains else "")),
        ("reference", _reference(card)),
        ("latent code", _latent(card)),
        ("sides", least),
        ("context", "the whole picture" if card.context is None else f"{card.context} pixels around"),
        ("training size", "" if card.side is None else f"{card.side} pixels"),
        ("precision", card.precision),
        ("parameters", f"{card.parameters:,}" if card.parameters else ""),
        ("licence", card.licence),
        ("trained on", ", ".join(card.trained_on)),
        ("created with", card.created_with),
        ("sha256", card.sha256 or ""),
        *[(key, jsonlib.dumps(value)) for key, value in card.extra.items()],
    ]
    named = [("name", card.name)] if card.name != model.name else []
    return [*rows, *named, *((show(key), show(value)) for key, value in about if value), *versions]


def _reference(card: Card) -> str:
    if card.reference is None:
        return ""
    about, multiple, minimum = (card.reference[key] for key in ("about", "multiple", "minimum"))
    sides = f"sides are multiples of {multiple}, at least {max(minimum, multiple)} pixels (--reference)"
    return f"{about}; {sides}" if about else sides


def _latent(card: Card) -> str:
    if card.latent is None:
        return ""
    if card.morphs:
        return "position between image and reference (img2img morph)"
    return f"{card.latent['length']} values, distribution {card.latent['distribution']} (--samples)"


def _shape(tensor: Tensor) -> str:
    if tensor.shape is None:
        return "any shape"
    return show(" x ".join("?" if side is None else str(side) for side in tensor.shape))


def _write_table(rows: Sequence[tuple[str, ...]], indent: int = 0) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{' ' * indent}{line}".rstrip() + "\n")


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
