"""What scripts rely on: lists, filters, shards, journals, dry runs, events; on `img2img upscale`, for all tasks."""

import hashlib
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
import onnx_nets
import pytest
from conftest import Outcome, environment, files
from PIL import Image

import img2img as library
from img2img.errors import UsageError

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("models", "here")


def events(outcome: Outcome) -> dict[str, str]:
    """Name of the input -> status, as --json tells."""
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    return {Path(line["input"]).name: line["status"] for line in lines if line["status"] != "summary"}


@pytest.fixture
def tree(here: Path, photo: Photo) -> Path:
    """in/a.png, in/b.jpg, in/sub/c.png, all different."""
    for seed, name in enumerate(("a.png", "b.jpg", "sub/c.png")):
        photo(here / "in" / name, (9, 7), seed=seed)
    return here / "in"


# --- which files


@pytest.mark.parametrize(("names", "options"), [(b"in/a.png\nin/sub\n", ()), (b"in/a.png\0in/sub\0", ("-0",))])
def test_a_list_of_files_is_read_from_a_file_and_from_stdin(
    img2img: Run, tree: Path, here: Path, names: bytes, options: tuple[str, ...]
) -> None:
    (here / "list").write_bytes(names)
    assert img2img("upscale", "--files-from", "list", *options, "-o", "out").status == 0
    assert img2img("upscale", "--files-from", "-", *options, "-o", "piped", stdin=names).status == 0
    assert files(here / "out") == files(here / "piped") == ["a.png", "c.png"]


def test_without_any_input_the_command_says_what_it_wants(img2img: Run) -> None:
    outcome = img2img("upscale")
    assert outcome.status == 2 and "name pictures, folders, or - for stdin (or --files-from FILE)" in outcome.err


def test_filters_choose_among_what_folders_hold(img2img: Run, tree: Path, here: Path) -> None:
    assert img2img("upscale", "in", "-r", "--include", "*.png", "--exclude", "sub/", "-o", "out").status == 0
    assert files(here / "out") == ["a.png"]


def test_shards_are_disjoint_and_complete(img2img: Run, here: Path, photo: Photo) -> None:
    for number in range(9):
        photo(here / f"in/{number}.png", (4, 4), seed=number)
    parts = []
    for part in (1, 2, 3):
        outcome = img2img("upscale", "in", "-o", "out", "--shard", f"{part}/3", "--json")
        parts.append(set(events(outcome)))
    assert sorted(name for part in parts for name in part) == files(here / "out") == [f"{n}.png" for n in range(9)]


def test_a_dry_run_lists_and_writes_nothing(img2img: Run, tree: Path, here: Path) -> None:
    before = files(here)
    outcome = img2img("upscale", "in", "-r", "-o", "out", "--dry-run")
    assert outcome.status == 0 and files(here) == before and not (here / "out").exists()
    assert [line.split(" -> ")[1] for line in outcome.out.decode().splitlines()] == [
        "out/a.png",
        "out/b.jpg",
        "out/sub/c.png",
    ]
    assert "3 to do" in outcome.err and "of memory for 0.0 megapixels of input with" in outcome.err


def test_newer_inputs_are_done_again(img2img: Run, tree: Path, here: Path) -> None:
    img2img("upscale", "in", "-o", "out")
    now = time.time()
    for name, age in (("a.png", 60), ("b.jpg", -60)):
        os.utime(here / "in" / name, (now - age, now - age))
    outcome = img2img("upscale", "in", "-o", "out", "--existing", "newer", "--json")
    assert events(outcome) == {"a.png": "skipped", "b.jpg": "done"}


# --- the journal


def test_a_second_call_does_what_is_missing_or_changed(
    img2img: Run, tree: Path, here: Path, photo: Photo, models: Path
) -> None:
    call = ("upscale", "in", "-r", "-o", "out", "--json")
    assert set(events(img2img(*call)).values()) == {"done"}
    assert set(events(img2img(*call)).values()) == {"skipped"}
    photo(tree / "a.png", (9, 7), seed=99)
    (here / "out/sub/c.png").unlink()
    assert events(img2img(*call)) == {"a.png": "done", "b.jpg": "skipped", "c.png": "done"}
    assert set(events(img2img(*call, "--strength", "0.5")).values()) == {"done"}
    assert set(events(img2img(*call, "--strength", "0.5", "--tile", "8")).values()) == {"skipped"}
    assert set(events(img2img(*call, "--model", "slow")).values()) == {"done"}
    size = {path.name for path in (here / "out").iterdir() if path.name.startswith(".")}
    assert size <= {".img2img.jsonl", ".img2img.lock"}


