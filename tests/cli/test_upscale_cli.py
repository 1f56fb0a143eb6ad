"""`img2img upscale` as a person meets it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome, environment, files
from PIL import Image

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("models", "here")


def size(path: Path | bytes) -> tuple[int, int]:
    """Width and height of a picture that is decoded to its end."""
    with Image.open(io.BytesIO(path) if isinstance(path, bytes) else path) as image:
        image.load()
        return image.size


# --- what comes out


def test_a_photo_comes_out_four_times_larger_beside_itself(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (12, 8))
    assert img2img("upscale", "a.png") == Outcome(0, b"", "")
    assert size(here / "a_x4.png") == (48, 32)


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (["--scale", "2"], "a_x2.png", (24, 16)),
        (["--scale", "3"], "a_x3.png", (36, 24)),
        (["--scale", "2.5"], "a_x2.5.png", (30, 20)),
        (["--model", "upscale-x2"], "a_x2.png", (24, 16)),
        (["--model", "upscale-x2", "--scale", "4"], "a_x4.png", (48, 32)),
        (["--tile", "8"], "a_x4.png", (48, 32)),
        (["--strength", "0.5"], "a_x4.png", (48, 32)),
        (["--tile", "none", "--threads", "1", "--device", "cpu"], "a_x4.png", (48, 32)),
        (["--format", "jpg", "--quality", "30"], "a_x4.jpg", (48, 32)),
        (["-o", "{stem}_{model}.{ext}"], "a_upscale-x4.png", (48, 32)),
        (["-o", "new/folder/"], "new/folder/a.png", (48, 32)),
    ],
)
def test_options_change_size_name_and_format(
    img2img: Run, photo: Photo, here: Path, options: list[str], name: str, expected: tuple[int, int]
) -> None:
    photo(here / "a.png", (12, 8))
    assert img2img("upscale", "a.png", *options) == Outcome(0, b"", "")
    assert files(here) == sorted(["a.png", name]) and size(here / name) == expected


def test_a_model_is_taken_by_path_even_without_a_card(img2img: Run, photo: Photo, here: Path, models: Path) -> None:
    import onnx_nets

    onnx_nets.compact(here / "bare.onnx", scale=3, with_card=False)
    photo(here / "a.png", (12, 8))
    done = img2img("upscale", "a.png", "--model", "bare.onnx")
    assert (done.status, done.out) == (0, b"") and done.err.startswith("bare.onnx has no img2img card; probing found")
    assert size(here / "a_x3.png") == (36, 24)


def test_the_tile_size_does_not_change_the_result(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (37, 29))
    img2img("upscale", "a.png", "-o", "whole.png", "--tile", "none")
    img2img("upscale", "a.png", "-o", "tiles.png", "--tile", "16")
    whole, tiles = (np.asarray(Image.open(here / name)) for name in ("whole.png", "tiles.png"))
    assert np.array_equal(whole, tiles) and whole.std() > 1


def test_a_tree_is_kept_and_what_is_no_picture_is_passed_over(img2img: Run, photo: Photo, here: Path) -> None:
    for name in ("a/x.png", "b/x.png", "b/deep/y.jpg"):
        photo(here / "in" / name)
    (here / "in/Thumbs.db").write_bytes(b"\0")
    (here / "in/b/notes.txt").write_text("no picture")
    assert img2img("upscale", "in", "-r", "-o", "out") == Outcome(0, b"", "")
    assert files(here / "out") == ["a/x.png", "b/deep/y.jpg", "b/x.png"]


def test_a_second_call_on_a_folder_skips_and_says_so(img2img: Run, photo: Photo, here: Path) -> None:
    for name in ("a.png", "b.png"):
        photo(here / "in" / name)
    assert img2img("upscale", "in").status == 0
    made = {path: path.stat().st_mtime_ns for path in (here / "in_x4").iterdir()}
    again = img2img("upscale", "in")
    assert again.status == 0 and again.err.startswith("skipped 2 files") and again.err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in (here / "in_x4").iterdir()} == made
    assert files(here) == ["in/a.png", "in/b.png", "in_x4/a.png", "in_x4/b.png"]
    assert img2img("upscale", "in", "--quiet") == Outcome(0, b"", "")


def test_a_second_call_with_a_pattern_leaves_the_results_of_the_first_alone(
    img2img: Run, photo: Photo, here: Path
) -> None:
    photo(here / "a.png")
    for _ in range(2):
        assert img2img("upscale", "*.png").status == 0
    assert files(here) == ["a.png", "a_x4.png"]


def test_overwrite_replaces_and_fail_refuses(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    (here / "a_x4.png").write_bytes(b"old")
    refused = img2img("upscale", "a.png", "--existing", "fail")
    assert refused.status == 2 and "a_x4.png exists" in refused.err
    assert img2img("upscale", "a.png").err.startswith("skipped a.png: a_x4.png exists")
    assert (here / "a_x4.png").read_bytes() == b"old"
    assert img2img("upscale", "a.png", "--existing", "overwrite") == Outcome(0, b"", "")
    assert size(here / "a_x4.png") == (48, 32)


def test_nothing_to_do_loads_no_model(img2img: Run, photo: Photo, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(here / "a.png")
    (here / "a_x4.png").touch()
    monkeypatch.setattr("img2img.runtime.network.session.load", lambda *_, **__: pytest.fail("loaded"))
    assert img2img("upscale", "a.png").status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
def test_names_with_anything_in_them_work(img2img: Run, photo: Photo, here: Path) -> None:
    strange = [
        b'it\'s "a" b.png',
        b"line\nfeed.png",
        "🎈 ñ.png".encode(),
        b"latin-\xe9.png",
        b"[red]x{y}.png",
        b"-q.png",
    ]
    plain = photo(here / "plain.png")
    (here / "in").mkdir()
    for name in strange:
        shutil.copy(plain, Path(os.fsdecode(b"in/" + name)))
    done = img2img("upscale", "in", "--json")
    assert done.status == 0 and done.err == ""
    lines = [json.loads(line) for line in done.out.decode("ascii").splitlines()]
    assert {os.fsencode(line["output"]) for line in lines[:-1]} == {b"in_x4/" + name for name in strange}
    assert all(Path(line["output"]).exists() for line in lines[:-1])
    for name in strange:
        assert img2img("upscale", os.fsdecode(b"in/" + name), "--existing", "overwrite", terminal=True).status == 0


# --- stdin, stdout, JSON


def test_a_picture_through_a_pipe(command: Run, photo: Photo, here: Path) -> None:
    done = command("upscale", "-", stdin=photo(here / "a.jpg").read_bytes())
    assert done.status == 0 and done.err == ""
    assert size(done.out) == (48, 32) and Image.open(io.BytesIO(done.out)).format == "JPEG"


def test_a_format_on_stdout_and_a_file_from_stdin(img2img: Run, photo: Photo, here: Path) -> None:
    data = photo(here / "a.png").read_bytes()
    assert Image.open(io.BytesIO(img2img("upscale", "a.png", "-o", "-", "--format", "webp").out)).format == "WEBP"
    assert img2img("upscale", "-", "-o", "b.tif", stdin=data) == Outcome(0, b"", "")
    assert size(here / "b.tif") == (48, 32)


@pytest.mark.parametrize(
    ("args", "stdin", "expected"),
    [
        (["-"], None, "stdin is a terminal"),
        (["-"], b"", "empty"),
        (["-"], b"hello, I am text", "text"),
        (["a.png", "b.png", "-o", "-"], b"", "takes one picture"),
        (["a.png", "-o", "-", "--json"], b"", "stdout cannot carry both"),
    ],
)
def test_usage_errors_of_pipes(
    img2img: Run, photo: Photo, here: Path, args: list[str], stdin: bytes | None, expected: str
) -> None:
    photo(here / "a.png"), photo(here / "b.png")
    done = img2img("upscale", *args, stdin=stdin)
    assert done.status in (1, 2) and done.out == b"" and expected in done.err and done.err.count("\n") == 1


def test_json_has_a_line_for_each_file_and_a_summary(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", mode="RGBA")
    photo(here / "b.png")
    (here / "b_x4.jpg").touch()
    (here / "c.png").touch()
    done = img2img("upscale", "a.png", "b.png", "c.png", "d.png", "--format", "jpg", "--json")
    *lines, summary = [json.loads(line) for line in done.out.splitlines()]
    by_input = {line["input"]: line for line in lines}
    assert {name: line["status"] for name, line in by_input.items()} == {
        "a.png": "done",
        "b.png": "skipped",
        "c.png": "failed",
        "d.png": "failed",
    }
    a = by_input["a.png"]
    assert (a["output"], a["size"], a["result_size"], a["error"]) == ("a_x4.jpg", [12, 8], [48, 32], None)
    assert a["seconds"] > 0 and any("white" in warning for warning in a["warnings"])
    assert "empty" in by_input["c.png"]["error"] and "no such file" in by_input["d.png"]["error"]
    assert {key: summary[key] for key in ("status", "done", "skipped", "failed", "exit_status")} == {
        "status": "summary",
        "done": 1,
        "skipped": 1,
        "failed": 2,
        "exit_status": 1,
    }
    assert (summary["warnings"], summary["notes"]) == (1, [])
    assert done.status == 1 and sorted(done.err.splitlines()) == [
        "a.png: transparency laid over white: JPEG has none",
        "error: cannot read c.png: the file is empty (0 bytes)",
        "error: d.png: no such file or folder",
    ]


# --- on a terminal


def test_a_terminal_is_told_what_was_made(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (12, 8))
    done = img2img("upscale", "a.png", terminal=True)
    *warnings, made = done.err.splitlines()
    assert made.startswith("a.png -> a_x4.png  48x32  ") and made.endswith(" s")
    assert all("--color-fix" in warning for warning in warnings)  # an untrained network shifts colours
    photo(here / "b.png", mode="RGBA"), photo(here / "c.png")
    done = img2img("upscale", "b.png", "c.png", "gone.png", "--format", "jpg", terminal=True)
    *said, summary = done.err.splitlines()
    assert done.status == 1 and summary.startswith("2 pictures, 0.0 MP in ") and summary.endswith(", 1 failed, 1 note")
    assert sorted(line for line in said if "--color-fix" not in line) == [
        "b.png: transparency laid over white: JPEG has none",
        "error: gone.png: no such file or folder",
    ]
    assert img2img("upscale", "a.png", "-o", "z.png", "-q", terminal=True).err == ""


def test_everybody_is_told_when_the_model_runs_elsewhere_than_one_may_think(
    img2img: Run, photo: Photo, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2img.runtime.network import session

    original = session.load

    def noted(*args: object, **options: object) -> session.LoadedModel:
        model = original(*args, **options)  # type: ignore[arg-type]
        model.notes = ("running on the CPU: no driver",)
        return model

    monkeypatch.setattr(session, "load", noted)
    photo(here / "a.png")
    assert img2img("upscale", "a.png", terminal=True).err.startswith("running on the CPU: no driver\na.png")
    assert img2img("upscale", "a.png", "-o", "b.png").err.startswith("running on the CPU: no driver\na.png")
    done = img2img("upscale", "a.png", "-o", "c.png", "--json", "-q")
    summary = json.loads(done.out.splitlines()[-1])
    assert done.err == "" and (summary["warnings"], summary["notes"]) == (1, ["running on the CPU: no driver"])


def test_a_long_job_says_beforehand_how_long_and_shows_a_bar(
    img2img: Run, photo: Photo, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2img.cli import progress

    monkeypatch.setattr(progress, "QUIET_START", 0.0)
    monkeypatch.setattr(progress, "MEASURED", 0.0)
    monkeypatch.setattr(progress, "LONG", 0.0)
    for n in range(4):
        photo(here / f"in/{n}.png", (40, 40))
    done = img2img("upscale", "in", "--tile", "16", terminal=True)
    assert done.status == 0
    assert "this will take about " in done.err and ": 4 pictures, 0 megapixels of output" in done.err
    assert "files" in done.err and "MP/s out" in done.err and " left" in done.err


# --- bad input (one line, the right status, the others done, nothing partial)


def broken(kind: str, path: Path, photo: Photo) -> None:
    good = photo(path.with_name("good-source.png"), (64, 64)).read_bytes()
    path.with_name("good-source.png").unlink()
    content = {"empty": b"", "truncated": good[: len(good) // 2], "text": b"I am no picture\n", "header": good[:20]}
    path.write_bytes(content[kind])


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "header"])
def test_a_bad_file_in_the_middle_is_named_and_the_others_are_done(
    img2img: Run, photo: Photo, here: Path, kind: str
) -> None:
    photo(here / "in/a.png")
    broken(kind, here / "in/b.png", photo)
    photo(here / "in/c.png")
    done = img2img("upscale", "in")
    assert done.status == 1 and done.out == b""
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and "in/b.png" in done.err
    assert files(here / "in_x4") == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("args", "status", "expected"),
    [
        (["gone.png"], 2, "gone.png: no such file"),
        (["a.png", "gone.png"], 1, "gone.png: no such file"),
        (["empty"], 2, "empty: no pictures in this folder"),
        (["a.png", "empty"], 1, "empty: no pictures in this folder"),
        (["a.png", "--model", "nope"], 2, "there is no model named 'nope'"),
        (["a.png", "--model", "nope.onnx"], 2, "nope.onnx"),
        (["a.png", "--model", "text.onnx"], 2, "text.onnx"),
        (["a.png", "--device", "tpu"], 2, "tpu"),
        (["a.png", "--scale", "0"], 2, "--scale 0"),
        (["a.png", "--scale", "nan"], 2, "--scale nan"),
        (["a.png", "--tile", "big"], 2, "--tile big"),
        (["a.png", "-o", "text.onnx/b.png"], 2, "text.onnx is not a folder"),
        (["a.png", "-o", "b.xyz"], 2, "b.xyz"),
        (["a.png", "a.jpg", "--format", "png"], 2, "would both become a_x4.png"),
        (["a.png", "-o", "a.png"], 2, "replaced by its own result"),
        (["a.png", "--max-pixels", "50"], 1, "a.png"),
        (["moving.gif"], 1, "--first-frame"),
    ],
)
def test_bad_input_is_one_clear_line_and_the_right_status(
    img2img: Run, photo: Photo, here: Path, args: list[str], status: int, expected: str
) -> None:
    photo(here / "a.png")
    photo(here / "a.jpg")
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 255)]
    frames[0].save(here / "moving.gif", save_all=True, append_images=frames[1:])
    (here / "empty").mkdir()
    (here / "text.onnx").write_text("no model")
    before = files(here)
    done = img2img("upscale", *args)
    assert done.status == status and done.out == b""
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and expected in done.err
    assert files(here) == (
        before if "gone.png" != args[-1] != "empty" or len(args) == 1 else sorted([*before, "a_x4.png"])
    )


def test_the_first_frame_is_taken_when_asked_for(img2img: Run, here: Path) -> None:
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 255)]
    frames[0].save(here / "moving.gif", save_all=True, append_images=frames[1:])
    assert img2img("upscale", "moving.gif", "--first-frame").status == 0
    assert size(here / "moving_x4.png") == (16, 16)


def test_a_model_for_another_task_is_refused(img2img: Run, photo: Photo, here: Path) -> None:
    import onnx_nets

    onnx_nets.instance_norm(here / "other.onnx")
    photo(here / "a.png")
    done = img2img("upscale", "a.png", "--model", "other.onnx")
    assert done.status == 2 and "translate" in done.err and files(here) == ["a.png", "other.onnx"]


def test_a_model_whose_weights_lie_outside_its_folder_is_refused(img2img: Run, photo: Photo, here: Path) -> None:
    import onnx
    import onnx_nets

    model = onnx.load(onnx_nets.compact(here / "net.onnx", scale=4))
    (here / "deep").mkdir()
    onnx.save(model, here / "deep/net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    data = (here / "deep/net.onnx").read_bytes()
    (here / "deep/net.onnx").write_bytes(data.replace(b"net.bin", b"../x.bn"))
    (here / "deep/net.bin").rename(here / "x.bn")
    photo(here / "a.png")
    done = img2img("upscale", "a.png", "--model", "deep/net.onnx")
    assert done.status == 2 and "outside" in done.err and done.err.count("\n") == 1
    assert not (here / "a_x4.png").exists()


def test_a_device_that_is_not_there_is_refused_not_replaced(img2img: Run, photo: Photo, here: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("needs a machine without CUDA")
    photo(here / "a.png")
    done = img2img("upscale", "a.png", "--device", "cuda")
    assert done.status == 2 and "cuda" in done.err.lower() and files(here) == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "in/a.png")
    (here / "in").chmod(0o500)
    done = img2img("upscale", "in/a.png")
    assert done.status == 2 and "no permission" in done.err


# --- the process


def test_upscaling_imports_neither_torch_nor_rich(command: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (16, 16))
    options = ("--scale", "4", "--existing", "overwrite", "--threads", "1")
    done = command("upscale", "a.png", *options, python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.status == 0 and "onnxruntime" in modules
    assert not modules & {"torch", "rich", "onnx", "scipy"}


def start_batch(here: Path, photo: Photo, *, count: int = 200) -> tuple[subprocess.Popen[str], Path]:
    """A batch in a process of its own that is under way: some results are there, many are still to come."""
    for n in range(count):
        photo(here / f"in/{n}.png", (40, 30), seed=n)
    words = [sys.executable, "-m", "img2img", "upscale", "in", "--model", "slow", "--threads", "1"]
    # A shell that starts the tests in the background lets them ignore Ctrl-C, and so would the child.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())
    finally:
        signal.signal(signal.SIGINT, before)
    give_up = time.monotonic() + 30
    while len(list((here / "in_x4").glob("*.png"))) < 3:
        assert process.poll() is None and time.monotonic() < give_up, process.stderr and process.stderr.read()
        time.sleep(0.002)
    return process, here / "in_x4"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_batch_ends_at_once_with_130_and_leaves_whole_files(here: Path, photo: Photo, name: str) -> None:
    process, out = start_batch(here, photo)
    sent = time.monotonic()
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and said == "interrupted\n"
    assert time.monotonic() - sent < 5
    assert 3 <= len(files(out)) < 200 and all(size(out / file) == (160, 120) for file in files(out))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize("wait", [0.0, 0.011, 0.023])
def test_a_killed_batch_leaves_whole_files_and_the_next_call_finishes_it(
    here: Path, photo: Photo, img2img: Run, wait: float
) -> None:
    process, out = start_batch(here, photo, count=30)
    time.sleep(wait)
    process.kill()
    process.communicate(timeout=20)
    whole = list(out.glob("[!.]*"))
    assert 3 <= len(whole) < 30 and all(size(file) == (160, 120) for file in whole)
    assert img2img("upscale", "in", "--model", "slow").status == 0
    assert all(size(out / f"{n}.png") == (160, 120) for n in range(30))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize("limit", [5, 6, 7])
def test_too_few_open_files_are_no_damage_and_no_bug(here: Path, photo: Photo, limit: int) -> None:
    import resource

    for number in range(3):
        photo(here / f"in/{number}.png")
    words = [sys.executable, "-m", "img2img", "upscale", "in", "-o", "out", "--threads", "2"]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    lines = done.stderr.splitlines()
    assert done.returncode in (0, 1) and (done.returncode == 0) == (lines == [])
    assert all("Too many open files: raise the limit (ulimit -n)" in line for line in lines)


def test_no_threads_in_onnxruntime_are_an_error_about_threads() -> None:
    from img2img.runtime.network import inference_errors
    from img2img.threads import NoThreads

    error = RuntimeError("posix/env.cc:327 pthread_create failed, error code: 11 error msg: Resource temporarily")
    assert isinstance(inference_errors.convert(error, "net.onnx"), NoThreads)
