import copy
import itertools
import re

import numpy as np
import onnx_nets
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stub_network import StubNetwork, stub

from img2img.errors import ExitStatus, UsageError
from img2img.runtime.network.buffered_session import BufferedSession
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import AUTO, Grid, round_up
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.runtime.network.session import load
from img2img.runtime.network.tiling import run_tiled


def picture(height, width, channels=3, dtype=np.uint8, seed=0):
    random = np.random.default_rng([seed, height, width])
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def card(**changes):
    return Card(**onnx_nets.card(**changes))


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Networks whose card says exactly how far they see."""
    folder = tmp_path_factory.mktemp("nets")
    made = {
        "x1": onnx_nets.compact(folder / "x1.onnx", scale=1, skip=None),
        "x2": onnx_nets.compact(folder / "x2.onnx", scale=2, kernel=5),
        "x2 wide": onnx_nets.compact(folder / "x2w.onnx", scale=2, features=48, convs=4),
        "x3": onnx_nets.compact(folder / "x3.onnx", scale=3, features=20),
        "x4 linear": onnx_nets.compact(folder / "x4.onnx", scale=4, skip="linear", convs=5),
        "blocks of 4": onnx_nets.blocks(folder / "b4.onnx", multiple=4),
        "blocks of 3": onnx_nets.blocks(folder / "b3.onnx", multiple=3, minimum=14),
    }
    return {name: load(path, device="cpu") for name, path in made.items()}


@pytest.fixture(scope="module")
def odd_net(tmp_path_factory):
    """Its first 3x3 convolution reads 27 channels, which fit no blocked layout."""
    return load(onnx_nets.blocks(tmp_path_factory.mktemp("nets") / "odd.onnx", multiple=3, mix=False), device="cpu")


sides = st.integers(1, 90)


@pytest.mark.parametrize("net", ["x1", "x2", "x2 wide", "x3", "x4 linear", "blocks of 4", "blocks of 3"])
@settings(max_examples=25, deadline=None)
@given(height=sides, width=sides, tile=st.integers(1, 60))
@example(height=1, width=1, tile=1)
@example(height=90, width=1, tile=1)
@example(height=33, width=34, tile=32)
def test_tiles_equal_the_whole(nets, net, height, width, tile):
    model, colour = nets[net], picture(height, width)
    whole = run_tiled(model, colour, tile=None)
    assert whole.shape == (height * model.card.scale, width * model.card.scale, 3)
    assert np.array_equal(run_tiled(model, colour, tile=tile), whole)


@settings(max_examples=20, deadline=None)
@given(height=sides, width=sides, tile=st.integers(1, 60))
def test_tiles_differ_by_a_tie_at_most_where_onnxruntime_sums_up_by_size(odd_net, height, width, tile):
    colour = picture(height, width, dtype=np.uint16)
    whole, tiled = run_tiled(odd_net, colour, tile=None), run_tiled(odd_net, colour, tile=tile)
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # of 65535
    assert (whole != tiled).mean() < 0.05


@settings(max_examples=20, deadline=None)
@given(height=sides, width=sides, tile=st.integers(1, 40))
def test_tiles_equal_the_whole_in_sixteen_bits(nets, height, width, tile):
    model, colour = nets["x4 linear"], picture(height, width, dtype=np.uint16)
    assert np.array_equal(run_tiled(model, colour, tile=tile), run_tiled(model, colour, tile=None))


def test_a_picture_of_many_automatic_tiles_equals_the_whole(nets):
    model, colour = nets["x2"], picture(530, 1100)
    assert len(Grid(model.card).spans(1100, Grid(model.card).limit(AUTO), even=True)) == 4
    assert np.array_equal(run_tiled(model, colour), run_tiled(model, colour, tile=None))


def test_too_small_a_context_makes_a_difference(nets):
    honest, colour = nets["x2"], picture(64, 64)
    lying = stub(card=card(scale=2, context=honest.card.context - 1), infer=honest.infer, path=honest.path)
    assert not np.array_equal(run_tiled(lying, colour, tile=16), run_tiled(honest, colour, tile=None))


def test_the_result_is_the_networks_own_rounded(nets):
    model, colour = nets["x2"], picture(21, 34)
    image = (colour.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    expected = np.rint(model.infer(image)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    assert np.array_equal(run_tiled(model, colour), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_survives_a_network_that_does_nothing(tmp_path, dtype, channels):
    model = load(onnx_nets.pointwise(tmp_path / "same.onnx"))
    colour = np.resize(np.arange(np.iinfo(dtype).max + 1, dtype=dtype), (300, 219, channels))
    result = run_tiled(model, colour, tile=100)
    assert result.dtype == dtype and np.array_equal(result, colour)


def test_grey_is_the_mean_of_what_comes_out(nets):
    grey = picture(30, 20, 1)
    rgb = run_tiled(nets["x1"], np.repeat(grey, 3, axis=2)).astype(float)
    result = run_tiled(nets["x1"], grey)
    assert result.shape == (30, 20, 1)
    assert np.abs(result[..., 0] - rgb.mean(axis=2)).max() <= 1  # rgb was rounded before, result after


def test_values_outside_the_range_are_clamped_not_wrapped():
    def infer(image):
        return image * 3 - 1

    model = stub(card=card(scale=1, context=0), infer=infer, path="net.onnx")
    colour = np.array([[[0, 128, 255]]], np.uint8)
    assert run_tiled(model, colour).tolist() == [[[0, 129, 255]]]


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, multiple=st.integers(1, 20), minimum=st.integers(1, 50), data=st.data())
def test_the_network_only_sees_sizes_that_it_allows_and_reflected_padding(height, width, multiple, minimum, data):
    tile = data.draw(st.integers(1, 60) | st.none() | st.just(AUTO))
    context = data.draw(st.integers(0, 12))
    colour, seen = picture(height, width), []

    def infer(image):
        assert image.dtype == np.float32 and image.flags.c_contiguous
        _, channels, h, w = image.shape
        assert channels == 3 and h % multiple == w % multiple == 0 and min(h, w) >= minimum
        seen.append((h, w))
        return image

    model = stub(card=card(scale=1, multiple=multiple, minimum=minimum, context=context), infer=infer, path="net.onnx")
    assert np.array_equal(run_tiled(model, colour, tile=tile), colour)
    assert len(set(seen)) == 1
    if len(seen) == 1:
        assert seen[0] == tuple(max(round_up(side, multiple), round_up(minimum, multiple)) for side in (height, width))
        rows, columns = (Grid(model.card).padded_indices(side) for side in (height, width))
        pads = [(0, seen[0][0] - height), (0, seen[0][1] - width), (0, 0)]
        assert np.array_equal(colour[rows][:, columns], np.pad(colour, pads, mode="reflect"))


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 5000), tile=st.integers(1, 600), context=st.integers(0, 80), multiple=st.integers(1, 16),
    minimum=st.integers(1, 128), done=st.integers(0, 5000), even=st.booleans(),
)  # fmt: skip
def test_windows_cover_the_picture_once_with_enough_context(length, tile, context, multiple, minimum, done, even):
    grid = Grid(card(context=context, multiple=multiple, minimum=minimum))
    length, done = len(grid.padded_indices(length)), done // multiple * multiple
    limit = grid.limit(tile)
    spans = grid.spans(length, limit, done=done, even=even)
    good = [(span.first, span.last) for span in spans]
    assert good == list(itertools.pairwise([done] * (done < length) + [last for _, last in good]))
    assert done >= length or good[-1][1] == length
    for span in spans:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start == 0 or span.first - span.start >= grid.context
        assert span.stop == length or span.stop - span.last >= grid.context
        assert span.start % multiple == (span.stop - span.start) % multiple == 0
        assert grid.minimum <= span.stop - span.start <= max(limit, grid.minimum)
    assert len({span.stop - span.start for span in spans}) <= 1


def test_a_picture_a_little_larger_than_a_window_becomes_two_even_halves():
    grid = Grid(card(context=10))
    limit = grid.limit(AUTO)
    sizes = [span.stop - span.start for span in grid.spans(limit + 8, limit, even=True)]
    assert len(sizes) == 2 and sizes[0] <= limit / 2 + 30


@pytest.mark.parametrize(("context", "waste"), [(0, 1.07), (10, 1.2), (40, 1.6), (100, 1.6), (350, 4.1)])
def test_automatic_tiles_repeat_little_work_in_bounded_memory(context, waste):
    grid = Grid(card(context=context))
    spans = grid.spans(10_000, grid.limit(AUTO), even=True)
    side = spans[0].stop - spans[0].start
    assert side <= 1500
    assert context >= 40 or side <= 368
    assert len(spans) ** 2 * side**2 / 10_000**2 <= waste


def test_pictures_of_many_sizes_need_few_shapes_of_windows():
    grid = Grid(card(context=10))
    limit = grid.limit(AUTO)
    sizes = {
        span.stop - span.start for length in range(limit + 1, 6000) for span in grid.spans(length, limit, even=True)
    }
    assert len(sizes) <= 18


def test_progress_adds_up_to_the_pictures_pixels(nets):
    for net, tile in (("x2", 16), ("blocks of 3", 5), ("x4 linear", None), ("x1", AUTO)):
        told = []
        run_tiled(nets[net], picture(61, 47), tile=tile, progress=told.append)
        assert sum(told) == 61 * 47
        assert tile in (None, AUTO) or len(told) > 10


def test_a_network_that_looks_at_the_whole_picture_runs_whole(tmp_path):
    model = load(onnx_nets.instance_norm(tmp_path / "norm.onnx"))
    colour = picture(700, 40)
    assert np.array_equal(run_tiled(model, colour), run_tiled(model, colour, tile=None))
    with pytest.raises(UsageError, match="norm cannot use tiles: every pixel"):
        run_tiled(model, colour, tile=64)


@pytest.mark.parametrize("tile", [0, -8])
def test_a_tile_without_pixels_is_refused(nets, tile):
    with pytest.raises(UsageError, match="at least 1 pixel"):
        run_tiled(nets["x2"], picture(4, 4), tile=tile)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_result_that_is_no_number_is_an_error_and_not_black(bad, channels):
    def infer(image):
        image = image.copy()
        image[image == 1] = bad
        return image

    model = stub(card=card(scale=1, context=2), infer=infer, path="net.onnx")
    colour = np.zeros((40, 40, channels), np.uint8)
    colour[33, 35] = 255
    with pytest.raises(BrokenOutput, match=r"net\.onnx: its result near pixel .* is NaN or infinite") as error:
        run_tiled(model, colour, tile=8)
    assert error.value.status == ExitStatus.SOME_FAILED


def test_a_real_network_that_computes_no_number_is_an_error(tmp_path):
    model = load(onnx_nets.pointwise(tmp_path / "log.onnx", "Neg", "Sqrt"))
    with pytest.raises(BrokenOutput):
        run_tiled(model, picture(5, 5))


class Small(StubNetwork):
    """A device on which only windows of so many pixels fit; counts what it did."""

    def __init__(self, model, largest, error=OutOfMemory):
        super().__init__(model)
        self.largest, self.error = largest, error
        self.after = self.runs = 0

    def infer(self, image):
        self.runs += 1
        if self.runs > self.after and image.shape[2] * image.shape[3] > self.largest:
            raise self.error("it does not fit")
        return self.model.infer(image)


@pytest.mark.parametrize("tile", [None, 40, AUTO])
@pytest.mark.parametrize("net", ["x2", "x4 linear", "blocks of 4"])
@pytest.mark.parametrize("after", [0, 1])
def test_out_of_memory_goes_on_in_smaller_tiles_with_the_same_result(nets, net, tile, after):
    colour, told, notes = picture(83, 90), [], []
    small = Small(nets[net], 40 * 40)
    small.after = after if tile == 40 else 0
    result = run_tiled(small, colour, tile=tile, progress=told.append, note=notes.append)
    assert np.array_equal(result, run_tiled(nets[net], colour, tile=None))
    assert notes and all("out of memory" in one for one in notes)
    assert sum(told) == 83 * 90


class Together(StubNetwork):
    """A model that takes several tiles a run, as on CUDA; counts how many."""

    def __init__(self, model, together):
        super().__init__(model)
        self.pixels_at_once, self.seen = together, []

    def infer(self, image):
        self.seen.append(image.shape)
        return self.model.infer(image)


@pytest.mark.parametrize("net", ["x1", "x2", "x2 wide", "x3", "x4 linear", "blocks of 4", "blocks of 3"])
@pytest.mark.parametrize("buffered", [False, True])
@settings(max_examples=10, deadline=None)
@given(height=sides, width=sides, tile=st.integers(1, 40), together=st.integers(1, 100_000))
def test_several_tiles_a_run_equal_single_ones_bit_for_bit(nets, net, buffered, height, width, tile, together):
    model, colour = copy.copy(nets[net]), picture(height, width)
    expected = run_tiled(model, colour, tile=tile)
    if buffered:
        model._buffered = BufferedSession(model._session, "cpu")
    told, several = [], Together(model, together)
    assert np.array_equal(run_tiled(several, colour, tile=tile, progress=told.append), expected)
    assert sum(told) == height * width
    assert all(n == 1 or n * h * w <= together for n, _, h, w in several.seen)


def test_tiles_are_run_in_even_groups(nets):
    several = Together(nets["x2"], 5 * 44 * 44)
    run_tiled(several, picture(40, 16 * 32), tile=32)
    assert [shape[0] for shape in several.seen] == [4, 4, 4, 4]


def test_out_of_memory_with_several_tiles_goes_on_with_one_at_a_time_and_then_with_smaller_ones(nets):
    colour, told, notes, together = picture(90, 120), [], [], Together(nets["x2"], 10**6)

    class Little(Together):
        def infer(self, image):
            n, _, h, w = image.shape
            if len(self.seen) > 1 and n * h * w > 40 * 40:
                raise OutOfMemory("it does not fit")
            return super().infer(image)

    little = Little(nets["x2"], 10**6)
    result = run_tiled(little, colour, tile=36, progress=told.append, note=notes.append)
    assert np.array_equal(result, run_tiled(nets["x2"], colour, tile=None))
    assert np.array_equal(run_tiled(together, colour, tile=36), result)
    assert len(notes) == 2 and sum(told) == 90 * 120
    one_by_one = r"out of memory with \d tiles of .* at once; continued at row 58 with one tile at a time"
    assert re.fullmatch(one_by_one, notes[0])
    assert re.fullmatch(r"out of memory with tiles of .* pixels; continued at row 58 with tiles of \d+x\d+", notes[1])


def test_rows_that_are_finished_are_not_done_again(nets):
    colour, notes = picture(200, 40), []
    small = Small(nets["x2"], 0)
    small.after = 3  # rows of one tile: three are finished
    small.largest = 44 * 44
    run_tiled(small, colour, tile=40, note=notes.append)
    assert len(notes) == 1 and "continued at row" in notes[0]
    row = int(notes[0].split("row ")[1].split()[0])
    assert row > 100


def test_memory_that_never_suffices_is_an_error_with_the_size(nets):
    with pytest.raises(OutOfMemory, match=r"it does not fit, in a tile of \d+x\d+ pixels"):
        run_tiled(Small(nets["x2"], 10), picture(64, 64))


def test_numpys_own_memory_error_is_out_of_memory_too(nets):
    small = Small(nets["x2"], 40 * 40, error=MemoryError)
    colour = picture(64, 64)
    assert np.array_equal(run_tiled(small, colour), run_tiled(nets["x2"], colour))


def test_a_result_that_fits_no_memory_is_a_typed_error():
    model = stub(card=card(scale=64, context=0), path="net.onnx")
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1 << 22, 1 << 22, 3))
    with pytest.raises(OutOfMemory, match="not enough memory for a result of"):
        run_tiled(model, huge)
