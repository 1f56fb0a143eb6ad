"""Every odd picture gives a correct result or a clear error, in every task."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icc_profiles
import numpy as np
import odd_pictures
import onnx_nets
import picture_files
import preservation
import pytest
from conftest import Outcome, environment, files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import img2img as package
from img2img.errors import Img2ImgError
from img2img.runtime.image import pictures
from img2img.text import show

Run = Callable[..., Outcome]

VERBS = ["upscale", "translate", "inpaint"]
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I;16B"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for each task that changes nothing: `upscale` repeats pixels, `inpaint` fills with what is around."""
    folder = tmp_path_factory.mktemp("networks")
    onnx_nets.pointwise(folder / "upscale.onnx", scale=2)
    onnx_nets.pointwise(folder / "translate.onnx", task="translate")
    onnx_nets.filler(folder / "inpaint.onnx")
    return folder


@pytest.fixture(autouse=True)
def installed(networks: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(networks))


@pytest.fixture(scope="module")
def good() -> odd_pictures.Corpus:
    return odd_pictures.good()


def written(folder: Path, content: odd_pictures.Corpus) -> odd_pictures.Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return content


def words(task: str, *inputs: Path | str, masks: Path = Path("masks")) -> list[str]:
    """The command line for a task, without notes. For inpainting, it makes masks: the upper left pixel of each."""
    if task != "inpaint":
        return [task, *map(str, inputs), "-m", task, "--quiet"]
    for named in map(Path, inputs):
        for path in named.iterdir() if named.is_dir() else [named]:
            mask = Image.new("L", preservation.see(path).size)
            if mask.size != (1, 1):  # a mask that covers all is refused
                mask.putpixel((0, 0), 255)
            masks.mkdir(exist_ok=True)
            mask.save(masks / f"{path.stem}.png")
    return [task, *map(str, inputs), "-m", task, "--mask", str(masks), "--quiet"]


def violations(before: Path, after: Path, task: str) -> dict[str, list[str]]:
    """What was lost of each picture of a folder; and of each input that is not as it was, that."""
    made = {path.stem: path for path in after.iterdir() if not path.name.startswith(".img2img.")}
    found: dict[str, list[str]] = {}
    for path in before.iterdir():
        result = made.pop(path.stem, None)
        found[path.name] = ["there is no result"] if result is None else preservation.kept(path, result, task)
    found |= {path.name: ["it is nobody's result"] for path in made.values()}
    return {name: lost for name, lost in found.items() if lost}


@pytest.mark.parametrize(
    ("lossy", "says"),
    [
        (lambda image: image.resize((39, 24)), "size"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_180), "colour"),
        (lambda image: image.point(lambda value: value - (value > 254)), "white"),
        (lambda image: image.point(lambda value: min(255, value + 2)), "colour"),
        (lambda image: image.convert("RGB"), "transparency"),
        (lambda image: image.convert("LA"), "colour"),
        (lambda image: image.putalpha(255) or image, "alpha"),
        (dict(icc_profile=None), "the colour seen"),
        (dict(exif=odd_pictures.exif(6)), "orientation"),
        (dict(exif=None), "date"),
        (dict(exif=None), "place"),
        (dict(exif=odd_pictures.exif().replace(b"2026:02", b"2026:03")), "moment"),
        (dict(dpi=(72, 72)), "resolution"),
    ],
)
def test_what_is_lost_is_found(here: Path, lossy: Any, says: str) -> None:
    """The property itself can fail."""
    told = {"exif": odd_pictures.exif(), "icc_profile": icc_profiles.display_p3(), "dpi": (300, 300)}
    whole, changed = odd_pictures.image("RGBA"), odd_pictures.image("RGBA")
    whole.save(here / "whole.png", **told)
    if callable(lossy):
        changed = lossy(changed)
    else:
        told |= lossy
    changed.save(here / "changed.png", **{key: value for key, value in told.items() if value is not None})
    assert preservation.kept(here / "whole.png", here / "whole.png", "translate") == []
    assert any(says in line for line in preservation.kept(here / "whole.png", here / "changed.png", "translate"))


