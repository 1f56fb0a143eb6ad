"""Unpaired data: layouts, held-out pictures and errors."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from shared_data import shared

from img2img.data.layouts import NamedPicture
from img2img.data.unpaired import UnpairedData, UnpairedSet, are_numbered, find_unpaired, pairs_by_name
from img2img.errors import DataError

Photo = Callable[..., Path]


def fill(photo: Photo, folder: Path, names: list[str], size: tuple[int, int] = (20, 20), seed: int = 0) -> Path:
    for number, name in enumerate(names):
        photo(folder / f"{name}.png", size, seed=seed + number)
    return folder


def read(*folders: Path, **settings: object) -> UnpairedSet:
    return UnpairedSet.read(UnpairedData.model_validate({"folders": folders, **settings}), seed=5)


HORSES = [f"horse{i}x{i}" for i in range(7)]
ZEBRAS = [f"zebra{i}x{i}" for i in range(4)]


@pytest.mark.parametrize("layout", ["trainA trainB", "A B", "two"])
def test_sides_may_differ_in_number_and_size(photo: Photo, tmp_path: Path, layout: str) -> None:
    a, b = ("x", "y") if layout == "two" else layout.split()
    fill(photo, tmp_path / a, HORSES, (30, 20))
    fill(photo, tmp_path / b, ZEBRAS, (18, 24), seed=100)
    given = [tmp_path / a, tmp_path / b] if layout == "two" else [tmp_path]
    found = read(*given, load=18, crop=16)
    assert (len(found.dataset.sides["a"]), len(found.dataset.sides["b"])) == (6, 3)
    assert (len(found.held_out_a), len(found.held_out_b)) == (1, 1) and found.truth == []
    item = found.dataset[11]
    assert {key: (tuple(part.shape), part.dtype) for key, part in item.items()} == {
        "a": ((3, 16, 16), torch.uint8),
        "b": ((3, 16, 16), torch.uint8),
    }
    assert found.held_out_a[0].picture.shape == (16, 16, 3)
    again = read(*given, load=18, crop=16).dataset
    _ = again[3]
    assert all(torch.equal(item[key], again[11][key]) for key in item)


def test_each_side_is_used_once_per_pass_and_pairings_change(photo: Photo, tmp_path: Path) -> None:
    from PIL import Image

    for side, count in (("A", 5), ("B", 4)):
        (tmp_path / side).mkdir()
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / side / f"{side}{number}.png")
    crops = read(tmp_path, load=8, crop=8, validation=[tmp_path]).dataset
    seen = [tuple(int(crops[i][key][0, 0, 0]) for key in ("a", "b")) for i in range(20)]
    for start in range(0, 20, 5):
        assert sorted(a for a, _ in seen[start : start + 5]) == list(range(5))
    for start in range(0, 20, 4):
        assert sorted(b for _, b in seen[start : start + 4]) == list(range(4))
    assert len(set(seen)) > 10


def test_equal_names_are_held_out_together_and_give_the_truth(photo: Photo, tmp_path: Path) -> None:
    names = [f"{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)]
    fill(photo, tmp_path / "A", names, (8, 8))
    fill(photo, tmp_path / "B", names[10:], (8, 8), seed=100)
    found = find_unpaired([tmp_path])
    held_a, held_b = ({named.name for named in side} for side in found.held_out)
    assert held_a & set(names[10:]) == held_b
    assert not held_a & {named.name for named in found.train[1]}
    both = read(tmp_path, load=8, crop=8)
    assert len(both.truth) == len(held_b)
    assert all(both.held_out_a[a].name == both.held_out_b[b].name for a, b in both.truth)
    assert any("data.truth = none" in note for note in both.notes)
    assert read(tmp_path, load=8, crop=8, truth="none").truth == []


def test_numbered_names_give_no_truth_unless_configured() -> None:
    numbers = [NamedPicture(f"photo_{i:04}", Path("x")) for i in range(5)]
    assert are_numbered([named.name for named in numbers])
    assert not are_numbered(["1F600", "2604", "23-20E3"])
    assert pairs_by_name(numbers, numbers, "auto") == []
    assert pairs_by_name(numbers, numbers, "names") == [(i, i) for i in range(5)]


def test_errors_name_what_is_wrong(photo: Photo, tmp_path: Path) -> None:
    fill(photo, tmp_path / "one" / "A", ["x"])
    fill(photo, tmp_path / "one" / "B", ["y", "z"])
    with pytest.raises(DataError, match=r"one.A: one picture cannot serve for both"):
        find_unpaired([tmp_path / "one"])
    fill(photo, tmp_path / "alone" / "trainA", ["x", "y"])
    with pytest.raises(DataError, match=r"found trainA \(.*\), but no trainB"):
        find_unpaired([tmp_path / "alone"])
    with pytest.raises(DataError, match="the two sides were not found; it contains alone, one"):
        find_unpaired([tmp_path])
    with pytest.raises(DataError, match=r"one.B.[yz]\.png: 20 x 20 pixels is smaller than data\.crop = 32"):
        read(tmp_path / "one" / "B", tmp_path / "alone" / "trainA", load=0, crop=32)


def test_horse2zebra_has_a_test_part_and_emoji_styles_have_a_truth() -> None:
    found = find_unpaired([shared("data/horse2zebra")])
    assert [len(side) for side in (*found.train, *found.held_out)] == [450, 450, 60, 60]
    styles = shared("data/emoji_styles")
    emoji = find_unpaired([styles / "noto", styles / "blob"])
    assert len(pairs_by_name(*emoji.held_out, "auto")) == len(emoji.held_out[0]) == 50
