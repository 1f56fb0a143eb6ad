"""Finds pairs of pictures in all supported layouts. Defines the settings of paired data."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from img2img.data import folders, layouts
from img2img.data.folders import Reading
from img2img.data.jitter import JitterSection
from img2img.data.layouts import NamedPicture
from img2img.data.ranges import Factors
from img2img.errors import DataError
from img2img.runtime.files.source import PICTURE_SUFFIXES, on_disk
from img2img.runtime.files.walk import is_picture
from img2img.runtime.image import sizes as picture_sizes
from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS
from img2img.text import count_of, nfc

Direction = Literal["AtoB", "BtoA"]
Layout = Literal["auto", "folders", "side-by-side", "table", "photos"]
Missing = Literal["fail", "skip"]

WIDE = 1.6
"""A picture with at least this ratio of width to height may be two pictures side by side: two halves of 4 to 5."""


class PairedData(JitterSection):
    """Paired pictures. Both pictures of a pair get the size of the input, then the same crop and mirroring."""

    folders: tuple[Path, ...] = Field(
        min_length=1,
        description="one folder with A and B (A/ B/, trainA/ trainB/, or side-by-side pictures), two folders (A, then "
        "B), or a CSV file with two columns of paths; layout = photos: folders of photos",
    )
    validation: tuple[Path, ...] = Field(
        default=(), description="held-out pairs, given like folders; empty: val or test, or a twentieth"
    )
    layout: Layout = Field(
        default="auto",
        description="how the pairs are stored; auto: detect; photos: each photo is a target, and its input is made "
        "from it, so it needs input = grey",
    )
    direction: Direction = Field(default="AtoB", description="direction of the translation")
    missing: Missing = Field(default="fail", description="if a picture has no partner: fail or skip it")
    input: Literal["auto", "picture", "grey", "labels"] = Field(
        default="auto", description="kind of input: colour picture, grey, or label map (encoded one-hot); auto: detect"
    )
    target: Literal["picture", "grey"] = Field(default="picture", description="kind of output: colour picture or grey")
    shrink: Factors = Field(
        default=(1.0, 1.0),
        description="smallest and largest factor by which pictures are shrunk, after load, before they are cropped",
    )

    @model_validator(mode="after")
    def _layout_fits(self) -> Self:
        if self.derived and (self.input, self.target) != ("grey", "picture"):
            raise ValueError(
                "layout = photos makes grey inputs of colour photos: set input = grey and target = picture"
            )
        for name in () if self.derived else ("folders", "validation"):
            if (count := len(getattr(self, name))) > 2:
                raise ValueError(f"{name} has {count} items, but pairs are in one folder or in two, first A, then B")
        return self

    @property
    def derived(self) -> str | None:
        """The kind of input, if it is made from the target; None if pairs are stored."""
        return self.input if self.layout == "photos" else None


class Part(NamedTuple):
    """A picture, or one half of a side-by-side picture."""

    path: Path
    half: Literal["left", "right"] | None = None


class Pair(NamedTuple):
    """Two pictures of one thing. `name` is the path below their folder without extension."""

    name: str
    input: Part
    target: Part

    def read(self, reading: Reading = Reading()) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read input and target as uint8 RGB `[H, W, 3]`, each at its original size. `reading`: see there.

        Raises:
            PictureError: a file cannot be read.
            DataError: a side-by-side picture has an odd width.
        """
        first = folders.read_rgb(self.input.path, reading)
        second = first if self.target.path == self.input.path else folders.read_rgb(self.target.path, reading)
        return _cut_half(first, self.input), _cut_half(second, self.target)

    def read_input(self, reading: Reading = Reading()) -> NDArray[np.uint8]:
        """Read only the input, see `read`."""
        return _cut_half(folders.read_rgb(self.input.path, reading), self.input)


@dataclass(frozen=True)
class Pairs:
    """The pairs found. `layout` describes what was recognised; `notes` are further sentences for the user."""

    train: list[Pair]
    test: list[Pair]
    layout: str
    notes: list[str] = field(default_factory=list)


