"""Reconstruction objectives against values worked out by hand."""

import pytest
import torch

from img2img import objectives

RESULT = torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]])
TRUTH = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("l1", (1 + 0.5) / 4),
        ("l2", (1 + 0.25) / 4),
        ("charbonnier", (2 * 1e-3 + (1 + 1e-6) ** 0.5 + (0.25 + 1e-6) ** 0.5) / 4),
        # rfft2 of 2x2, halved by the orthonormal scale: 0.75, -0.25, 0.25, -0.75, no imaginary parts
        ("frequency", (0.75 + 0.25 + 0.25 + 0.75) / 8),
    ],
)
def test_value_by_hand(name: str, value: float) -> None:
    objective = objectives.build(name)
    assert objective(RESULT, TRUTH).item() == pytest.approx(value, rel=1e-5)
    assert objective(TRUTH, TRUTH).item() == pytest.approx(0, abs=1.1e-3)
