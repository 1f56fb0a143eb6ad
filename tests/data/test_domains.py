"""Data sets of several domains or with attributes: layouts, labels, turns and errors."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import shared

from img2img.data import attributes
from img2img.data.domains import DomainData, find_domains
from img2img.data.labelled import DomainSet
from img2img.errors import DataError

Photo = Callable[..., Path]
CELEBA = """6
Bald Male Young
000001.jpg  -1  1  1
000002.jpg  -1 -1  1
000003.jpg   1  1 -1
000004.jpg  -1 -1 -1
000005.jpg   1  1  1
000006.jpg  -1  1 -1
"""


def styles(photo: Photo, top: Path, counts: dict[str, int]) -> Path:
    for number, (style, count) in enumerate(counts.items()):
        for one in range(count):
            photo(top / style / f"e{one}.png", (10, 10), seed=100 * number + one)
    return top


def faces(photo: Photo, top: Path, text: str = CELEBA, name: str = "list_attr_celeba.txt") -> Path:
    for one in range(1, 7):
        photo(top / "img_align" / f"{one:06}.jpg", (14, 18), seed=one)
    (top / name).write_text(text)
    return top


def read(*folders: Path, **settings: object) -> DomainSet:
    values = {"folders": folders, "load": 8, "crop": 8, **settings}
    return DomainSet.read(DomainData.model_validate(values), seed=2)


def test_one_folder_per_domain(photo: Photo, tmp_path: Path) -> None:
    found = read(styles(photo, tmp_path, {"noto": 30, "blob": 30, "ink": 30}))
    assert found.domains == ("blob", "ink", "noto") and found.exclusive and found.blocks == [slice(0, 3)]
    item = found.dataset[4]
    assert item["image"].shape == (3, 8, 8) and item["image"].dtype == torch.uint8
    assert item["label"].dtype == torch.float32 and item["label"].sum() == 1
    assert item["known"].tolist() == [1, 1, 1] and item["set"].item() == 0 and item["set"].dtype == torch.int64


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", ".Trashes", "__MACOSX", ".ipynb_checkpoints"],
)
def test_folders_of_the_system_are_no_domains(photo: Photo, tmp_path: Path, folder: str) -> None:
    styles(photo, tmp_path, {"warm": 3, "cold": 3, folder: 3})
    (tmp_path / "lost+found").mkdir(exist_ok=True, mode=0)
    photo(tmp_path / "warm" / folder / "thumb.png")
    found = find_domains([tmp_path])
    assert found.columns == ("cold", "warm")
    assert len(found.sets[0].train) + len(found.sets[0].held_out) == 6


def test_a_system_folder_that_may_not_be_listed_does_not_matter_and_another_is_named(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    styles(photo, tmp_path, {"warm": 3, "cold": 3, "lost+found": 1, "private": 1})
    listed = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name in ("lost+found", "private"):  # a real one is no hindrance to root
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="private: Permission denied"):
        find_domains([tmp_path])
    (tmp_path / "private").rename(tmp_path / "#recycle")
    assert find_domains([tmp_path]).columns == ("cold", "warm")


def test_names_are_the_same_however_their_accents_are_stored(photo: Photo, tmp_path: Path) -> None:
    composed, separate = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    for split, name in (("train", composed), ("val", separate)):
        styles(photo, tmp_path / split, {name: 2, "nuit": 2})
    found = find_domains([tmp_path], attributes=(separate, "nuit")).sets[0]
    assert found.columns == (composed, "nuit") and len(found.held_out) == 4
    (tmp_path / "train" / separate).mkdir()
    with pytest.raises(DataError, match=r"two folders are called été.*merge them"):
        find_domains([tmp_path])


def test_a_table_finds_pictures_however_their_accents_are_stored(photo: Photo, tmp_path: Path) -> None:
    composed, separate = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for stored in (f"1{composed}", f"2{separate}", f"3{composed}", f"3{separate}"):
        photo(tmp_path / f"{stored}.png")
    rows = [f"1{separate}", f"2{composed}", f"3{separate}", f"3{composed}"]
    lines = [f"file,{composed},rare", *(f"{name}.png,{n % 2},{n // 2}" for n, name in enumerate(rows))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = find_domains([tmp_path / "t.csv"], attributes=(separate, "rare")).sets[0]
    items = sorted((*found.train, *found.held_out), key=lambda item: item.path.name)
    assert [item.path.stem for item in items] == sorted(
        [f"1{composed}", f"2{separate}", f"3{composed}", f"3{separate}"]
    )
    exact = {item.path.stem: item.label.tolist() for item in items}
    assert exact[f"3{separate}"] == [0, 1] and exact[f"3{composed}"] == [1, 1]


def test_a_class_folder_called_train_is_explained(photo: Photo, tmp_path: Path) -> None:
    styles(photo, tmp_path, {"train": 3, "bus": 2})
    with pytest.raises(
        DataError, match=r"train has 3 pictures and no sub-folders, next to bus; .*one sub-folder per domain.*rename it"
    ):
        find_domains([tmp_path])
    assert find_domains([tmp_path / "train", tmp_path / "bus"]).columns == ("bus", "train")  # the advice works


def test_held_out_names_are_the_same_in_every_domain(photo: Photo, tmp_path: Path) -> None:
    found = read(styles(photo, tmp_path, {"noto": 60, "blob": 60}))
    names = Counter(held.name for held in found.held_out)
    assert names and set(names.values()) == {2}
    name = next(iter(names))
    for column in (0, 1):
        truth = found.truth(name, column)
        assert truth is not None and truth.shape == (8, 8, 3)
    assert found.truth("nothing", 0) is None
    trained = {path.stem for path in found.dataset.pictures.items}  # type: ignore[attr-defined]
    assert not trained & set(names)


@pytest.mark.parametrize("balance", [True, False])
def test_domains_take_turns_whatever_their_size(photo: Photo, tmp_path: Path, balance: bool) -> None:
    crops = read(styles(photo, tmp_path, {"few": 4, "many": 40}), balance=balance).dataset
    labels = [int(crops[i]["label"].argmax()) for i in range(40)]
    if balance:
        assert all(sorted(labels[i : i + 2]) == [0, 1] for i in range(0, 40, 2))
        assert labels[::2] != labels[:1] * 20  # a process that gets every second item sees both
    else:
        assert labels.count(0) < 10
    places = [crops.place(i) for i in range(400)]
    assert set(places) == set(range(len(crops.pictures)))
    assert [crops.place(i) for i in reversed(range(400))] == places[::-1]


def test_celebas_table_is_read(photo: Photo, tmp_path: Path) -> None:
    found = read(faces(photo, tmp_path), centre=14)
    assert found.domains == ("Bald", "Male", "Young") and not found.exclusive and found.set_exclusive == [False]
    everything = {tuple(row) for row in found.dataset.labels.values.tolist()} | {
        tuple(held.label.tolist()) for held in found.held_out
    }
    assert everything == {(0, 1, 1), (0, 0, 1), (1, 1, 0), (0, 0, 0), (1, 1, 1), (0, 1, 0)}
    assert found.dataset.pictures[0].shape == (8, 8, 3)
    chosen = read(tmp_path, attributes=["Young", "Bald"])
    assert chosen.domains == ("Young", "Bald")
    assert chosen.dataset.labels.values.tolist() == found.dataset.labels.values[:, [2, 0]].tolist()


def test_a_csv_may_have_other_columns_and_pictures_elsewhere(photo: Photo, tmp_path: Path) -> None:
    lines = ["image,Smiling,Age,Hat"] + [f"{one:06}.jpg,{one % 2},{20 + one},0" for one in range(1, 7)]
    faces(photo, tmp_path / "pictures")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    found = find_domains([tmp_path / "table.csv"], pictures=[tmp_path / "pictures"], attributes=("Smiling", "Hat"))
    assert found.columns == ("Smiling", "Hat")
    found = find_domains([tmp_path / "table.csv"])
    notes = " ".join(found.sets[0].notes)
    assert "are not attributes: Age" in notes and "Hat: the same for every picture" in notes
    with pytest.raises(DataError, match=r"line 2: Age is '21', but must be 1, 0 or -1"):
        find_domains([tmp_path / "table.csv"], attributes=("Age", "Hat"))
    with pytest.raises(DataError, match="no column Beard; choose from Smiling, Age, Hat"):
        find_domains([tmp_path / "table.csv"], attributes=("Beard",))


def test_several_data_sets_have_their_own_labels(photo: Photo, tmp_path: Path) -> None:
    people = faces(photo, tmp_path / "celeba")
    moods = styles(photo, tmp_path / "rafd", {"angry": 5, "Male": 5})
    found = read(people, moods)
    assert found.domains == ("Bald", "celeba/Male", "Young", "rafd/Male", "angry")
    assert not found.exclusive and found.set_exclusive == [False, True]
    assert found.blocks == [slice(0, 3), slice(3, 5)]
    sets = []
    for index in range(30):
        item = found.dataset[index]
        one = int(item["set"])
        sets.append(one)
        assert item["known"].tolist() == ([1, 1, 1, 0, 0] if one == 0 else [0, 0, 0, 1, 1])
        assert not (item["label"] * (1 - item["known"])).any()
    assert sets.count(0) == sets.count(1) == 15
    assert {held.set for held in found.held_out} == {0, 1}


def test_train_and_test_folders_and_flat_folders_are_recognised(photo: Photo, tmp_path: Path) -> None:
    styles(photo, tmp_path / "rafd" / "train", {"angry": 3, "happy": 3})
    styles(photo, tmp_path / "rafd" / "test", {"angry": 2, "happy": 2})
    found = find_domains([tmp_path / "rafd"])
    assert (len(found.sets[0].train), len(found.sets[0].held_out)) == (6, 4)
    styles(photo, tmp_path / "flat", {"trainA": 3, "trainB": 3, "testA": 1, "testB": 1})
    prefixed = find_domains([tmp_path / "flat"])
    assert prefixed.columns == ("A", "B") and len(prefixed.sets[0].held_out) == 2
    flat = find_domains([tmp_path / "flat" / "trainA", tmp_path / "flat" / "trainB"])
    assert flat.columns == ("trainA", "trainB") and len(flat.sets) == 1
    given = find_domains([tmp_path / "rafd" / "train"], validation=[tmp_path / "rafd" / "test"])
    assert (len(given.sets[0].train), len(given.sets[0].held_out)) == (6, 4)


def test_errors_name_what_is_wrong(photo: Photo, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only one domain \(noto\)"):
        find_domains([styles(photo, tmp_path / "one", {"noto": 3})])
    with pytest.raises(DataError, match="domain blob: one picture"):
        find_domains([styles(photo, tmp_path / "few", {"noto": 3, "blob": 1})])
    with pytest.raises(DataError, match="no domain ink; choose from blob, noto"):
        find_domains([tmp_path / "few"], attributes=("ink",))
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"bare: no domains found"):
        find_domains([tmp_path / "bare"])
    people = faces(photo, tmp_path / "faces", CELEBA + "000007.jpg 1 1 1\n")
    with pytest.raises(DataError, match=r"1 of the 7 pictures that it lists are missing below .*000007\.jpg"):
        find_domains([people])
    assert (
        "skipped, named in list_attr_celeba.txt but missing: 1 picture"
        in find_domains([people], missing="skip").sets[0].notes[0]
    )
    (people / "list_attr_celeba.txt").write_text(CELEBA + "000001.jpg 1 1\n")
    with pytest.raises(DataError, match="line 9: 3 cells, but there must be 4"):
        find_domains([people])


def test_only_tables_of_pictures_are_recognised_as_tables(tmp_path: Path) -> None:
    (tmp_path / "SOURCES.csv").write_text("file,author\na.jpg,me\nb.jpg,you\n")
    (tmp_path / "README.txt").write_text("Pictures of\nthings\nand so on\n")
    (tmp_path / "attr.txt").write_text(CELEBA)
    assert [attributes.is_table(tmp_path / n) for n in ("SOURCES.csv", "README.txt", "attr.txt")] == [
        False,
        False,
        True,
    ]
    table = attributes.read(tmp_path / "attr.txt")
    assert [row.file for row in table.rows][:2] == ["000001.jpg", "000002.jpg"]
    assert np.array_equal(table.rows[0].values, [0, 1, 1])


def test_emoji_styles_have_five_domains_with_the_same_held_out_names() -> None:
    (one,) = find_domains([shared("data/emoji_styles")]).sets
    assert one.columns == ("blob", "noto", "openmoji", "outline", "twemoji")
    assert set(Counter(item.name for item in one.held_out).values()) == {5} and len(one.held_out) == 250
