"""The metrics equal those of the papers: they agree with the standard implementations on Set5 and Set14."""

import json

import numpy as np
import pytest
from PIL import Image
from shared_data import shared

from img2img.data.bicubic import imresize
from img2img.errors import DataError
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.evaluation.super_resolution import evaluate, mean


@pytest.mark.parametrize("benchmark", ["Set5_x2", "Set5_x4", "Set14_x2", "Set14_x4"])
def test_bicubic_scores_are_the_published_ones(benchmark: str) -> None:
    reference = json.loads(shared("reference/bicubic_metrics.json").read_text())[benchmark]
    name, scale = benchmark.split("_x")
    scores = list(
        evaluate(lambda low: imresize(low, float(scale)), shared(f"data/sr_benchmark/{name}/x{scale}"), int(scale))
    )
    assert len(scores) == len(reference["images"])
    for (_, bicubic, ours), theirs in zip(scores, reference["images"], strict=True):
        assert ours == bicubic
        assert ours.psnr_y == pytest.approx(theirs["psnr_y"], abs=0.01)
        assert ours.ssim_y == pytest.approx(theirs["ssim_y"], abs=0.001)
    total = mean([score for _, score, _ in scores])
    assert total.psnr_y == pytest.approx(reference["mean"]["psnr_y"], abs=0.01)
    assert total.ssim_y == pytest.approx(reference["mean"]["ssim_y"], abs=0.001)


def test_psnr_by_hand() -> None:
    black, grey = np.zeros((4, 4)), np.full((4, 4), 25.5)
    assert psnr(black, grey) == pytest.approx(20.0)
    assert psnr(black, black) == float("inf")


def test_border_is_cropped() -> None:
    a = np.zeros((20, 20))
    b = a.copy()
    b[0], b[:, -1] = 255, 255
    assert psnr(a, b) < 20
    assert psnr(a, b, border=1) == float("inf")


def test_luma_of_white_and_black() -> None:
    picture = np.array([[[255, 255, 255], [0, 0, 0]]], dtype=np.uint8)
    assert luma(picture).tolist() == [[pytest.approx(235), pytest.approx(16)]]


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (32, 40)).astype(float)
    noisy, noisier = (a + rng.normal(0, sigma, a.shape) for sigma in (10, 40))
    assert ssim(a, a) == pytest.approx(1)
    assert 1 > ssim(a, noisy) > ssim(a, noisier) > 0


def test_different_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)))


def test_a_missing_low_resolution_file_is_named(tmp_path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a_HR.png")
    with pytest.raises(DataError, match=r"a_LR\.png is missing"):
        list(evaluate(lambda low: low, tmp_path, 2))


def test_a_folder_for_another_scale_is_refused(tmp_path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a_HR.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "a_LR.png")
    with pytest.raises(DataError, match="enlarges 4 times"):
        list(evaluate(lambda low: low, tmp_path, 4))


def test_any_folder_of_photos_can_be_measured(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (49, 51, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    ((name, bicubic, nearest),) = evaluate(lambda low: low.repeat(2, 0).repeat(2, 1), tmp_path, 2)
    assert name == "a"
    assert 5 < bicubic.psnr_y < 20
    assert nearest != bicubic
