"""Pictures of one name in several domains are partners, cut alike; where nobody asks for them, nothing changes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from img2img.data import jitter, order
from img2img.data.domains import DomainData
from img2img.data.jitter import Window
from img2img.data.labelled import DomainSet
from img2img.data.partners import Partners
from img2img.errors import DataError

SIDE, CROP, SEED = 20, 8, 3
NAMES = range(1, 7)
"""The name is the tens of a picture's blue, its domain the ones; red and green say where a pixel lies."""


def written(file: Path, name: int, domain: int, side: int = SIDE) -> None:
    down, across = np.mgrid[:side, :side] * 200 // side
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack((down, across, 0 * down + 10 * name + domain), 2).astype(np.uint8)).save(file)


def styles(top: Path, names: dict[str, Sequence[int]], side: int = SIDE) -> Path:
    """Domains in alphabetical order are 0, 1, ...; held out is one picture of a name of its own in each."""
    for domain, style in enumerate(sorted(names)):
        for name in names[style]:
            written(top / "train" / style / f"{name}.png", name, domain, side)
        written(top / "test" / style / "9.png", 9, domain, side)
    return top


def read(*folders: Path, paired: bool = True, **settings: object) -> DomainSet:
    values = {"folders": folders, "load": 0, "crop": CROP, **settings}
    return DomainSet.read(DomainData.model_validate(values), seed=SEED, paired=paired)


def shown(picture: torch.Tensor) -> tuple[int, int]:
    """The name and the domain of a picture."""
    blue = picture[2].unique().tolist()
    assert len(blue) == 1
    return divmod(int(blue[0]), 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), max_size=12), st.integers(0, 99))
def test_partners_show_the_same_in_any_domain(pictures: list[tuple[int, int]], seed: int) -> None:
    partners = Partners([key for key, _ in pictures], [domain for _, domain in pictures])
    rng = np.random.default_rng(seed)
    having = 0
    for place, (key, domain) in enumerate(pictures):
        wanted = {i for i, (k, d) in enumerate(pictures) if k == key and d != domain and min(d, domain) >= 0}
        drawn = {partners.draw(place, rng) for _ in range(8 * len(wanted) + 1)}
        assert drawn <= wanted | {place} if wanted else drawn == {None}
        having += bool(wanted)
    assert len(partners) == having


def test_every_partner_and_the_picture_itself_are_drawn_equally_often() -> None:
    partners, rng = Partners(["a"] * 4, [0, 1, 2, 3]), np.random.default_rng(0)
    counts = np.bincount([partners.draw(1, rng) or 0 for _ in range(3000)], minlength=4)
    assert np.abs(counts / 3000 - 1 / 4).max() < 0.04


def test_a_partner_is_the_same_cut_of_the_same_thing(tmp_path: Path) -> None:
    found = read(styles(tmp_path, {"blob": NAMES, "ink": NAMES, "noto": NAMES}))
    assert found.notes[-1] == "18 of 18 pictures have the same name in another domain"
    seen, cuts = set(), set()
    for index in range(120):
        item = found.dataset[index]
        (name, domain), (partner_name, partner_domain) = shown(item["image"]), shown(item["partner"])
        assert item["told"].item() == 1 and item["told"].dtype == torch.float32
        assert partner_name == name
        assert torch.equal(item["image"][:2], item["partner"][:2]), "the same place, mirrored alike"
        assert item["label"].argmax() == domain
        assert item["partner_label"].tolist() == torch.eye(3)[partner_domain].tolist()
        seen.add((domain, partner_domain))
        cuts.add(tuple(item["image"][:2, 0, 0].tolist()))
    assert len(seen) == 9, "every direction, and into its own style"
    assert len(cuts) > 50, "these are random crops"


def test_what_has_no_partner_says_so(tmp_path: Path) -> None:
    found = read(styles(tmp_path, {"blob": (1, 2, 3), "ink": (3, 4, 5)}))
    assert found.notes[-1] == "2 of 6 pictures have the same name in another domain"
    told = set()
    for index in range(12):
        item = found.dataset[index]
        name, _ = shown(item["image"])
        told.add((name, item["told"].item()))
        if not item["told"]:
            assert torch.equal(item["partner"], item["image"])
            assert torch.equal(item["partner_label"], item["label"])
    assert told == {(1, 0), (2, 0), (3, 1), (4, 0), (5, 0)}


