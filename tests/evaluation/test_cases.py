"""Figures of cases and their means; which of them a sheet shows."""

import numpy as np
import pytest

from img2img.evaluation.cases import MOST_SHARE, Case, Share, gradient, means, spread, value
from img2img.evaluation.gallery import CROP, MOST, SIDE, Gallery, format_of


def case(number: int, side: int = 4) -> Case:
    picture = np.full((side, side, 3), (number // 256, number % 256, 0), np.uint8)
    return Case(str(number), {"ours": {"l1": float(number)}}, {"input": picture, "ours": picture})


def test_a_share_is_averaged_by_its_sums_and_never_infinite() -> None:
    tiny, large = Share(3, 1), Share(50, 99)
    found = means([Case(name, {"ours": {"border": one, "l1": 2.0}}) for name, one in (("a", tiny), ("b", large))])
    assert found == {"ours": {"border": pytest.approx(0.53), "l1": 2.0}}
    assert value(Share(0, 0)) == 1 and value(Share(1, 0)) == MOST_SHARE


def test_a_way_that_some_cases_lack_has_the_mean_of_the_others() -> None:
    cases = [Case("a", {"rival": {"l1": 1.0}, "ours": {"l1": 3.0}}), Case("b", {"ours": {"l1": 5.0}})]
    assert means(cases) == {"rival": {"l1": 1.0}, "ours": {"l1": 4.0}}


def test_gradient_by_hand() -> None:
    ramp = np.broadcast_to(np.arange(0, 50, 5, dtype=np.uint8)[None, :, None], (6, 10, 3))
    assert gradient(ramp) == pytest.approx(5)


def test_spread_takes_the_ends_evenly() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(3), 5) == [0, 1, 2] == spread(range(3), None)


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 5 * MOST, 301])
def test_a_sheet_has_up_to_24_rows_from_all_over_the_cases(count: int) -> None:
    gallery = Gallery(details=False)
    assert len(list(gallery.watch(case(number) for number in range(count)))) == count
    shown = [int(row[0][0, 0, 0]) * 256 + int(row[0][0, 0, 1]) for row in gallery.rows]
    assert len(shown) == min(count, MOST) and shown == sorted(set(shown))
    assert shown[0] == 0 and shown[-1] >= count * 0.85 - 1
    assert gallery.columns == ["input", "ours"]


def test_large_pictures_are_reduced_or_cut_in_a_sheet() -> None:
    for details, side in ((False, SIDE), (True, CROP)):
        gallery = Gallery(details=details)
        list(gallery.watch([case(1, 500)]))
        assert gallery.rows[0][0].shape == (side, side, 3)


def test_a_sheet_is_a_picture_file() -> None:
    assert format_of(".png") == "PNG" and format_of(".JPG") == "JPEG"
    assert format_of(".pdf") is None and format_of("") is None
