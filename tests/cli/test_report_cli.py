"""`img2img report`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_runs import add_line, write_run

from img2img.cli import report


def test_a_report_is_written_into_the_run(img2img: Callable[..., Any], here: Path) -> None:
    run = write_run(here / "run")
    done = img2img("report", run)
    assert (done.status, done.out, done.err) == (0, b"", f"wrote {run / 'report.html'}\n")
    assert "finished, 100 steps" in (run / "report.html").read_text(encoding="utf-8")


def test_a_report_on_stdout(img2img: Callable[..., Any], here: Path) -> None:
    done = img2img("report", write_run(here / "run"), "-o", "-")
    assert done.out.startswith(b"<!doctype html>") and done.err == ""


def test_a_comparison_leaves_out_what_is_no_run(img2img: Callable[..., Any], here: Path) -> None:
    done = img2img("report", write_run(here / "a"), write_run(here / "b"), here / "c")
    assert done.status == 1
    assert done.err.splitlines() == [
        f"error: {here / 'c'}: no such folder; name the folder of a run",
        "wrote comparison.html",
    ]
    assert "no such folder" in Path("comparison.html").read_text(encoding="utf-8")


def test_folders_without_a_run_are_usage_errors(img2img: Callable[..., Any], here: Path) -> None:
    assert (img2img("report", here / "a").status, img2img("report", here / "a", here / "b").status) == (2, 2)
    assert img2img("report", here / "a", here / "b", "--watch").err == "error: --watch: name one run\n"


def test_watching_ends_with_the_run(img2img: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(here / "run", steps=200)
    going_on = iter([True, True, False])
    monkeypatch.setattr("img2img.evaluation.report.state.is_running", lambda folder: next(going_on))
    seen = []

    def pause(seconds: float) -> None:
        seen.append((run / "report.html").read_text(encoding="utf-8").count("running, step 1"))
        add_line(run, {"step": 200, "loss": 1.0})

    monkeypatch.setattr(report.time, "sleep", pause)
    done = img2img("report", run, "--watch")
    assert done.err.splitlines()[-1] == "the run has ended"
    assert seen[0] == 1 and "finished, 200 steps" in (run / "report.html").read_text(encoding="utf-8")
