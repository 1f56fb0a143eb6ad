"""Tiles leave no seams: a tiled result equals the result of one run over the whole picture."""

import dataclasses
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime import session
from img2img.runtime.failures import BrokenOutput, OutOfMemory
from img2img.runtime.grid import Grid
from img2img.runtime.tiling import run_tiled

FOLDER = Path(mkdtemp(prefix="img2img-tiling-"))


@cache
def compact(scale: int, convs: int = 3) -> session.Model:
    return session.load(
        onnx_nets.compact(FOLDER / f"compact-{scale}-{convs}.onnx", scale=scale, convs=convs), threads=1
    )


@cache
def blocks(multiple: int) -> session.Model:
    return session.load(onnx_nets.blocks(FOLDER / f"blocks-{multiple}.onnx", multiple=multiple), threads=1)


def noise(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng((height, width))
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


sides = st.integers(1, 90)


@given(sides, sides, st.integers(3, 70), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]))
def test_tiled_equals_whole_at_any_size(height: int, width: int, tile: int, scale: int, channels: int) -> None:
    model, picture = compact(scale), noise(height, width, channels)
    whole, tiled = run_tiled(model, picture, tile=None), run_tiled(model, picture, tile=tile)
    assert whole.shape == (height * scale, width * scale, channels)
    assert np.abs(whole.astype(int) - tiled).max() == 0


@given(sides, sides, st.integers(1, 40), st.sampled_from([2, 4, 8]))
def test_tiled_equals_whole_where_sides_must_be_multiples(height: int, width: int, tile: int, multiple: int) -> None:
    model, picture = blocks(multiple), noise(height, width)
    whole, tiled = run_tiled(model, picture, tile=None), run_tiled(model, picture, tile=tile)
    assert whole.shape == picture.shape
    assert np.abs(whole.astype(int) - tiled).max() == 0


@given(sides, sides, st.integers(6, 40))
def test_sixteen_bits_differ_by_no_step_either(height: int, width: int, tile: int) -> None:
    model, picture = compact(2), noise(height, width, dtype=np.uint16)
    whole, tiled = run_tiled(model, picture, tile=None), run_tiled(model, picture, tile=tile)
    assert whole.dtype == np.uint16
    assert np.abs(whole.astype(int) - tiled).max() == 0


def test_auto_tiles_of_a_large_picture_equal_whole() -> None:
    model, picture = compact(2), noise(500, 900)
    assert (run_tiled(model, picture) == run_tiled(model, picture, tile=None)).all()


def test_a_context_that_is_too_small_shows_as_seams() -> None:
    model = compact(2)
    short = SimpleNamespace(card=dataclasses.replace(model.card, context=1), path=model.path, infer=model.infer)
    picture = noise(60, 60)
    assert (run_tiled(model, picture, tile=16) == run_tiled(model, picture, tile=None)).all()
    assert (run_tiled(short, picture, tile=16) != run_tiled(model, picture, tile=None)).any()  # type: ignore[arg-type]


def test_tiles_of_one_pixel_work() -> None:
    model, picture = compact(2), noise(6, 5)
    assert (run_tiled(model, picture, tile=1) == run_tiled(model, picture, tile=None)).all()