def find_pairs(
    sources: Sequence[Path],
    *,
    direction: Direction = "AtoB",
    layout: Layout = "auto",
    missing: Missing = "fail",
    validation: Sequence[Path] = (),
) -> Pairs:
    """Find pairs by name. Recognises these layouts:

    - one folder with `A` and `B`, perhaps with `train` and `val` or `test` inside or around them;
    - one folder with `trainA trainB`, perhaps with `valA valB` or `testA testB`;
    - two folders, first A, then B;
    - a folder of side-by-side pictures, A left and B right, perhaps in `train`, `val` and `test`;
    - a CSV file with two columns of paths, A and B, relative to the file, perhaps with a header;
    - any number of folders of photos, if `layout` says so: each photo is its own partner. The last twentieth of each
      folder is held out, so that neighbouring tiles of one photo stay together.

    A picture's name is its path below the folder without extension; extensions and sizes may differ. Without a held-out
    part (`val` before `test`, or the pairs of `validation`), `layouts.held_out_names` chooses one.

    Raises:
        DataError: no pairs are recognised; A without B, by folder or by name (the message names the first five of each
            side); two files have the same name; one pair cannot serve for both training and validation.
    """
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: no such folder or file")
    if layout == "photos":
        return _photos(sources, validation)
    train, test, words, skipped = _find(sources, layout, missing)
    notes = [f"skipped, without a partner: {count_of(skipped, 'picture')}"] if skipped else []
    if validation:
        more = _find(validation, layout, missing)
        test, words = more[0] + more[1], f"{words}; held out: {more[2]}"
    elif not test:
        held = layouts.held_out_names([pair.name for pair in train], what=str(sources[0]))
        test = [pair for pair in train if pair.name in held]
        train = [pair for pair in train if pair.name not in held]
        words += "; held out by a hash of the name"
    if direction == "BtoA":
        train, test = ([Pair(name, b, a) for name, a, b in pairs] for pairs in (train, test))
    return Pairs(train, test, f"{words}; {'A to B' if direction == 'AtoB' else 'B to A'}", notes)


def _photos(sources: Sequence[Path], validation: Sequence[Path]) -> Pairs:
    names = {one.path: one.name for folder in (*sources, *validation) for one in layouts.named_pictures(folder)}
    paths, held = folders.find(sources), folders.find(validation)
    words = f"held out: {', '.join(map(str, validation))}"
    if not held:
        paths, held = folders.hold_out(paths, layouts.MAX_HELD_OUT)
        words = "held out: the last twentieth of each folder"
    train, test = ([Pair(names[path], Part(path), Part(path)) for path in side] for side in (paths, held))
    return Pairs(train, test, f"inputs are made from the photos; {words}")


Found = tuple[list[Pair], list[Pair], str, int]
"""Pairs for training, pairs held out by the layout, description of the layout, number of files without a partner."""


def _find(sources: Sequence[Path], layout: Layout, missing: Missing) -> Found:
    table = len(sources) == 1 and sources[0].is_file()
    if table != (layout == "table") and (table or layout == "table") and layout != "auto":
        raise DataError(f"data.layout = {layout} does not fit {sources[0]}, which is a {'file' if table else 'folder'}")
    if table:
        return _in_table(sources[0])
    sides = layouts.find_sides(sources) if layout in ("auto", "folders") or len(sources) > 1 else None
    if sides is None:
        if layout == "folders":
            raise DataError(f"{sources[0]}: it contains neither A and B nor trainA and trainB")
        return _side_by_side(sources[0], sure=layout == "side-by-side")
    train, skipped = _match(*sides.train, missing)
    test, more = _match(*sides.held_out, missing) if sides.held_out is not None else ([], 0)
    return train, test, f"pairs by name: {sides.layout}", skipped + more


def _match(folder_a: Path, folder_b: Path, missing: Missing) -> tuple[list[Pair], int]:
    a, b = (_by_name(layouts.named_pictures(folder)) for folder in (folder_a, folder_b))
    only_a, only_b = a.keys() - b.keys(), b.keys() - a.keys()
    both = a.keys() & b.keys()
    if not both:
        raise DataError(
            f"A and B share no names: A ({folder_a}) contains {layouts.list_first(a, 3)}, "
            f"B ({folder_b}) contains {layouts.list_first(b, 3)}; rename one side, or list the pairs in a CSV file"
        )
    if (only_a or only_b) and missing == "fail":
        sides = ((only_a, a, "A without B"), (only_b, b, "B without A"))
        listed = "; ".join(f"{w}: {len(o)} of {len(s)} ({layouts.list_first(o)})" for o, s, w in sides if o)
        raise DataError(
            f"{listed}; add the partners. If they are no pairs, use a method for two folders, or evaluate --data A "
            "--real B; to leave single pictures out of the training, --set data.missing=skip"
        )
    return [Pair(name, Part(a[name]), Part(b[name])) for name in sorted(both)], len(only_a) + len(only_b)


