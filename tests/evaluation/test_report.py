"""Reports about runs: what is read from a run folder, and the pages that show it."""

import json
import math
import os
import platform
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from PIL import Image
from report_runs import add_line, write_run

from img2img.errors import ConfigError
from img2img.evaluation.report import comparison_page, run_page
from img2img.evaluation.report.folder import Found, RunFolder
from img2img.evaluation.report.log import TRAINING, VALIDATION, Key, Log
from img2img.evaluation.report.settings import Settings, differing
from img2img.evaluation.report.sheets import Sheets, choose
from img2img.evaluation.report.speed import Speed
from img2img.evaluation.report.state import HOLDER, is_running
from img2img.evaluation.report.thin import POINTS, thin

LOSS = Key(TRAINING, "loss")


def read(folder: Path) -> Found:
    return RunFolder(folder).read()


def data_of(page: str) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.update()
    assert log.missing
    add_line(tmp_path, {"step": 1, "loss": 3.0})
    add_line(tmp_path, {"step": 1, "validation": {"psnr": 20}})
    log.update()
    add_line(tmp_path, {"step": 2, "loss": 2.0})
    add_line(tmp_path, {"step": 2, "warning": "warning: careful"})
    log.update()
    assert list(log.curves[LOSS].values) == [3.0, 2.0]
    assert list(log.curves[Key(VALIDATION, "psnr")].steps) == [1]
    assert (log.step, log.warnings, log.missing) == (2, [(2, "warning: careful")], False)


def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        add_line(tmp_path, {"step": step, "loss": 1.0})
    log = Log(tmp_path / "log.jsonl")
    log.update()
    (tmp_path / "other").write_text('{"step": 1, "loss": 5.0}\n')
    (tmp_path / "other").replace(tmp_path / "log.jsonl")
    log.update()
    assert list(log.curves[LOSS].values) == [5.0]


def test_damaged_lines_are_counted_and_the_others_are_used(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "loss": NaN}',
        "[1]",
        '{"loss": 1}',
        "\udcff",
        '{"step": 2, "loss": 1e999}',
        '{"step": 3, "lo',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), errors="surrogateescape")
    log = Log(tmp_path / "log.jsonl")
    log.update()
    assert (log.damaged, log.unfinished, log.not_finite()) == (3, True, {LOSS: 2})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('ss": 4.0}\n')
    log.update()
    assert not log.unfinished and log.curves[LOSS].values[-1] == 4.0


def test_a_long_curve_keeps_its_spikes_and_its_gaps() -> None:
    steps = list(range(1, 100_001))
    values = [1.0] * len(steps)
    values[50_000] = 100.0
    values[70_000:71_000] = [math.nan] * 1000
    made = thin(steps, values)
    assert len(made.steps) == POINTS and made.steps[-1] == 100_000
    assert max(value for value in made.high if value is not None) == 100.0
    assert made.mean.count(None) == made.low.count(None) and 4 <= made.mean.count(None) <= 6
    short = thin([2, 1], [math.inf, 5.123456])
    assert short == ([1, 2], [5.1235, None], [], [])


def test_settings_that_differ_from_the_recipe(tmp_path: Path) -> None:
    found = Settings.read(write_run(tmp_path / "run")).differences()
    assert [(one.key, one.value, one.default) for one in found] == [
        ("batch", "4", "1"),
        ("generator.options.features", "8", "64"),
    ]


def test_settings_that_differ_between_runs(tmp_path: Path) -> None:
    runs = [Settings.read(write_run(tmp_path / name, steps=steps)) for name, steps in (("a", 100), ("b", 200))]
    assert differing(runs) == {"steps": ["100", "200"]}


@pytest.mark.parametrize(("count", "most", "expected"), [(1, 40, 1), (40, 40, 40), (41, 40, 21), (1000, 40, 33)])
def test_few_of_many_sheets_are_chosen_with_the_first_and_the_last(count: int, most: int, expected: int) -> None:
    files = {step: Path(f"{step}.png") for step in range(count)}
    found = list(choose(files, most))
    assert (len(found), found[0], found[-1]) == (expected, 0, count - 1)


def test_a_sheet_is_shrunk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (2400, 100)).save(tmp_path / "step-00000001.png")
    (tmp_path / "step-00000002.png").write_bytes(b"no picture")
    sheets = Sheets(tmp_path)
    first = sheets.update()
    assert [(one.step, one.width, one.height) for one in first] == [(1, 1200, 50)]
    assert sheets.broken == ["step-00000002.png"]
    (tmp_path / "step-00000002.png").unlink()
    monkeypatch.setattr("img2img.evaluation.report.sheets.shrink", None)
    assert sheets.update() == first


def test_speed_adds_up_and_skips_damaged_lines(tmp_path: Path) -> None:
    lines = ['{"session": {"device": "cpu"}}', '{"steps": 10, "seconds": 2, "waiting": 1}', "?", '{"steps": 1}', "{"]
    (tmp_path / "speed.jsonl").write_text("\n".join(lines))
    speed = Speed(tmp_path)
    speed.update()
    speed.update()
    assert (speed.rate, speed.waiting_share, speed.sessions) == (5.0, 0.5, [{"device": "cpu"}])


