"""What a comparison finds, measures and crops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from img2img.errors import PictureError, UsageError
from img2img.evaluation.blur import blur
from img2img.evaluation.comparison import baselines, measuring
from img2img.evaluation.comparison.crops import differences
from img2img.evaluation.comparison.matching import match
from img2img.evaluation.comparison.measuring import Truth
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.runtime.files.source import Source

Photo = Callable[..., Path]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def found(folder: Path, *names: str, is_truth: bool = False) -> list[str]:
    """The matches of inputs `in/NAME`, as names or as the beginnings of messages."""
    matches, _ = match(folder, [Source(Path("in", name), root=Path("in")) for name in names], is_truth=is_truth)
    return [str(one) if isinstance(one, PictureError) else one.relative_to(folder).as_posix() for one in matches]


@pytest.mark.parametrize(
    ("inside", "name", "expected"),
    [
        (["a.png", "b.png"], "a.png", "a.png"),
        (["a.jpg", "b.png"], "a.png", "a.jpg"),
        (["sub/a.png", "a.png"], "sub/a.png", "sub/a.png"),
        (["deep/a.png"], "a.png", "deep/a.png"),
        (["baby_HR.png", "baby_LR.png"], "baby_LR.png", "baby_LR.png"),
        (["a_x4.png", "ab.png"], "a.png", "a_x4.png"),
    ],
)
def test_a_result_is_found_by_its_name(
    tmp_path: Path, photo: Photo, inside: list[str], name: str, expected: str
) -> None:
    for one in inside:
        photo(tmp_path / one)
    assert found(tmp_path, name) == [expected]


def test_the_truth_of_a_benchmark_has_high_resolution(tmp_path: Path, photo: Photo) -> None:
    photo(tmp_path / "baby_LR.png"), photo(tmp_path / "baby_HR.png")
    assert found(tmp_path, "baby_LR.png", is_truth=True) == ["baby_HR.png"]


def test_names_that_fit_several_or_none_or_another_input_are_reported(tmp_path: Path, photo: Photo) -> None:
    for one in ("a.png", "x/b.png", "y/b.png", "c_1.png"):
        photo(tmp_path / one)
    taken, several, none, other = found(tmp_path, "a.png", "b.png", "c.png", "c_1.png")
    assert taken == "a.png" and other == "c_1.png"
    assert "several pictures" in several and "x/b.png" in several.replace("\\", "/")
    assert "no picture with its name" in none


def test_one_result_does_not_belong_to_two_inputs(tmp_path: Path, photo: Photo) -> None:
    photo(tmp_path / "a.png")
    first, second = found(tmp_path, "a.png", "a.jpg")
    assert first == "a.png" and "already belongs to" in second


def test_a_folder_without_any_fitting_picture_is_refused(tmp_path: Path, photo: Photo) -> None:
    photo(tmp_path / "1.png")
    with pytest.raises(UsageError, match="none of its 1 picture fits an input"):
        found(tmp_path, "a.png")


def test_figures_are_those_of_the_evaluation() -> None:
    truth, result = noise(40, 30), noise(40, 30, seed=1)
    figures = Truth(truth, border=4).measure(result).figures
    assert figures["psnr_y"] == psnr(luma(result), luma(truth), border=4)
    assert figures["ssim_y"] == ssim(luma(result), luma(truth), border=4)
    assert figures["l1"] == pytest.approx(np.abs(result.astype(float) - truth).mean() / 255)


def test_equal_pictures_have_finite_figures() -> None:
    assert Truth(noise(30, 30)).measure(noise(30, 30)).figures == {"psnr_y": 100.0, "ssim_y": 1.0, "l1": 0.0}


def test_a_picture_that_is_too_small_for_a_figure_has_the_others() -> None:
    small = Truth(noise(9, 9)).measure(noise(9, 9, seed=1))
    assert set(small.figures) == {"psnr_y", "l1"} and "SSIM needs 11 pixels" in small.notes[0]
    alone = measuring.measure_alone(noise(90, 90))
    assert alone.figures == {} and "NIQE needs 2 patches" in alone.notes[0]


def test_totals_skip_missing_results_and_count_the_best() -> None:
    cases = [{"a": {"l1": 0.1}, "b": {"l1": 0.2}}, {"a": {"l1": 0.3}}, {"a": {}, "b": {"l1": 0.4}}]
    totals = measuring.totals(["a", "b", "c"], cases)
    assert totals["a"].means == {"l1": pytest.approx(0.2)} and totals["a"].best == {"l1": 2}
    assert totals["a"].pictures == 3
    assert totals["b"].means == {"l1": pytest.approx(0.3)} and totals["b"].best == {"l1": 1}
    assert totals["c"].pictures == 0 and totals["c"].means == {}


def test_crops_lie_where_the_pictures_differ_and_do_not_overlap() -> None:
    one = noise(400, 240)
    other = one.copy()
    other[176:200, 320:340] = 255 - other[176:200, 320:340]
    other[10:20, 10:20] //= 2
    found = differences([one, other])
    first, second = found.crops[:2]
    assert 0 < found.mean < 0.1
    for (left, top, width, height), (x, y) in ((first, (330, 188)), (second, (15, 15))):
        assert left <= x < left + width and top <= y < top + height
        assert left + width <= 400 and top + height <= 240


def test_equal_and_small_pictures_have_no_crops() -> None:
    assert differences([noise(400, 240), noise(400, 240)]).crops == ()
    assert differences([noise(60, 50), noise(60, 50, seed=1)]).crops == ()
    assert differences([noise(60, 50)]).mean == 0


@pytest.mark.parametrize("size", [(40, 32), (33, 29), (10, 8)])
def test_baselines_have_the_wanted_size(size: tuple[int, int]) -> None:
    picture = noise(10, 8)
    for resize in (baselines.bicubic, baselines.copy):
        assert resize(picture, size).shape == (size[1], size[0], 3)
    assert np.array_equal(baselines.copy(picture, (20, 16))[::2, 1::2], picture)


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (45, 12), (70, 61)])
def test_a_blur_weights_every_square_inside_the_plane(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(shape)
    window = np.random.default_rng(1).random(11)
    squares = np.lib.stride_tricks.sliding_window_view(plane, (11, 11))
    assert blur(plane, window) == pytest.approx(np.einsum("hwij,i,j->hw", squares, window, window))
