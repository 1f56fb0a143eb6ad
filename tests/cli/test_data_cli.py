"""`img2img data check`, with methods that consist of a recipe only."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from pydantic import Field

from img2img import methods
from img2img.cli import app
from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData
from img2img.errors import ConfigError
from img2img.methods.config import RunConfig


class Recipe(RunConfig):
    method: str = Field(default="pairs", description="method")
    data: PairedData = Field(description="pairs")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        if name != "pairs":
            raise ConfigError(f"unknown method '{name}'; there are pairs")
        return SimpleNamespace(recipe=Recipe)

    monkeypatch.setattr(methods, "find", find)
    monkeypatch.setitem(app.COMMANDS, "data", ("img2img.cli.data:data", "Check a data set before it is trained on."))


@pytest.fixture
def pairs(photo: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(12):
        photo(tmp_path / "street" / "A" / f"{number}.png", (40, 40), seed=number)
        photo(tmp_path / "street" / "B" / f"{number}.png", (40, 40), seed=100 + number)
    return tmp_path / "street"


def test_the_report_is_printed_on_stderr(img2img: Callable[..., Any], pairs: Path) -> None:
    done = img2img("data", "check", pairs, "--for", "pairs", "--set", "data.load=36", "--set", "data.crop=32")
    assert (done.status, done.out) == (0, b"")
    lines = done.err.splitlines()
    assert lines[0] == "11 training pairs, 1 held out"
    assert "A is A, B is B" in lines[1]
    assert lines[-1] == "pairs can train on this"
    assert ["input", "train", "11", "40x40", "RGB"] in [line.split() for line in lines]


def test_json_on_stdout(img2img: Callable[..., Any], pairs: Path) -> None:
    (pairs / "A" / "x.png").write_bytes(b"")
    done = img2img("data", "check", pairs, "--for", "pairs", "--json")
    assert (done.status, done.err) == (1, "")
    record = json.loads(done.out)
    assert record["method"] == "pairs" and record["trainable"] is False
    assert record["groups"][0]["largest"] == [40, 40]
    levels = [finding["level"] for finding in record["findings"]]
    assert levels[0] == "error" and "warning" in levels


def test_a_data_set_that_is_not_ready_for_training_is_status_1(img2img: Callable[..., Any], pairs: Path) -> None:
    (pairs / "B" / "3.png").write_bytes(b"no picture")
    (pairs / "A" / "4.png").unlink()
    done = img2img("data", "check", pairs, "--for", "pairs")
    assert done.status == 1
    assert "error: B without A: 1 of 12 (4)" in done.err
    assert "error: 1 picture is not readable: cannot read B/3.png" in done.err
    assert "pairs cannot train on this: 2 errors" in done.err


def test_the_limit_of_pixels_is_an_option(img2img: Callable[..., Any], pairs: Path) -> None:
    done = img2img("data", "check", pairs, "--for", "pairs", "--max-pixels", "10")
    assert done.status == 1 and "is more than the limit of 10 pixels; raise it with --max-pixels" in done.err
    assert img2img("data", "check", pairs, "--for", "pairs").status == 0


def test_long_lists_are_shortened(img2img: Callable[..., Any], pairs: Path) -> None:
    done = img2img("data", "check", pairs, "--for", "pairs")
    assert "    and 21 more (--json lists all)" in done.err.splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere", "--for", "pairs"], "nowhere: no such folder or file"),
        (["check", ".", "--for", "magic"], "unknown method 'magic'"),
        (["check", ".", "--for", "pairs", "--set", "data.size=3"], "unknown key 'data.size'"),
        (["check", "."], "--for"),
        (["mend", ".", "--for", "pairs"], "data mend: use 'img2img data check"),
    ],
)
def test_usage_errors(img2img: Callable[..., Any], here: Path, words: list[str], message: str) -> None:
    done = img2img("data", *words)
    assert done.status == 2 and message in done.err


def test_a_terminal_shows_progress_that_disappears(img2img: Callable[..., Any], pairs: Path) -> None:
    done = img2img("data", "check", pairs, "--for", "pairs", terminal=True)
    assert done.status == 0 and "pairs can train on this" in done.err


def test_a_sheet_shows_what_the_method_sees(
    img2img: Callable[..., Any], pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Method:
        recipe = Recipe

        def __init__(self, config: Any) -> None:
            self.config = config

        def load(self) -> Any:
            return PairedSet.read(self.config.data, seed=0).dataset

    monkeypatch.setattr(methods, "find", lambda name: Method)
    Image.new("RGB", (40, 40), "navy").save(pairs / "B" / "0.png")
    settings = ("--set", "data.load=36", "--set", "data.crop=32")
    for name in ("sheet.png", "sheet.html"):
        done = img2img("data", "check", pairs, "--for", "pairs", *settings, "--sheet", pairs / name)
        assert done.status == 0 and done.err.splitlines()[-1] == f"wrote {pairs / name}"
    with Image.open(pairs / "sheet.png") as sheet:
        assert sheet.width > 400
    page = (pairs / "sheet.html").read_text(encoding="utf-8")
    assert "1: nearly blank; target is nearly blank" in page and "11 training pairs, 1 held out" in page


@pytest.mark.parametrize(("name", "status", "message"), [("a.gif", 2, "ends in .png"), ("a.png", 1, "is not written")])
def test_a_sheet_that_cannot_be_made(
    img2img: Callable[..., Any], pairs: Path, name: str, status: int, message: str
) -> None:
    (pairs / "A" / "x.png").write_bytes(b"")
    done = img2img("data", "check", pairs, "--for", "pairs", "--sheet", pairs / name)
    assert done.status == status and message in done.err and not (pairs / name).exists()
