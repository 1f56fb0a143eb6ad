"""The check of a data set before training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from img2img.data import check, facts, folders
from img2img.data.domains import DomainData
from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData, Part
from img2img.data.unpaired import UnpairedData
from img2img.section import Section

Photo = Callable[..., Path]


class PhotoData(Section):
    folders: tuple[Path, ...]
    validation: tuple[Path, ...] = ()
    crop: int = 16
    white: int | None = None
    max_pixels: int | None = None


def smooth(path: Path, seed: int, size: tuple[int, int] = (96, 96), mode: str = "RGB") -> Path:
    """Save a picture with shapes that survive resizing and compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path)
    return path


def found(report: check.Report, text: str) -> check.Finding:
    (finding,) = [finding for finding in report.findings if text in finding.text]
    return finding


def sides(top: Path, a: int = 24, b: int = 24) -> Path:
    for split, first in (("train", 0), ("test", 100)):
        for side, count in (("A", a), ("B", b)):
            for number in range(count if split == "train" else 2):
                smooth(
                    top / f"{split}{side}" / f"{first + number}.png", 7 * first + number + (500 if side == "B" else 0)
                )
    return top


def test_a_good_data_set_has_no_findings(tmp_path: Path) -> None:
    report = check.check(PairedData(folders=(sides(tmp_path),), load=72, crop=64))
    assert report.trainable and report.findings == []
    assert report.summary[0] == "24 training pairs, 2 held out"
    assert [(g.name, g.split, g.count, g.median, g.modes) for g in report.groups] == [
        ("input", "train", 24, (96, 96), {"RGB": 24}),
        ("target", "train", 24, (96, 96), {"RGB": 24}),
        ("input", "held out", 2, (96, 96), {"RGB": 2}),
        ("target", "held out", 2, (96, 96), {"RGB": 2}),
    ]
    assert "each pair is resized to 72 x 72 and cropped to 64 x 64, half of them mirrored" in report.summary


def test_names_without_partner_and_unreadable_files_are_reported_together(tmp_path: Path) -> None:
    sides(tmp_path)
    smooth(tmp_path / "trainA" / "alone.png", 1)
    (tmp_path / "trainB" / "3.png").write_bytes(b"no picture")
    report = check.check(PairedData(folders=(tmp_path,), load=72, crop=64))
    assert not report.trainable
    assert "A without B: 1 of 25 (alone)" in found(report, "A without B").text
    assert "3.png" in found(report, "not readable").files[0]
    assert {g.name for g in report.groups} == {"input", "target"}


def test_unreadable_files_are_reported_even_without_a_known_layout(tmp_path: Path) -> None:
    smooth(tmp_path / "cats" / "x.png", 0)
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "y.png").write_bytes(b"")
    report = check.check(PairedData(folders=(tmp_path,)))
    assert not report.trainable and report.summary == []
    assert "it contains the folders cats, dogs" in found(report, "no pairs found").text
    assert "y.png" in found(report, "not readable").files[0]


def test_duplicates_are_found_within_the_training_set_and_across_splits(tmp_path: Path) -> None:
    sides(tmp_path)
    train, test = tmp_path / "trainA", tmp_path / "testA"
    (test / "copy.png").write_bytes((train / "0.png").read_bytes())
    with Image.open(train / "1.png") as image:
        image.resize((80, 80), Image.Resampling.BICUBIC).save(test / "smaller.jpg", quality=70)
    (train / "again.png").write_bytes((train / "2.png").read_bytes())
    (tmp_path / "trainB" / "stray.png").write_bytes((train / "3.png").read_bytes())
    report = check.check(UnpairedData(folders=(tmp_path,), load=72, crop=64))
    assert report.trainable
    identical, similar = found(report, "is identical to training ones"), found(report, "nearly identical")
    assert identical.level == similar.level == "warning"
    assert len(identical.files) == 1 and "0.png" in identical.files[0] and "copy.png" in identical.files[0]
    assert len(similar.files) == 1 and "1.png" in similar.files[0] and "smaller.jpg" in similar.files[0]
    assert "again.png" in found(report, "in the training set").files[0]
    assert "stray.png" in found(report, "in two domains").files[0]


