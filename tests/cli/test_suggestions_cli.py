"""Compressed photos: one line names a model that also cleans them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from conftest import Outcome, environment
from PIL import Image

import img2img as package

Run = Callable[..., Outcome]

LINE = "photo.jpg is compressed (quality ~60): -m cleaner also cleans it\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Path:
    """The user's models: `upscale-x4` and `upscale-x2` for clean photos, `cleaner` (x4) for degraded ones.

    No bundled models, and an empty current folder.
    """
    from img2img.runtime.network import models

    own = tmp_path / "models"
    own.mkdir()
    onnx_nets.compact(own / "upscale-x4.onnx", scale=4, share=0.05, input_quality="clean")
    onnx_nets.compact(own / "upscale-x2.onnx", scale=2, share=0.05, input_quality="clean")
    onnx_nets.compact(own / "cleaner.onnx", scale=4, share=0.05, input_quality="degraded")
    monkeypatch.setenv("IMG2IMG_MODELS", str(own))
    monkeypatch.setattr(models, "bundled_folder", lambda: tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    return own


def save(name: str, quality: int = 60) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=quality)


def test_a_compressed_photo_gets_a_line(img2img: Run) -> None:
    save("photo.jpg")
    done = img2img("upscale", "photo.jpg")
    assert (done.status, done.out) == (0, b"")
    assert done.err.startswith(LINE) and done.err.endswith(", 1 note\n")


def test_the_command_in_the_line_works_and_says_nothing_more(img2img: Run) -> None:
    save("photo.jpg")
    assert "compressed" not in img2img("upscale", "photo.jpg", "-o", "out.jpg", "-m", "cleaner").err


def test_a_batch_gets_one_line_with_a_count(img2img: Run) -> None:
    for name, quality in {"a": 45, "b": 70, "c": 90, "d": 60}.items():
        save(f"in/{name}.jpg", quality)
    save("in/e.png")
    err = img2img("upscale", "in").err
    assert err.startswith("3 of 5 photos are compressed (quality ~45 to 70): -m cleaner also cleans them\n")
    assert err.count("compressed") == 1


def test_one_of_several_is_counted_too(img2img: Run) -> None:
    save("in/a.jpg", 60)
    save("in/b.jpg", 90)
    assert "1 of 2 photos is compressed (quality ~60): -m cleaner also cleans it\n" in img2img("upscale", "in").err


@pytest.mark.parametrize(
    "options",
    [
        ["--quiet"],
        ["-m", "cleaner"],
        ["--scale", "2"],  # upscale-x2 is used, and no cleaner has this scale
        ["--budget", "60s"],  # refuses --model
    ],
)
def test_nothing_is_suggested_that_does_not_fit(img2img: Run, options: list[str]) -> None:
    save("photo.jpg")
    done = img2img("upscale", "photo.jpg", *options)
    assert "compressed" not in done.err


@pytest.mark.parametrize("quality", [85, 95])
def test_a_photo_of_good_quality_gets_no_line(img2img: Run, quality: int) -> None:
    save("photo.jpg", quality)
    assert img2img("upscale", "photo.jpg") == Outcome(0, b"", "")


@pytest.mark.parametrize("input_quality", [..., None, "degraded"])
def test_a_model_that_is_not_known_to_be_for_clean_photos_causes_no_line(
    img2img: Run, folder: Path, input_quality: str | None
) -> None:
    onnx_nets.compact(folder / "mine.onnx", scale=4, share=0.05, input_quality=input_quality)
    save("photo.jpg")
    assert img2img("upscale", "photo.jpg", "-m", "mine") == Outcome(0, b"", "")


def test_without_a_model_for_degraded_photos_there_is_no_line(img2img: Run, folder: Path) -> None:
    (folder / "cleaner.onnx").unlink()
    save("photo.jpg")
    assert img2img("upscale", "photo.jpg") == Outcome(0, b"", "")


def test_json_has_the_quality_and_the_suggestion_of_each_picture(img2img: Run) -> None:
    save("in/a.jpg", 60)
    save("in/b.jpg", 90)
    save("in/c.png")
    *lines, summary = map(json.loads, img2img("upscale", "in", "--json", "--quiet").out.splitlines())
    found = {line["input"]: (line["jpeg_quality"], line["suggestion"]) for line in lines}
    assert found == {"in/a.jpg": (60, "cleaner"), "in/b.jpg": (90, None), "in/c.png": (None, None)}
    assert summary["notes"] == ["1 of 3 photos is compressed (quality ~60): -m cleaner also cleans it"]


def test_events_of_the_python_api_have_both() -> None:
    save("photo.jpg")
    (event,) = package.batch("photo.jpg")
    assert (event.status, event.jpeg_quality, event.suggestion) == ("done", 60, "cleaner")


def test_a_picture_that_is_no_jpeg_costs_no_further_module() -> None:
    save("a.png")
    code = (
        "import sys; from img2img.cli import main; main(['upscale', 'a.png']);"
        "print([name for name in sys.modules if 'jpeg_quality' in name or 'suggestions' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert Path("a_x4.png").is_file() and done.stdout == "[]\n"
