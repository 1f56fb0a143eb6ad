"""Creates the reference from the code: commands, settings of methods, networks, objectives, the card, batch options."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from markup import REQUIRED, code, described, escape, help_text, prose, table, value_text
from types_in_words import type_text

_MARKER = re.compile(r"<!-- generated: ([a-z-]+) -->")


def pages() -> dict[str, str]:
    """Every generated page: its path below `docs/`, and its Markdown."""
    from img2img.cli.app import COMMANDS
    from img2img.methods import METHODS

    return {
        **{f"reference/commands/{name}.md": command_page(name) for name in COMMANDS},
        **{f"reference/methods/{name}.md": method_page(name) for name in METHODS},
        "reference/networks.md": networks_page(),
        "reference/objectives.md": objectives_page(),
    }


def fill(markdown: str) -> str:
    """`markdown` with every marker `<!-- generated: NAME -->` replaced by that part."""
    return _MARKER.sub(lambda match: PARTS[match[1]](), markdown)


def command_page(name: str) -> str:
    """The description, arguments and options of one command, as `--help` shows them."""
    context = _context(name)
    command = context.command
    usage = " ".join([f"img2img {name}", *command.collect_usage_pieces(context)])
    parts = [f"# img2img {name}", f"```text\n{usage}\n```", help_text(command.help or "")]
    panels = _Panels()
    command.format_options(context, panels)
    for title, entries in panels.entries.items():
        rows = [[code(names), escape(text)] for names, text in entries]
        parts += [f"## {title}", table(["Name", "Meaning"], rows)]
    return "\n\n".join(parts) + "\n"


def method_page(name: str) -> str:
    """Every setting of one method: its type, default and meaning."""
    from img2img import methods
    from img2img.methods.schema import json_schema

    method = methods.find(name)
    parts = [f"# {name}", prose(inspect.getdoc(importlib.import_module(method.__module__)) or "")]
    stages = list(getattr(method.recipe, "stages", {"": None}))
    shown: list[list[str]] = []
    for stage in stages:
        recipe = method.recipe.of_stage({"stage": stage} if stage else {})
        schema = json_schema(recipe)
        rows = list(_rows(schema["properties"], set(schema.get("required", ()))))
        command = f"`img2img train {name}" + (f" --stage {stage}`" if len(stages) > 1 else "`")
        if len(stages) > 1:
            parts += [f"## Stage {stage}", prose(inspect.getdoc(recipe) or "")]
        if not shown:
            parts.append(f"Settings of {command}, for `--set` and `config.toml`:")
        else:
            parts.append(f"Settings of {command} that differ from those of the first stage, or are new:")
        parts.append(table(["Setting", "Type", "Default", "Meaning"], [row for row in rows if row not in shown]))
        shown += rows
    return "\n\n".join(parts) + "\n"


def networks_page() -> str:
    """Every network that a configuration can name, and its options."""
    from img2img.networks import NETWORKS

    introduction = (
        "A configuration chooses networks by name: `generator.name`, `discriminator.name` and, if there is one, "
        "`encoder.name`. Their options are the arguments of the constructor, for example "
        "`--set generator.options.features=32`. The method sets what follows "
        "from the data: channels, domains and sizes. See also [Adding a network](../guides/adding-a-network.md)."
    )
    return "\n\n".join(["# Networks", introduction, *_classes(NETWORKS, level=2)]) + "\n"


def objectives_page() -> str:
    """Every objective that a configuration can name, and its options."""
    from img2img.objectives import ADVERSARIAL, PENALTIES, RECONSTRUCTION

    groups: list[tuple[str, str, Mapping[str, str]]] = [
        (
            "Adversarial objectives",
            "Choose one with `--set adversarial.name=NAME`, and set its options with "
            "`--set adversarial.options.KEY=VALUE`. [Every objective on toy data](../../examples/toy_gans.md) compares "
            "them.",
            ADVERSARIAL,
        ),
        (
            "Gradient penalties",
            "They keep the discriminator smooth. Choose one with `--set adversarial.penalty=NAME`.",
            PENALTIES,
        ),
        (
            "Reconstruction objectives",
            "Distances between a result and its target. Each one has a weight: `--set objectives.NAME=WEIGHT`.",
            RECONSTRUCTION,
        ),
    ]
    parts = ["# Objectives"]
    for title, introduction, names in groups:
        parts += [f"## {title}", introduction, *_classes(names, level=3)]
    return "\n\n".join(parts) + "\n"


def card_keys() -> str:
    """The keys of the card, from its JSON schema."""
    from img2img.runtime.network.card import json_schema

    schema = json_schema()
    return table(["Key", "Type", "Default", "Meaning"], _rows(schema["properties"], set(schema["required"])))


def batch_options() -> str:
    """The keyword arguments of `img2img.batch`: those of every task, then those of each task."""
    from img2img.runtime.tasks.inpaint import InpaintTask
    from img2img.runtime.tasks.settings import Settings
    from img2img.runtime.tasks.translate import TranslateTask
    from img2img.runtime.tasks.upscale import UpscaleTask

    shared = {one.name: one.metadata["help"] for one in dataclasses.fields(Settings)}
    parts = ["#### Every task", _fields(Settings, shared)]
    for task in (UpscaleTask, TranslateTask, InpaintTask):
        meanings = described(inspect.getdoc(task) or "", "Attributes")
        options = _context(task.name).command.params
        meanings |= {one.name: one.help for one in options if getattr(one, "help", None)}
        for name in (*shared, "wanted", "style", "masks"):  # the last three are set by the program
            meanings.pop(name, None)
        parts += [f"#### Task {task.name}", _fields(task, meanings)]
    return "\n\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {"card-keys": card_keys, "batch-options": batch_options}


class _Panels:
    """Stands in for Click's formatter and keeps what a command writes under each title of its help."""

    def __init__(self) -> None:
        self.entries: dict[str, list[tuple[str, str]]] = {}

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        self.title = title
        yield

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        self.entries.setdefault(self.title, []).extend(rows)