def test_different_drawings_on_white_are_not_similar() -> None:
    """The difference hash alone cannot distinguish them, because most of it is white."""

    def one(colour: str, name: str) -> facts.Facts:
        image = Image.new("RGB", (64, 64), "white")
        image.paste(Image.new("RGB", (40, 40), colour), (12, 12))
        return facts._facts(Part(Path(name)), np.asarray(image), "RGB")

    drawings = [one("red", "a"), one("orange", "b"), one("black", "c"), one("#fd0000", "d")]
    assert facts.similar(drawings, [False] * 4) == [(0, 3)]


def test_modes_of_pictures_are_counted_and_reported(tmp_path: Path, photo: Photo) -> None:
    for number in range(11):
        smooth(tmp_path / f"{number}.png", number)
    smooth(tmp_path / "grey.png", 50, mode="L")
    photo(tmp_path / "clear.png", (40, 40), mode="RGBA")
    Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40).save(tmp_path / "deep.png")
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    smooth(tmp_path / "0small.png", 60, size=(8, 8))
    report = check.check(PhotoData(folders=(tmp_path,)))
    assert report.trainable
    modes: dict[str, int] = {}
    for group in report.groups:
        for mode, count in group.modes.items():
            modes[mode] = modes.get(mode, 0) + count
    assert modes == {"RGB": 12, "grey": 1, "RGB alpha": 1, "grey 16-bit": 1, "RGB animated": 1}
    assert "clear.png" in found(report, "composited over white").files[0]
    assert "deep.png" in found(report, "16-bit").files[0]
    assert "moving.webp" in found(report, "animated").files[0]
    assert len(found(report, "without colour").files) == 2
    small = found(report, "skipped")
    assert small.level == "warning" and small.text.startswith("1 picture is smaller than data.crop = 16")


def test_pictures_that_are_too_small_are_reported(tmp_path: Path) -> None:
    sides(tmp_path)
    report = check.check(PairedData(folders=(tmp_path,), load=0, crop=128))
    assert not report.trainable and len(found(report, "smaller than data.crop = 128; set data.load").files) == 52
    assert "tiny" in found(check.check(PairedData(folders=(tmp_path,))), "more than twice").text
    photos = check.check(PhotoData(folders=(tmp_path,), crop=128))
    assert not photos.trainable and found(photos, "every photo is smaller")


def test_pairs_of_different_shapes_and_odd_side_by_side_pictures_are_reported(tmp_path: Path) -> None:
    sides(tmp_path)
    smooth(tmp_path / "trainB" / "0.png", 900, size=(96, 64))
    assert "0.png" in found(check.check(PairedData(folders=(tmp_path,), load=72, crop=64)), "of another shape").files[0]
    for number in range(12):
        smooth(tmp_path / "ab" / f"{number}.png", number, size=(161 if number == 4 else 160, 80))
    report = check.check(PairedData(folders=(tmp_path / "ab",), load=72, crop=64))
    assert not report.trainable and found(report, "odd width").files == [str(tmp_path / "ab" / "4.png")]


def test_photos_whose_inputs_are_made_from_them_are_one_group(tmp_path: Path) -> None:
    for number in range(12):
        smooth(tmp_path / f"{number:02}.png", number, size=(96, 72))
    smooth(tmp_path / "grey.png", 99, size=(96, 72), mode="L")
    report = check.check(PairedData(folders=(tmp_path,), layout="photos", input="grey", load=0, crop=64))
    assert report.trainable and {group.name for group in report.groups} == {"photos"}
    assert "inputs are the photos in grey; targets are the photos" in report.summary
    assert found(report, "1 picture is without colour, out of 13 in photos").level == "note"


def test_domains_with_few_pictures_are_reported(tmp_path: Path) -> None:
    for style, count in (("ink", 12), ("oil", 5)):
        for number in range(count):
            smooth(tmp_path / style / f"{number}.png", number + (100 if style == "oil" else 0))
    report = check.check(DomainData(folders=(tmp_path,), load=72, crop=64))
    assert report.trainable and {group.name for group in report.groups} == {"ink", "oil"}
    assert found(report, "pictures of oil").level == "warning"


