"""Masks: their share, their kinds, mask files, and crops with holes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from pydantic import ValidationError

from img2img.data.holes import HoleCrops, held_out_crops
from img2img.data.masks import Kinds, MaskConfig, Masks, draw
from img2img.errors import DataError


def only(kind: str, **settings: Any) -> MaskConfig:
    kinds = {"both": 0, kind: 1}
    return MaskConfig.model_validate({"kinds": kinds, **settings})


def mask_file(path: Path, share: float, size: tuple[int, int] = (40, 30)) -> Path:
    """Save a mask with a white left part."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[:, : round(share * size[0])] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


@settings(max_examples=60)
@given(
    st.sampled_from(["both", "strokes", "box", "centre"]),
    st.integers(8, 90),
    st.integers(8, 90),
    st.floats(0.02, 0.6),
    st.floats(0.1, 0.3),
    st.integers(0, 2**32),
)
def test_the_share_is_in_the_configured_range(
    kind: str, height: int, width: int, low: float, span: float, seed: int
) -> None:
    config = only(kind, share=(low, low + span), box={"sides": (0.1, 0.5)})
    mask = draw(config, np.random.default_rng(seed), height, width)
    assert mask.shape == (height, width) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert low <= mask.mean() <= low + span
    assert np.array_equal(mask, draw(config, np.random.default_rng(seed), height, width))


@given(st.floats(0.001, 0.999), st.sampled_from(["strokes", "centre"]), st.integers(0, 99))
def test_a_range_of_a_single_value_is_met_to_the_pixel(share: float, kind: str, seed: int) -> None:
    mask = draw(only(kind, share=(share, share)), np.random.default_rng(seed), 16, 20)
    assert abs(mask.sum() - share * 320) <= 1
    assert 0 < mask.sum() < 320


def test_defaults_are_a_box_and_strokes_as_published() -> None:
    config = MaskConfig()
    masks = [draw(config, np.random.default_rng(seed), 256, 256) for seed in range(40)]
    assert len({mask.tobytes() for mask in masks}) == 40
    for mask in masks:
        rows = mask.sum(1)
        assert (rows >= 96).sum() >= 90  # a box of at least 96 x 96
        assert len(np.unique(rows)) > 4  # and more than a box
    shares = [mask.mean() for mask in masks]
    assert min(shares) >= 0.1 and max(shares) <= 0.4 and np.std(shares) > 0.03


def test_boxes_are_rectangles_with_sides_in_the_configured_range() -> None:
    for seed in range(20):
        mask = draw(only("box"), np.random.default_rng(seed), 64, 128)
        rows, columns = mask.any(1), mask.any(0)
        assert 24 <= rows.sum() <= 32 and 48 <= columns.sum() <= 64
        assert mask.sum() == rows.sum() * columns.sum()


def test_the_centre_mask_is_a_quarter_in_the_middle() -> None:
    mask = draw(only("centre"), np.random.default_rng(0), 64, 64)
    expected = np.zeros((64, 64), np.uint8)
    expected[16:48, 16:48] = 1
    assert np.array_equal(mask, expected)


def test_strokes_have_the_configured_width() -> None:
    config = only("strokes", strokes={"width": (0.0625, 0.0625)}, share=(0.05, 0.3))
    mask = draw(config, np.random.default_rng(1), 256, 256)
    picture = Image.fromarray(mask * 255)
    assert np.asarray(picture.filter(ImageFilter.MinFilter(9))).any()  # a stroke 16 px wide contains a square of 9
    assert np.ptp(np.argwhere(mask), axis=0).max() > 40