def test_an_output_that_somebody_has_changed_is_left_alone(img2img: Run, tree: Path, here: Path, photo: Photo) -> None:
    img2img("upscale", "in", "-o", "out")
    mine = photo(here / "out/a.png", (3, 3)).read_bytes()
    photo(tree / "a.png", (9, 7), seed=99)
    assert events(img2img("upscale", "in", "-o", "out", "--json")) == {"a.png": "skipped", "b.jpg": "skipped"}
    assert (here / "out/a.png").read_bytes() == mine


def test_a_copied_batch_is_not_done_again(img2img: Run, tree: Path, here: Path) -> None:
    img2img("upscale", "in", "-o", "out")
    shutil.copytree(here / "out", here / "moved")  # with other times
    assert set(events(img2img("upscale", "in", "-o", "moved", "--json")).values()) == {"skipped"}


@pytest.mark.parametrize(
    "call", [("in", "-o", "out", "--no-journal"), ("in/a.png", "-o", "out/"), ("in/a.png", "in/b.jpg")]
)
def test_no_journal_is_kept_of_single_files_and_where_it_is_not_wanted(
    img2img: Run, tree: Path, here: Path, call: tuple[str, ...]
) -> None:
    assert img2img("upscale", *call).status == 0
    assert not list(here.rglob(".img2img*"))


def test_what_a_killed_process_has_left_goes_when_its_output_is_made(img2img: Run, tree: Path, here: Path) -> None:
    (here / "out").mkdir()
    half = here / "out/.a.png.123.0123abcd.part"
    strangers = here / "out/.other.part"
    for file in (half, strangers):
        file.write_bytes(b"half")
    img2img("upscale", "in", "-o", "out")
    assert not half.exists() and strangers.exists()


# --- events


