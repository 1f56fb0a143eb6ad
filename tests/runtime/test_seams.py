"""The seam check: the two tilings it compares, and what it finds."""

import itertools

import numpy as np
import onnx_nets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_network import stub

from img2img.errors import UsageError
from img2img.runtime.network import seams
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import AUTO, Grid, round_up
from img2img.runtime.network.session import load


def card(**changes):
    return Card(**onnx_nets.card(**changes))


def picture(height, width, channels=3, dtype=np.uint8):
    random = np.random.default_rng([height, width])
    return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return load(onnx_nets.compact(tmp_path_factory.mktemp("nets") / "x2.onnx", scale=2, kernel=5), device="cpu")


@pytest.fixture
def liar(net):
    """Its card promises two pixels of context less than it has."""
    wrong = card(scale=2, context=net.card.context - 2)
    return stub(card=wrong, infer=net.infer, path=net.path)


def borders(one, side, tile):
    grid = Grid(one)
    spans = grid.spans(len(grid.padded_indices(side)), grid.limit(tile), even=tile == AUTO)
    return {span.last for span in spans if span.last < side}


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 2000),
    width=st.integers(1, 2000),
    context=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 3, 8]),
    minimum=st.integers(1, 80),
    tile=st.one_of(st.none(), st.just(AUTO), st.integers(20, 700)),
)
def test_the_second_run_has_its_borders_elsewhere(height, width, context, multiple, minimum, tile):
    one = card(context=context, multiple=multiple, minimum=minimum)
    two = seams.tilings(one, height, width, tile)
    smallest = max(2 * Grid(one).context + Grid(one).multiple, Grid(one).minimum)
    if two is None:
        # Only pictures of hardly more than a window on both sides.
        assert all(side <= 2 * (smallest + multiple) for side in (height, width))
        return
    limit = Grid(one).limit(tile)
    kept = limit is not None and max(height, width) > round_up(limit, multiple)
    if kept:
        assert two[0] == tile
    long, short = [], []  # whether the borders are elsewhere, on sides of many tiles and of few
    for side in (height, width):
        first, second = (borders(one, side, tile) for tile in two)
        if side >= 2 * Grid(one).context + 3 * max(16, Grid(one).context, smallest) + 8 * multiple:
            assert (first and second) or kept  # at least 2x2 tiles
            assert second or not first
            long.append(len(first & second) <= max(1, len(first) / 4))
        elif first:
            short.append(bool(second) and first.isdisjoint(second))
    # Borders are at multiples, which leaves little choice where tiles are only a few of them large: one side has to do.
    if two[0] != AUTO and two[0] < 8 * multiple:
        assert not long or any(long + short)
    else:
        assert all(long)


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), tile=st.integers(1, 19))
def test_tiny_tiles_have_other_borders_too(height, width, tile):
    two = seams.tilings(card(), height, width, tile)
    if two is None:
        assert max(height, width) <= 2
        return
    assert any(borders(card(), side, two[0]) - borders(card(), side, two[1]) for side in (height, width))


def test_a_true_context_leaves_no_seams(net):
    for size, tile in itertools.product([(60, 70), (33, 150)], [AUTO, None, 16]):
        found = seams.check(net, picture(*size), tile)
        assert found is not None and found.largest == found.mean == 0
        assert str(found).startswith("no seams")
        assert all(columns * rows > 1 for columns, rows in found.tiles)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [AUTO, None, 16, 20])
def test_too_small_a_context_is_found_beside_a_border(liar, tile, dtype):
    colour = picture(64, 80, dtype=dtype)
    found = seams.check(liar, colour, tile)
    assert found is not None and found.largest > seams.VISIBLE and 0 < found.mean < found.largest
    assert "there are seams" in str(found) and f"at {found.place[0]},{found.place[1]}" in str(found)
    two = seams.tilings(liar.card, 64, 80, tile)
    near = [
        abs(place / 2 - border)
        for place, side in zip(found.place, (80, 64), strict=True)
        for one in two
        for border in borders(liar.card, side, one)
    ]
    assert min(near) <= 2.5


def test_differences_are_in_steps_of_255_at_their_place():
    for dtype, step in ((np.uint8, 1), (np.uint16, 257)):
        first = np.full((200, 100, 3), 40 * step, dtype)
        second = first.copy()
        second[150, 33, 2] -= 7 * step
        second[10, 3, 1] += 6 * step
        largest, mean, place = seams.compare(first, second)
        assert (largest, place) == (7, (33, 150))
        assert mean == pytest.approx(13 / first.size)


def test_networks_without_tiles_are_reported():
    one = card(context=None, name="styles")
    model = stub(card=one)
    assert seams.check(model, picture(2000, 2000)) is None
    assert "styles runs every picture as a whole" in seams.why_not(one)


def test_a_picture_that_cannot_be_cut_has_no_seams(net):
    assert seams.check(net, picture(1, 1)) is None
    assert "cannot cut" in seams.why_not(net.card)


def test_a_tile_below_one_is_refused(net):
    with pytest.raises(UsageError):
        seams.check(net, picture(30, 30), 0)


def test_progress_adds_up_to_both_runs(net):
    counted = []
    seams.check(net, picture(50, 40), progress=counted.append)
    assert sum(counted) == 2 * 50 * 40
