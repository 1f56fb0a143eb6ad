"""Figures of cases, their means, and the rows of a contact sheet."""

import numpy as np
import pytest

from img2img.evaluation.results import MAX_RATIO, Case, Ratio, gradient, means, spread, value
from img2img.evaluation.sheet_rows import MAX_CROP, MAX_ROWS, MAX_SIDE, SheetRows, format_of


def case(number: int, side: int = 4) -> Case:
    picture = np.full((side, side, 3), (number // 256, number % 256, 0), np.uint8)
    return Case(str(number), {"ours": {"l1": float(number)}}, {"input": picture, "ours": picture})


def test_the_mean_of_ratios_is_the_ratio_of_sums_and_never_infinite() -> None:
    tiny, large = Ratio(3, 1), Ratio(50, 99)
    found = means([Case(name, {"ours": {"border": one, "l1": 2.0}}) for name, one in (("a", tiny), ("b", large))])
    assert found == {"ours": {"border": pytest.approx(0.53), "l1": 2.0}}
    assert value(Ratio(0, 0)) == 1 and value(Ratio(1, 0)) == MAX_RATIO


def test_a_candidate_missing_from_some_cases_has_the_mean_of_the_others() -> None:
    cases = [Case("a", {"baseline": {"l1": 1.0}, "ours": {"l1": 3.0}}), Case("b", {"ours": {"l1": 5.0}})]
    assert means(cases) == {"baseline": {"l1": 1.0}, "ours": {"l1": 4.0}}


def test_gradient_by_hand() -> None:
    ramp = np.broadcast_to(np.arange(0, 50, 5, dtype=np.uint8)[None, :, None], (6, 10, 3))
    assert gradient(ramp) == pytest.approx(5)


def test_spread_picks_evenly() -> None:
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread(range(3), 5) == [0, 1, 2] == spread(range(3), None)


@pytest.mark.parametrize("count", [1, MAX_ROWS, MAX_ROWS + 1, 5 * MAX_ROWS, 301])
def test_a_sheet_has_up_to_24_rows_evenly_spread_over_the_cases(count: int) -> None:
    rows = SheetRows(details=False)
    assert len(list(rows.watch(case(number) for number in range(count)))) == count
    shown = [int(row[0][0, 0, 0]) * 256 + int(row[0][0, 0, 1]) for row in rows.rows]
    assert len(shown) == min(count, MAX_ROWS) and shown == sorted(set(shown))
    assert shown[0] == 0 and shown[-1] >= count * 0.85 - 1
    assert rows.columns == ["input", "ours"]


def test_large_pictures_are_reduced_or_cropped_in_a_sheet() -> None:
    for details, side in ((False, MAX_SIDE), (True, MAX_CROP)):
        rows = SheetRows(details=details)
        list(rows.watch([case(1, 500)]))
        assert rows.rows[0][0].shape == (side, side, 3)


def test_the_ending_determines_the_format_of_a_sheet() -> None:
    assert format_of(".png") == "PNG" and format_of(".JPG") == "JPEG"
    assert format_of(".pdf") is None and format_of("") is None