@pytest.mark.parametrize(
    ("pid", "host", "since", "expected"),
    [
        (os.getpid(), platform.node(), datetime.now().astimezone().isoformat(), True),
        (os.getpid(), platform.node(), "2001-01-01 00:00:00+00:00", False),  # the number of a process that was killed
        (2**31 - 1, platform.node(), datetime.now().astimezone().isoformat(), False),
        (1, "another machine", "2001-01-01 00:00:00+00:00", True),
        ("?", platform.node(), "", False),
    ],
    ids=["this process", "a number in use again", "no such process", "another machine", "damaged"],
)
def test_whether_a_run_goes_on(tmp_path: Path, pid: Any, host: str, since: str, expected: bool) -> None:
    assert not is_running(tmp_path)
    (tmp_path / HOLDER).write_text(json.dumps({"pid": pid, "host": host, "since": since}))
    assert is_running(tmp_path) is expected


def test_the_page_shows_what_the_run_holds(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    add_line(folder, {"step": 90, "warning": "warning: the discriminator has won <b>"})
    page = run_page.build(read(folder), running=False)
    for words in (
        "finished, 100 steps",
        "step 100: closeness -0.3333",
        "2 steps/s",
        "20 %",
        "a processor",
        "the discriminator has won &lt;b&gt;",
        "<code>batch</code>",
        "img2img export",
        "3 kB",
    ):
        assert words in page
    data = data_of(page)
    assert [chart["title"] for chart in data["charts"]] == [
        *("Losses", "Learning rate", "Validation: closeness", "Validation: psnr")
    ]
    assert [sheet["step"] for sheet in data["sheets"]] == [33, 66, 100]
    assert data["warnings"] == [{"step": 90, "text": "warning: the discriminator has won <b>"}]
    assert data["reload"] == 0 and 'id="reload"' not in page
    assert 'id="notes"' not in page


def test_a_figure_of_the_input_shares_the_chart_of_the_result(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", sheets=0)
    for step in (50, 100):
        add_line(folder, {"step": step, "validation": {"psnr": step, "psnr_input": 1.0, "l1_input": 1.0}})
    charts = data_of(run_page.build(read(folder), running=False))["charts"]
    shown = {chart["title"]: [one["name"] for one in chart["series"]] for chart in charts}
    assert shown["Validation: psnr"] == ["psnr", "psnr_input"]
    assert shown["Validation: l1_input"] == ["l1_input"] and "Validation: psnr_input" not in shown


def test_the_page_of_a_running_training_loads_itself_again(tmp_path: Path) -> None:
    page = run_page.build(read(write_run(tmp_path / "run", steps=1000)), running=True)
    assert "running, step 100 of 1,000" in page
    assert data_of(page)["reload"] == run_page.RELOAD and 'id="reload"' in page


def test_an_empty_or_damaged_run_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.json").write_text("{")
    (folder / "config.toml").write_text("steps = ")
    (folder / "pictures.json").write_text("[1]")
    (folder / "data.json").write_text('{"notes": 3, "items": [{"odd": 1}, 2]}')
    (folder / "data.png").write_bytes(b"?")
    (folder / "model.onnx").write_bytes(b"?")
    page = run_page.build(read(folder), running=False)
    for words in (
        "config.toml cannot be read",
        "there is no log.jsonl",
        "best.json is broken",
        "no contact sheet yet",
        "no figures yet",
        "data.png cannot be read",
        "model.onnx",
        "no speed.jsonl",
    ):
        assert words in page


def test_a_run_of_an_older_version_has_no_defaults_to_compare_with(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "config.schema.json").unlink()
    (folder / "speed.jsonl").unlink()
    found = read(folder)
    assert found.notes == ["an older version wrote this run, without the recipe's defaults"]
    assert 'id="settings"' not in run_page.build(found, running=False)


@pytest.mark.parametrize(
    ("make", "message"), [(None, "no such folder"), ("file", "this is a file"), ("folder", "not a run")]
)
def test_what_is_no_run_is_refused(tmp_path: Path, make: str | None, message: str) -> None:
    place = tmp_path / "place"
    if make == "file":
        place.touch()
    elif make == "folder":
        place.mkdir()
    with pytest.raises(ConfigError, match=message):
        RunFolder(place)


def test_runs_are_compared(tmp_path: Path) -> None:
    runs = [
        read(write_run(tmp_path / name / "run", steps=steps, scale=steps)) for name, steps in (("a", 100), ("b", 200))
    ]
    page = comparison_page.build(runs, ["c: no such folder"])
    assert "<code>steps</code>" in page and "<code>batch</code>" not in page
    assert "c: no such folder" in page
    charts = data_of(page)["charts"]
    assert [chart["title"] for chart in charts] == [
        *("Validation: closeness", "Validation: psnr", "Training: loss", "Training: l1", "Training: rate")
    ]
    assert [series["name"] for series in charts[0]["series"]] == ["a/run", "b/run"]


def test_reports_do_not_need_the_packages_for_training(tmp_path: Path) -> None:
    folder, other = write_run(tmp_path / "run"), write_run(tmp_path / "other")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['accelerate'] = None\n"
        "from img2img.cli import main\n"
        f"sys.exit(main(['report', {str(folder)!r}]) or main(['report', {str(folder)!r}, {str(other)!r}, '-o', '-']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").exists() and "<!doctype html>" in done.stdout
