"""Where the reference data and the real pictures are, for tests that need them; they skip by name where absent."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(os.environ.get("IMG2IMG_SHARED", Path(__file__).parents[2] / "shared"))


def shared(part: str) -> Path:
    """`part` of the shared folder, or a skip that names what is missing."""
    path = SHARED / part
    if not path.exists():
        pytest.skip(f"needs {part} of the shared folder (set IMG2IMG_SHARED)")
    return path


def reference_module() -> ModuleType:
    """The module that fills the golden references: `weights(name)`, `reference(name)`."""
    spec = importlib.util.spec_from_file_location("reference_fill", shared("reference/fill.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
