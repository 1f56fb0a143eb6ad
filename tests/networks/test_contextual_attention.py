"""Contextual attention against the definition in its paper, and its patches against torch's unfold and fold."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from img2img.networks.contextual_attention import ContextualAttention, _paste, _patches


@settings(max_examples=15, deadline=None)
@given(h=st.integers(1, 5), w=st.integers(1, 5), channels=st.integers(1, 3), large=st.booleans())
def test_patches_and_paste_equal_unfold_and_fold(h: int, w: int, channels: int, large: bool) -> None:
    size, stride = (4, 2) if large else (3, 1)
    features = torch.randn(2, channels, h * stride, w * stride, dtype=torch.float64)
    patches = _patches(features, size, stride)
    assert torch.equal(patches, F.unfold(features, size, padding=1, stride=stride))
    if large:
        folded = F.fold(patches, (2 * h, 2 * w), 4, padding=1, stride=2)
        assert torch.allclose(_paste(patches.reshape(2, -1, h, w), channels), folded)


def literal_attention(features: Tensor, mask: Tensor) -> Tensor:
    """The paper's attention for one picture, position by position, patch by patch. `[C, H, W]`, mask `[4H, 4W]`."""
    _, height, width = features.shape
    h, w = height // 2, width // 2
    small = F.pad(features[:, ::2, ::2], (1, 1, 1, 1))
    holes = F.pad(mask[::8, ::8], (1, 1, 1, 1))
    spots = [(y, x) for y in range(h) for x in range(w)]
    patch = {(y, x): small[:, y : y + 3, x : x + 3] for y, x in spots}
    known = {(y, x): bool((holes[y : y + 3, x : x + 3] == 0).all()) for y, x in spots}
    cosine = {(b, f): float((patch[b] / patch[b].norm() * patch[f]).sum()) for b in spots for f in spots}

    def propagated(scores: dict[Any, float], order: list[tuple[int, int]]) -> dict[Any, float]:
        def neighbour(spot: tuple[int, int], step: int) -> tuple[int, int] | None:
            i = order.index(spot) + step
            return order[i] if 0 <= i < len(order) else None

        return {(b, f): sum(scores.get((neighbour(b, k), neighbour(f, k)), 0.0) for k in (-1, 0, 1)) for b, f in scores}

    scores = propagated(propagated(cosine, spots), sorted(spots, key=lambda spot: spot[::-1]))
    full = F.pad(features, (1, 1, 1, 1))
    pasted = torch.zeros_like(full)
    for fy, fx in spots:
        likeness = torch.tensor([10 * scores[b, (fy, fx)] * known[b] for b in spots], dtype=features.dtype)
        for weight, (by, bx) in zip(torch.softmax(likeness, 0), spots, strict=True):
            if known[by, bx]:
                source = full[:, 2 * by : 2 * by + 4, 2 * bx : 2 * bx + 4]
                pasted[:, 2 * fy : 2 * fy + 4, 2 * fx : 2 * fx + 4] += weight * source / 4
    return pasted[:, 1:-1, 1:-1]


def test_attention_equals_the_papers_definition() -> None:
    torch.manual_seed(3)
    features = torch.randn(2, 2, 6, 8, dtype=torch.float64)
    mask = torch.zeros(2, 1, 24, 32, dtype=torch.float64)
    mask[0, :, :8, :8] = 1
    mask[1, :, 16:, 24:] = 1
    ours = ContextualAttention().double()(features, mask)
    for i in range(2):
        assert torch.allclose(ours[i], literal_attention(features[i], mask[i, 0]), atol=1e-10)


def test_without_known_patches_the_result_is_zero_and_gradients_are_finite() -> None:
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    result = ContextualAttention()(features, torch.ones(1, 1, 16, 16))
    result.sum().backward()
    assert torch.equal(result, torch.zeros_like(result))
    assert features.grad is not None and torch.isfinite(features.grad).all()
