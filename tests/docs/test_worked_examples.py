"""The code and the commands of "Adding a method" and "Adding a network" work as they are printed."""

import ast
import importlib.util
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import trials
from conftest import ROOT
from PIL import Image

from img2img.methods import METHODS
from img2img.networks import NETWORKS

GUIDES = ROOT / "docs" / "guides"

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def python_code(page: Path, title: str) -> str:
    """All Python blocks of a page with this title, one after the other."""
    found = [text for kind, name, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if name == title]
    assert found, f"{page.name} has no block titled {title}"
    return "\n\n".join(found)


def commands(page: Path) -> list[list[str]]:
    """The `img2img` commands of a page, without the program's name."""
    blocks = [text for kind, _, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "sh"]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("img2img ")]


def table_entry(code: str) -> tuple[str, str]:
    """The name and the target of a line such as `"tone": "img2img.methods.tone:Tone",`."""
    ((name, target),) = ast.literal_eval("{" + code.strip() + "}").items()
    return name, target


def install(code: str, module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `code` importable as `module`."""
    file = folder / f"{module.rpartition('.')[2]}.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module, loaded)
    spec.loader.exec_module(loaded)


@pytest.fixture
def pairs(here: Path) -> Path:
    """The folder `pairs/` of the examples, in the current folder."""
    return trials.paired(here / "pairs", 6)


@pytest.mark.timeout(900)  # 24 CPU seconds, most of them torch's exporter; a busy machine takes minutes
def test_adding_a_method(pairs: Path, here: Path, monkeypatch: pytest.MonkeyPatch, img2img: Callable[..., Any]) -> None:
    page = GUIDES / "adding-a-method.md"
    name, target = table_entry(python_code(page, "img2img/methods/__init__.py"))
    install(python_code(page, "img2img/methods/tone.py"), target.partition(":")[0], here, monkeypatch)
    monkeypatch.setitem(METHODS, name, target)

    outcomes = [img2img(*words) for words in commands(page)]

    assert [(done.status, done.err) for done in outcomes if done.status] == []
    assert max((here / "runs" / name / "checkpoints").glob("step-*")).name == "step-00000002"
    assert Image.open("result.png").size == Image.open(pairs / "A" / "000.png").size
    assert b"l1 = 50" in outcomes[-1].out


def test_the_method_of_the_example_resumes_exactly(
    pairs: Path, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = GUIDES / "adding-a-method.md"
    _, target = table_entry(python_code(page, "img2img/methods/__init__.py"))
    module, _, attribute = target.partition(":")
    install(python_code(page, "img2img/methods/tone.py"), module, here, monkeypatch)
    method = getattr(sys.modules[module], attribute)
    values = {"data": {"folders": [str(pairs)], "load": 36, "crop": 32}, "steps": 3, "batch": 2, "log_every": 1}
    config = method.recipe.parse(method.recipe.with_defaults(values), where="test")

    trials.check_resume(method, config, tmp_path, stop=2)


@pytest.mark.timeout(900)
def test_adding_a_network(
    pairs: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    img2img: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = GUIDES / "adding-a-network.md"
    name, target = table_entry(python_code(page, "img2img/networks/__init__.py"))
    install(python_code(page, "img2img/networks/pixelwise.py"), target.partition(":")[0], here, monkeypatch)
    monkeypatch.setitem(NETWORKS, name, target)
    for title in ("build.py", "export.py"):
        (here / title).write_text(python_code(page, title), encoding="utf-8")

    generator = runpy.run_path("build.py")["generator"]
    runpy.run_path("export.py")
    printed = capsys.readouterr().out
    outcomes = [img2img(*words) for words in commands(page)]

    assert generator.model[0].out_channels == 16
    assert "context: 0" in printed
    assert [(done.status, done.out, done.err) for done in outcomes if done.status] == []
    session = ort.InferenceSession("runs/pixelwise/model.onnx")
    image = np.full((1, 3, 5, 7), 0.5, np.float32)
    assert session.run(["result"], {"image": image})[0].shape == (1, 3, 5, 7)
    assert Image.open("pixelwise.png").size == Image.open(pairs / "A" / "000.png").size
