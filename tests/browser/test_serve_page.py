"""The page of `img2img serve` in a browser: pictures, options, the mask editor, results and errors."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra serve is not installed")

from serve.conftest import encoded, opened
from served import Served, served

from img2img.serve.guard import Access

GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with tiny models: `double` enlarges, `green` fills holes with green, `tint` has domains."""
    onnx_nets = pytest.importorskip("onnx_nets", reason="onnx is not installed")
    folder = tmp_path_factory.mktemp("page")
    models = [
        onnx_nets.compact(folder / "double.onnx", share=0.01),
        onnx_nets.filler(folder / "green.onnx", (0, 1, 0)),
        onnx_nets.domains(folder / "tint.onnx", {"red": (1, 0, 0), "blue": (0, 0, 1)}),
    ]
    with served(models) as running:
        yield running


@pytest.fixture
def page(tab: Any, site: Served) -> Any:
    tab.goto(site.address)
    tab.wait_for_selector("#model option", state="attached")
    return tab


def add(page: Any, data: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#files", {"name": name, "mimeType": "", "buffer": data})


def choose(page: Any, task: str) -> None:
    page.check(f"#task-{task}")


def downloaded(page: Any) -> tuple[str, Image.Image]:
    """Name and picture behind the button Download."""
    page.wait_for_selector("#download", timeout=60_000)
    with page.expect_download() as waiting:
        page.click("#download")
    path = waiting.value.path()
    return waiting.value.suggested_filename, opened(Path(path).read_bytes())


def on_picture(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a place of the view, given as shares of its sides, is in the window. The picture lies in the middle."""
    box = page.locator("#view").bounding_box()
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*on_picture(page, *start))
    page.mouse.down()
    page.mouse.move(*on_picture(page, *end), steps=4)
    page.mouse.up()


def split(page: Any, thousandths: int) -> None:
    """Move the boundary between before and after."""
    script = (
        "(to) => { const s = document.getElementById('split'); s.value = to; s.dispatchEvent(new Event('input')); }"
    )
    page.evaluate(script, thousandths)


def shown(page: Any, x: float, y: float) -> tuple[int, int, int]:
    """The mean colour of a few pixels of the window."""
    with Image.open(io.BytesIO(page.screenshot(clip={"x": x, "y": y, "width": 6, "height": 6}))) as image:
        red, green, blue = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(0)
    return round(red), round(green), round(blue)


def test_a_picture_is_enlarged_and_offered_under_the_name_that_the_command_gives(page: Any) -> None:
    add(page, encoded((60, 40)))
    page.click("#run")
    name, result = downloaded(page)
    assert (name, result.size) == ("photo_x2.png", (120, 80))
    assert "double" in page.inner_text("#status")
    assert page.get_attribute("#show-result", "aria-pressed") == "true"


def test_every_picture_of_several_has_a_thumbnail_and_a_result(page: Any) -> None:
    page.set_input_files(
        "#files",
        [{"name": f"{seed}.png", "mimeType": "", "buffer": encoded((60, 40), seed=seed)} for seed in range(3)],
    )
    page.locator("#list .thumb[width='60']").nth(2).wait_for()
    page.click("#run-all")
    page.locator("#list .state.good").nth(2).wait_for()
    page.locator("#list .pick").nth(2).click()
    assert downloaded(page)[0] == "2_x2.png"


def test_only_the_painted_pixels_change(page: Any) -> None:
    data = encoded((300, 200))
    choose(page, "inpaint")
    add(page, data)
    page.wait_for_selector("#tools")
    drag(page, (0.4, 0.5), (0.6, 0.5))
    with page.expect_download() as waiting:
        page.click("#export")
    mask = np.asarray(opened(Path(waiting.value.path()).read_bytes()).convert("L")) > 127
    assert mask.shape == (200, 300) and 0 < mask.mean() < 0.5
    page.click("#run")
    _, result = downloaded(page)
    before, after = np.asarray(opened(data)), np.asarray(result.convert("RGB"))
    assert (after[~mask] == before[~mask]).all()
    middle = after[100, 150]
    assert tuple(middle) == GREEN and mask[100, 150]


def test_strokes_can_be_undone_and_erased_and_boxes_drawn(page: Any) -> None:
    choose(page, "inpaint")
    add(page, encoded((300, 200)))
    page.wait_for_selector("#tools")
    page.mouse.click(*on_picture(page, 0.5, 0.5))
    page.click("#undo")
    assert page.is_disabled("#undo") and page.is_enabled("#redo")
    page.click("[data-tool=box]")
    drag(page, (0.3, 0.3), (0.7, 0.7))
    page.click("[data-tool=eraser]")
    page.mouse.click(*on_picture(page, 0.5, 0.5))
    page.keyboard.press("[")
    with page.expect_download() as waiting:
        page.click("#export")
    mask = np.asarray(opened(Path(waiting.value.path()).read_bytes()).convert("L")) > 127
    assert mask.any() and not mask[100, 150]


def test_everything_works_with_the_keyboard(page: Any) -> None:
    page.focus("#task-upscale")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        if page.is_checked("#task-inpaint"):
            break
    assert page.is_checked("#task-inpaint")
    add(page, encoded((300, 200)))
    page.wait_for_selector("#tools")
    page.focus("#view")
    page.keyboard.press("x")  # the tool for boxes
    page.keyboard.press("Space")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.is_enabled("#undo")
    page.focus("#run")
    page.keyboard.press("Enter")
    _, result = downloaded(page)
    assert (np.asarray(result.convert("RGB")) == GREEN).all(-1).any()
    page.focus("#split")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#split") == "501"


def test_the_boundary_between_before_and_after_moves(page: Any) -> None:
    choose(page, "inpaint")
    add(page, encoded((300, 200)))
    page.wait_for_selector("#tools")
    page.click("[data-tool=box]")
    drag(page, (0.4, 0.4), (0.6, 0.6))
    page.click("#run")
    page.wait_for_selector("#split-row")
    place = on_picture(page, 0.5, 0.5)
    split(page, 0)
    assert shown(page, *place) == GREEN
    split(page, 1000)
    assert shown(page, *place) != GREEN


def test_a_photo_of_24_megapixels_can_be_painted_and_filled(page: Any) -> None:
    photo = Image.effect_noise((60, 40), 40).convert("RGB").resize((6000, 4000), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=80)
    choose(page, "inpaint")
    add(page, buffer.getvalue(), "large.jpg")
    page.wait_for_selector("#tools", timeout=60_000)
    drag(page, (0.45, 0.5), (0.55, 0.5))
    page.click("#run")
    page.wait_for_selector("#download", timeout=120_000)
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "large_green.jpg"
    with Image.open(Path(waiting.value.path())) as result:
        assert result.size == (6000, 4000)
        red, green, blue = result.convert("RGB").getpixel((3000, 2000))
    assert green > 200 > 80 > max(red, blue)


def test_a_file_that_is_no_picture_shows_what_is_wrong(page: Any) -> None:
    page.expected_errors.append("status of 4")  # Chromium reports answers like 422 on the console
    add(page, b"no picture", "notes.png")
    page.click("#run")
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#list .state") == "failed"
    assert "notes.png" in page.inner_text("#error") and "it is text" in page.inner_text("#error")
    assert page.inner_text("#status") == ""


def test_a_mask_of_another_size_is_refused(page: Any) -> None:
    choose(page, "inpaint")
    add(page, encoded((30, 20)))
    page.wait_for_selector("#tools")
    page.set_input_files("#mask-file", {"name": "m.png", "mimeType": "image/png", "buffer": encoded((20, 20))})
    page.wait_for_selector("#error:not([hidden])")
    assert "the mask has 20x20 pixels, the photo 30x20" in page.inner_text("#error")


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1200, "dark")])
def test_narrow_and_dark_windows_are_usable_and_accessible(page: Any, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    choose(page, "inpaint")
    add(page, encoded((300, 200)))
    page.wait_for_selector("#tools")
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.Axe().run(page).response["violations"]
    serious = [f"{one['id']}: {one['help']}" for one in found if one["impact"] in ("serious", "critical")]
    assert not serious


def test_the_description_of_the_api_is_accessible_and_loads_nothing_from_elsewhere(tab: Any, site: Served) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    tab.set_viewport_size({"width": 400, "height": 800})
    tab.goto(f"{site.address}/docs")
    assert tab.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.Axe().run(tab).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_with_a_token_the_page_asks_for_it_and_takes_it_from_the_address(tab: Any, tmp_path: Path) -> None:
    onnx_nets = pytest.importorskip("onnx_nets", reason="onnx is not installed")
    token = "0123456789abcdef"
    model = onnx_nets.compact(tmp_path / "double.onnx", share=0.01)
    tab.expected_errors.append("status of 401")
    with served([model], access=Access(token)) as site:
        tab.goto(site.address)
        tab.fill("#token", token)
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#model option", state="attached")
        assert tab.is_hidden("#unlock")
        other = tab.context.new_page()
        other.goto(f"{site.address}/#token={token}")
        other.wait_for_selector("#model option", state="attached")
        assert token not in other.url
