"""A thousand files, one in twenty of them bad: good ones succeed, bad ones are named, and the status reports it."""

import json
import os
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome, files
from picture_files import png_header
from PIL import Image

pytest.importorskip("onnx")

import onnx_nets

SUFFIXES = ("png", "jpg", "webp", "bmp", "tif")
SIZE = (9, 7)


def encoded(number: int, suffix: str) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, Image.registered_extensions()[f".{suffix}"])
    return stream.getvalue()


def cut(number: int, suffix: str) -> bytes:
    whole = encoded(number, suffix)
    return whole[: len(whole) * 2 // 3]


# Each with a phrase that its error is to have.
BAD: list[tuple[Callable[[int], tuple[str, bytes]], str]] = [
    (lambda number: ("png", cut(number, "png")), "cut off"),
    (lambda number: ("jpg", cut(number, "jpg")), "cut off"),
    (lambda number: ("webp", cut(number, "webp")), "cut off"),
    (lambda number: ("png", b"<!doctype html><title>404 Not Found</title>"), "web page"),
    (lambda number: ("webp", b"cat.webp could not be converted\n"), "it is text"),
    (lambda number: ("jpg", b""), "empty"),
    (lambda number: ("png", b"\x89PNX" + encoded(number, "png")[4:]), "not a picture"),
    (lambda number: ("png", png_header(60_000, 60_000) + encoded(number, "png")[33:]), "60000"),
]
DENIED = "Permission denied"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder of 1,000 files in 10 subfolders, and of those that are bad what their errors are to say."""
    folder, bad = tmp_path_factory.mktemp("mixed"), {}
    for number in range(1000):
        suffix, phrase = SUFFIXES[number % len(SUFFIXES)], None
        if number % 20 != number // 20 % 20:  # one in each twenty, now here, now there
            data = encoded(number, suffix)
        elif number // 20 % (len(BAD) + 1) < len(BAD):
            make, phrase = BAD[number // 20 % (len(BAD) + 1)]
            suffix, data = make(number)
        else:
            data, phrase = encoded(number, suffix), DENIED
        path = folder / f"{number % 10}" / f"{number}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if phrase == DENIED:
            path.chmod(0)
            if os.access(path, os.R_OK):  # whoever runs this may read everything: let it lead nowhere
                path.unlink()
                path.symlink_to(folder / "gone.png")
                phrase = "No such file"
        if phrase is not None:
            bad[path.relative_to(folder).as_posix()] = phrase
    return folder, bad


def test_of_1000_files_950_are_done_and_50_named(
    mixed: tuple[Path, dict[str, str]], img2img: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder, bad = mixed
    assert len(bad) == 50 and len(set(bad.values())) >= 5
    model, out = onnx_nets.pointwise(tmp_path / "tiny.onnx", scale=2), tmp_path / "out"
    words = ("upscale", folder, "-r", "-o", f"{out}/", "-m", model, "--json")

    done = img2img(*words)
    assert done.status == 1
    *records, summary = [json.loads(line) for line in done.out.splitlines()]
    assert len(records) == 1000 and len({record["input"] for record in records}) == 1000
    assert Counter(record["status"] for record in records) == {"done": 950, "failed": 50}
    assert (summary["status"], summary["done"], summary["failed"], summary["exit_status"]) == ("summary", 950, 50, 1)

    failed = {
        os.path.relpath(record["input"], folder): record["error"] for record in records if record["status"] == "failed"
    }
    assert failed.keys() == bad.keys()
    assert [name for name, phrase in bad.items() if name not in failed[name] or phrase not in failed[name]] == []
    assert sorted(done.err.splitlines()) == sorted(f"error: {text}" for text in failed.values())

    good = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} - bad.keys()
    assert set(files(out)) == good
    for name in good:
        with Image.open(out / name) as picture:
            picture.load()
            assert picture.size == (2 * SIZE[0], 2 * SIZE[1])

    again = img2img(*words)
    summary = json.loads(again.out.splitlines()[-1])
    assert (again.status, summary["skipped"], summary["done"], summary["failed"]) == (1, 950, 0, 50)
