"""NIQE equals the published one and gets worse with the picture, and `evaluate --no-reference` uses it."""

import io
import json
import math
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from shared_data import shared

from img2img.data.bicubic import weights
from img2img.data.folders import read_rgb
from img2img.errors import DataError
from img2img.evaluation import niqe as module
from img2img.evaluation.metrics import luma
from img2img.evaluation.niqe import BUNDLED, FEATURES, Statistics, bundled, features, fit, niqe

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "olives.jpg"


def photo(height: int = 288, width: int = 384) -> np.ndarray:
    return read_rgb(PHOTO)[:height, :width]


@lru_cache
def _ratios() -> tuple[np.ndarray, np.ndarray]:
    shapes = np.arange(0.2, 10.001, 0.001)
    gammas = [[math.gamma(n / shape) for n in (1, 2, 3)] for shape in shapes]
    return shapes, np.array([second**2 / (first * third) for first, second, third in gammas])


def plain_aggd(values: np.ndarray) -> tuple[float, float, float]:
    """Lasmar et al. 2009 in the form of the standard implementations: a single patch, and every shape is tried."""
    values = values.ravel()
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values > 0]))
    ratio = left / right
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    adjusted = moment * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, ratios = _ratios()
    shape = shapes[np.argmin((ratios - adjusted) ** 2)]
    width = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    return shape, left * width, right * width


