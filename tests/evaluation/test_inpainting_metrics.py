"""Figures of filled holes, the holes themselves, the baselines, and `evaluate` for an inpainting model."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from PIL import Image

from img2img.data import folders
from img2img.errors import DataError
from img2img.evaluation import inpainting
from img2img.evaluation.inpainting import HOLES, baselines, biharmonic, figures, holes, telea
from img2img.evaluation.results import value

ROOT = Path(__file__).parents[2]


def photo(height: int = 48, width: int = 60) -> np.ndarray:
    return folders.read_rgb(ROOT / "examples" / "olives.jpg")[:height, :width]


def box(height: int = 48, width: int = 60) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 20:40] = 1
    return mask


def found(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return {name: value(one) for name, one in figures(result, truth, mask).items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    whole = folders.read_rgb(ROOT / "examples" / "olives.jpg")
    for number in range(4):
        Image.fromarray(whole[number * 60 :, number * 80 :][:64, :80]).save(folder / f"{number}.png")
    return folder


@limits(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(sorted(HOLES)))
def test_the_truth_has_perfect_figures_for_every_hole(seed: int, kind: str) -> None:
    from img2img.data.masks import draw

    mask = draw(HOLES[kind], np.random.default_rng(seed), 48, 60)
    perfect = found(photo(), photo(), mask)
    assert perfect == {"psnr": 100, "ssim": pytest.approx(1), "l1": 0, "sharpness": 1, "border": 1}


def test_figures_of_a_result_that_is_10_too_bright_by_hand() -> None:
    truth = np.full((48, 60, 3), 100, np.uint8)
    truth[:, ::2] = 104  # across the border of the hole, horizontal neighbours differ by 4, vertical ones by 0
    mask = box()
    result = np.where(mask[:, :, None] > 0, truth + 10, truth).astype(np.uint8)
    scores = found(result, truth, mask)
    assert scores["psnr"] == pytest.approx(10 * np.log10(255**2 / 100))
    assert scores["l1"] == pytest.approx(10 / 255)
    assert scores["sharpness"] == pytest.approx(1)
    # Differences of 14 at the left (100 to 114), 6 at the right (110 to 104), and 10 above and below.
    assert scores["border"] == pytest.approx((10 + 10) / (4 + 0))


def test_pixels_outside_the_hole_do_not_count() -> None:
    mask, changed = box(), photo().copy()
    changed[:, :5], changed[-5:] = 0, 255
    assert found(changed, photo(), mask) == found(photo(), photo(), mask)


def test_a_flat_result_is_blurred_and_a_bright_one_has_a_visible_border() -> None:
    mask = box()
    flat, bright = (np.where(mask[:, :, None] > 0, np.uint8(level), photo()) for level in (photo().mean(), 255))
    assert found(flat, photo(), mask)["sharpness"] == 0
    assert found(bright, photo(), mask)["border"] > 2 > found(telea(photo(), mask), photo(), mask)["border"]


def test_holes_cover_10_to_40_percent_and_are_reproducible(photos: Path, tmp_path: Path) -> None:
    paths = folders.find([photos])
    first = list(holes(paths))
    assert len(first) == len(HOLES) * len(paths)
    assert [one.name.split()[:2] for one in first[:2]] == [["0", "strokes"], ["0", "box"]]
    for one in first:
        assert one.photo.shape == (64, 64, 3)  # the central square
        assert 0.1 <= one.mask.mean() <= 0.4 and set(np.unique(one.mask)) == {0, 1}
    moved = tmp_path / "3.png"
    moved.write_bytes((photos / "3.png").read_bytes())
    (*_, again) = holes([moved])
    assert (again.mask == first[-1].mask).all() and again.name == first[-1].name
    assert len({one.mask.tobytes() for one in first}) == len(first)


def test_photos_are_reduced_or_left_whole(photos: Path) -> None:
    path = folders.find([photos])[0]
    assert next(holes([path], side=40)).photo.shape == (40, 40, 3)
    assert next(holes([path], side=None)).photo.shape == (64, 80, 3)
    with pytest.raises(DataError, match=r"0\.png: 20x20 pixels are too few, at least 32 are needed on each side"):
        next(holes([path], side=20))


@pytest.mark.parametrize("name", ["telea", "navier-stokes", "biharmonic"])
def test_baselines_continue_the_surroundings_and_change_nothing_else(name: str) -> None:
    if name == "biharmonic":
        pytest.importorskip("skimage")
    across, down = np.meshgrid(np.arange(60), np.arange(48))
    ramp = np.repeat((40 + 2 * across + down)[:, :, None], 3, axis=2).astype(np.uint8)
    mask = box()
    with_hole = np.where(mask[:, :, None] > 0, np.uint8(255), ramp)
    filled = baselines()[name](with_hole, mask)
    assert filled.dtype == np.uint8 and (filled[mask == 0] == with_hole[mask == 0]).all()
    assert found(filled, ramp, mask)["psnr"] > (50 if name == "biharmonic" else 20)


def test_without_scikit_image_its_baseline_is_omitted_and_its_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inpainting.importlib.util, "find_spec", lambda name: None)
    assert list(baselines()) == ["telea", "navier-stokes"]
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    with pytest.raises(DataError, match="pip install scikit-image"):
        biharmonic(photo(), box())


def test_a_model_is_measured_on_the_results_that_users_get(
    img2img: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    model = onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0))
    sheet = tmp_path / "sheet.png"
    args = ("evaluate", model, "--data", photos, "--count", 2, "--sheet", sheet, "--device", "cpu")
    done = img2img(*args)
    assert done.status == 0, done.err
    lines = done.out.decode().splitlines()
    names = list(baselines())
    assert lines[0].split() == ["picture", *names, "red"]
    first = [line.split()[0] if line else "" for line in lines]
    assert first == ["picture", "0", "0", "2", "2", "mean", "", "mean", *names, "red"]
    assert lines[7].split() == ["mean", "psnr", "ssim", "l1", "sharpness", "border", "swd"]
    assert "better than telea in 0" in done.err and "2 photos, reduced to 256 pixels, with 2 holes each" in done.err

    *rows, last = [json.loads(line) for line in img2img(*args, "--json").out.splitlines()]
    assert len(rows) == 4 and last["better_than"]["telea"] == 0
    assert last["psnr"] == pytest.approx(np.mean([row["psnr"] for row in rows]))
    hole = next(holes([photos / "0.png"]))
    from img2img.runtime.network import session

    red = inpainting.from_model(session.load(model))(hole.photo, hole.mask)
    assert (red[hole.mask == 0] == hole.photo[hole.mask == 0]).all()
    assert rows[0]["psnr"] == pytest.approx(found(red, hole.photo, hole.mask)["psnr"])
    assert Image.open(sheet).size[1] > 4 * 64  # four rows


def test_held_out_photos_are_those_that_training_holds_out(
    img2img: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    model = onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0))
    args = ("evaluate", model, "--data", photos, "--held-out", "--json", "--record", "--device", "cpu")
    *rows, last = [json.loads(line) for line in img2img(*args).out.splitlines()]
    _, held = folders.hold_out(folders.find([photos]))
    assert {row["picture"].split()[0] for row in rows} == {path.stem for path in held} == {"3"}
    from img2img.runtime.network import session

    ((name, recorded),) = session.load(model).card.metrics.items()
    assert name.endswith(f"/{photos.name} held out") and recorded["cases"] == 2
    assert recorded["border"] == pytest.approx(last["border"], abs=1e-4)
    assert recorded["psnr (telea)"] == pytest.approx(last["telea"]["psnr"], abs=1e-3)
    assert str(recorded["command"]).endswith(f"/{photos.name} --held-out")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--no-reference"], "--no-reference is for models that upscale; red is for 'inpaint'"),
        (["--train", "."], "--train is for models that translate"),
        (["--sheet", "sheet.pdf"], "the name must end in .png"),
        (["--against", "upscale-x4"], "cannot compare"),
        (["--against", "red.onnx"], "the same model is given twice"),
        (["--data", "missing"], "missing: no such folder"),
    ],
)
def test_usage_errors_are_one_line_with_status_2(
    img2img: Callable[..., Any], here: Path, photos: Path, models: Path, args: list[str], message: str
) -> None:
    onnx_nets.filler(here / "red.onnx", (1.0, 0.0, 0.0))
    done = img2img("evaluate", here / "red.onnx", "--data", photos, *args, "--device", "cpu")
    assert done.status == 2 and message in done.err and done.out == b""
    assert [path.name for path in here.iterdir()] == ["red.onnx"]


def test_the_distance_of_all_results_prefers_texture_to_blur() -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(4)]
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1

    def fill_with(texture: bool) -> inpainting.Fill:
        def fill(photo: inpainting.Picture, hole: inpainting.Mask) -> inpainting.Picture:
            new = photo[::-1, ::-1] if texture else np.full_like(photo, 128)
            return np.where(hole[:, :, None] > 0, new, photo)

        return fill

    ways = {"texture": fill_with(True), "blur": fill_with(False)}
    comparison = inpainting.Comparison(ways, [inpainting.Hole(str(n), photo, mask) for n, photo in enumerate(photos)])
    cases = list(comparison.cases())
    whole = comparison.set_figures()
    assert np.mean([case.figures["blur"]["psnr"] for case in cases]) > np.mean(
        [case.figures["texture"]["psnr"] for case in cases]
    )
    assert whole["texture"]["swd"] < 0.5 * whole["blur"]["swd"]
