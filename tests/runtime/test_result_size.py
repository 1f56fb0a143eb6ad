"""Sizes of results, the self-ensemble and repeating textures."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.session import LoadedModel, load
from img2img.runtime.tasks import result_size
from img2img.runtime.tasks.ensemble import eightfold
from img2img.runtime.tasks.result_size import ResultSize
from img2img.runtime.tasks.upscale import MAX_SCALE, UpscaleTask, upscale


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Sees 4 pixels around each one."""
    return load(onnx_nets.compact(tmp_path_factory.mktemp("nets") / "smooth.onnx", scale=2, convs=4))


def noise(height: int, width: int, channels: int = 3) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"width": 90}, (90, 60)),
        ({"height": 90}, (135, 90)),
        ({"long-side": 15}, (15, 10)),
        ({"megapixels": 0.0006}, (30, 20)),
        ({"fit": "90x90"}, (90, 60)),
        ({"fit": "900X20"}, (30, 20)),
    ],
    ids=str,
)
def test_the_wanted_side_is_exact_and_the_other_one_follows(
    given: dict[str, Any], size: tuple[int, int], smooth: LoadedModel
) -> None:
    wanted = result_size.parse(given)
    assert wanted is not None and wanted.of(30, 20) == size
    assert upscale(smooth, Picture(noise(20, 30)), size=wanted).colour.shape == (size[1], size[0], 3)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_a_result_fits_its_box_and_touches_it(width: int, height: int, across: int, down: int) -> None:
    got = ResultSize("fit", across, down).of(width, height)
    assert got[0] <= across and got[1] <= down and (got[0] == across or got[1] == down)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 9, "height": 9}, "--width and --height exclude each other: use one of them; .* use --fit WxH"),
        ({"scale": 2.0, "fit": "9x9"}, "--scale and --fit exclude each other"),
        ({"fit": "9"}, "--fit 9: use WIDTHxHEIGHT"),
        ({"fit": "0x9"}, "--fit 0: use a number above 0"),
        ({"width": 1 << 21}, "--width 2097152: use a number above 0 and up to 1048576|--width 2.09715e"),
        ({"megapixels": float("nan")}, "--megapixels nan: use a number above 0"),
    ],
    ids=str,
)
def test_a_wrong_size_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        result_size.parse(given)


def test_a_size_that_is_far_above_the_picture_is_refused(smooth: LoadedModel) -> None:
    with pytest.raises(UsageError, match=f"more than {MAX_SCALE} times"):
        upscale(smooth, Picture(noise(1, 1)), size=ResultSize("width", 300))


def test_results_are_named_after_the_wanted_size(smooth: LoadedModel) -> None:
    from img2img.runtime.tasks.settings import Settings

    for options, label in (({"width": 1920}, "_w1920"), ({"fit": "3840x2160"}, "_fit3840x2160"), ({"scale": 3}, "_x3")):
        (naming,) = UpscaleTask(**options).namings(smooth.card, Settings())  # type: ignore[arg-type]
        assert naming.suffix == label


def test_the_ensemble_does_not_depend_on_the_orientation(smooth: LoadedModel) -> None:
    picture = noise(7, 5)
    there = upscale(smooth, Picture(picture), ensemble=True).colour
    turned = upscale(smooth, Picture(np.rot90(picture)[:, ::-1].copy()), ensemble=True).colour
    assert np.array_equal(np.rot90(there)[:, ::-1], turned)
    assert not np.array_equal(there, upscale(smooth, Picture(picture)).colour)


def test_the_mean_of_eight_equal_results_is_that_result() -> None:
    picture = noise(4, 6)
    assert np.array_equal(
        eightfold(lambda plane: plane.repeat(2, 0).repeat(2, 1), picture), picture.repeat(2, 0).repeat(2, 1)
    )


@pytest.mark.parametrize("axes", ["x", "y", "xy"])
@pytest.mark.parametrize("options", [{}, {"scale": 3.5}, {"ensemble": True}, {"tile": 8}], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_wrapped_result_is_the_middle_of_a_repeated_picture(
    axes: str, options: dict[str, Any], channels: int, smooth: LoadedModel
) -> None:
    picture = noise(16, 12, channels)
    rows, columns = (3 if axis in axes else 1 for axis in "yx")
    large = upscale(smooth, Picture(np.tile(picture, (rows, columns, 1))), **options).colour
    result = upscale(smooth, Picture(picture), wrap=axes, **options).colour
    height, width = large.shape[0] // rows, large.shape[1] // columns
    top, left = height * (rows // 2), width * (columns // 2)
    assert np.array_equal(result, large[top : top + height, left : left + width])


def test_models_of_whole_pictures_cannot_wrap(tmp_path: Path) -> None:
    model = load(onnx_nets.instance_norm(tmp_path / "whole.onnx", task="upscale"))
    with pytest.raises(UsageError, match="depend on the whole picture"):
        upscale(model, Picture(noise(8, 8)), wrap="x")


@pytest.mark.parametrize("options", [{"ensemble": True}, {"wrap": "xy"}, {"ensemble": True, "wrap": "x"}], ids=str)
def test_progress_adds_up_to_the_picture(options: dict[str, Any], smooth: LoadedModel) -> None:
    seen: list[int] = []
    alpha = noise(9, 7, 1)[..., 0]
    upscale(smooth, Picture(noise(9, 7), alpha), progress=seen.append, **options)
    assert sum(seen) == 63


def test_journals_of_version_02_stay_valid() -> None:
    task = UpscaleTask(scale=2)
    job: Any = None
    assert set(task.journal_key(job)) == {"task", "strength", "scale"}
    assert dataclasses.replace(task, wrap="x").journal_key(job)["wrap"] == "x"