def plain_features(picture: np.ndarray) -> np.ndarray:
    plane = np.rint(luma(picture))
    plane = plane[: plane.shape[0] // 96 * 96, : plane.shape[1] // 96 * 96]
    axis = np.arange(-3, 4)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    scales = []
    for side in (96, 48):
        padded = np.pad(plane, 3, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
        mean = (windows * window).sum((2, 3))
        deviation = np.sqrt(np.abs((windows**2 * window).sum((2, 3)) - mean**2))
        normal = (plane - mean) / (deviation + 1)
        rows = []
        for top in range(0, plane.shape[0], side):
            for start in range(0, plane.shape[1], side):
                patch = normal[top : top + side, start : start + side]
                shape, left, right = plain_aggd(patch)
                row = [shape, (left + right) / 2]
                for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    shape, left, right = plain_aggd(patch * np.roll(patch, shift, (0, 1)))
                    row += [shape, (right - left) * math.gamma(2 / shape) / math.gamma(1 / shape), left, right]
                rows.append(row)
        scales.append(np.array(rows))
        down, across = (weights(length, 0.5).astype(np.float64) for length in plane.shape)
        plane = down @ plane @ across.T
    return np.concatenate(scales, axis=1)


def plain_niqe(picture: np.ndarray, statistics: Statistics) -> float:
    found = plain_features(picture)
    difference = statistics.mean - found.mean(0)
    covariance = (statistics.covariance + np.cov(found, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def test_features_and_score_equal_a_plain_implementation() -> None:
    picture = photo(200, 300)
    assert features(picture).shape == (6, FEATURES)
    np.testing.assert_allclose(features(picture), plain_features(picture), rtol=1e-6, atol=1e-7)
    assert niqe(picture) == pytest.approx(plain_niqe(picture, bundled()), rel=1e-5)


@pytest.mark.parametrize(("name", "published"), [("001", 5.7296), ("002", 4.5838), ("003", 2.4864)])
def test_the_published_statistics_give_the_published_scores(name: str, published: float) -> None:
    statistics = Statistics.load(shared("reference/niqe_pris_params.npz"))
    picture = read_rgb(shared("data/sr_benchmark") / "Set14" / "x2" / f"img_{name}_HR.png")
    assert niqe(picture, statistics) == pytest.approx(published, abs=5e-4)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).round().astype(np.uint8)


def compressed(picture: np.ndarray, loss: float) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=round(100 - loss))
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize(
    ("harm", "degrees"), [(blurred, (0, 1, 2, 4)), (noisy, (0, 10, 25, 50)), (compressed, (5, 70, 85, 95))]
)
def test_a_worse_picture_has_a_worse_score(harm: Callable[..., np.ndarray], degrees: tuple[float, ...]) -> None:
    scores = [niqe(harm(photo(), degree)) for degree in degrees]
    assert scores == sorted(scores) and scores[-1] > scores[0] + 1


def test_the_bundled_statistics_are_small_valid_and_described() -> None:
    assert BUNDLED.stat().st_size < 100_000
    statistics = Statistics.load()
    assert statistics.about == "fitted on free photos"
    np.testing.assert_allclose(statistics.covariance, statistics.covariance.T)
    assert np.linalg.eigvalsh(statistics.covariance).min() > 0
    assert statistics.mean.shape == (FEATURES,) and 0.5 < statistics.mean[0] < 4  # a shape between Laplace and Gauss


@limits(max_examples=10)
@given(st.integers(0, 95), st.integers(0, 95))
def test_pixels_beyond_whole_patches_do_not_count(down: int, across: int) -> None:
    picture = photo()
    assert niqe(picture[: 192 + down, : 192 + across]) == niqe(picture[:192, :192])


def test_the_border_can_be_cropped() -> None:
    framed = np.pad(photo(192, 288), ((8, 8), (8, 8), (0, 0)))
    assert niqe(framed, border=8) == niqe(photo(192, 288)) != niqe(framed)


def test_a_megapixel_takes_less_than_two_seconds() -> None:
    large = np.tile(photo(), (4, 3, 1))[:1000, :1000]
    bundled()
    start = time.process_time()
    niqe(large)
    assert time.process_time() - start < 2


def test_only_sharp_patches_are_used_for_the_fit(tmp_path: Path) -> None:
    sharp = noisy(np.full((96 * 8, 96 * 8, 3), 128, np.uint8), 20)
    soft = blurred(sharp, 3)
    half = np.concatenate([sharp, soft], axis=1)
    statistics, patches = fit([half, np.zeros((50, 400, 3), np.uint8)], "test")
    assert patches == 64
    alone, _ = fit([sharp], "test")
    assert niqe(sharp, statistics) < niqe(soft, statistics)
    np.testing.assert_allclose(statistics.mean, alone.mean, atol=0.05)  # the same patches, except at the seam
    with (tmp_path / "mine.npz").open("wb") as file:
        statistics.save(file)
    again = Statistics.load(tmp_path / "mine.npz")
    assert again.about == "test" and (again.mean == statistics.mean).all()
    assert (again.covariance == statistics.covariance).all()


def test_a_fit_needs_enough_patches() -> None:
    with pytest.raises(DataError, match="sharp patches of 96x96 pixels; at least 37 are needed"):
        fit([photo()], "test")


@pytest.mark.parametrize("picture", [np.full((200, 200, 3), 90, np.uint8), photo(95, 300), photo(100, 100)])
def test_flat_and_tiny_pictures_cannot_be_measured(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="NIQE needs 2 patches"):
        niqe(picture)


def test_a_file_without_valid_statistics_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    cases: list[tuple[Any, str]] = [
        ({"mean": np.zeros(36), "covariance": np.array([{}], object), "about": np.array("x")}, "allow_pickle"),
        ({"mean": np.zeros(36)}, "cannot be read"),
        ({"mean": np.zeros(35), "covariance": np.eye(35), "about": np.array("x")}, "36 features"),
        ({"mean": np.full(36, np.nan), "covariance": np.eye(36), "about": np.array("x")}, "finite"),
    ]
    for arrays, message in cases:
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message) as caught:
            Statistics.load(path)
        assert "bad.npz" in str(caught.value)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"bad\.npz: cannot be read"):
        Statistics.load(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(photo()[number * 40 :][:110, :150]).save(folder / f"{number}.png")
    return folder


def test_pictures_without_reference_are_enlarged_and_scored(img2img: Callable[..., Any], photos: Path) -> None:
    model = onnx_nets.pointwise(photos.parent / "nearest.onnx", scale=2)
    done = img2img("evaluate", model, "--data", photos, "--no-reference", "--device", "cpu")
    assert done.status == 0, done.err
    assert "NIQE (fitted on free photos)" in done.err
    lines = [line.split() for line in done.out.decode().splitlines()]
    assert [line[0] for line in lines] == ["picture", "0", "1", "2", "mean"]
    enlarged = photo()[:110, :150].repeat(2, 0).repeat(2, 1)
    assert float(lines[1][2]) == pytest.approx(niqe(enlarged), abs=0.006)


def test_a_folder_of_low_resolution_pictures_alone_has_no_reference(img2img: Callable[..., Any], photos: Path) -> None:
    for path in list(photos.iterdir()):
        path.rename(path.with_name(f"{path.stem}_LR.png"))
    model = onnx_nets.pointwise(photos.parent / "nearest.onnx", scale=2)
    done = img2img("evaluate", model, "--data", photos, "--json", "--count", 2, "--device", "cpu")
    *rows, last = [json.loads(line) for line in done.out.splitlines()]
    assert [row["picture"] for row in rows] == ["0_LR", "1_LR"]
    assert last["niqe"] == pytest.approx(np.mean([row["niqe"] for row in rows]))
    assert last["statistics"] == "NIQE, fitted on free photos" and last["bicubic"]["niqe"] > 0


def test_other_statistics_are_named_with_the_figures(img2img: Callable[..., Any], photos: Path) -> None:
    model = onnx_nets.pointwise(photos.parent / "nearest.onnx", scale=2)
    theirs = photos.parent / "theirs.npz"
    np.savez(theirs, mu_pris_param=module.bundled().mean[None], cov_pris_param=module.bundled().covariance)
    args = ("evaluate", model, "--data", photos, "--no-reference", "--niqe", theirs, "--record", "--device", "cpu")
    assert "NIQE (theirs.npz)" in img2img(*args).err
    from img2img.runtime.network import session

    ((name, found),) = session.load(model).card.metrics.items()
    assert name.endswith("/old as they are") and found["statistics"] == "NIQE, theirs.npz"
    assert found["command"] == (
        f"img2img evaluate nearest --data {photos.parent.name}/old --no-reference --niqe theirs.npz"
    )


def test_a_picture_too_small_for_niqe_is_named(img2img: Callable[..., Any], photos: Path) -> None:
    Image.fromarray(photo(20, 20)).save(photos / "tiny.png")
    model = onnx_nets.pointwise(photos.parent / "nearest.onnx", scale=2)
    done = img2img("evaluate", model, "--data", photos, "--no-reference", "--device", "cpu")
    assert done.status == 2 and "tiny.png: NIQE needs 2 patches" in done.err