def _context(name: str) -> Any:
    """Click's context of a command, as the command line makes it before it parses arguments."""
    from img2img.cli import app

    return app.build().commands[name].make_context(f"img2img {name}", [], resilient_parsing=True)


def _fields(kind: type, meanings: Mapping[str, str]) -> str:
    """A table of those fields of a data class that `meanings` explains."""
    rows = []
    for one in dataclasses.fields(kind):
        if one.name not in meanings:
            continue
        value = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        default = REQUIRED if value is dataclasses.MISSING else code(repr(getattr(value, "value", value)))
        rows.append([code(one.name), code(str(one.type)), default, escape(meanings[one.name])])
    return table(["Option", "Type", "Default", "Meaning"], rows)


def _classes(names: Mapping[str, str], level: int) -> Iterator[str]:
    """A section for each class of a table of names: its docstring and the arguments of its constructor."""
    for name, target in names.items():
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        text = inspect.getdoc(found) or ""
        yield f"{'#' * level} {name}"
        yield prose(text)
        meanings: dict[str, str] = {}
        for base in reversed(inspect.getmro(found)):
            meanings |= described(inspect.cleandoc(base.__doc__ or ""), "Args")
        rows = [
            [
                code(one.name),
                REQUIRED if one.default is one.empty else code(value_text(one.default)),
                escape(meanings.get(one.name, "")),
            ]
            for one in inspect.signature(found).parameters.values()
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        ]
        if rows:
            yield table(["Option", "Default", "Meaning"], rows)


def _rows(
    properties: Mapping[str, Any], required: set[str], prefix: str = "", meaning: str = ""
) -> Iterator[list[str]]:
    """A row for each key of a JSON schema: name, type, default, meaning. Sections become dotted keys.

    A key without a description has that of its section, `meaning`.
    """
    for name, schema in properties.items():
        description = schema.get("description", meaning)
        if schema.get("type") == "object" and "properties" in schema and "default" not in schema:
            keys = set(schema.get("required", ()))
            yield from _rows(schema["properties"], keys, f"{prefix}{name}.", description)
        else:
            default = REQUIRED if name in required else "not set"
            if "default" in schema:
                default = code(value_text(schema["default"]))
            yield [code(prefix + name), type_text(schema), default, escape(description)]
