"""A training writes its report, which changes nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import trials

from img2img import methods
from img2img.errors import Interrupted
from img2img.evaluation.report.folder import RunFolder
from img2img.training.listener import SilentListener
from img2img.training.loop import train

PIX2PIX = methods.find("pix2pix")


def config(data: Path) -> Any:
    values = {
        "method": "pix2pix",
        "steps": 6,
        "batch": 2,
        "log_every": 2,
        "validate_every": 3,
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}},
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "none"}},
        "data": {"folders": [str(data)], "load": 24, "crop": 16},
    }
    return PIX2PIX.recipe.parse(PIX2PIX.recipe.with_defaults(values), where="test")


class Notes(SilentListener):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img.exchange.export", lambda *args, **named: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.paired(tmp_path_factory.mktemp("pairs"))


def test_a_training_writes_its_report_and_is_not_changed_by_it(data: Path, tmp_path: Path) -> None:
    outcome = train(PIX2PIX, config(data), tmp_path / "with", SilentListener(), device="cpu")
    train(PIX2PIX, config(data), tmp_path / "without", SilentListener(), device="cpu", report=False)
    assert outcome.report == tmp_path / "with" / "report.html"
    page = outcome.report.read_text(encoding="utf-8")
    assert "finished, 6 steps" in page
    assert trials.log(tmp_path / "with") == trials.log(tmp_path / "without")
    ours, theirs = trials.weights(tmp_path / "with"), trials.weights(tmp_path / "without")
    assert all(ours[key].equal(theirs[key]) for key in theirs)
    assert not any((tmp_path / "without" / name).exists() for name in ("report.html", "data.png", "speed.jsonl"))
    found = RunFolder(tmp_path / "with").read()
    assert found.notes == []
    assert (found.speed.steps, found.speed.sessions[0]["device"]) == (6, "cpu")
    assert found.speed.rate and found.speed.waiting_share is not None
    assert found.seen and len(found.seen_notes["items"]) == 11
    assert "11 training pairs, 1 held out" in found.seen_notes["notes"]


def test_the_report_of_a_stopped_training_says_so_and_that_of_its_end_too(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(PIX2PIX, config(data), run, trials.StopAfter(4), device="cpu")
    assert "stopped at step 4 of 6" in (run / "report.html").read_text(encoding="utf-8")
    train(PIX2PIX, config(data), run, SilentListener(), device="cpu")
    assert "finished, 6 steps" in (run / "report.html").read_text(encoding="utf-8")
    speed = RunFolder(run).read().speed
    assert speed.steps == 6 and len(speed.sessions) == 2


def test_the_report_is_written_at_each_validation(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    seen: list[str] = []

    class Reader(SilentListener):
        def stepped(self, step: int, figures: object) -> None:
            seen.append((run / "report.html").read_text(encoding="utf-8"))

    train(PIX2PIX, config(data), run, Reader(), device="cpu")
    assert ["running, step" in page for page in seen] == [True] * 6
    assert "no contact sheet yet" in seen[2] and "running, step 3 of 6" in seen[3]


def test_a_report_that_cannot_be_written_is_a_note(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **named: object) -> None:
        raise RuntimeError("no page today")

    monkeypatch.setattr("img2img.evaluation.report.run_page.build", fail)
    monkeypatch.setattr("img2img.data.seen.look", fail)
    listener = Notes()
    outcome = train(PIX2PIX, config(data), tmp_path / "run", listener, device="cpu")
    assert outcome.step == 6 and outcome.report is None
    assert [note for note in listener.notes if "no page today" in note] == [
        "the preview of the data could not be written (no page today); the training is not affected"
    ]


def test_time_after_a_return_to_a_checkpoint_is_counted_from_there(tmp_path: Path) -> None:
    from img2img.training.reporter import Reporter

    (tmp_path / "checkpoints").mkdir()
    reporter = Reporter(tmp_path, 0, {}, lambda text: None)
    for step, seconds in ((10, 1.0), (5, 1.5), (10, 2.0)):
        reporter.timed(step, seconds, 0.0)
    lines = [json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    assert [(line.get("steps"), line.get("seconds")) for line in lines] == [(None, None), (10, 1.0), (5, 0.5)]