def test_json_tells_the_hash_of_every_result(img2img: Run, tree: Path, here: Path) -> None:
    outcome = img2img("upscale", "in", "-r", "-o", "out", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    for line in lines[:-1]:
        assert line["hash"] == "sha256:" + hashlib.sha256(Path(line["output"]).read_bytes()).hexdigest()
        assert line["result_size"] == [36, 28]
    assert lines[-1]["done"] == 3 and lines[-1]["exit_status"] == 0


def test_fail_fast_stops_at_the_first_failure(img2img: Run, here: Path, photo: Photo) -> None:
    (here / "in").mkdir()
    (here / "in/1.png").write_bytes(b"no picture")
    for number in range(2, 32):
        photo(here / f"in/{number}.png", (4, 4))
    outcome = img2img("upscale", "in", "-o", "out", "--fail-fast")
    assert outcome.status == 1 and "stopped at the first failure" in outcome.err
    assert len(files(here / "out")) < 30
    assert img2img("upscale", "in", "-o", "out").status == 1 and len(files(here / "out")) == 30


def test_seams_are_looked_for_and_the_finding_is_told(img2img: Run, here: Path, photo: Photo) -> None:
    photo(here / "a.png", (90, 70))
    outcome = img2img("upscale", "a.png", "--tile", "32", "--check-seams", "--json")
    (line,) = (json.loads(line) for line in outcome.out.splitlines()[:1])
    assert any("no seams" in warning for warning in line["warnings"]), line


def test_the_colours_are_matched_where_that_is_wanted(img2img: Run, here: Path) -> None:
    Image.new("RGB", (24, 24), (180, 90, 40)).save(here / "a.png")
    img2img("upscale", "a.png", "-o", "plain.png")
    img2img("upscale", "a.png", "-o", "fixed.png", "--color-fix")
    away = {}
    for name in ("plain", "fixed"):
        with Image.open(here / f"{name}.png") as image:
            away[name] = np.abs(np.asarray(image).mean((0, 1)) - (180, 90, 40)).max()
    assert away["fixed"] < 0.5 < 0.7 < away["plain"]


def test_memory_has_a_limit(img2img: Run, here: Path, photo: Photo) -> None:
    photo(here / "a.png", (64, 64))
    assert img2img("upscale", "a.png", "--max-memory", "8G").status == 0
    outcome = img2img("upscale", "a.png", "-o", "b.png", "--max-memory", "1M")
    assert outcome.status == 2 and "--max-memory 1M" in outcome.err and not (here / "b.png").exists()


def test_a_picture_that_alone_exceeds_the_memory_fails_alone(command: Run, photo: Photo, here: Path) -> None:
    photo(here / "in" / "small.png")
    photo(here / "in" / "large.png", (4000, 4000), mode="L")
    for _ in range(2):  # also if only the large one is left to do
        outcome = command("upscale", "in", "-o", "out", "--max-memory", "250M")
        assert outcome.status in (1, 2)
        assert outcome.err.count("large.png: --max-memory 250M: upscale-x4 needs at least") == 1
        assert [path.name for path in (here / "out").glob("*.png")] == ["small.png"]


def test_headers_are_read_once_for_a_memory_limit(
    img2img: Run, photo: Photo, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2img.runtime.image import sizes

    for name in "ab":
        photo(here / "in" / f"{name}.png")
    seen, of_files = [], sizes.of_files
    monkeypatch.setattr(sizes, "of_files", lambda files, limit: seen.extend(files) or of_files(files, limit))
    assert img2img("upscale", "in", "-o", "out", "--max-memory", "8G").status == 0
    assert sorted(path.name for path in seen) == ["a.png", "b.png"]


def test_a_dry_run_with_json_ends_with_totals_and_an_estimate(img2img: Run, here: Path, photo: Photo) -> None:
    photo(here / "in/a.png", (16, 16))
    (here / "in/b.txt").write_text("no picture")
    outcome = img2img("upscale", "in", "in/none.png", "-o", "out", "--dry-run", "--json")
    *jobs, summary = map(json.loads, outcome.out.splitlines())
    assert outcome.status == 1 and [job["status"] for job in jobs] == ["to do", "failed"] and not outcome.err
    assert (summary["status"], summary["to do"], summary["failed"]) == ("summary", 1, 1)
    assert summary["estimate"].startswith("about ")


def test_results_that_would_vanish_are_refused(img2img: Run, here: Path, photo: Photo) -> None:
    photo(here / "a.png")
    outcome = img2img("upscale", "a.png", "-o", "memory://results/a.png")
    assert outcome.status == 2 and "memory://results/a.png: results in memory are lost" in outcome.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quality", "300"), "invalid value for '--quality': 300 is not in 1..100"),
        (("--quality", "high"), "invalid value for '--quality': 'high' is not a whole number"),
        (("--existing", "ask"), "invalid value for '--existing': 'ask' is not one of "),
        (("--scale", "many"), ": 'many' is not a number"),
        (("--scale", "1000000"), "--scale 1e+06: use a number above 0 and up to 256"),
        (("-o", "a.xyz"), "cannot write a.xyz: unknown suffix .xyz; use one of .png"),
    ],
)
def test_wrong_values_get_a_plain_answer(
    words: tuple[str, str], message: str, img2img: Run, here: Path, photo: Photo
) -> None:
    photo(here / "a.png")
    outcome = img2img("upscale", "a.png", *words)
    assert outcome.status == 2 and message in outcome.err and "Input should" not in outcome.err


def test_before_many_pictures_a_person_is_told_how_long_it_takes(img2img: Run, here: Path, photo: Photo) -> None:
    for number in range(20):
        photo(here / f"in/{number}.png", (16, 16), seed=number)
    first, *_ = img2img("upscale", "in", "-o", "out", terminal=True).err.splitlines()
    assert first.startswith("20 pictures: about ") and "of memory for 0.0 megapixels of input" in first


# --- models


