"""The pages of `img2img compare` in a browser."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.cli import main

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30)}
WIDTH, HEIGHT = 320, 240


def drawing(seed: int, tint: tuple[int, int, int]) -> Image.Image:
    """A picture of one tint with some structure, and one detail that no other has."""
    random = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), tint, np.int16) + random.integers(-8, 9, (HEIGHT, WIDTH, 1))
    pixels[40:80, 200:240] = np.array(tint) // 2
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos/` with results in `red/` and `green/`, one of them missing; a page, and a blind one."""
    made = tmp_path_factory.mktemp("compare")
    for seed in range(3):
        for name, tint in {"photos": (120, 120, 120), **COLOURS}.items():
            (made / name).mkdir(exist_ok=True)
            if (name, seed) != ("green", 2):
                drawing(seed, tint).save(made / name / f"{seed}.png")
    sides = ["--with", str(made / "red"), "--with", str(made / "green")]
    assert main(["compare", str(made / "photos"), *sides, "-q", "-o", str(made / "page.html")]) == 1
    assert main(["compare", str(made / "photos"), *sides, "-q", "--blind", "-o", str(made / "study.html")]) == 1
    return made


@pytest.fixture
def page(tab: Any, folder: Path) -> Iterator[Any]:
    tab.goto((folder / "page.html").as_uri())
    shown(tab, 0)
    return tab


def shown(tab: Any, case: int) -> None:
    """Wait until a picture is on the stage."""
    tab.wait_for_selector(f'#stage[data-shown="{case}"]')


def colour_at(tab: Any, share: float) -> tuple[int, int, int]:
    """What the stage shows there, `share` of its width from the left, at half its height."""
    box = tab.locator("#pair").bounding_box()
    clip = {"x": box["x"] + share * box["width"], "y": box["y"] + 0.6 * box["height"], "width": 8, "height": 8}
    with Image.open(io.BytesIO(tab.screenshot(clip=clip))) as image:
        red, green, blue = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(0)
    return round(red), round(green), round(blue)


def is_red(colour: tuple[int, int, int]) -> bool:
    return colour[0] > 2 * colour[1]


def is_green(colour: tuple[int, int, int]) -> bool:
    return colour[1] > 2 * colour[0]


def text(tab: Any, selector: str) -> str:
    found: str = tab.locator(selector).inner_text()
    return found


def test_the_slider_moves_and_the_picture_changes(page: Any) -> None:
    assert is_red(colour_at(page, 0.3)) and is_green(colour_at(page, 0.7))
    page.locator("#slider").fill("80")
    assert is_red(colour_at(page, 0.7))
    box = page.locator("#pair").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.8 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=4)
    page.mouse.up()
    assert is_green(colour_at(page, 0.3))
    assert float(page.locator("#slider").input_value()) == pytest.approx(20, abs=1.5)


def test_keys_choose_pictures_sides_and_views(page: Any) -> None:
    keyboard = page.keyboard
    keyboard.press("ArrowRight")
    shown(page, 1)
    assert text(page, "#name") == "1.png" and "2 of 3" in text(page, "#place")
    keyboard.press("ArrowLeft")
    shown(page, 0)
    keyboard.press("Shift+ArrowRight")
    assert page.locator("#slider").input_value() == "52"
    keyboard.press("1")  # the right side becomes red, so the left one becomes green
    page.wait_for_function("document.getElementById('right-tag').textContent === 'red'")
    assert text(page, "#left-tag") == "green" and is_red(colour_at(page, 0.7))
    keyboard.press("Shift+3")
    page.wait_for_function("document.getElementById('left-tag').textContent === 'input'")
    keyboard.press("d")
    page.wait_for_selector("#difference canvas")
    assert "mean" in text(page, "#difference-mean")
    keyboard.press("d")
    keyboard.press("g")
    page.wait_for_selector("#grid .pane img")
    assert page.locator("#grid .pane").count() == 3
    before = text(page, "#level")
    keyboard.press("z")
    assert text(page, "#level") != before
    keyboard.press("0")
    assert text(page, "#level") == before


