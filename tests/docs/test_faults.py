"""The table of faults names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/explanation/faults.md").read_text(encoding="utf-8"))


def test_the_table_is_not_empty() -> None:
    assert len(NAMED) > 40 and len(set(NAMED)) == len(NAMED)


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_in_the_table_exists(file: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {name for named, name in NAMED if named == file} <= defined
