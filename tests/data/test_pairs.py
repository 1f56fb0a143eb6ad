"""Paired data: layouts, errors, jitter and label maps."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared_data import shared

from img2img.data import layouts
from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData, find_pairs
from img2img.errors import DataError

Photo = Callable[..., Path]
NAMES = [f"{i:03}" for i in range(30)]


@pytest.fixture
def sides(photo: Photo) -> Callable[..., None]:
    """Make pictures with the same names in two folders, in different formats and sizes."""

    def make(a: Path, b: Path, names: list[str] = NAMES) -> None:
        for number, name in enumerate(names):
            photo(a / f"{name}.png", (20, 20), seed=number)
            photo(b / f"{name}.jpg", (24, 24), seed=1000 + number)

    return make


@pytest.mark.parametrize(
    ("a", "b", "test_a", "test_b", "given"),
    [
        ("A", "B", None, None, ["."]),
        ("A/train", "B/train", "A/val", "B/val", ["."]),
        ("train/A", "train/B", "test/A", "test/B", ["."]),
        ("trainA", "trainB", "testA", "testB", ["."]),
        ("trainA", "trainB", "valA", "valB", ["."]),
        ("labels", "photos", None, None, ["labels", "photos"]),
        ("x/train", "y/train", "x/test", "y/test", ["x", "y"]),
    ],
)
def test_layouts_of_two_folders_are_recognised(
    sides: Callable[..., None],
    tmp_path: Path,
    a: str,
    b: str,
    test_a: str | None,
    test_b: str | None,
    given: list[str],
) -> None:
    sides(tmp_path / a, tmp_path / b)
    if test_a and test_b:
        sides(tmp_path / test_a, tmp_path / test_b, ["u", "deep/v"])
    found = find_pairs([tmp_path / name for name in given])
    held = {pair.name for pair in found.test}
    assert held == ({"u", "deep/v"} if test_a else layouts.held_out_names(NAMES, what=""))
    assert {pair.name for pair in found.train} == set(NAMES) - held
    for pair in found.train:
        assert pair.input.path.is_relative_to(tmp_path / a) and pair.target.path.is_relative_to(tmp_path / b)
        assert pair.input.path.stem == pair.target.path.stem == pair.name
    assert Path(a).name in found.layout or a in found.layout
    back = find_pairs([tmp_path / name for name in given], direction="BtoA")
    assert [(p.name, p.target, p.input) for p in back.train] == found.train and "B to A" in back.layout


def test_val_is_used_before_test(sides: Callable[..., None], tmp_path: Path) -> None:
    for split, names in (("train", NAMES), ("val", ["v"]), ("test", ["t"])):
        sides(tmp_path / f"{split}A", tmp_path / f"{split}B", names)
    found = find_pairs([tmp_path])
    assert [pair.name for pair in found.test] == ["v"] and "test is ignored" in found.layout
    assert len(found.train) == len(NAMES)


@pytest.mark.parametrize("inside", ["", "train"])
def test_side_by_side_pictures_are_recognised(photo: Photo, tmp_path: Path, inside: str) -> None:
    path = photo(tmp_path / inside / "one.png", (16, 8))
    photo(tmp_path / inside / "two.png", (16, 8), seed=1)
    if inside:
        photo(tmp_path / "test" / "three.png", (16, 8), seed=2)
    found = find_pairs([tmp_path])
    assert len(found.test) == 1 and len(found.train) == (2 if inside else 1)
    pixels = np.asarray(Image.open(path))
    (pair,) = [pair for pair in found.train + found.test if pair.name == "one"]
    source, target = pair.read()
    assert np.array_equal(source, pixels[:, :8]) and np.array_equal(target, pixels[:, 8:])
    assert "side-by-side" in found.layout


def test_a_folder_of_photos_is_not_mistaken_for_pairs(photo: Photo, tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"{number}.png", (12, 10), seed=number)
    with pytest.raises(DataError, match=r"too narrow to be two side by side.*data\.layout = side-by-side"):
        find_pairs([tmp_path])
    assert len(find_pairs([tmp_path], layout="side-by-side").train) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "input{}target\n"])
def test_a_table_of_pairs_is_read(sides: Callable[..., None], tmp_path: Path, delimiter: str, header: str) -> None:
    sides(tmp_path / "a", tmp_path / "b", ["x", "y", "z"])
    lines = [f"a/{n}.png{delimiter}b/{n}.jpg" for n in "xyz"]
    table = tmp_path / "pairs.csv"
    table.write_text(header.format(delimiter) + "\n".join([*lines, ""]), encoding="utf-8-sig")
    found = find_pairs([table])
    assert sorted(pair.name for pair in found.train + found.test) == ["a/x", "a/y", "a/z"]
    assert len(found.test) == 1 and "pairs.csv" in found.layout


def test_pairs_are_found_however_their_accents_are_stored(photo: Photo, tmp_path: Path) -> None:
    composed, separate = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for number in range(3):
        photo(tmp_path / "A" / f"{composed}{number}.png", seed=number)
        photo(tmp_path / "B" / f"{separate}{number}.png", seed=10 + number)
    found = find_pairs([tmp_path])
    assert {pair.name for pair in found.train + found.test} == {f"{composed}{number}" for number in range(3)}
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(f"A/{separate}{n}.png,B/{composed}{n}.png" for n in range(3)), encoding="utf-8")
    listed = find_pairs([table])
    assert {pair.target.path for pair in listed.train + listed.test} == set((tmp_path / "B").iterdir())
    photo(tmp_path / "A" / f"{separate}0.png")
    with pytest.raises(DataError, match="have the same name; remove or rename one"):
        find_pairs([tmp_path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a/x.png,b/x.jpg\na/missing.png,b/x.jpg\n",
            r"1 of the files that it lists do not exist: a/missing\.png \(line 2\)",
        ),
        ("a/x.png,b/x.jpg,third\n", "line 1: 3 columns, but there must be two"),
        ("input,target\n", "the table has no pairs"),
        ("a/x.png,b/x.jpg\n", "one picture cannot serve for both training and validation"),
    ],
)
def test_errors_name_what_is_wrong_with_a_table(
    sides: Callable[..., None], tmp_path: Path, text: str, message: str
) -> None:
    sides(tmp_path / "a", tmp_path / "b", ["x"])
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_pairs([tmp_path / "pairs.csv"])


def test_errors_count_and_list_names_without_partner(sides: Callable[..., None], photo: Photo, tmp_path: Path) -> None:
    sides(tmp_path / "A", tmp_path / "B")
    for number in range(7):
        photo(tmp_path / "A" / f"alone{number}.png")
    photo(tmp_path / "B" / "late.png")
    with pytest.raises(DataError) as error:
        find_pairs([tmp_path])
    assert "A without B: 7 of 37 (alone0, alone1, alone2, alone3, alone4, ...)" in str(error.value)
    assert "B without A: 1 of 31 (late)" in str(error.value)
    found = find_pairs([tmp_path], missing="skip")
    assert len(found.train) + len(found.test) == 30
    assert found.notes == ["skipped, without a partner: 8 pictures"]


def test_errors_name_folders_without_pairs(sides: Callable[..., None], photo: Photo, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        find_pairs([tmp_path / "nowhere"])
    photo(tmp_path / "half" / "A" / "x.png")
    with pytest.raises(DataError, match=r"found A \(.*\), but no B"):
        find_pairs([tmp_path / "half"])
    (tmp_path / "half" / "B").mkdir()
    with pytest.raises(DataError, match=r"half.B: no pictures in this folder"):
        find_pairs([tmp_path / "half"])
    photo(tmp_path / "strange" / "cats" / "x.png")
    with pytest.raises(DataError, match="it contains the folders cats"):
        find_pairs([tmp_path / "strange"])
    sides(tmp_path / "twice" / "A", tmp_path / "twice" / "B")
    photo(tmp_path / "twice" / "A" / f"{NAMES[0]}.webp")
    with pytest.raises(DataError, match="have the same name"):
        find_pairs([tmp_path / "twice"])
    with pytest.raises(DataError, match="A and B share no names"):
        find_pairs([tmp_path / "half" / "A", tmp_path / "twice" / "B"])


def test_held_out_names_do_not_change_when_pictures_are_added() -> None:
    few, many = [f"n{i}" for i in range(400)], [f"n{i}" for i in range(900)]
    held, more = layouts.held_out_names(few, what=""), layouts.held_out_names(many, what="")
    assert 8 <= len(held) <= 35  # a twentieth of 400 is 20
    assert held == more & set(few)
    assert len(layouts.held_out_names([f"n{i}" for i in range(5000)], what="")) == layouts.MAX_HELD_OUT
    assert len(layouts.held_out_names(["a", "b"], what="")) == 1


def paired(folder: Path, **settings: object) -> PairedSet:
    return PairedSet.read(PairedData.model_validate({"folders": [folder], **settings}), seed=3)


def test_input_and_target_get_the_same_jitter(tmp_path: Path) -> None:
    for side, offset in (("A", 0), ("B", 100)):
        (tmp_path / side).mkdir()
        for number in range(3):
            rows, columns = np.mgrid[:20, :20].astype(np.uint8)
            picture = np.stack([rows * 4 + offset, columns * 4 + offset, np.full_like(rows, number + offset)], axis=2)
            Image.fromarray(picture).save(tmp_path / side / f"{number}.png")
    read = paired(tmp_path, load=20, crop=12)
    flipped = 0
    for index in range(20):
        item = read.dataset[index]
        assert item["input"].shape == item["target"].shape == (3, 12, 12)
        assert item["input"].dtype == torch.uint8
        assert torch.equal(item["input"] + 100, item["target"])
        flipped += int(item["input"][1, 0, 0] > item["input"][1, 0, 1])
    assert 3 < flipped < 17
    assert len(read.held_out) == 1 and read.held_out[0].input.shape == (12, 12, 3)


def test_an_item_is_a_pure_function_of_seed_and_index(sides: Callable[..., None], tmp_path: Path) -> None:
    sides(tmp_path / "A", tmp_path / "B")
    one, other = paired(tmp_path, load=18, crop=16).dataset, paired(tmp_path, load=18, crop=16, cache_mb=0).dataset
    _ = other[70], other[5]
    assert all(torch.equal(one[40][key], other[40][key]) for key in ("input", "target"))
    assert not torch.equal(one[40]["input"], one[41]["input"])


def test_targets_are_resized_to_the_size_of_the_input(photo: Photo, tmp_path: Path) -> None:
    for name in ("x", "y"):
        photo(tmp_path / "A" / f"{name}.png", (30, 20))
        photo(tmp_path / "B" / f"{name}.png", (60, 44))
    read = paired(tmp_path, load=0, crop=16)
    assert [part.shape for part in read.dataset.pairs[0]] == [(20, 30, 3)] * 2
    keep = paired(tmp_path, load=18, crop=16, aspect="keep")
    assert [part.shape for part in keep.dataset.pairs[0]] == [(18, 27, 3)] * 2


def test_label_maps_are_recognised_and_never_interpolated(photo: Photo, tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    for name in ("x", "y", "z"):
        (tmp_path / "A").mkdir(exist_ok=True)
        areas = np.random.default_rng(len(name)).integers(0, 3, (4, 4)).repeat(8, axis=0).repeat(8, axis=1)
        areas[:8, :24] = np.arange(3).repeat(8)
        Image.fromarray(colours[areas]).quantize(8).save(tmp_path / "A" / f"{name}.png")
        photo(tmp_path / "B" / f"{name}.png", (32, 32))
    read = paired(tmp_path, load=21, crop=16)
    assert read.palette is not None and read.input_channels == 3
    assert read.palette.tolist() == [[0, 0, 0], [0, 0, 255], [255, 0, 0]]
    item = read.dataset[0]
    assert item["input"].shape == (1, 16, 16) and int(item["input"].max()) <= 2
    assert set(map(tuple, read.input_as_rgb(read.held_out[0].input).reshape(-1, 3).tolist())) <= set(
        map(tuple, colours.tolist())
    )
    assert any("label maps of 3 classes" in note for note in read.notes)
    assert paired(tmp_path, load=21, crop=16, input="picture").palette is None


def test_grey_inputs_and_targets_have_one_channel(sides: Callable[..., None], tmp_path: Path) -> None:
    sides(tmp_path / "A", tmp_path / "B")
    read = paired(tmp_path, load=18, crop=16, input="grey", target="grey")
    assert (read.input_channels, read.target_channels) == (1, 1)
    assert {tuple(part.shape) for part in read.dataset[0].values()} == {(1, 16, 16)}
    assert read.input_as_rgb(read.held_out[0].input).shape == (16, 16, 3)


def test_photos_alone_give_grey_inputs(photo: Photo, tmp_path: Path) -> None:
    for number in range(40):
        photo(tmp_path / ("cats" if number % 2 else "dogs") / f"{number:02}.png", (30, 20), seed=number)
    folders = (tmp_path / "cats", tmp_path / "dogs")
    data = PairedData(folders=folders, layout="photos", input="grey", load=0, crop=16, shrink=(0.8, 1.0))
    read = PairedSet.read(data, seed=0)
    assert (read.input_channels, read.target_channels, read.palette) == (1, 3, None)
    item = read.dataset[3]
    assert item["input"].shape == (1, 16, 16) and item["target"].shape == (3, 16, 16)
    luma = (item["target"].float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert (item["input"][0].float() - luma).abs().max() < 3  # both were resized and rounded
    # The last of each folder, so that neighbouring tiles of one photo stay together.
    assert [held.name for held in read.held_out] == ["39", "38"]
    whole = PairedSet.read(data.model_copy(update={"load": 18, "aspect": "keep"}), seed=0)
    assert whole.held_out[0].target.shape == (18, 18, 3)  # as large as training sees whole photos
    other = PairedData(**{**data.model_dump(), "validation": (tmp_path / "dogs",), "folders": (tmp_path / "cats",)})
    assert len(PairedSet.read(other, seed=0).held_out) == 20


def test_crops_are_cut_from_pictures_of_several_sizes(tmp_path: Path) -> None:
    """A ramp that rises by 4 per pixel rises faster in a crop that was shrunk."""
    for side in "AB":
        (tmp_path / side).mkdir()
        for number in range(3):
            ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None] * 4, (40, 40, 3))
            Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / side / f"{number}.png")
    dataset = paired(tmp_path, load=0, crop=20, shrink=(0.5, 1.0)).dataset
    assert all(torch.equal(item["input"], item["target"]) for item in (dataset[index] for index in range(6)))
    rises = {int(dataset[index]["input"][0, 12, 0]) - int(dataset[index]["input"][0, 8, 0]) for index in range(20)}
    assert min(rises) < 22 and max(rises) > 26 and min(rises) >= 15 and max(rises) <= 33


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "photos"}, "set input = grey and target = picture"),
        ({"layout": "photos", "input": "grey", "target": "grey"}, "set input = grey and target = picture"),
        ({"folders": ["a", "b", "c"]}, "folders has 3 items, but pairs are in one folder or in two"),
    ],
)
def test_layouts_and_kinds_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairedData.model_validate({"folders": ["a"], **changes})


def test_broken_pictures_are_found_before_the_first_step(sides: Callable[..., None], tmp_path: Path) -> None:
    sides(tmp_path / "A", tmp_path / "B")
    with pytest.raises(
        DataError, match=r"A.0\d\d\.png: 20 x 20 pixels is smaller than data\.crop = 64; set data\.load"
    ):
        paired(tmp_path, load=0, crop=64)
    with pytest.raises(DataError, match="the inputs have more than 256 colours"):
        paired(tmp_path, load=18, crop=16, input="labels")
    (tmp_path / "B" / "007.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"B.007\.jpg"):
        paired(tmp_path, load=18, crop=16)


def test_errors_name_side_by_side_pictures_of_odd_width(photo: Photo, tmp_path: Path) -> None:
    for name, width in (("a", 16), ("b", 17), ("c", 16)):
        photo(tmp_path / f"{name}.png", (width, 8))
    with pytest.raises(DataError, match=r"b\.png: 17 pixels wide"):
        paired(tmp_path, load=8, crop=8)


def test_street_scenes_are_label_maps_and_outlines_are_not() -> None:
    streets = paired(shared("data/camvid256"), load=32, crop=32)
    assert streets.input_channels == 12 and len(streets.held_out) == 117 and len(streets.dataset.pairs) == 184
    from img2img.data.paired import find, label_palette

    outlines = PairedData(folders=(shared("data/outline_to_color"),))
    assert label_palette(find(outlines), outlines) is None