def test_on_the_cpu_the_8_bit_file_is_used(
    img2img: Run, here: Path, photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2img.runtime.network import cpu

    folder = here / "models"
    folder.mkdir()
    onnx_nets.compact(folder / "upscale-x4.onnx", scale=4, name="upscale-x4")
    onnx_nets.compact(folder / "upscale-x4.int8.onnx", scale=4, name="upscale-x4", seed=1, precision="int8")
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))
    photo(here / "a.png", (8, 8))
    made = {}
    for has in (True, False):
        monkeypatch.setattr(cpu, "has_int8", lambda has=has: has)
        for device in ("cpu", "auto"):
            name = f"{has}-{device}.png"
            assert img2img("upscale", "a.png", "-o", name, "--device", device).status == 0
            made[name] = (here / name).read_bytes()
    assert img2img("upscale", "a.png", "-o", "named.png", "-m", "upscale-x4.int8").status == 0
    plain, int8 = made["False-cpu.png"], made["True-cpu.png"]
    assert plain == made["True-auto.png"] == made["False-auto.png"] != int8 == (here / "named.png").read_bytes()


def test_a_budget_that_nothing_fits_is_refused_with_the_time_it_would_take(
    img2img: Run, here: Path, photo: Photo
) -> None:
    photo(here / "a.png", (64, 64))
    outcome = img2img("upscale", "a.png", "--budget", "0.000001s")
    assert outcome.status == 2 and "the fastest, " in outcome.err and "takes about" in outcome.err
    assert img2img("upscale", "a.png", "--budget", "10min", "-o", "b.png").status == 0


# --- from Python


def test_python_has_the_same_batch(tree: Path, here: Path) -> None:
    found = list(library.batch(tree, output=here / "out", recursive=True, strength=0.5))
    assert [event.status for event in found] == ["done"] * 3 and files(here / "out") == ["a.png", "b.jpg", "sub/c.png"]
    again = list(library.batch(tree, output=here / "out", recursive=True, strength=0.5))
    assert {event.status for event in again} == {"skipped"} and "was made before" in again[0].message


def test_leaving_the_loop_stops_a_batch_and_the_journal_knows_all_that_was_made(here: Path, photo: Photo) -> None:
    for number in range(12):
        photo(here / f"in/{number}.png", (40, 30), seed=number)
    running = library.batch("in", output=here / "out")
    assert next(running).status == "done"
    running.close()
    assert not list((here / "out").rglob("*.part"))
    made = files(here / "out")
    again = {Path(str(event.job.source)).name: event for event in library.batch("in", output=here / "out")}
    assert 1 <= len(made) < 12 and {name for name, event in again.items() if event.status == "skipped"} == set(made)
    assert all("was made before" in again[name].message for name in made)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": "x.png"}, "upscale has no option 'mask'"),
        ({"task": "dream"}, "unknown task 'dream'"),
        ({"strength": 2}, "strength: 2 is not in 0..1"),
        ({"scale": -1}, "--scale -1"),
    ],
)
def test_python_refuses_what_makes_no_sense_at_the_call(tree: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        library.batch(tree, **options)  # type: ignore[arg-type]


# --- --watch


def test_a_watch_runs_until_sigterm_and_ends_with_a_summary_and_0(tree: Path) -> None:
    words = [sys.executable, "-m", "img2img", "upscale", "in", "-r", "-o", "out", "--watch", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    said = [json.loads(process.stdout.readline()) for _ in range(3)]
    shutil.copy(tree / "a.png", tree / "new.png")
    said.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGTERM)
    rest, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert said[-1]["input"] == "in/new.png" and {one["status"] for one in said} == {"done"}
    summary = json.loads(rest)
    assert (summary["done"], summary["failed"], summary["exit_status"]) == (4, 0, 0)
    assert files(Path("out")) == ["a.png", "b.jpg", "new.png", "sub/c.png"]


@pytest.mark.parametrize("words", [["in", "--dry-run"], ["-"], ["in/a.png"], []])
def test_a_watch_takes_folders_and_nothing_else(img2img: Run, tree: Path, words: list[str]) -> None:
    done = img2img("upscale", "--watch", *words)
    assert done.status == 2 and done.err.startswith("error: --watch") and done.err.count("\n") == 1
