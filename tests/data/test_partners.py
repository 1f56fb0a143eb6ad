"""Pictures with the same name in several domains are partners and get the same crop, if pairs are requested."""

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
"""Blue encodes the name (tens) and domain (ones) of a picture; red and green encode the position of a pixel."""


def write(file: Path, name: int, domain: int, side: int = SIDE) -> None:
    down, across = np.mgrid[:side, :side] * 200 // side
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack((down, across, 0 * down + 10 * name + domain), 2).astype(np.uint8)).save(file)


def styles(top: Path, names: dict[str, Sequence[int]], side: int = SIDE) -> Path:
    """Write domains, which are 0, 1, ... in alphabetical order. In each, one picture with its own name is held out."""
    for domain, style in enumerate(sorted(names)):
        for name in names[style]:
            write(top / "train" / style / f"{name}.png", name, domain, side)
        write(top / "test" / style / "9.png", 9, domain, side)
    return top


def read(*folders: Path, paired: bool = True, **settings: object) -> DomainSet:
    values = {"folders": folders, "load": 0, "crop": CROP, **settings}
    return DomainSet.read(DomainData.model_validate(values), seed=SEED, paired=paired)


def decode(picture: torch.Tensor) -> tuple[int, int]:
    """Return the name and the domain of a picture."""
    blue = picture[2].unique().tolist()
    assert len(blue) == 1
    return divmod(int(blue[0]), 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), max_size=12), st.integers(0, 99))
def test_partners_have_the_same_key_in_another_domain(pictures: list[tuple[int, int]], seed: int) -> None:
    partners = Partners([key for key, _ in pictures], [domain for _, domain in pictures])
    rng = np.random.default_rng(seed)
    with_partner = 0
    for place, (key, domain) in enumerate(pictures):
        wanted = {i for i, (k, d) in enumerate(pictures) if k == key and d != domain and min(d, domain) >= 0}
        drawn = {partners.draw(place, rng) for _ in range(8 * len(wanted) + 1)}
        assert drawn <= wanted | {place} if wanted else drawn == {None}
        with_partner += bool(wanted)
    assert len(partners) == with_partner


def test_partners_and_the_picture_itself_are_drawn_equally_often() -> None:
    partners, rng = Partners(["a"] * 4, [0, 1, 2, 3]), np.random.default_rng(0)
    counts = np.bincount([partners.draw(1, rng) or 0 for _ in range(3000)], minlength=4)
    assert np.abs(counts / 3000 - 1 / 4).max() < 0.04


def test_a_partner_is_the_same_crop_of_the_same_thing(tmp_path: Path) -> None:
    found = read(styles(tmp_path, {"blob": NAMES, "ink": NAMES, "noto": NAMES}))
    assert found.notes[-1] == "18 of 18 pictures have the same name in another domain"
    directions, crops = set(), set()
    for index in range(120):
        item = found.dataset[index]
        (name, domain), (partner_name, partner_domain) = decode(item["image"]), decode(item["partner"])
        assert item["has_partner"].item() == 1 and item["has_partner"].dtype == torch.float32
        assert partner_name == name
        assert torch.equal(item["image"][:2], item["partner"][:2]), "same position and mirroring"
        assert item["label"].argmax() == domain
        assert item["partner_label"].tolist() == torch.eye(3)[partner_domain].tolist()
        directions.add((domain, partner_domain))
        crops.add(tuple(item["image"][:2, 0, 0].tolist()))
    assert len(directions) == 9, "every direction, including to its own style"
    assert len(crops) > 50, "crops are random"


def test_items_without_a_partner_are_marked(tmp_path: Path) -> None:
    found = read(styles(tmp_path, {"blob": (1, 2, 3), "ink": (3, 4, 5)}))
    assert found.notes[-1] == "2 of 6 pictures have the same name in another domain"
    marks = set()
    for index in range(12):
        item = found.dataset[index]
        name, _ = decode(item["image"])
        marks.add((name, item["has_partner"].item()))
        if not item["has_partner"]:
            assert torch.equal(item["partner"], item["image"])
            assert torch.equal(item["partner_label"], item["label"])
    assert marks == {(1, 0), (2, 0), (3, 1), (4, 0), (5, 0)}


