"""Real-ESRGAN's degradation: its kernels against their formulae, each of its steps, and the degradation as a whole."""

import io
import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from img2img.data import degradation, kernels
from img2img.data import degradation_steps as steps
from img2img.data.bicubic import imresize
from img2img.data.degradation import Blur, DegradationConfig, Noise

sides = st.integers(3, 10).map(lambda half: 2 * half + 1)
sigmas = st.floats(0.2, 3.0)
betas = st.floats(0.5, 4.0)
angles = st.floats(-math.pi, math.pi)


def scene(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """Return a picture with flat parts, edges and colours, uint8 `[height, width, 3]`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


# Kernels


@given(sides, sigmas, sigmas, angles, betas)
def test_kernels_sum_to_one_and_are_symmetric_about_their_middle(
    side: int, sigma: float, across: float, angle: float, beta: float
) -> None:
    for kernel in (
        kernels.gaussian(side, sigma, across, angle),
        kernels.generalised(side, beta, sigma, across, angle),
        kernels.plateau(side, beta, sigma, across, angle),
        kernels.sinc(side, max(abs(angle), 0.6)),
    ):
        assert kernel.shape == (side, side) and kernel.dtype == np.float32
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(kernel, kernel[::-1, ::-1], atol=1e-6)


@given(sides, sigmas, betas)
def test_isotropic_kernels_are_symmetric_in_all_directions(side: int, sigma: float, beta: float) -> None:
    for kernel in (
        kernels.gaussian(side, sigma),
        kernels.generalised(side, beta, sigma),
        kernels.plateau(side, beta, sigma),
        kernels.sinc(side, sigma),
    ):
        assert np.allclose(kernel, np.rot90(kernel), atol=1e-6) and np.allclose(kernel, kernel.T, atol=1e-6)


def test_kernels_follow_their_formulae() -> None:
    corner, edge = math.exp(-1), math.exp(-0.5)  # squared distances 2 and 1
    gaussian = np.array([[corner, edge, corner], [edge, 1, edge], [corner, edge, corner]])
    assert np.allclose(kernels.gaussian(3, 1.0), gaussian / gaussian.sum())
    assert np.allclose(kernels.gaussian(7, 1.3, 0.7, 0.4), kernels.generalised(7, 1.0, 1.3, 0.7, 0.4))
    corner, edge = math.exp(-0.5 * 2**2), math.exp(-0.5)
    assert np.allclose(
        kernels.generalised(3, 2.0, 1.0)[0], np.array([corner, edge, corner]) / (1 + 4 * edge + 4 * corner)
    )
    assert np.allclose(kernels.plateau(3, 1.0, 1.0)[0], np.array([1 / 3, 1 / 2, 1 / 3]) / (1 + 4 / 2 + 4 / 3))
    # A sinc with cut-off pi: pi/4 in the middle, J1(pi)/2 next to it with J1(pi) = 0.2846153.
    kernel = kernels.sinc(7, math.pi)
    assert kernel[3, 4] / kernel[3, 3] == pytest.approx((0.2846153 / 2) / (math.pi / 4), rel=1e-4)


def test_gaussians_have_the_requested_deviations_and_direction() -> None:
    offsets = np.arange(21) - 10
    x, y = offsets[None, :], offsets[:, None]
    kernel = kernels.gaussian(21, 2.0, 1.0)
    assert (kernel * x**2).sum() == pytest.approx(4, rel=0.01)
    assert (kernel * y**2).sum() == pytest.approx(1, rel=0.01)
    assert np.allclose(kernels.gaussian(21, 2.0, 1.0, math.pi / 2), kernel.T, atol=1e-6)
    rotated = kernels.gaussian(21, 2.0, 1.0, math.pi / 4)
    assert (rotated * x * y).sum() == pytest.approx((4 - 1) / 2, rel=0.01)


def test_flat_top_kernels_are_flatter_than_gaussians() -> None:
    def near(kernel: np.ndarray) -> float:  # one pixel from the middle, with sigma 3
        return float(kernel[10, 11] / kernel[10, 10])

    gaussian = near(kernels.gaussian(21, 3.0))
    assert near(kernels.plateau(21, 2.0, 3.0)) > gaussian
    assert near(kernels.generalised(21, 4.0, 3.0)) > gaussian > near(kernels.generalised(21, 0.5, 3.0))


@pytest.mark.parametrize("cutoff", [math.pi / 5, math.pi / 3, math.pi / 2])
def test_sinc_keeps_frequencies_below_its_cutoff_and_rings(cutoff: float) -> None:
    gain = np.abs(np.fft.fft2(kernels.sinc(99, cutoff), (512, 512)))
    frequency = 2 * np.pi * np.fft.fftfreq(512)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    assert np.abs(gain[radius < cutoff * 0.85] - 1).max() < 0.15
    assert gain[(radius > cutoff * 1.15)].max() < 0.15
    assert kernels.sinc(21, cutoff).min() < 0


# Settings


def test_defaults_equal_the_published_options() -> None:
    config = DegradationConfig()
    first, second = config.first, config.second
    assert (first.blur.probability, second.blur.probability) == (1, 0.8)
    assert (first.blur.sigma, second.blur.sigma) == ((0.2, 3), (0.2, 1.5))
    assert (first.resize.range, second.resize.range) == ((0.15, 1.5), (0.3, 1.2))
    assert list(first.resize.shares.model_dump().values()) == [0.2, 0.7, 0.1]
    assert list(second.resize.shares.model_dump().values()) == [0.3, 0.4, 0.3]
    assert (first.noise.sigma, second.noise.sigma) == ((1, 30), (1, 25))
    assert (first.noise.poisson, second.noise.poisson) == ((0.05, 3), (0.05, 2.5))
    for order in (first, second):
        assert list(order.blur.kernels.model_dump().values()) == [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
        assert (order.blur.sinc, order.blur.sides) == (0.1, (7, 21))
        assert (order.blur.generalised_beta, order.blur.plateau_beta) == ((0.5, 4), (1, 2))
        assert (order.noise.gaussian, order.noise.grey, order.jpeg) == (0.5, 0.4, (30, 95))
    assert (config.final.probability, config.final.before_jpeg) == (0.8, 0.5)


def test_a_partly_given_second_order_keeps_its_own_defaults() -> None:
    config = DegradationConfig.model_validate({"second": {"blur": {"sinc": 0}, "noise": {"grey": 1}, "resize": {}}})
    assert (config.second.blur.sigma, config.second.blur.probability) == ((0.2, 1.5), 0.8)
    assert (config.second.noise.sigma, config.second.resize.range) == ((1, 25), (0.3, 1.2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first": {"blur": {"sigma": [3, 0.2]}}}, "must start with the lower value"),
        ({"first": {"blur": {"sides": [8, 21]}}}, "kernel sides must be odd"),
        ({"first": {"blur": {"kernels": {"isotropic": 0.5}}}}, r"sum to 1, not 1\.05: isotropic 0\.5, anisotropic"),
        ({"second": {"resize": {"shares": {"keep": 0.1}}}}, r"sum to 1, not 0\.8: up 0\.3, down 0\.4, keep 0\.1"),
        ({"second": {"resize": {"range": [1.1, 1.2]}}}, "must include 1"),
        ({"second": {"noise": {"grey": 1.5}}}, "less than or equal to 1"),
        ({"first": {"jpeg": [0, 95]}}, "greater than or equal to 1"),
        ({"final": {"cutoff": [1, 4]}}, "less than or equal to 3.14"),
        ({"first": {"blur": {"sinq": 0.5}}}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DegradationConfig.model_validate(values)


# The degradation as a whole


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 3, 4]), st.integers(0, 2**32))
def test_results_have_the_right_size_and_depend_only_on_the_generator(
    rows: int, columns: int, scale: int, seed: int
) -> None:
    high = scene(rows * scale, columns * scale)
    before = high.copy()
    shrink = degradation.build(DegradationConfig(kind="real"), scale)
    low = shrink(high, np.random.default_rng(seed))
    assert low.shape == (rows, columns, 3) and low.dtype == np.uint8
    cv2.setRNGSeed(seed % 1000)
    np.random.seed(seed % 1000)
    assert np.array_equal(shrink(high, np.random.default_rng(seed)), low)
    assert np.array_equal(high, before)


def test_different_seeds_give_different_pictures() -> None:
    shrink = degradation.build(DegradationConfig(kind="real"), 4)
    made = {shrink(scene(), np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert len(made) == 20


def test_views_give_the_same_result_as_copies() -> None:
    shrink = degradation.build(DegradationConfig(kind="real"), 2)
    view = scene(64, 80)[::-1, 10:74]
    assert np.array_equal(shrink(view, np.random.default_rng(3)), shrink(view.copy(), np.random.default_rng(3)))


@pytest.mark.parametrize("colour", [(128, 128, 128), (90, 140, 170), (180, 100, 70)])
def test_flat_pictures_keep_their_colour(colour: tuple[int, int, int]) -> None:
    flat = np.full((96, 96, 3), colour, np.uint8)
    calm = {"noise": {"levels": 256}}
    shrink = degradation.build(DegradationConfig.model_validate({"kind": "real", "first": calm, "second": calm}), 4)
    means = np.array([shrink(flat, np.random.default_rng(seed)).mean((0, 1)) for seed in range(60)])
    assert np.abs(means.mean(0) - colour).max() < 1.5
    assert np.abs(means - colour).max() < 12


def test_degraded_pictures_stay_similar_to_plain_downscaling() -> None:
    shrink = degradation.build(DegradationConfig(kind="real"), 4)
    high = scene(128, 128)
    plain = imresize(high, 1 / 4).astype(float)
    correlations = [
        np.corrcoef(plain.ravel(), shrink(high, np.random.default_rng(seed)).ravel().astype(float))[0, 1]
        for seed in range(30)
    ]
    assert min(correlations) > 0.5 and np.mean(correlations) > 0.9
    assert all(value < 0.9999 for value in correlations)


def only_blur(**blur: float) -> DegradationConfig:
    """Configure only the first blur: no resize, almost no noise, the best JPEG quality."""
    noise = {"gaussian": 1, "sigma": [1e-6, 1e-6]}
    rest: dict[str, Any] = {"resize": {"shares": {"up": 0, "down": 0, "keep": 1}}, "noise": noise, "jpeg": [100, 100]}
    return DegradationConfig.model_validate(
        {
            "kind": "real",
            "first": {"blur": {"probability": 1, **blur}, **rest},
            "second": {"blur": {"probability": 0}, **rest},
            "final": {"probability": 0},
        }
    )


def test_sinc_overshoots_an_edge_by_a_bounded_amount() -> None:
    high = np.full((64, 64, 3), 70, np.uint8)
    high[:, 32:] = 190
    shrink = degradation.build(only_blur(sinc=1), 1)
    made = np.array([shrink(high, np.random.default_rng(seed)) for seed in range(40)]).astype(int)
    over = np.maximum(made.max((1, 2, 3)) - 190, 70 - made.min((1, 2, 3))) / 120
    assert over.max() < 0.35
    assert np.median(over) > 0.04
    blurred = np.array([degradation.build(only_blur(sinc=0), 1)(high, np.random.default_rng(s)) for s in range(40)])
    assert blurred.max() <= 190 + 6 and blurred.min() >= 70 - 6  # from the JPEG compression


def test_every_kernel_is_drawn_with_its_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, int] = {}

    def count(name: str, draw: Any) -> Any:
        def call(side: int, *args: float, **shape: float) -> Any:
            assert 7 <= side <= 21 and side % 2 == 1
            key = name + ("_anisotropic" if "across" in shape else "")
            counted[key] = counted.get(key, 0) + 1
            return draw(side, *args, **shape)

        return call

    for name in ("sinc", "gaussian", "generalised", "plateau"):
        monkeypatch.setattr(kernels, name, count(name, getattr(kernels, name)))
    rng = np.random.default_rng(0)
    for _ in range(3000):
        degradation.draw_kernel(Blur(), rng)
    expected = {"sinc": 0.1, "gaussian": 0.405, "gaussian_anisotropic": 0.225, "generalised": 0.108}
    expected |= {"generalised_anisotropic": 0.027, "plateau": 0.108, "plateau_anisotropic": 0.027}
    assert {name: round(number / 3000, 3) for name, number in counted.items()} == pytest.approx(expected, abs=0.03)
    assert set(counted) == set(expected)


# Single steps


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_equals_that_of_a_saved_file_without_swapping_red_and_blue(quality: int) -> None:
    picture = scene(48, 64, seed=2)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    saved = np.asarray(Image.open(file)).astype(float)
    ours = steps.compress_jpeg(picture[:, :, ::-1].astype(np.float32) / 255, quality)[:, :, ::-1] * 255
    assert np.abs(ours - saved).mean() < 0.5
    assert np.abs(saved - picture).mean() > 2 * np.abs(ours - saved).mean()


@pytest.mark.parametrize("size", [(20, 33), (90, 70)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_resizing_equals_that_of_torch(name: str, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random((48, 60, 3), dtype=np.float32)
    ours = steps.resize(picture, size, name)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(picture).permute(2, 0, 1)[None], size=size, mode=name)
    assert np.allclose(ours, theirs[0].permute(1, 2, 0).numpy(), atol=1e-4)


def test_area_resizing_averages() -> None:
    picture = np.random.default_rng(0).random((48, 60, 3), dtype=np.float32)
    ours = steps.resize(picture, (12, 20), "area")
    assert np.allclose(ours, picture.reshape(12, 4, 20, 3, 3).mean((1, 3)), atol=1e-5)


def test_blurring_equals_convolution_with_the_whole_kernel() -> None:
    picture = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    for kernel in (kernels.gaussian(21, 0.5, 2.0, 0.3), kernels.gaussian(21, 0.2, 0.9), kernels.sinc(21, 1.0)):
        padded = torch.from_numpy(np.pad(picture, ((10, 10), (10, 10), (0, 0)), mode="reflect")).permute(2, 0, 1)
        whole = torch.nn.functional.conv2d(padded[:, None], torch.from_numpy(kernel)[None, None])[:, 0]
        assert np.allclose(steps.convolve(picture, kernel), whole.permute(1, 2, 0).numpy(), atol=1e-4)


def noise_of(noise: Noise, picture: np.ndarray) -> np.ndarray:
    return degradation.add_noise(picture, noise, np.random.default_rng(0)) - picture


def test_gaussian_noise_has_the_requested_deviation() -> None:
    grey = np.full((128, 128, 3), 0.5, np.float32)
    coloured = noise_of(Noise(gaussian=1, sigma=(20, 20), grey=0), grey)
    assert coloured.std() * 255 == pytest.approx(20, rel=0.02)
    assert abs(np.corrcoef(coloured[:, :, 0].ravel(), coloured[:, :, 1].ravel())[0, 1]) < 0.05
    shared = noise_of(Noise(gaussian=1, sigma=(20, 20), grey=1), grey)
    assert np.allclose(shared[:, :, 0], shared[:, :, 2], atol=1e-6) and shared.std() * 255 == pytest.approx(
        20, rel=0.05
    )


def test_poisson_noise_grows_with_the_square_root_of_brightness() -> None:
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 400, 0).repeat(3, 2)
    noise = noise_of(Noise(gaussian=0, poisson=(0.5, 0.5), grey=0), ramp)
    for column in (40, 160):  # 256 levels, so 256 quanta at full white
        assert noise[:, column].std() == pytest.approx(0.5 * math.sqrt(column / 255 / 256), rel=0.1)
    shared = noise_of(Noise(gaussian=0, poisson=(0.5, 0.5), grey=1), ramp)
    assert np.allclose(shared[:, 128, 0], shared[:, 128, 1], atol=1e-6)


def test_pictures_with_fewer_levels_get_more_noise_unless_limited() -> None:
    flat = np.full((64, 64, 3), 0.5, np.float32)
    assert noise_of(Noise(gaussian=0, poisson=(0.1, 0.1), grey=0), flat).std() == pytest.approx(
        0.1 * math.sqrt(0.5), rel=0.1
    )
    calm = noise_of(Noise(gaussian=0, poisson=(0.1, 0.1), grey=0, levels=200), flat)
    assert calm.std() == pytest.approx(0.1 * math.sqrt(0.5 / 256), rel=0.1)


def test_sharpening_enhances_edges_and_nothing_else() -> None:
    flat = np.full((120, 120, 3), 90, np.uint8)
    assert np.array_equal(steps.sharpen(flat), flat)
    faint = flat.copy()
    faint[:, 60:] = 98  # below the threshold of 10
    assert np.array_equal(steps.sharpen(faint), faint)
    edge = flat.copy()
    edge[:, 60:] = 150
    sharp = steps.sharpen(edge)
    assert sharp.shape == edge.shape and sharp.dtype == np.uint8
    assert sharp[60, 60, 0] > 155 and sharp[60, 59, 0] < 85
    assert np.array_equal(sharp[:, :20], edge[:, :20])


def test_bicubic_equals_matlabs_and_draws_no_random_numbers() -> None:
    high, rng = scene(), np.random.default_rng(5)
    assert np.array_equal(degradation.build(DegradationConfig(), 4)(high, rng), imresize(high, 1 / 4))
    assert rng.random() == np.random.default_rng(5).random()
    assert np.array_equal(degradation.build(DegradationConfig(), 1)(high, rng), high)
