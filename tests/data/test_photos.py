"""Random crops of photos and their low-resolution versions."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from img2img.data import degradation
from img2img.data.cache import Cache
from img2img.data.degradation import DegradationConfig
from img2img.data.photos import PhotoCrops


def photos(count: int = 3, side: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side + i, 3), dtype=np.uint8) for i in range(count)]


def test_an_item_depends_only_on_seed_and_index() -> None:
    one, other = (PhotoCrops(photos(), size=16, scale=2, seed=5, candidates=2) for _ in range(2))
    reseeded = PhotoCrops(photos(), size=16, scale=2, seed=6)
    _ = other[11], other[2]  # earlier accesses must not matter
    assert torch.equal(one[7]["high"], other[7]["high"])
    assert not torch.equal(one[7]["high"], reseeded[7]["high"])
    assert one[7]["low"].shape == (3, 8, 8) and one[7]["low"].dtype == torch.uint8


def test_every_photo_is_used_once_per_pass() -> None:
    flat = [np.full((20, 20, 3), value, np.uint8) for value in range(5)]
    crops = PhotoCrops(flat, size=8, scale=2, seed=0)
    for start in (0, 5, 10):
        assert sorted(int(crops[start + i]["high"][0, 0, 0]) for i in range(5)) == list(range(5))


def test_candidates_prefer_detail() -> None:
    half = np.full((32, 400, 3), 128, np.uint8)
    half[:, 200:] = np.random.default_rng(0).integers(0, 256, (32, 200, 3))
    detail = [PhotoCrops([half], size=32, scale=2, seed=0, candidates=c) for c in (1, 4)]
    spread = [np.mean([crops[i]["high"].float().std().item() for i in range(40)]) for crops in detail]
    assert spread[1] > 1.3 * spread[0]


class Nearest:
    """Keeps every `scale`-th pixel, and records the pictures it gets."""

    def __init__(self, scale: int, *, sharpen: bool = False) -> None:
        self.scale = scale
        self.sharpen = sharpen
        self.seen: list[np.ndarray] = []

    def __call__(self, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        self.seen.append(high)
        return high[:: self.scale, :: self.scale]


def test_the_crops_of_a_seed_do_not_change() -> None:
    # Runs started by earlier versions continue with the same data.
    crops = PhotoCrops(photos(), size=16, scale=2, seed=5, candidates=2)
    digest = hashlib.sha256(b"".join(crops[i]["high"].numpy().tobytes() for i in range(20))).hexdigest()
    assert digest == "19cbb6ed4f27820a4488967201f3e437057ccc9ef191e1a622d4daa0143cbf15"


@given(low=st.floats(0.2, 1), size=st.integers(3, 6), scale=st.sampled_from([1, 2, 3, 4]), side=st.integers(40, 120))
@settings(max_examples=60, deadline=None)
def test_shrunk_crops_have_the_right_size_and_match_their_truth(low: float, size: int, scale: int, side: int) -> None:
    # A gradient shows which part of the photo a crop contains.
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    photo = np.repeat(np.stack(np.meshgrid(ramp, ramp), -1), 2, 2)[..., :3].round().astype(np.uint8)
    size *= scale
    crops = PhotoCrops([photo], size=size, scale=scale, seed=3, shrink=(low, low), candidates=2)
    for i in range(3):
        high, low_resolution = crops[i]["high"], crops[i]["low"]
        assert high.shape == (3, size, size) and low_resolution.shape == (3, size // scale, size // scale)
        means = [one.float().mean((1, 2)) for one in (high, low_resolution)]
        assert torch.allclose(*means, atol=1 + 255 / side / low)


def test_a_shrunk_crop_shows_more_of_the_photo() -> None:
    ramp = np.repeat(np.linspace(0, 255, 256, dtype=np.uint8)[None], 256, 0)
    photo = np.ascontiguousarray(np.stack([ramp] * 3, -1))
    spans = []
    for shrink in ((1.0, 1.0), (0.5, 0.5), (0.01, 0.01)):
        crops = PhotoCrops([photo], size=32, scale=2, seed=0, shrink=shrink)
        spans.append(np.mean([float(np.ptp(crops[i]["high"].numpy())) for i in range(8)]))
    assert spans[0] == pytest.approx(31, abs=1) and spans[1] == pytest.approx(62, abs=2)
    assert spans[2] > 240  # nearly the whole photo


def test_degraded_crops_match_their_truth() -> None:
    crops = PhotoCrops(photos(side=48), size=16, scale=2, seed=5, candidates=2, degradation=Nearest(2))
    bicubic = PhotoCrops(photos(side=48), size=16, scale=2, seed=5, candidates=2)
    for i in range(60):
        item = crops[i]
        assert item["low"].shape == (3, 8, 8) and set(item) == {"low", "high"}
        assert torch.equal(item["high"], bicubic[i]["high"])
        corners = [torch.equal(item["low"], item["high"][:, a::2, b::2]) for a in (0, 1) for b in (0, 1)]
        assert sum(corners) == 1


def test_a_degradation_sees_more_than_the_crop_if_the_photo_allows() -> None:
    large, tight = Nearest(4), Nearest(4)
    crops = PhotoCrops(photos(1, 120), size=16, scale=4, seed=0, degradation=large)
    exact = PhotoCrops(photos(1, 16), size=16, scale=4, seed=0, degradation=tight)
    assert exact[0]["low"].shape == crops[0]["low"].shape == (3, 4, 4)
    assert tight.seen[0].shape == (16, 16, 3)
    _ = [crops[i] for i in range(40)]
    assert {side % 4 for window in large.seen for side in window.shape[:2]} == {0}
    assert max(side for window in large.seen for side in window.shape[:2]) == 16 + 8 * 4
    first = [window[0, 0].tobytes() for window in large.seen]
    assert len(set(first)) > 30


def test_real_degradation_depends_only_on_seed_and_index() -> None:
    def made() -> PhotoCrops:
        real = degradation.build(DegradationConfig(kind="real"), 2)
        return PhotoCrops(photos(), size=16, scale=2, seed=5, degradation=real)

    one, other = made(), made()
    _ = other[11], other[2]
    for i in (7, 8):
        assert all(torch.equal(one[i][name], other[i][name]) for name in ("low", "high", "sharp"))
    assert one[7]["low"].shape == (3, 8, 8) and one[7]["sharp"].shape == one[7]["high"].shape == (3, 16, 16)
    assert not torch.equal(one[7]["low"], PhotoCrops(photos(), size=16, scale=2, seed=5)[7]["low"])


def test_sharpened_photos_are_degraded() -> None:
    nearest = Nearest(2, sharpen=True)
    crops = PhotoCrops(photos(side=64), size=32, scale=2, seed=1, degradation=nearest)
    item = crops[0]
    assert not torch.equal(item["sharp"], item["high"])
    assert any(torch.equal(item["low"], item["sharp"][:, a::2, b::2]) for a in (0, 1) for b in (0, 1))
    plain = degradation.build(DegradationConfig(kind="real", sharpen=False), 2)
    assert "sharp" not in PhotoCrops(photos(), size=16, scale=2, seed=1, degradation=plain)[0]


def test_bicubic_by_name_equals_the_default() -> None:
    named = PhotoCrops(photos(), size=16, scale=2, seed=5, degradation=degradation.build(DegradationConfig(), 2))
    plain = PhotoCrops(photos(), size=16, scale=2, seed=5)
    assert all(torch.equal(named[3][name], plain[3][name]) for name in ("low", "high")) and set(named[3]) == {
        "low",
        "high",
    }


def test_photos_may_come_from_a_cache() -> None:
    decoded = photos()
    cache = Cache(range(3), lambda place: decoded[place], limit_mb=0)
    assert torch.equal(
        PhotoCrops(cache, size=16, scale=2, seed=5)[4]["high"], PhotoCrops(decoded, size=16, scale=2, seed=5)[4]["high"]
    )
