"""What every command does with metadata, permissions and times: one by one and in batches."""

import json
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import picture_files
import pytest
from conftest import Outcome, files
from PIL import Image

import img2img as package

Run = Callable[..., Outcome]

PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6"/></x:xmpmeta>'
)
IPTC = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\6" + b"\x1c\2\5\0\1t"
YEAR_2001 = 1_000_000_000_000_000_000  # ns
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")


@pytest.fixture(autouse=True)
def networks(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("networks")
    onnx_nets.pointwise(folder / "upscale.onnx", scale=2)
    onnx_nets.pointwise(folder / "translate.onnx", task="translate")
    onnx_nets.filler(folder / "inpaint.onnx")
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))


def photo(path: Path) -> Path:
    """A JPEG with all metadata there is, to be turned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture_files.noise((12, 20, 3)))
    extra = b"\xff\xed" + struct.pack(">H", len(IPTC) + 2) + IPTC
    options = {"icc_profile": picture_files.rgb_profile(), "dpi": (300, 300), "comment": b"hello", "xmp": PACKET}
    image.save(path, "JPEG", exif=picture_files.exif(orientation=6), extra=extra, **options)
    return path


def words(task: str, *inputs: str) -> list[str]:
    more = ["--box", "0,0,1,1"] if task == "inpaint" else []
    return [task, *inputs, "-m", task, *more]


def warnings(outcome: Outcome) -> dict[str, list[str]]:
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    return {Path(line["input"]).name: line["warnings"] for line in lines if line["status"] != "summary"}


@pytest.mark.parametrize("task", ["upscale", "translate", "inpaint"])
def test_strip_leaves_pixels_colours_and_orientation(img2img: Run, here: Path, task: str) -> None:
    photo(here / "a.jpg")
    assert img2img(*words(task, "a.jpg"), "-o", "kept.jpg").status == 0
    stripped = img2img(*words(task, "a.jpg"), "-o", "bare.jpg", "--strip", "--json")
    assert stripped.status == 0 and warnings(stripped) == {"a.jpg": []}
    with Image.open(here / "kept.jpg") as kept, Image.open(here / "bare.jpg") as bare:
        assert {"exif", "xmp", "photoshop", "comment", "icc_profile", "dpi"} <= set(kept.info)
        assert b't:Orientation="1"' in kept.info["xmp"]
        found = {name for name in bare.info if not name.startswith("jfif")}
        assert found == {"icc_profile"} and bare.info["icc_profile"] == kept.info["icc_profile"]
        assert np.array_equal(np.asarray(bare), np.asarray(kept)) and bare.height > bare.width


def test_a_single_picture_a_batch_and_python_keep_and_name_the_same(img2img: Run, here: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        photo(here / "in" / name)
    note = "IPTC and comment left out: WebP has no place for them"
    alone = img2img("upscale", "in/a.jpg", "-m", "upscale", "-o", "alone.webp", "--json")
    assert warnings(alone) == {"a.jpg": [note]} and note in alone.err
    many = img2img("upscale", "in", "-m", "upscale", "-o", "out", "--format", "webp", "--json")
    assert warnings(many) == {"a.jpg": [note], "b.jpg": [note]} and many.err.count(note) == 2
    assert (here / "alone.webp").read_bytes() == (here / "out" / "a.webp").read_bytes()
    (event, _) = package.batch("in", model="upscale", output="python", format="webp")
    assert event.notes == (note,)
    assert (here / "python" / "a.webp").read_bytes() == (here / "out" / "a.webp").read_bytes()
    result = package.load("upscale").run("in/a.jpg")
    assert b't:Orientation="1"' in result.info["xmp"] and result.info["comment"] == b"hello"


def test_metadata_passes_through_pipes(img2img: Run, here: Path) -> None:
    done = img2img("upscale", "-", "-m", "upscale", stdin=photo(here / "a.jpg").read_bytes())
    (here / "out.jpg").write_bytes(done.out)
    with Image.open(here / "out.jpg") as image:
        assert {"exif", "xmp", "photoshop", "comment"} <= set(image.info)


def test_an_hdr_picture_that_cannot_stay_hdr_is_refused_before_the_work(img2img: Run, here: Path) -> None:
    tag = picture_files.chunk(b"cICP", bytes((9, 16, 0, 1)))
    (here / "a.png").write_bytes(picture_files.png(picture_files.noise((8, 8, 3)), chunks=tag))
    refused = img2img("upscale", "a.png", "-m", "upscale", "-o", "a.jpg")
    assert refused.status == 1 and "it is HDR (PQ), which JPEG cannot say; write PNG or AVIF" in refused.err
    assert files(here) == ["a.png"]
    done = img2img("upscale", "a.png", "-m", "upscale", "-o", "large.png", "--json")
    assert done.status == 0 and any("PQ" in note for note in warnings(done)["a.png"])
    assert tag in (here / "large.png").read_bytes()


@POSIX
@pytest.mark.parametrize("inputs", [["in/a.jpg"], ["in"]])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_results_get_the_permissions_of_their_inputs(img2img: Run, here: Path, inputs: list[str], mode: int) -> None:
    photo(here / "in" / "a.jpg").chmod(mode)
    (here / "out").mkdir()
    assert img2img("upscale", *inputs, "-m", "upscale", "-o", "out").status == 0
    assert stat.S_IMODE((here / "out" / "a.jpg").stat().st_mode) == mode
    again = img2img("upscale", *inputs, "-m", "upscale", "-o", "out", "--existing", "overwrite")
    assert again.status == 0, "a protection that came from the input does not protect the result"


@POSIX
def test_a_replaced_file_keeps_its_own_permissions(img2img: Run, here: Path) -> None:
    photo(here / "a.jpg").chmod(0o600)
    photo(here / "out.jpg").chmod(0o644)
    assert img2img("upscale", "a.jpg", "-m", "upscale", "-o", "out.jpg", "--existing", "overwrite").status == 0
    assert stat.S_IMODE((here / "out.jpg").stat().st_mode) == 0o644


@pytest.mark.parametrize("inputs", [["in/a.jpg"], ["in"]])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_results_get_the_times_of_their_inputs(img2img: Run, here: Path, inputs: list[str], suffix: str) -> None:
    times = (YEAR_2001 + 5, YEAR_2001)
    os.utime(photo(here / "in" / "a.jpg"), ns=times)
    (here / "out").mkdir()
    command = ["upscale", *inputs, "-m", "upscale", "-o", "out", "--format", suffix]
    assert img2img(*command, "--keep-times", "--json").status == 0
    status = (here / "out" / f"a.{suffix}").stat()
    assert status.st_mtime_ns // 1000 == times[1] // 1000 and status.st_atime_ns // 1000 == times[0] // 1000
    assert b'"skipped": 1' in img2img(*command, "--json").out, "the journal knows the result"
    (here / "out" / f"a.{suffix}").unlink()
    assert img2img(*command).status == 0
    assert (here / "out" / f"a.{suffix}").stat().st_mtime_ns > 1.5 * YEAR_2001


def test_strip_is_one_of_the_options_that_the_journal_compares(img2img: Run, here: Path) -> None:
    photo(here / "in" / "a.jpg")
    command = ["upscale", "in", "-m", "upscale", "-o", "out", "--json"]
    assert b'"done": 1' in img2img(*command).out and b'"skipped": 1' in img2img(*command).out
    assert b'"done": 1' in img2img(*command, "--strip").out


@pytest.mark.parametrize("option", ["--strip", "--keep-times"])
def test_video_has_neither(img2img: Run, option: str) -> None:
    done = img2img("upscale", "--raw", "4x4", "-", "-m", "upscale", option, stdin=b"")
    assert done.status == 2 and f"--raw does not support {option}" in done.err
