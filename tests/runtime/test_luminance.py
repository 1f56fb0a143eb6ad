"""Colours of a small copy, and the luminance of the whole picture."""

import dataclasses

import numpy as np
import onnx_nets
import pytest
from stub_network import StubNetwork

from img2img.runtime.image import luminance
from img2img.runtime.image.luminance import LUMA_WEIGHTS, with_luminance_of
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import estimate, input_size
from img2img.runtime.network.session import load
from img2img.runtime.network.speed import Speed
from img2img.runtime.tasks.translate import translate


def luma(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) @ LUMA_WEIGHTS


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("small", [(1, 1), (20, 30), (7, 60)])
def test_the_luminance_stays_within_half_a_step(dtype: type, small: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, np.iinfo(dtype).max, (60, 80, 3), dtype, endpoint=True)
    coloured = rng.integers(0, np.iinfo(dtype).max, (*small, 3), dtype, endpoint=True)
    result = with_luminance_of(picture, coloured)
    assert result.shape == picture.shape and result.dtype == dtype
    assert np.abs(luma(result) - luma(picture)).max() < 0.51


def test_a_picture_with_its_own_colours_does_not_change() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    assert np.abs(with_luminance_of(picture, picture).astype(int) - picture).max() <= 1


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    picture, coloured = (rng.integers(0, 256, (side, side, 3), np.uint8) for side in (90, 40))
    whole = with_luminance_of(picture, coloured)
    monkeypatch.setattr(luminance, "_BAND", 90 * 7)
    assert np.abs(with_luminance_of(picture, coloured).astype(int) - whole).max() <= 1


def test_colours_come_from_the_small_copy() -> None:
    coloured = np.zeros((4, 4, 3), np.uint8)
    coloured[:] = (140, 90, 60)
    grey = np.full((40, 40, 3), 100, np.uint8)
    result = with_luminance_of(grey, coloured)
    change = coloured[0, 0] - luma(coloured)[0, 0]
    assert np.abs(result - (100 + change)).max() <= 0.51


class Watching(StubNetwork):
    """A model that remembers the sizes of what it saw."""

    def __init__(self, model: object) -> None:
        super().__init__(model)
        self.sizes: list[tuple[int, int]] = []

    def infer(self, image: np.ndarray) -> np.ndarray:
        self.sizes.append((image.shape[3], image.shape[2]))
        return self.model.infer(image)


@pytest.mark.parametrize(("size", "seen"), [("fit", (60, 40)), ("keep", (300, 200)), (50, (75, 50))])
def test_a_network_that_keeps_the_luminance_sees_a_small_copy_and_nothing_blurs(
    size: input_size.Size, seen: tuple[int, int], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_size, "MOST_PIXELS", 60 * 40)
    model = Watching(load(onnx_nets.pointwise(tmp_path / "same.onnx", task="translate")))
    model.card = dataclasses.replace(model.card, extra={"keeps": "luminance"}, context=None)
    picture = Picture(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    result = translate(model, picture, size=size)
    assert model.sizes == [seen]
    assert np.abs(luma(result.colour) - luma(picture.colour)).max() < 0.51
    plain = dataclasses.replace(model.card, extra={})
    model.card = plain
    if size != "fit":
        assert np.array_equal(
            translate(model, picture, size=size).colour, lanczos(lanczos(picture.colour, seen), (300, 200))
        )


def test_estimates_count_what_such_a_network_sees(tmp_path) -> None:
    card = load(onnx_nets.pointwise(tmp_path / "same.onnx", task="translate", context=None)).card
    keeping = dataclasses.replace(card, extra={"keeps": "luminance"})
    assert estimate.network_pixels(card, (8000, 6000)) == 48_000_000
    assert estimate.network_pixels(keeping, (8000, 6000)) == pytest.approx(input_size.MOST_PIXELS, rel=1e-3)
    assert estimate.network_pixels(keeping, (800, 600)) == 480_000
    speed = Speed(1.0, 100.0, 0, "cpu")
    big, small = (estimate.peak_memory(speed, one, (8000, 6000)) for one in (card, keeping))
    assert big - small == pytest.approx(100 * (48_000_000 - input_size.MOST_PIXELS), rel=1e-3)