def test_the_result_is_the_networks_own() -> None:
    model, picture = compact(4), noise(7, 5)
    bare = model.infer(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    assert (run_tiled(model, picture) == np.rint(bare[0].transpose(1, 2, 0) * 255)).all()


def test_padding_is_a_reflection_and_is_cropped_away() -> None:
    model, picture = blocks(4), noise(6, 9)
    padded = np.pad(picture, ((0, 2), (0, 3), (0, 0)), mode="reflect")
    assert (run_tiled(model, picture) == run_tiled(model, padded)[:6, :9]).all()


def test_grey_is_the_mean_of_three_equal_channels() -> None:
    model, grey = compact(2), noise(9, 8, 1)
    bare = model.infer(np.repeat(grey, 3, axis=2).transpose(2, 0, 1)[None].astype(np.float32) / 255)
    expected = np.rint(bare[0].mean(axis=0) * 255)
    assert np.abs(run_tiled(model, grey)[..., 0] - expected).max() <= 1


@given(sides, sides, st.integers(6, 50))
def test_progress_adds_up_to_the_picture(height: int, width: int, tile: int) -> None:
    told: list[int] = []
    run_tiled(compact(1, 1), noise(height, width), tile=tile, progress=told.append)
    assert sum(told) == height * width


def test_a_network_that_sees_the_whole_picture_runs_whole_and_refuses_tiles(tmp_path: Path) -> None:
    model = session.load(onnx_nets.instance_norm(tmp_path / "norm.onnx"))
    assert run_tiled(model, noise(400, 500)).shape == (400, 500, 3)
    with pytest.raises(UsageError, match="norm cannot be run in tiles"):
        run_tiled(model, noise(40, 40), tile=16)


def test_tiles_below_one_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        run_tiled(compact(2), noise(4, 4), tile=0)


def test_what_is_not_a_number_is_never_returned(tmp_path: Path) -> None:
    model = session.load(onnx_nets.pointwise(tmp_path / "log.onnx", "Log"))
    assert run_tiled(model, np.full((4, 4, 3), 255, np.uint8)).max() == 0
    with pytest.raises(BrokenOutput, match="not a number"):
        run_tiled(model, np.zeros((4, 4, 3), np.uint8))


class Scarce:
    """A model on a device that has no memory for windows above `largest` pixels."""

    def __init__(self, model: session.Model, largest: int) -> None:
        self.card, self.path, self.model, self.largest = model.card, model.path, model, largest
        self.windows: list[tuple[int, ...]] = []

    def infer(self, window: np.ndarray) -> np.ndarray:
        if window.shape[2] * window.shape[3] > self.largest:
            raise OutOfMemory("no memory")
        self.windows.append(window.shape[2:])
        return self.model.infer(window)


def test_out_of_memory_halves_the_tile_and_goes_on() -> None:
    model, picture = compact(2), noise(200, 210)
    scarce, notes, told = Scarce(model, 4000), [], []
    result = run_tiled(scarce, picture, progress=told.append, note=notes.append)  # type: ignore[arg-type]
    assert (result == run_tiled(model, picture, tile=None)).all()
    assert notes and "out of memory" in notes[0]
    assert sum(told) == 200 * 210


def test_memory_that_suffices_for_nothing_is_an_error() -> None:
    with pytest.raises(OutOfMemory, match="smaller ones cannot be"):
        run_tiled(Scarce(compact(2), 10), noise(200, 210))  # type: ignore[arg-type]


@given(st.integers(1, 3000), st.integers(1, 700), st.sampled_from([1, 2, 4, 16]), st.integers(0, 40), st.booleans())
def test_spans_cover_every_pixel_once_with_context(
    length: int, tile: int, multiple: int, context: int, even: bool
) -> None:
    card = dataclasses.replace(compact(1, 1).card, multiple=multiple, context=context)
    grid = Grid(card)
    padded = len(grid.padded(length))
    limit = grid.limit(tile)
    spans = grid.spans(padded, limit, even=even)
    covered = np.zeros(padded, int)
    assert grid.context is not None and limit is not None
    for span in spans:
        covered[span.first : span.last] += 1
        assert span.start % multiple == span.stop % multiple == 0
        assert span.start >= 0 and span.stop <= padded and span.stop - span.start <= max(limit, multiple)
        assert span.start == 0 or span.first - span.start >= grid.context
        assert span.stop == padded or span.stop - span.last >= grid.context
    assert (covered == 1).all()
    assert len({span.stop - span.start for span in spans}) == 1  # one shape: the memory arena stays as it is
