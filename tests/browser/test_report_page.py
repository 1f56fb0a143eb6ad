"""The report of a run in a browser: curves, contact sheets, and the page of a running training."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import add_line, write_run

from img2img.evaluation.report import comparison_page, run_page
from img2img.evaluation.report.folder import RunFolder

LOSSES = "#charts figure:has-text('Losses')"


def write(page: Path, folder: Path, **options: Any) -> str:
    """Write the report of the run in `folder` and return its address."""
    page.write_text(run_page.build(RunFolder(folder).read(), **options), encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_run(tmp_path_factory.mktemp("runs") / "<b>run")
    add_line(folder, {"step": 90, "warning": "warning: the discriminator has won"})
    return write(folder / "report.html", folder, running=False)


@pytest.fixture
def page(tab: Any, finished: str) -> Iterator[Any]:
    """The report of a finished run."""
    tab.goto(finished)
    yield tab


def hover(tab: Any, share: float) -> None:
    """Point at the chart of the losses, at a share of its width."""
    svg = tab.locator(f"{LOSSES} svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    tab.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def legend(tab: Any) -> list[str]:
    """The legend of the losses: names and values."""
    found: list[str] = tab.locator(f"{LOSSES} .legend button").all_inner_texts()
    return [" ".join(one.split()) for one in found]


def heights(tab: Any) -> list[str]:
    """The paths of the curves of the losses."""
    return [line.get_attribute("d") for line in tab.locator(f"{LOSSES} path.line:not(.faint)").all()]


def test_pointing_at_a_chart_shows_the_values_there(page: Any) -> None:
    assert legend(page) == ["loss 0.1", "l1 0.01"]
    hover(page, 0.1)
    assert legend(page) == ["loss 1", "l1 0.1"]
    assert page.locator(f"{LOSSES} figcaption").inner_text().split() == ["Losses", "step", "10"]
    assert page.locator(f"{LOSSES} .cursor").count() == 1
    page.mouse.move(0, 0)
    assert legend(page) == ["loss 0.1", "l1 0.01"]


def test_a_chart_can_be_read_with_the_keyboard(page: Any) -> None:
    svg = page.locator(f"{LOSSES} svg")
    svg.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert svg.get_attribute("aria-valuetext") == "step 20: loss 0.5, l1 0.05"
    page.keyboard.press("Escape")
    assert svg.get_attribute("aria-valuenow") == "100"


def test_the_legend_switches_a_curve_off_and_on(page: Any) -> None:
    button = page.locator(f"{LOSSES} .legend button").first
    lines = page.locator(f"{LOSSES} path.line")
    assert lines.count() == 2
    button.click()
    assert (button.get_attribute("aria-pressed"), lines.count()) == ("false", 1)
    button.click()
    assert (button.get_attribute("aria-pressed"), lines.count()) == ("true", 2)


def test_log_scale_and_smoothing_change_the_curves(page: Any) -> None:
    before = heights(page)
    page.get_by_label("Log scale").check()
    logarithmic = heights(page)
    assert logarithmic != before
    assert "linear" in page.locator("#charts figure:has-text('closeness') figcaption").inner_text()
    page.get_by_label("Smoothing").fill("0.9")
    assert heights(page) != logarithmic
    assert page.locator(f"{LOSSES} path.faint").count() == 2


def test_dragging_enlarges_a_part_of_all_charts(page: Any) -> None:
    whole = page.get_by_role("button", name="Show all steps")
    assert whole.is_disabled()
    hover(page, 0.6)
    page.mouse.down()
    hover(page, 0.9)
    page.mouse.up()
    slider = page.locator("#charts figure:has-text('Learning rate') svg")
    assert int(float(slider.get_attribute("aria-valuemin"))) > 40
    whole.click()
    assert slider.get_attribute("aria-valuemin") == "10"


def test_the_slider_changes_the_contact_sheet(page: Any) -> None:
    picture, slider = page.locator("#sheet-picture"), page.get_by_label("Step of the contact sheet")
    seen = {picture.get_attribute("src")}
    assert picture.get_attribute("alt") == "Contact sheet of step 100"
    slider.fill("0")
    seen.add(picture.get_attribute("src"))
    assert page.locator("#sheet-step").inner_text() == "step 33 (1 of 3)"
    page.get_by_role("button", name="Later sheet").click()
    seen.add(picture.get_attribute("src"))
    slider.press("ArrowRight")
    assert page.locator("#sheet-step").inner_text() == "step 100 (3 of 3)"
    assert len(seen) == 3 and picture.evaluate("one => one.complete && one.naturalWidth") == 60


def test_warnings_are_in_the_charts_and_in_a_table(page: Any) -> None:
    assert page.locator(f"{LOSSES} .warned title").inner_html() == "step 90: warning: the discriminator has won"
    assert "the discriminator has won" in page.locator("#warnings").inner_text()
    assert page.locator("h1").inner_text() == "<b>run"


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_the_page_is_accessible_and_fits_the_screen(browser: Any, finished: str, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    tab = context.new_page()
    tab.goto(finished)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(tab).response["violations"]
    context.close()
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_report_of_a_running_training_updates(tab: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", steps=200)
    address = write(folder / "report.html", folder, running=True, reload=0.5)
    tab.goto(address)
    assert "running, step 100 of 200" in tab.locator("#state").inner_text()
    tab.locator(f"{LOSSES} .legend button").first.click()
    add_line(folder, {"step": 200, "loss": 1.0, "l1": 0.25})
    part = folder / "part"
    write(part, folder, running=False)
    part.replace(folder / "report.html")
    tab.wait_for_selector("text=finished, 200 steps")
    assert legend(tab)[1] == "l1 0.25"
    assert tab.locator(f"{LOSSES} .legend button").first.get_attribute("aria-pressed") == "false"


def test_a_run_without_samples_or_figures_has_a_page(tab: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", logged=0, sheets=0)
    (folder / "speed.jsonl").unlink()
    tab.goto(write(folder / "report.html", folder, running=False))
    text = tab.locator("main").inner_text()
    assert "no contact sheet yet" in text and "there is no log.jsonl" in text and "no figures yet" in text


def test_gaps_and_a_hundred_thousand_steps_are_drawn(tab: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", logged=10)
    lines = ({"step": step, "loss": step % 7 if step > 500 else float("nan")} for step in range(10, 100_000))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tab.goto(write(folder / "report.html", folder, running=False))
    assert tab.locator(f"{LOSSES} path.band").count() == 1
    assert "NaN" not in "".join(heights(tab)) and len(heights(tab)[0]) < 20_000
    assert (folder / "report.html").stat().st_size < 300_000


def test_the_legend_of_a_comparison_switches_a_run_in_all_charts(tab: Any, tmp_path: Path) -> None:
    runs = [RunFolder(write_run(tmp_path / name, scale=scale)).read() for name, scale in (("a", 1), ("b", 2))]
    page = tmp_path / "comparison.html"
    page.write_text(comparison_page.build(runs), encoding="utf-8")
    tab.goto(page.as_uri())
    charts = tab.locator("#charts figure").count()
    assert tab.locator("#charts path.line").count() == 2 * charts == 10
    tab.locator("#charts .legend button").first.click()
    assert tab.locator("#charts path.line").count() == charts
