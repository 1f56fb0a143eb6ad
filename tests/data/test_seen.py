"""Training pictures as a method sees them, odd ones first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from img2img.data import facts, odd
from img2img.data.cache import Cache
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData, Part
from img2img.data.photos import PhotoCrops
from img2img.data.seen import look
from img2img.data.unpaired import UnpairedData, UnpairedSet

SIZES = {"load": 20, "crop": 16}


@pytest.fixture
def folders(photo: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(12):
        for side in "AB":
            size = (90, 20) if number == 5 else (24, 24)
            photo(tmp_path / side / f"{number:02}.png", size, seed=number + (100 if side == "B" else 0))
    return tmp_path


def test_what_is_odd_about_files(photo: Callable[..., Path], tmp_path: Path) -> None:
    photo(tmp_path / "a.png", (64, 64), seed=1)
    photo(tmp_path / "b.png", (64, 64), seed=1)
    photo(tmp_path / "long.png", (200, 60), seed=2)
    photo(tmp_path / "small.png", (20, 20), seed=3)
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "blue.png")
    parts = [Part(path) for path in sorted(tmp_path.iterdir())]
    known, _ = facts.examine(parts)
    found = odd.of_files([known[part] for part in parts], crop=64)
    assert {part.path.name: reasons for part, reasons in found.items()} == {
        "b.png": [f"equal to {tmp_path.name}/a.png"],
        "blue.png": ["nearly blank"],
        "long.png": ["far from square (200x60)"],
        "small.png": ["tiny (20x20)"],
    }


def test_odd_pairs_come_first_and_every_file_once(folders: Path) -> None:
    dataset = PairedSet.read(PairedData(folders=(folders,), **SIZES), seed=0).dataset
    items = look(dataset, crop=16, count=8)
    assert [part.path.name for part in items[0].parts] == ["05.png", "05.png"]
    assert items[0].odd == ["far from square (90x20)"] and not any(item.odd for item in items[1:])
    assert len({item.parts[0] for item in items}) == len(items) == 8
    assert {name: one.shape for name, one in items[0].pictures.items()} == {"input": (16, 16, 3), "target": (16, 16, 3)}


def test_what_is_known_about_files_is_used(folders: Path) -> None:
    dataset = UnpairedSet.read(UnpairedData(folders=(folders,), **SIZES), seed=0).dataset
    place = dataset.sources(4)[0][1]
    part = Part(dataset.sides["a"].items[place])  # type: ignore[attr-defined]
    items = look(dataset, crop=16, count=4, known={part: ["strange"]})
    assert items[0].odd == ["strange"] and part in items[0].parts
    assert set(items[0].pictures) == {"a", "b"}


def test_items_are_those_of_the_training(folders: Path) -> None:
    dataset = DomainSet.read(DomainData(folders=(folders,), **SIZES), seed=0).dataset
    first = look(dataset, crop=16, count=30, known={})[0]
    assert np.array_equal(first.pictures["image"], dataset[0]["image"].permute(1, 2, 0).numpy())


def test_label_maps_have_their_colours(folders: Path) -> None:
    for path in (folders / "A").iterdir():
        Image.new("RGB", (24, 24), (0, 200, 0)).save(path)
        picture = Image.open(path)
        picture.paste((200, 0, 0), (0, 0, 12, 24))
        picture.save(path)
    dataset = PairedSet.read(PairedData(folders=(folders,), **SIZES), seed=0).dataset
    colours = look(dataset, crop=16, count=1, known={})[0].pictures["input"].reshape(-1, 3)
    assert {tuple(colour) for colour in colours.tolist()} <= {(0, 200, 0), (200, 0, 0)}


def test_low_resolution_photos_and_holes_are_shown(photo: Callable[..., Path], tmp_path: Path) -> None:
    from img2img.data.folders import Photos
    from img2img.data.holes import HoleCrops
    from img2img.data.masks import MaskConfig, Masks

    photos = Photos.read([photo(tmp_path / "a.png", (40, 30)), photo(tmp_path / "b.png", (4, 4))], smallest=16)
    crops = PhotoCrops(photos.pixels, size=16, scale=4, seed=0)
    shapes = {name: one.shape for name, one in look(crops, crop=16, count=2)[0].pictures.items()}
    assert shapes == {"low": (4, 4, 3), "high": (16, 16, 3)}
    holes = HoleCrops(photos.pixels, size=16, masks=Masks(MaskConfig()), seed=0)
    (item,) = look(holes, crop=16, count=2)
    assert list(item.pictures) == ["image", "with hole"] and item.parts == [Part(tmp_path / "a.png")]
    assert (item.pictures["with hole"] == 255).all(axis=2).any()


def test_another_data_set_is_shown_without_files() -> None:
    pictures = Cache([0], lambda place: np.zeros((20, 20, 3), np.uint8))
    crops = PhotoCrops(pictures, size=16, scale=4, seed=0)

    class Plain:
        def __getitem__(self, index: int) -> object:
            return crops[index]

    items = look(Plain(), crop=16, count=2)
    assert [item.parts for item in items] == [[], []]
    assert items[0].odd == ["low is nearly blank", "high is nearly blank"]
