"""JPEG artefacts and noise at full size: each fault, their shares, and settings."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from img2img.data import degradation
from img2img.data import degradation_steps as steps
from img2img.data.degradation import DegradationConfig
from img2img.data.jpeg_noise import STANDARD, JpegNoise, JpegNoiseConfig, standard_faults
from img2img.errors import ConfigError
from img2img.evaluation.metrics import luma, psnr


def scene(side: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(40, 216, (9, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def only(fault: str, **more: Any) -> JpegNoise:
    faults = dict.fromkeys(("jpeg", "noise", "both", "none"), 0.0) | {fault: 1.0}
    return JpegNoise(JpegNoiseConfig.model_validate({"faults": faults, **more}))


@pytest.mark.parametrize("fault", ["jpeg", "noise", "both"])
def test_faults_keep_the_size_and_depend_only_on_the_generator(fault: str) -> None:
    photo = scene()[:51, :37]
    first, again, other = (only(fault)(photo, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == photo.shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, photo) and not np.array_equal(first, other)


def test_photos_without_fault_stay_as_they_are() -> None:
    photo = scene()
    assert np.array_equal(only("none")(photo, np.random.default_rng(0)), photo)
    degrade = JpegNoise(JpegNoiseConfig())
    clean = [np.array_equal(degrade(photo, np.random.default_rng(seed)), photo) for seed in range(300)]
    assert 0.05 < np.mean(clean) < 0.17  # the default share is 0.1


def test_jpeg_equals_that_of_pillow_within_rounding_at_some_place_of_the_block_grid() -> None:
    photo, rng = scene(), np.random.default_rng(0)
    for full, sampling in ((0.0, 2), (1.0, 0)):
        ours = only("jpeg", jpeg=[30, 30], twice=0.0, full_chroma=full)(photo, rng).astype(int)
        differences = []
        for top, left in np.ndindex(8, 8):
            stream = io.BytesIO()
            shifted = np.pad(photo, ((top, 0), (left, 0), (0, 0)), mode="edge")
            Image.fromarray(shifted).save(stream, "JPEG", quality=30, subsampling=sampling)
            theirs = np.asarray(Image.open(stream))[top:, left:].astype(int)
            differences.append(np.abs(ours - theirs).max())
        assert min(differences) <= 2 < np.median(differences)


def test_blocks_start_anywhere_in_a_crop() -> None:
    """Otherwise networks learn where blocks end from the padding around crops, and see none in whole photos."""
    photo = scene()

    def end_of_blocks(picture: np.ndarray) -> int:
        """The column, modulo 8, with the largest mean step of Y to the next one."""
        across = np.abs(np.diff(luma(picture), axis=1)).mean(0)
        return int(np.argmax([across[place::8].mean() for place in range(8)]))

    fault = only("jpeg", jpeg=[5, 5], twice=0.0)
    places = [end_of_blocks(fault(photo, np.random.default_rng(seed))) for seed in range(32)]
    assert len(set(places)) >= 6


def test_a_second_compression_changes_more() -> None:
    photo, seeds = scene(), range(8)
    once, twice = (
        np.mean([psnr(fault(photo, np.random.default_rng(seed)), photo) for seed in seeds])
        for fault in (only("jpeg", jpeg=[10, 10], twice=share) for share in (0.0, 1.0))
    )
    assert twice < once


def test_noise_has_the_requested_deviation() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    usual = {"gaussian": 1.0, "grey": 0.0, "sigma": [12, 12]}
    noisy = only("noise", noise={**usual, "chroma": 0.0})(grey, np.random.default_rng(0))
    assert (noisy.astype(float) - 128).std() == pytest.approx(12, rel=0.03)


def test_chroma_noise_keeps_luma() -> None:
    grey = np.full((96, 96, 3), 128, np.uint8)
    noisy = only("noise", noise={"chroma": 1.0, "sigma": [10, 10]})(grey, np.random.default_rng(0))
    values = steps.from_rgb(noisy) @ np.array([0.114, 0.587, 0.299])
    assert np.abs(values * 255 - 128).max() < 1 and noisy.astype(float).std() > 5


def test_blur_is_off_unless_it_is_asked_for() -> None:
    photo = scene()
    usual = {"jpeg": [100, 100], "twice": 0.0, "full_chroma": 1.0}
    sharp = only("jpeg", **usual)(photo, np.random.default_rng(0))
    blurred = only("jpeg", **usual, blur={"probability": 1.0, "sigma": [1, 1]})(photo, np.random.default_rng(0))
    assert psnr(sharp, photo) > 48 > psnr(blurred, photo)


def test_standard_faults_are_those_that_training_shows() -> None:
    assert set(standard_faults(JpegNoiseConfig())) == set(STANDARD)
    assert set(standard_faults(only("jpeg").config)) == {"jpeg10", "jpeg20", "jpeg40", "jpeg95"}
    assert set(standard_faults(only("noise").config)) == {"noise15"}


def test_photos_that_are_jpegs_already_do_not_survive_unchanged() -> None:
    photo = steps.to_rgb(steps.compress_jpeg(steps.from_rgb(scene()), 95))
    aligned = steps.to_rgb(steps.compress_jpeg(steps.from_rgb(photo), 95))
    assert psnr(STANDARD["jpeg95"](photo, np.random.default_rng(0)), photo) < psnr(aligned, photo) - 1


def test_worse_settings_give_lower_psnr() -> None:
    photo = scene()
    found = {name: psnr(fault(photo, np.random.default_rng(0)), photo) for name, fault in STANDARD.items()}
    assert found["jpeg10"] < found["jpeg20"] < found["jpeg40"] < found["jpeg95"]
    assert 23 < found["noise15"] < 26


def test_settings_that_cannot_be_are_rejected() -> None:
    with pytest.raises(ValidationError, match=r"sum to 1, not 1\.5: jpeg 1, noise 0\.25"):
        DegradationConfig.model_validate({"jpeg_noise": {"faults": {"jpeg": 1.0}}})
    with pytest.raises(ConfigError, match="jpeg-noise is for scale 1, not 4; use real"):
        degradation.build(DegradationConfig(kind="jpeg-noise"), 4)