def _by_name(found: list[NamedPicture]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, path in found:
        if name in files:
            raise DataError(f"{files[name]} and {path.name} have the same name; remove or rename one of them")
        files[name] = path
    return files


def _side_by_side(folder: Path, *, sure: bool) -> Found:
    train = layouts.child(folder, "train")
    if train is None and not any(is_picture(path.name) for path in layouts.contents(folder)):
        inside = layouts.list_first(path.name for path in layouts.subfolders(folder))
        raise DataError(
            f"{folder}: no pairs found; it contains {f'the folders {inside}' if inside else 'no pictures'}. "
            "Give two folders, first A, then B, a folder with A and B or trainA and trainB, or side-by-side pictures; "
            "or set data.layout = photos and data.input = grey to colour grey versions of photos"
        )
    held = next((h for word in layouts.HELD_OUT_FOLDERS if (h := layouts.child(folder, word))), None) if train else None
    words = "side-by-side pictures, A is the left half and B the right"
    words += f"; held out: {held.name}" if held is not None else ""
    parts = [_halves(part) if part is not None else [] for part in (train or folder, held)]
    if not sure and (wide := _wide_share(parts[0])) < 0.5:
        raise DataError(
            f"{folder}: no pairs found; {1 - wide:.0%} of its pictures are too narrow to be two side by side. "
            "Give two folders, first A, then B, or set data.layout = side-by-side if they are; "
            "or set data.layout = photos and data.input = grey to colour grey versions of photos"
        )
    return parts[0], parts[1], words, 0


def _wide_share(pairs: list[Pair]) -> float:
    """Return the share of pictures, in a sample, that are wide enough to be two side by side."""
    sizes: list[tuple[int, int]] = []
    for pair in pairs[:: max(len(pairs) // 20, 1)]:
        size = next(picture_sizes.of_files([pair.input.path], DEFAULT_MAX_PIXELS))
        sizes += [size] if size is not None else []
    return sum(width >= WIDE * height for width, height in sizes) / len(sizes) if sizes else 1.0


def _halves(folder: Path) -> list[Pair]:
    return [Pair(name, Part(path, "left"), Part(path, "right")) for name, path in layouts.named_pictures(folder)]


def _in_table(file: Path) -> Found:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} as a table of pairs: {error}") from error
    head = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t;," if mark in head), ",")
    pairs: list[Pair] = []
    absent: list[str] = []
    for line, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != 2:
            raise DataError(f"{file}, line {line}: {len(cells)} columns, but there must be two, the paths of A and B")
        if not pairs and not absent and not any(Path(c).suffix.casefold() in PICTURE_SUFFIXES for c in cells):
            continue  # a header
        paths = [on_disk(file.parent / cell) for cell in cells]
        absent += [f"{cell} (line {line})" for cell, path in zip(cells, paths, strict=True) if not path.is_file()]
        pairs.append(Pair(nfc(Path(cells[0]).with_suffix("").as_posix()), Part(paths[0]), Part(paths[1])))
    if absent:
        more = ", ..." if len(absent) > 5 else ""
        raise DataError(f"{file}: {len(absent)} of the files that it lists do not exist: {', '.join(absent[:5])}{more}")
    if not pairs:
        raise DataError(f"{file}: the table has no pairs; it needs two columns of paths, A and B")
    return pairs, [], f"pairs listed in {file.name}", 0


def _cut_half(picture: NDArray[np.uint8], part: Part) -> NDArray[np.uint8]:
    if part.half is None:
        return picture
    width = picture.shape[1]
    if width % 2:
        raise DataError(f"{part.path}: {width} pixels wide; a side-by-side picture must have an even width")
    return picture[:, : width // 2] if part.half == "left" else picture[:, width // 2 :]
