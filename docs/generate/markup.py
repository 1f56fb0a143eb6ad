"""Pieces of Markdown, and pieces of docstrings."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

REQUIRED = "required"

_SECTIONS = ("Args", "Attributes", "Example", "Examples", "Raises", "Returns", "Yields")


def prose(docstring: str) -> str:
    """A docstring without its `Args:`, `Raises:` and other sections."""
    kept, skipping = [], False
    for line in docstring.splitlines():
        if line.removesuffix(":") in _SECTIONS and line.endswith(":"):
            skipping = True
        elif line and not line.startswith(" "):
            skipping = False
        if not skipping:
            kept.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def described(docstring: str, section: str) -> dict[str, str]:
    """The names in a section of a docstring (Google style), and what it says about each."""
    found: dict[str, str] = {}
    inside, names = False, list[str]()
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            inside = line == f"{section}:"
        elif inside and (match := re.match(r" {4}(\w+(?:, \w+)*)(?: \(.*?\))?: (.*)", line)):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif inside:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def help_text(text: str) -> str:
    r"""The help of a command as Markdown. Blocks after `\b` keep their lines."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = block.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            blocks.append("```text\n" + inspect.cleandoc("\n".join(lines[1:])) + "\n```")
        else:
            blocks.append(escape(" ".join(lines)))
    return "\n\n".join(blocks)


def value_text(value: Any) -> str:
    """A default as `config.toml` has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {value_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(one) for one in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    """`text` as inline code, for a cell of a table."""
    return f"`{' '.join(text.split())}`" if text else '`""`'


def escape(text: str) -> str:
    """`text` as Markdown that shows it as it is, for a cell of a table or a paragraph. Inline code stays code."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [re.sub(r"([*_|\[\]<>])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
