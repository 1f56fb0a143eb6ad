"""Cores are shared: tiles run side by side on idle ones, and pictures come first."""

import copy
import re
import threading
import time
from typing import Any

import numpy as np
import onnx_nets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_network import StubNetwork

from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import AUTO, Grid
from img2img.runtime.network.inference_errors import OutOfMemory
from img2img.runtime.network.session import LoadedModel, load
from img2img.runtime.network.tiling import run_tiled
from img2img.threads import Cores, for_each


def picture(height: int, width: int) -> Any:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    folder = tmp_path_factory.mktemp("nets")
    made = {
        "x2": onnx_nets.compact(folder / "x2.onnx", scale=2, kernel=5),
        "x4 linear": onnx_nets.compact(folder / "x4.onnx", scale=4, skip="linear", convs=5),
        "blocks of 3": onnx_nets.blocks(folder / "b3.onnx", multiple=3, minimum=14),
    }
    return {name: load(path, device="cpu", threads=1) for name, path in made.items()}


def on(model: LoadedModel, cores: Cores) -> LoadedModel:
    """The same network with these cores."""
    model = copy.copy(model)
    model.cores = cores
    return model


def test_every_thing_is_taken_once_by_this_thread_or_a_helper() -> None:
    taken, threads = [], set()

    def take(number: int) -> None:
        time.sleep(0.001)
        taken.append(number)
        threads.add(threading.current_thread())

    cores = Cores(3)
    with cores.busy():
        for_each(take, range(50), cores)
    assert sorted(taken) == list(range(50))
    assert len(threads) == 3 and threading.current_thread() in threads
    assert cores.idle == 3


def test_without_idle_cores_this_thread_does_everything_in_order() -> None:
    taken, cores = [], Cores(2)
    with cores.busy(), cores.busy():
        for_each(lambda number: taken.append((number, threading.current_thread())), range(9), cores)
    assert taken == [(number, threading.current_thread()) for number in range(9)]


def test_a_helper_leaves_when_a_picture_needs_its_core_and_comes_back_later() -> None:
    cores, lock = Cores(2), threading.Lock()
    helped: list[tuple[int, bool]] = []

    def take(number: int) -> None:
        time.sleep(0.002)
        with lock:
            helped.append((number, threading.current_thread() is not threading.main_thread()))
            if number == 10:
                cores.occupy()  # another picture starts
            if number == 30:
                cores.free()

    with cores.busy():
        for_each(take, range(60), cores)
    assert any(help for number, help in helped if number < 10)
    assert not any(help for number, help in helped if 13 < number < 30)
    assert any(help for number, help in helped if number > 32)
    assert cores.idle == 2


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_ends_all_threads_and_is_raised(kind: type[BaseException]) -> None:
    taken, before = [], set(threading.enumerate())

    def take(number: int) -> None:
        taken.append(number)
        if number == 5:
            raise kind
        time.sleep(0.001)

    cores = Cores(4)
    with pytest.raises(kind):
        for_each(take, range(1000), cores)
    assert len(taken) < 20 and set(threading.enumerate()) == before and cores.idle == 4


@pytest.mark.parametrize("net", ["x2", "x4 linear", "blocks of 3"])
@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 90),
    tile=st.one_of(st.integers(1, 60), st.just(AUTO)),
    count=st.integers(2, 5),
    split=st.booleans(),
)
def test_tiles_side_by_side_equal_the_whole(
    nets: dict[str, LoadedModel], net: str, height: int, width: int, tile: Any, count: int, split: bool
) -> None:
    colour, told = picture(height, width), []
    expected = run_tiled(nets[net], colour, tile=None)
    model = on(nets[net], Cores(count, split=split))
    assert np.array_equal(run_tiled(model, colour, tile=tile, progress=told.append), expected)
    assert sum(told) == height * width


class Busy(StubNetwork):
    """Counts how many runs take place at the same time."""

    def __init__(self, model: LoadedModel, cores: Cores) -> None:
        super().__init__(model)
        self.cores = cores
        self.running = self.most = 0
        self.shapes: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    def infer(self, image: Any, **others: Any) -> Any:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.shapes.append(image.shape[2:])
        time.sleep(0.005)
        try:
            return self.model.infer(image)
        finally:
            with self.lock:
                self.running -= 1


@pytest.mark.parametrize(("size", "bands"), [((400, 300), 3), ((20, 20), 1)])
def test_a_picture_becomes_a_band_for_each_core_if_it_is_large_enough(
    nets: dict[str, LoadedModel], size: tuple[int, int], bands: int
) -> None:
    busy = Busy(nets["x2"], Cores(3))
    with busy.cores.busy():
        run_tiled(busy, picture(*size))
    assert len(busy.shapes) == busy.most == bands


def test_a_picture_is_left_whole_if_other_pictures_have_the_cores(nets: dict[str, LoadedModel]) -> None:
    busy = Busy(nets["x2"], Cores(2))
    with busy.cores.busy(), busy.cores.busy():
        run_tiled(busy, picture(400, 300))
    assert len(busy.shapes) == 1


def test_who_asks_for_no_tiles_gets_none(nets: dict[str, LoadedModel]) -> None:
    busy = Busy(nets["x2"], Cores(3))
    run_tiled(busy, picture(400, 300), tile=None)
    assert busy.shapes == [(400, 300)]


def test_out_of_memory_side_by_side_continues_with_one_tile_at_a_time(nets: dict[str, LoadedModel]) -> None:
    class Small(Busy):
        def infer(self, image: Any, **others: Any) -> Any:
            with self.lock:
                if self.running and len(self.shapes) > 3:
                    raise OutOfMemory("it does not fit")
            return super().infer(image)

    colour, told, notes = picture(300, 120), [], []
    small = Small(nets["x2"], Cores(2))
    with small.cores.busy():
        result = run_tiled(small, colour, tile=40, progress=told.append, note=notes.append)
    assert np.array_equal(result, run_tiled(nets["x2"], colour, tile=None))
    assert sum(told) == 300 * 120
    assert len(notes) == 1
    assert re.fullmatch(
        r"out of memory with 2 tiles of .* at once; continued at row \d+ with one tile at a time", notes[0]
    )


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 3000),
    width=st.integers(1, 600),
    context=st.integers(0, 60),
    multiple=st.integers(1, 16),
    minimum=st.integers(1, 100),
    count=st.integers(1, 40),
    split=st.booleans(),
    done=st.integers(0, 3000),
)
def test_bands_cover_the_picture_with_enough_context(
    length: int, width: int, context: int, multiple: int, minimum: int, count: int, split: bool, done: int
) -> None:
    card = Card(name="net", task="upscale", scale=2, context=context, multiple=multiple, minimum=minimum)
    grid = Grid(card)
    length, done = len(grid.padded_indices(length)), done // multiple * multiple
    across = grid.spans(len(grid.padded_indices(width)), grid.limit(AUTO))
    plain = grid.spans(length, grid.limit(AUTO), done=done)
    spans = grid.spread(length, plain, across, Cores(count, split=split), done=done)
    assert len(spans) >= len(plain)
    assert [span.first for span in spans] == [done, *(span.last for span in spans[:-1])][: len(spans)]
    assert not spans or spans[-1].last == length
    sides = {span.stop - span.start for span in spans}
    assert len(sides) <= 1
    for span in spans:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start == 0 or span.first - span.start >= grid.context
        assert span.stop == length or span.stop - span.last >= grid.context
        assert span.start % multiple == (span.stop - span.start) % multiple == 0
        assert span.stop - span.start >= grid.minimum