def test_lost_bits_and_lost_grey_are_found(here: Path) -> None:
    odd_pictures.image("I;16").save(here / "deep.png")
    odd_pictures.image("L").save(here / "grey.png")
    odd_pictures.image("L").convert("RGB").save(here / "colour.png")
    assert "16 bits have become 8" in preservation.kept(here / "deep.png", here / "grey.png", "inpaint")
    assert "grey has become colour" in preservation.kept(here / "grey.png", here / "colour.png", "inpaint")


@pytest.mark.parametrize("task", VERBS)
def test_every_odd_picture_comes_out_with_all_that_it_has(
    img2img: Run, here: Path, good: odd_pictures.Corpus, task: str
) -> None:
    written(here / "in", good)
    done = img2img(*words(task, "in"), "-o", "out", "--json")
    *lines, _ = [json.loads(line) for line in done.out.splitlines()]
    assert {line["input"]: line["error"] for line in lines if line["status"] != "done"} == {}
    assert done.status == 0 and done.err == ""
    assert violations(here / "in", here / "out", task) == {}
    assert {path.name: path.read_bytes() for path in (here / "in").iterdir()} == good


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff", "bmp", "avif"])
def test_every_odd_picture_can_become_every_format(here: Path, good: odd_pictures.Corpus, format: str) -> None:
    if format.upper() not in [*odd_pictures.FORMATS, "JPG"]:
        pytest.skip(f"this Pillow has no {format}")
    written(here / "in", {name: data for name, data in good.items() if "30000" not in name})
    for event in package.batch("in", task="translate", model="translate", output="out", format=format, quality=95):
        assert (event.status, event.message) == ("done", "")
    assert {Path(name).suffix for name in files(here / "out")} <= {f".{format}", ".tif" if format == "tiff" else ""}
    assert violations(here / "in", here / "out", "translate") == {}


@st.composite
def combinations(draw: st.DrawFn) -> dict[str, Any]:
    format = draw(st.sampled_from(odd_pictures.FORMATS))
    mode = draw(st.sampled_from(odd_pictures.MODES[format]))
    told = format in odd_pictures.METADATA and not (format == "TIFF" and mode == "YCbCr")
    space = {"L": "grey", "LA": "grey", "I;16": "grey", "RGB": "p3", "RGBA": "p3", "P": "p3", "CMYK": "cmyk"}.get(mode)
    return {
        "format": format,
        "mode": mode,
        "size": draw(st.tuples(st.integers(1, 50), st.integers(1, 50))),
        "orientation": draw(st.sampled_from([None, *range(1, 9)])) if told else None,
        "profile": draw(st.sampled_from([None, space])) if format in odd_pictures.METADATA else None,
        "dpi": draw(st.sampled_from([None, 72, 300])) if format not in preservation.NO_DPI else None,
        "task": draw(st.sampled_from(VERBS)),
        "result": draw(st.sampled_from([None, *(name for name in odd_pictures.FORMATS if name != "GIF")])),
    }


def made(one: dict[str, Any]) -> bytes:
    options: dict[str, Any] = {}
    if one["orientation"] is not None:
        options["exif"] = odd_pictures.exif(one["orientation"])
    if one["profile"] is not None:
        options["icc_profile"] = {"grey": icc_profiles.grey, "p3": icc_profiles.display_p3, "cmyk": icc_profiles.cmyk}[
            one["profile"]
        ]()
    if one["dpi"] is not None:
        options["dpi"] = (one["dpi"], one["dpi"])
    return odd_pictures.saved(odd_pictures.image(one["mode"], *one["size"]), one["format"], **options)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(one=combinations())