def places(page: Any, selector: str) -> list[list[int]]:
    """Left, top and width of pictures relative to their panes."""
    found: list[list[int]] = page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].map((one) => {
            const [box, pane] = [one.getBoundingClientRect(), one.closest('.pane').getBoundingClientRect()];
            return [box.left - pane.left, box.top - pane.top, box.width].map(Math.round);
        })""",
        selector,
    )
    return found


def test_zoom_and_position_are_the_same_in_every_pane(page: Any) -> None:
    page.keyboard.press("g")
    page.wait_for_selector("#grid .pane img")
    pane = page.locator("#grid .pane").nth(1).bounding_box()
    page.mouse.move(pane["x"] + 40, pane["y"] + 40)
    page.mouse.wheel(0, -500)
    page.wait_for_timeout(100)
    page.mouse.down()
    page.mouse.move(pane["x"] + 90, pane["y"] + 60, steps=3)
    page.mouse.up()
    first, *others = places(page, "#grid .pane img")
    assert first[2] > 2 * pane["width"] and first[0] < 0 and len(others) == 2
    assert all(one == first for one in others)
    page.keyboard.press("g")
    page.wait_for_selector("#left img")
    left, right = places(page, "#left img, #right img")
    assert left == right and left[2] == first[2]


def test_the_wheel_keeps_the_point_under_the_pointer(page: Any) -> None:
    box = page.locator("#pair").bounding_box()
    (before,) = places(page, "#left img")
    x, y = 0.6 * box["width"], 0.4 * box["height"]
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    (after,) = places(page, "#left img")
    growth = after[2] / before[2]
    assert growth > 1.5
    assert (x - after[0]) / growth == pytest.approx(x - before[0], abs=2)
    assert (y - after[1]) / growth == pytest.approx(y - before[1], abs=2)


def test_crops_zoom_to_where_the_sides_differ(page: Any) -> None:
    page.wait_for_selector(".crop")
    assert page.locator(".crop").first.locator("canvas").count() == 3
    page.locator(".crop").first.click()
    assert int(text(page, "#level").split()[0]) > 200


def test_a_missing_result_says_why(page: Any) -> None:
    page.locator("[data-case='2']").first.click()
    shown(page, 2)
    assert "no picture with its name" in text(page, "#right")
    assert "no picture with its name" in text(page, "#message")
    page.get_by_text("1 problem", exact=True).click()


def test_the_difference_is_that_of_the_pixels(page: Any) -> None:
    page.keyboard.press("d")
    page.wait_for_selector("#difference canvas")
    mean = float(text(page, "#difference-mean").split()[1])
    assert mean == pytest.approx(190, abs=6)  # of red, 220 and 30; the detail has half of it


def test_the_order_may_be_by_difference(page: Any) -> None:
    page.locator("#sort").select_option("difference")
    names = page.locator("#list .name").all_inner_texts()
    assert sorted(names) == ["0.png", "1.png", "2.png"] and names[-1] != "0.png"


def test_a_narrow_window_does_not_scroll_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", ["page", "study"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 400)])
def test_axe_finds_nothing_serious(tab: Any, folder: Path, name: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto((folder / f"{name}.html").as_uri())
    shown(tab, 0)
    found = axe.Axe().run(tab).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_votes_are_saved_and_reported(tab: Any, folder: Path, tmp_path: Path, capsys: Any) -> None:
    tab.goto((folder / "study.html").as_uri())
    shown(tab, 0)
    assert tab.locator("#save").is_disabled()
    for place in range(2):  # the third picture has only one result
        shown(tab, place)
        left = np.asarray(screenshot(tab, "#a"))[..., :2].astype(int)
        tab.keyboard.press("a" if left[..., 0].mean() > left[..., 1].mean() else "b")  # the red one
    tab.wait_for_function("document.getElementById('message').textContent.includes('All answered')")
    with tab.expect_download() as waiting:
        tab.locator("#save").click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    saved = json.loads(file.read_text())
    assert saved["format"] == "img2img-votes" and len(saved["votes"]) == 2

    assert main(["compare", "--votes", str(file), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["sides"]["red"]["wins"], record["sides"]["red"]["losses"]) == (2, 0)
    assert record["sides"]["red"]["low"] == pytest.approx(0.3424, abs=1e-4)  # 2 of 2: 2 / (2 + z²)


def test_a_vote_can_be_changed(tab: Any, folder: Path) -> None:
    tab.goto((folder / "study.html").as_uri())
    shown(tab, 0)
    tab.keyboard.press("t")
    shown(tab, 1)
    tab.keyboard.press("ArrowLeft")
    shown(tab, 0)
    assert tab.locator("[data-vote=tie]").get_attribute("aria-pressed") == "true"
    tab.locator("[data-vote=B]").click()
    shown(tab, 1)
    assert tab.locator("#progress").evaluate("(one) => one.value") == 1


def screenshot(tab: Any, selector: str) -> Image.Image:
    image = Image.open(io.BytesIO(tab.locator(selector).screenshot())).convert("RGB")
    width, height = image.size
    return image.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3))
