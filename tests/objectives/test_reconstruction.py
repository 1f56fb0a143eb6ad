"""Reconstruction objectives against values worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from img2img import objectives
from img2img.errors import ConfigError
from img2img.objectives.colour import chroma as chroma_of
from img2img.objectives.reconstruction import MaskedReconstruction

RESULT = torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]])
TRUTH = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("l1", (1 + 0.5) / 4),
        ("l2", (1 + 0.25) / 4),
        ("charbonnier", (2 * 1e-3 + (1 + 1e-6) ** 0.5 + (0.25 + 1e-6) ** 0.5) / 4),
        # The rfft2 of 2x2, halved by the orthonormal scale: 0.75, -0.25, 0.25, -0.75, without imaginary parts.
        ("frequency", (0.75 + 0.25 + 0.25 + 0.75) / 8),
        # Horizontal differences: 1, 0.5; vertical: 0.5, 1.
        ("tv", (1 + 0.5) / 2 + (0.5 + 1) / 2),
    ],
)
def test_value_equals_hand_computed_value(name: str, value: float) -> None:
    objective = objectives.build(name)
    assert objective(RESULT, TRUTH).item() == pytest.approx(value, rel=1e-5)
    assert objective(TRUTH, TRUTH).item() == pytest.approx(0, abs=1.1e-3)


def test_psnr_weighs_all_pictures_alike_and_is_finite_for_a_perfect_one() -> None:
    """Mean squared errors of 0.01, which is 20 dB, and of 0, which epsilon makes 50 dB."""
    psnr = objectives.build("psnr")
    truth = torch.zeros(2, 3, 4, 4)
    result = torch.stack([torch.full((3, 4, 4), 0.1), torch.zeros(3, 4, 4)])
    assert psnr(result, truth).item() == pytest.approx(-(20 + 50) / 2, abs=0.01)


def test_total_variation_ignores_the_truth() -> None:
    tv = objectives.build("tv")
    assert tv(RESULT, TRUTH) == tv(RESULT, torch.rand(1, 1, 2, 2)) == tv(RESULT)


def test_unknown_options_are_rejected_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="objective 'charbonnier' has no option 'eps'; its options are epsilon"):
        objectives.build("charbonnier", eps=1)
    with pytest.raises(ConfigError, match="objective 'l1' has no option 'args'; it takes no options"):
        objectives.build("l1", args=1)


def test_masked_normalises_the_hole_and_the_rest_by_their_own_areas() -> None:
    result, truth = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    mask = torch.zeros(1, 1, 2, 4)
    mask[..., 0, :2] = 1  # two pixels of eight
    result[..., 0, :2] = torch.tensor([0.2, 0.6])
    result[..., 1, :] = 0.9  # four of the six others
    l1 = MaskedReconstruction(objectives.build("l1"), hole=2.0, valid=0.5)
    assert l1(result, truth, mask).item() == pytest.approx(2 * 0.4 + 0.5 * 0.6)
    l2 = MaskedReconstruction(objectives.build("l2"), hole=1.0, valid=0.0)
    assert l2(result, truth, mask).item() == pytest.approx((0.04 + 0.36) / 2)


@given(st.integers(0, 2**31), st.sampled_from(["l1", "l2", "charbonnier"]))
def test_masked_equals_the_objective_on_the_pixels_of_each_region(seed: int, name: str) -> None:
    source = torch.Generator().manual_seed(seed)
    result, truth = torch.rand(2, 3, 5, 4, generator=source).double(), torch.rand(2, 3, 5, 4, generator=source).double()
    mask = (torch.rand(2, 1, 5, 4, generator=source) < 0.3).double()
    objective, inside = objectives.build(name), mask.bool().expand_as(result)
    expected = torch.zeros(())
    for weight, region in ((3.0, inside), (0.5, ~inside)):
        if region.any():
            expected = expected + weight * objective(result[region], truth[region])
    masked = MaskedReconstruction(objective, hole=3.0, valid=0.5)(result, truth, mask)
    assert masked.item() == pytest.approx(expected.item(), rel=1e-9)


def test_masked_without_a_hole_equals_the_objective_and_has_finite_gradients() -> None:
    result = torch.rand(1, 3, 4, 4, requires_grad=True)
    truth = torch.rand(1, 3, 4, 4)
    for share in (0.0, 1.0):
        loss = MaskedReconstruction(objectives.build("l1"))(result, truth, torch.full((1, 1, 4, 4), share))
        (gradient,) = torch.autograd.grad(loss, result)
        assert loss.item() == pytest.approx((result - truth).abs().mean().item(), rel=1e-5)
        assert gradient.abs().sum().item() == pytest.approx(1, rel=1e-5)


def test_masked_rejects_total_variation_and_negative_weights() -> None:
    with pytest.raises(ConfigError, match="total variation"):
        MaskedReconstruction(objectives.build("tv"))
    with pytest.raises(ConfigError, match="must not be negative: hole = -1"):
        MaskedReconstruction(objectives.build("l1"), hole=-1)


def test_chroma_ignores_luminance_and_equals_hand_computed_values() -> None:
    chroma = objectives.build("chroma", even=1.0)
    grey, white, red = (
        torch.tensor(c).reshape(1, 3, 1, 1).expand(1, 3, 2, 2) for c in ([0.3] * 3, [1.0] * 3, [1.0, 0, 0])
    )
    assert chroma(grey, white).item() == pytest.approx(0, abs=1e-6)
    # Red has Cb = -0.299 / 1.772 and Cr = 0.701 / 1.402.
    assert chroma(grey, red).item() == pytest.approx((0.299 / 1.772 + 0.701 / 1.402) / 2, rel=1e-5)
    assert chroma(red, red).item() == 0


def test_chroma_gives_pixels_of_a_rare_hue_more_weight_up_to_a_limit() -> None:
    """Zhang et al. 2016, equation 4, with lambda = 1/2 and 12 hues."""
    truth = torch.full((1, 3, 10, 10), 0.5)
    truth[:, :, 1:] = torch.tensor([0.8, 0.4, 0.2])[None, :, None, None]  # 90 orange pixels
    truth[:, :, 0, :5] = torch.tensor([0.2, 0.4, 0.8])[None, :, None]  # 5 blue ones; 5 are grey
    weights = objectives.build("chroma", even=0.0)._weights(chroma_of(truth))[0]
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0, 5:].max() == 0
    orange, blue = weights[1:].mean(), weights[0, :5].mean()
    assert 4 < blue / orange < 18
    assert torch.allclose(objectives.build("chroma", even=1.0)._weights(chroma_of(truth)), torch.ones(1, 10, 10))


def test_chroma_refuses_grey_pictures() -> None:
    with pytest.raises(ConfigError, match="the pictures are grey; set its weight to 0"):
        objectives.build("chroma")(RESULT, TRUTH)