def test_kinds_are_drawn_in_proportion_to_their_weights() -> None:
    config = MaskConfig(kinds=Kinds(both=0, box=3, centre=1))
    centre = draw(only("centre"), np.random.default_rng(0), 64, 64)
    rng = np.random.default_rng(0)
    hits = sum(np.array_equal(draw(config, rng, 64, 64), centre) for _ in range(400))
    assert hits / 400 == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": [0.4, 0.1]}, "must start with the lower value"),
        ({"share": [0.4, 1.2]}, "less than 1"),
        ({"kinds": {"both": 0}}, "at least one kind of hole needs a weight"),
        ({"kinds": {"folder": 1}}, "folders is empty"),
        ({"share": [0.01, 0.05]}, "more than share"),
        ({"kinds": {"brush": 1}}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MaskConfig.model_validate(values)


def test_mask_files_are_rotated_and_resized(tmp_path: Path) -> None:
    mask_file(tmp_path / "a.png", 0.25)
    mask_file(tmp_path / "deep" / "full.png", 1.0)
    masks = Masks(only("folder", folders=[tmp_path]))
    assert [path.name for path in masks.out_of_range] == ["full.png"]
    drawn = [masks.draw(np.random.default_rng(seed), 80, 80) for seed in range(40)]
    assert {mask.sum() for mask in drawn} == {1600}
    assert len({mask.tobytes() for mask in drawn}) == 4  # a white quarter on each side


def test_mask_folders_without_a_usable_mask_are_errors(tmp_path: Path) -> None:
    mask_file(tmp_path / "a.png", 0.9)
    with pytest.raises(DataError, match=r"none of 1 masks is 10% to 40% white .*90% to 90%\); change share, or invert"):
        Masks(only("folder", folders=[tmp_path]))
    with pytest.raises(DataError, match="no such folder"):
        Masks(only("folder", folders=[tmp_path / "missing"]))
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        Masks(only("folder", folders=[tmp_path]))


# Crops with holes


def photos(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_items_depend_only_on_seed_and_index() -> None:
    some = photos((40, 50), (64, 33), (32, 32))
    one, other = (HoleCrops(some, size=32, masks=Masks(MaskConfig()), seed=5, shrink=(0.5, 1)) for _ in range(2))
    _ = other[11], other[2]
    for index in (0, 7, 8):
        for name, shape in (("image", (3, 32, 32)), ("mask", (1, 32, 32))):
            assert torch.equal(one[index][name], other[index][name])
            assert one[index][name].shape == shape and one[index][name].dtype == torch.uint8
    assert not torch.equal(one[0]["image"], HoleCrops(some, size=32, masks=Masks(MaskConfig()), seed=6)[0]["image"])
    assert 0.1 <= one[3]["mask"].float().mean() <= 0.4


def test_crops_are_parts_of_the_photo_and_half_are_mirrored() -> None:
    (photo,) = photos((20, 24))
    crops = HoleCrops([photo], size=16, masks=Masks(MaskConfig()), seed=0)
    parts = [photo[top : top + 16, left : left + 16] for top in range(5) for left in range(9)]
    windows = {part.tobytes(): 0 for part in parts} | {part[:, ::-1].tobytes(): 1 for part in parts}
    flips = [windows[crops[i]["image"].permute(1, 2, 0).numpy().tobytes()] for i in range(30)]
    assert set(flips) == {0, 1}
    still = HoleCrops([photo], size=16, masks=Masks(MaskConfig()), seed=0, flip=False)
    assert {windows[still[i]["image"].permute(1, 2, 0).numpy().tobytes()] for i in range(30)} == {0}


def test_shrinking_shows_more_of_a_photo_but_never_enlarges_it() -> None:
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)

    def span(shrink: tuple[float, float]) -> int:
        crops = HoleCrops([ramp], size=32, masks=Masks(MaskConfig()), seed=0, shrink=shrink)
        return max(int(np.ptp(crops[i]["image"][0].numpy())) for i in range(10))

    assert span((1, 1)) == 31
    assert 60 <= span((0.5, 0.5)) <= 64
    assert 94 <= span((0.01, 0.01)) <= 100  # as much as the photo has


def test_held_out_crops_are_always_the_same() -> None:
    some = photos((40, 50), (64, 80))
    first, second = (held_out_crops(some, Masks(MaskConfig()), size=32, shrink=(0.5, 1)) for _ in range(2))
    for (photo, mask), (photo_again, mask_again) in zip(first, second, strict=True):
        assert np.array_equal(photo, photo_again) and np.array_equal(mask, mask_again)
        assert photo.shape == (32, 32, 3) and mask.shape == (32, 32) and photo.dtype == mask.dtype == np.uint8
    assert not np.array_equal(first[0][1], first[1][1])
    (whole,) = held_out_crops(some[:1], Masks(MaskConfig()), size=32)
    assert np.array_equal(whole[0], some[0][4:36, 9:41])