def test_any_mode_format_orientation_profile_and_size_goes_through_any_task(
    img2img: Run, here: Path, one: dict[str, Any]
) -> None:
    for old in ("in", "out", "masks"):
        shutil.rmtree(here / old, ignore_errors=True)
    before = here / "in" / f"a{odd_pictures.SUFFIXES[one['format']]}"
    written(here / "in", {before.name: made(one)})
    options = [] if one["result"] is None else ["--format", {"JPEG": "jpg"}.get(one["result"], one["result"].lower())]
    # What a few pixels of all colours lose to a lossy format is up to that format.
    assert img2img(*words(one["task"], before), "-o", "out/", "--quality", "100", *options) == Outcome(0, b"", "")
    assert violations(here / "in", here / "out", one["task"]) == {}


# --- names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
@pytest.mark.parametrize("task", VERBS)
def test_names_with_anything_in_them_are_kept(img2img: Run, here: Path, task: str) -> None:
    plain = odd_pictures.saved(odd_pictures.image("RGB"), "PNG", exif=odd_pictures.exif(6))
    written(here / "in", dict.fromkeys(odd_pictures.NAMES, plain))
    assert img2img(*words(task, "in"), "-o", "out") == Outcome(0, b"", "")
    assert violations(here / "in", here / "out", task) == {}
    assert {path.name for path in (here / "out").glob("*.[pP]*")} >= set(odd_pictures.NAMES)
    for name in odd_pictures.NAMES:
        done = img2img(*words(task, f"in/{name}"), "-o", "again/")
        assert done == Outcome(0, b"", ""), name
    assert violations(here / "in", here / "again", task) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
def test_errors_about_such_names_are_one_printable_line_each(img2img: Run, here: Path) -> None:
    written(here / "in", dict.fromkeys(odd_pictures.NAMES, b"no picture"))
    done = img2img("upscale", "in", "-m", "upscale", "-o", "out")
    assert done.status == 1 and done.out == b"" and files(here / "out") == []
    lines = done.err.split("\n")[:-1]
    assert all(line.isprintable() and line.startswith("error: ") for line in lines)
    assert sorted(lines) == sorted(
        line for name in odd_pictures.NAMES for line in lines if f"in/{show(name)}: " in line
    )
    assert len(set(lines)) == len(odd_pictures.NAMES)


# --- what is no picture, or one that cannot be read


def test_each_bad_file_is_one_line_that_names_it_and_says_why(command: Run, here: Path) -> None:
    bad = odd_pictures.bad()
    written(
        here / "in",
        {name: data for name, (data, _) in bad.items()} | {"a.png": odd_pictures.saved(odd_pictures.image("L"), "PNG")},
    )
    # A process of its own: libraries in C may write to its stderr past Python's.
    done = command("upscale", "in", "-m", "upscale", "-o", "out", "--json")
    *lines, summary = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == summary["exit_status"] == 1
    errors = {Path(line["input"]).name: line["error"] for line in lines if line["status"] == "failed"}
    assert {name: errors.get(name) for name, (_, word) in bad.items() if word not in (errors.get(name) or "")} == {}
    assert sorted(done.err.splitlines()) == sorted(f"error: {error}" for error in errors.values())
    assert all(f"in/{name}" in error for name, error in errors.items())
    assert files(here / "out") == ["a.png"]
    assert {path.name: path.read_bytes() for path in (here / "in").iterdir() if path.name in bad} == {
        name: data for name, (data, _) in bad.items()
    }


@pytest.mark.parametrize(("name", "data"), odd_pictures.whole().items())
def test_a_file_cut_off_anywhere_is_an_error(
    name: str, data: bytes, capfd: pytest.CaptureFixture[str], here: Path
) -> None:
    path = here / name
    path.write_bytes(data)
    whole = pictures.read(path)
    # Each tenth byte, and each of the last, where only what ends the file is missing.
    for length in [*range(0, len(data), 10), *range(max(0, len(data) - 30), len(data))]:
        path.write_bytes(data[:length])
        try:
            found = pictures.read(path)
        except Img2ImgError as error:
            assert name in str(error) and "\n" not in str(error)
        else:
            # A GIF's last two bytes say nothing but that it ends, and many writers forget them.
            assert name == "cut.gif" and length >= len(data) - 2, f"read from {length} of {len(data)} bytes"
            np.testing.assert_array_equal(found.colour, whole.colour)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("task", VERBS)