def test_partners_are_of_the_same_data_set_and_have_its_columns(tmp_path: Path) -> None:
    first = styles(tmp_path / "first", {"blob": NAMES, "ink": NAMES})
    second = styles(tmp_path / "second", {"angry": NAMES, "happy": NAMES, "sad": NAMES})
    table = tmp_path / "table"
    for name in range(1, 5):
        written(table / f"{name}.png", name, 0)
    table.joinpath("list.csv").write_text("picture,bald\n1.png,1\n2.png,0\n3.png,1\n4.png,0\n")
    found = read(first, second, table)
    assert found.domains == ("blob", "ink", "angry", "happy", "sad", "bald")
    for index in range(60):
        item = found.dataset[index]
        assert item["told"].item() == float(item["set"] < 2), "attributes are no domains"
        assert not (item["partner_label"] * (1 - item["known"])).any()
        if item["told"]:
            assert item["partner_label"].sum() == 1


def test_partners_are_turned_and_lit_alike(tmp_path: Path) -> None:
    for style in ("blob", "ink"):  # the same pictures in both
        for name in NAMES:
            written(tmp_path / "train" / style / f"{name}.png", name, 0)
        written(tmp_path / "test" / style / "9.png", 9, 0)
    plain = read(tmp_path).dataset
    changed = read(tmp_path, augment={"rotate": 30, "colour": 0.4}).dataset
    for index in range(10):
        item = changed[index]
        assert torch.equal(item["partner"], item["image"])
        assert not torch.equal(item["image"], plain[index]["image"])


def test_a_partner_of_another_size_is_brought_to_the_pictures(tmp_path: Path) -> None:
    styles(tmp_path, {"blob": NAMES, "ink": NAMES})
    for part, names in (("train", NAMES), ("test", [9])):
        for name in names:
            written(tmp_path / part / "ink" / f"{name}.png", name, 1, 2 * SIDE)
    crops = read(tmp_path).dataset
    for index in range(20):
        item = crops[index]
        place = (item["image"].int() - item["partner"].int())[:2].abs().max()
        assert item["partner"].shape == item["image"].shape and place <= 12, "within the pixel of the coarser one"


def test_an_item_is_a_function_of_its_number(tmp_path: Path) -> None:
    styles(tmp_path, {"blob": NAMES, "ink": NAMES, "noto": NAMES})
    settings = {"augment": {"rotate": 10}}
    there = [read(tmp_path, **settings).dataset[i] for i in range(6)]
    again = read(tmp_path, **settings).dataset
    for index in reversed(range(6)):  # as a resumed run, or another process, meets them
        item = again[index]
        assert all(torch.equal(item[key], value) for key, value in there[index].items())


@pytest.mark.parametrize("augment", [{}, {"rotate": 10, "colour": 0.2}], ids=["plain", "augmented"])
def test_without_pairs_items_are_what_they_were(tmp_path: Path, augment: dict[str, float]) -> None:
    from img2img.data.augment import augmented

    styles(tmp_path, {"blob": NAMES, "ink": NAMES})
    crops = read(tmp_path, paired=False, augment=augment).dataset
    paired = read(tmp_path, augment=augment).dataset
    for index in range(8):
        item = crops[index]
        assert set(item) == {"image", "label", "known", "set"}
        picture, rng = crops.pictures[crops.place(index)], order.generator(SEED, index)
        window = Window.draw(rng, picture, CROP, flip=True)
        assert torch.equal(item["image"], jitter.tensor(window.cut(augmented(crops.settings.augment, rng, picture))))
        if not augment:
            assert all(torch.equal(paired[index][key], value) for key, value in item.items())


def test_pairs_that_are_not_there_are_told(tmp_path: Path) -> None:
    folder = styles(tmp_path, {"blob": (1, 2), "ink": (3, 4)})
    with pytest.raises(DataError, match=r"no picture has the same name in two domains.*set pairs = 0"):
        read(folder)
    assert len(read(folder, paired=False).dataset.pictures) == 4