def test_partners_come_from_the_same_data_set_and_have_its_columns(tmp_path: Path) -> None:
    first = styles(tmp_path / "first", {"blob": NAMES, "ink": NAMES})
    second = styles(tmp_path / "second", {"angry": NAMES, "happy": NAMES, "sad": NAMES})
    table = tmp_path / "table"
    for name in range(1, 5):
        write(table / f"{name}.png", name, 0)
    table.joinpath("list.csv").write_text("picture,bald\n1.png,1\n2.png,0\n3.png,1\n4.png,0\n")
    found = read(first, second, table)
    assert found.domains == ("blob", "ink", "angry", "happy", "sad", "bald")
    for index in range(60):
        item = found.dataset[index]
        assert item["has_partner"].item() == float(item["set"] < 2), "attributes are not domains"
        assert not (item["partner_label"] * (1 - item["known"])).any()
        if item["has_partner"]:
            assert item["partner_label"].sum() == 1


def test_partners_get_the_same_augmentation(tmp_path: Path) -> None:
    for style in ("blob", "ink"):  # the same pictures in both domains
        for name in NAMES:
            write(tmp_path / "train" / style / f"{name}.png", name, 0)
        write(tmp_path / "test" / style / "9.png", 9, 0)
    plain = read(tmp_path).dataset
    changed = read(tmp_path, augment={"rotate": 30, "colour": 0.4}).dataset
    for index in range(10):
        item = changed[index]
        assert torch.equal(item["partner"], item["image"])
        assert not torch.equal(item["image"], plain[index]["image"])


def test_a_partner_of_another_size_is_resized_to_the_picture(tmp_path: Path) -> None:
    styles(tmp_path, {"blob": NAMES, "ink": NAMES})
    for part, names in (("train", NAMES), ("test", [9])):
        for name in names:
            write(tmp_path / part / "ink" / f"{name}.png", name, 1, 2 * SIDE)
    crops = read(tmp_path).dataset
    for index in range(20):
        item = crops[index]
        shift = (item["image"].int() - item["partner"].int())[:2].abs().max()
        assert item["partner"].shape == item["image"].shape and shift <= 12, "within one pixel of the coarser picture"


def test_an_item_depends_only_on_its_index(tmp_path: Path) -> None:
    styles(tmp_path, {"blob": NAMES, "ink": NAMES, "noto": NAMES})
    settings = {"augment": {"rotate": 10}}
    expected = [read(tmp_path, **settings).dataset[i] for i in range(6)]
    again = read(tmp_path, **settings).dataset
    for index in reversed(range(6)):  # in another order, like a resumed run or another process
        item = again[index]
        assert all(torch.equal(item[key], value) for key, value in expected[index].items())


@pytest.mark.parametrize("augment", [{}, {"rotate": 10, "colour": 0.2}], ids=["plain", "augmented"])
def test_without_pairs_items_have_no_partners_and_are_otherwise_equal(
    tmp_path: Path, augment: dict[str, float]
) -> None:
    from img2img.data.augment import augment as augment_picture

    styles(tmp_path, {"blob": NAMES, "ink": NAMES})
    crops = read(tmp_path, paired=False, augment=augment).dataset
    paired = read(tmp_path, augment=augment).dataset
    for index in range(8):
        item = crops[index]
        assert set(item) == {"image", "label", "known", "set"}
        picture, rng = crops.pictures[crops.place(index)], order.generator(SEED, index)
        window = Window.draw(rng, picture, CROP, flip=True)
        assert torch.equal(
            item["image"], jitter.to_tensor(window.cut(augment_picture(crops.settings.augment, rng, picture)))
        )
        if not augment:
            assert all(torch.equal(paired[index][key], value) for key, value in item.items())


def test_a_data_set_without_pairs_is_an_error(tmp_path: Path) -> None:
    folder = styles(tmp_path, {"blob": (1, 2), "ink": (3, 4)})
    with pytest.raises(DataError, match=r"no picture has the same name in two domains.*set pairs = 0"):
        read(folder)
    assert len(read(folder, paired=False).dataset.pictures) == 4