def test_cut_off_files_are_errors_of_every_verb_and_leave_nothing(img2img: Run, here: Path, task: str) -> None:
    cut = {f"{name}.png": data[: len(data) * 2 // 3] for name, data in odd_pictures.whole().items()}
    written(here / "in", cut)
    fill = ["--box", "0,0,1,1"] if task == "inpaint" else []
    done = img2img(task, "in", "-m", task, "-o", "out", *fill)
    assert done.status == 1 and done.out == b"" and len(done.err.splitlines()) == len(cut)
    assert all(sum(f"in/{name}: " in line for line in done.err.splitlines()) == 1 for name in cut)
    assert files(here / "out") == []


@pytest.mark.parametrize("task", VERBS)
def test_an_animation_is_refused_and_its_first_frame_is_kept_when_asked_for(
    img2img: Run, here: Path, task: str
) -> None:
    moving = written(here / "in", odd_pictures.animated())
    command = words(task, "in")
    refused = img2img(*command, "-o", "out")
    assert refused.status == 1 and files(here / "out") == []
    assert all(f"in/{name}: it has 3 frames; --first-frame" in refused.err for name in moving)
    assert img2img(*command, "-o", "out", "--first-frame") == Outcome(0, b"", "")
    assert violations(here / "in", here / "out", task) == {}


def test_what_cannot_be_kept_is_said(here: Path) -> None:
    gamma = picture_files.chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    deep = picture_files.png(odd_pictures.scene(dtype=np.uint16), chunks=gamma)
    written(here / "in", {"a.png": deep, "b.jpg": odd_pictures.saved(odd_pictures.image("CMYK"), "JPEG")})
    events = package.batch("in", model="upscale", output="out", format="bmp")
    notes = {event.job.label: " / ".join(event.notes) for event in events}
    assert "gamma" in notes["in/a.png"] and "16 bits" in notes["in/a.png"]
    assert "without an ICC profile" in notes["in/b.jpg"]


def test_a_result_beyond_its_format_is_refused_with_a_way_out(img2img: Run, here: Path) -> None:
    written(here / "in", {"long.jpg": odd_pictures.saved(odd_pictures.image("L", 40_000, 1), "JPEG")})
    done = img2img("upscale", "in/long.jpg", "-m", "upscale", "-o", "out/")
    assert done.status == 1 and "long.jpg" in done.err and "write PNG" in done.err and done.err.count("\n") == 1
    assert files(here) == ["in/long.jpg"]
    assert img2img("upscale", "in/long.jpg", "-m", "upscale", "-o", "out/", "--format", "png").status == 0
    assert violations(here / "in", here / "out", "upscale") == {}


# --- places


def test_links_are_followed_and_loops_of_links_end(img2img: Run, here: Path) -> None:
    written(
        here / "real",
        {
            "a.png": odd_pictures.saved(odd_pictures.image("RGB"), "PNG"),
            "b.jpg": odd_pictures.saved(odd_pictures.image("L"), "JPEG"),
        },
    )
    (here / "in/deep").mkdir(parents=True)
    (here / "in/file.png").symlink_to(here / "real/a.png")
    (here / "in/folder").symlink_to(here / "real", target_is_directory=True)
    (here / "in/deep/up").symlink_to(here / "in", target_is_directory=True)
    (here / "in/here").symlink_to(".", target_is_directory=True)
    (here / "in/dead.png").symlink_to("gone.png")
    (here / "in/loop.png").symlink_to("pool.png")
    (here / "in/pool.png").symlink_to("loop.png")
    done = img2img("upscale", "in", "-r", "-m", "upscale", "-o", "out")
    assert done.status == 1
    assert sorted(line.split(":")[1].split()[-1] for line in done.err.splitlines()) == [
        "in/dead.png", "in/loop.png", "in/pool.png",
    ]  # fmt: skip
    assert files(here / "out") == ["file.png", "folder/a.png", "folder/b.jpg"]
    assert preservation.kept(here / "in/file.png", here / "out/file.png", "upscale") == []
    assert (here / "in/file.png").is_symlink()


@pytest.mark.parametrize("task", VERBS)
def test_a_target_that_is_the_input_is_refused_unless_it_may_be_overwritten(
    img2img: Run, here: Path, task: str
) -> None:
    data = odd_pictures.saved(
        odd_pictures.image("RGB"), "PNG", exif=odd_pictures.exif(6), icc_profile=icc_profiles.display_p3()
    )
    written(here / "in", {"a.png": data})
    written(here / "old", {"a.png": data})
    (here / "same.png").symlink_to("in/a.png")
    (here / "hard.png").hardlink_to(here / "in/a.png")
    command = words(task, "in/a.png")
    for target in ("in/a.png", "./in/../in/a.png", "in/", "same.png", "hard.png"):
        done = img2img(*command, "-o", target)
        assert done.status == 2 and done.err.count("\n") == 1 and "replaced by its own result" in done.err
        assert (here / "in/a.png").read_bytes() == data
    assert img2img(*command, "-o", "in/a.png", "--existing", "overwrite") == Outcome(0, b"", "")
    assert preservation.kept(here / "old/a.png", here / "in/a.png", task) == []
    assert (here / "hard.png").read_bytes() == data  # another name for what was there, which stays
    assert files(here / "in") == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions")
@pytest.mark.parametrize("task", VERBS)
def test_a_read_only_folder_is_said_before_the_work_and_nothing_is_left_in_it(here: Path, task: str) -> None:
    rootless = [
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search",
        "--inh-caps",
        "-dac_override,-dac_read_search",
    ]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere")
    written(here / "in", {"a.png": odd_pictures.saved(odd_pictures.image("RGB"), "PNG")})
    words_ = words(task, "in/a.png")
    (here / "in").chmod(0o500)
    (here / "locked").mkdir(mode=0o500)
    try:
        for where in ([], ["-o", "locked/"], ["-o", "locked/new/b.png"]):
            command = [sys.executable, "-m", "img2img", *words_, *where]
            command = [*rootless, *command] if os.geteuid() == 0 else command
            done = subprocess.run(command, capture_output=True, env=environment(), timeout=60, check=False, text=True)
            assert done.returncode in (1, 2) and done.stdout == "" and done.stderr.count("\n") == 1
            assert "no permission to write" in done.stderr
        assert files(here / "in") == ["a.png"] and files(here / "locked") == []
    finally:
        (here / "in").chmod(0o700)
        (here / "locked").chmod(0o700)


# --- from Python


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillows_goes_through_a_loaded_model(networks: Path, mode: str) -> None:
    given = odd_pictures.image(mode)
    result = package.load("upscale").run(given)
    expected = {"I;16": "I;16", "I;16B": "I;16", "1": "L", "L": "L", "LA": "LA", "La": "LA"}.get(mode)
    assert result.size == (2 * given.width, 2 * given.height)
    assert result.mode == expected or (
        expected is None and result.mode == ("RGBA" if mode in ("PA", "RGBA", "RGBa") else "RGB")
    )
    if mode.startswith("I"):
        assert np.array_equal(np.asarray(result)[::2, ::2], np.asarray(given))
        return
    wanted = np.asarray((given.convert("LA") if mode == "La" else given).convert(result.mode)).reshape(
        given.height, given.width, -1
    )
    found = np.asarray(result)[::2, ::2].reshape(wanted.shape)
    seen = wanted[..., -1] > 0 if result.mode in ("LA", "RGBA") else np.ones(wanted.shape[:2], np.bool_)
    assert np.abs(found.astype(int) - wanted)[seen].max() <= 1


@pytest.mark.parametrize("mode", ["F", "I"])
def test_modes_without_a_range_are_refused(networks: Path, mode: str) -> None:
    with pytest.raises(Img2ImgError, match=f"mode {mode}"):
        package.load("upscale").run(Image.new(mode, (3, 3)))