@pytest.mark.parametrize("what", ["missing", "empty", "one"])
def test_folders_without_training_pictures_are_errors(tmp_path: Path, what: str) -> None:
    folder = tmp_path / what
    if what != "missing":
        folder.mkdir()
    if what == "one":
        smooth(folder / "x.png", 0)
    report = check.check(PhotoData(folders=(folder,)))
    assert not report.trainable
    assert {"missing": "no such folder", "empty": "no pictures", "one": "one picture"}[what] in report.findings[0].text


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    check.check(UnpairedData(folders=(sides(tmp_path),)), lambda done, of: seen.append((done, of)))
    assert seen == [(number, 52) for number in range(1, 53)]


@pytest.mark.parametrize("data", [PairedData, UnpairedData, DomainData, PhotoData])
def test_a_folder_without_a_readable_picture_names_its_files(data: type[Section], tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "AB"[number % 2] / f"{number // 2}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic%d" % number)
    report = check.check(data(folders=(tmp_path,)))
    assert not report.trainable
    assert "0.jpg: it is a HEIC picture" in found(report, "24 pictures are not readable").files[0]


@pytest.mark.parametrize(
    ("orientation", "size_of_b", "apart"), [(6, (96, 64), True), (3, (48, 32), True), (6, (64, 96), False)]
)
def test_pairs_that_exif_turns_apart_are_named(
    orientation: int, size_of_b: tuple[int, int], apart: bool, tmp_path: Path
) -> None:
    for number in range(24):
        smooth(tmp_path / "A" / f"{number}.png", number, (96, 64))
        smooth(tmp_path / "B" / f"{number}.png", 500 + number, size_of_b if number == 7 else (96, 64))
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(tmp_path / "A" / "7.png") as picture:
        picture.save(tmp_path / "A" / "7.png", exif=exif)
    data = PairedData(folders=(tmp_path,), load=64, crop=64)
    findings = [one for one in check.check(data).findings if "EXIF" in one.text]
    notes = [note for note in PairedSet.read(data, seed=0).notes if "EXIF" in note]
    assert len(findings) == len(notes) == apart
    if apart:
        assert findings[0].text.startswith("1 pair with an EXIF orientation on one side only")
        assert findings[0].files == [str(tmp_path / "A" / "7.png")] and findings[0].files[0] in notes[0]


def test_twelve_bits_stored_in_sixteen_are_reported_and_rescaled(tmp_path: Path) -> None:
    for number in range(24):
        values = np.random.default_rng(number).integers(0, 4096, (24, 24), np.uint16)
        values[0, 0], values[0, 1] = 4095, 2048
        tifffile.imwrite(tmp_path / f"{number}.tif", values)
    dark = found(check.check(PhotoData(folders=(tmp_path,))), "16-bit, but")
    assert "values 0 to 4095 are used: nearly black. For pictures of 12 bits, set data.white = 4095" in dark.text
    assert folders.dark_note(folders.find([tmp_path]), folders.Reading()) == [
        "warning: 16-bit pictures use only values up to 4095: nearly black; --set data.white=4095"
    ]
    assert folders.dark_note(folders.find([tmp_path]), folders.Reading(4095)) == []
    assert folders.read_rgb(tmp_path / "0.tif")[0, :2, 0].tolist() == [16, 8]
    assert folders.read_rgb(tmp_path / "0.tif", folders.Reading(4095))[0, :2, 0].tolist() == [255, 128]


def test_values_above_white_are_reported(tmp_path: Path) -> None:
    for number in range(24):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.full((24, 24), 300 * number, np.uint16))
    report = check.check(PhotoData(folders=(tmp_path,), white=4095))
    assert len(found(report, "brighter than data.white = 4095").files) == 10


def test_a_picture_beyond_the_limit_can_be_allowed(tmp_path: Path) -> None:
    for number in range(3):
        smooth(tmp_path / f"{number}.png", number)
    report = check.check(PhotoData(folders=(tmp_path,), max_pixels=1000))
    assert "raise it with --max-pixels" in found(report, "3 pictures are not readable").files[0]
    assert check.check(PhotoData(folders=(tmp_path,))).trainable
