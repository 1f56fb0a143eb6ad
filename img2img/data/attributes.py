"""Reads tables of binary attributes: CelebA's `list_attr_celeba.txt`, or a CSV file."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from img2img.errors import DataError
from img2img.runtime.files.source import PICTURE_SUFFIXES
from img2img.text import nfc

SUFFIXES = (".csv", ".tsv", ".txt")
VALUES = {"1": 1, "0": 0, "-1": 0, "1.0": 1, "0.0": 0, "-1.0": 0, "+1": 1, "true": 1, "false": 0}


class Row(NamedTuple):
    """One line: the picture's file name as written, and the values of the columns, 0 or 1."""

    file: str
    values: NDArray[np.uint8]


@dataclass(frozen=True)
class Table:
    """The attributes of pictures. `ignored` lists the columns with values other than 0, 1 and -1."""

    columns: tuple[str, ...]
    rows: list[Row]
    ignored: tuple[str, ...]


def is_table(file: Path) -> bool:
    """Return whether `file` looks like a table of attributes: its third line starts with the name of a picture."""
    if file.suffix.casefold() not in SUFFIXES:
        return False
    try:
        with file.open(encoding="utf-8-sig") as text:
            lines = [text.readline(10_000) for _ in range(3)]
    except (OSError, UnicodeDecodeError):
        return False
    if not (cells := _cells(lines[1:])):
        return False
    return Path(cells[-1][0]).suffix.casefold() in PICTURE_SUFFIXES and any(
        cell.casefold() in VALUES for cell in cells[-1][1:]
    )


def read(file: Path, *, wanted: tuple[str, ...] = ()) -> Table:
    """Read a table. Its first column names pictures; the others are 1 for yes, and 0 or -1 for no.

    The header line may follow a line with the number of pictures, as in CelebA's file. Cells are separated by commas,
    semicolons or tabs, or else by spaces.

    Args:
        wanted: the columns to read; empty: every column with only yes and no values.

    Raises:
        DataError: the file cannot be read, a line has too few or too many cells, a wanted column is missing or has
            other values (the message names the line), or no column is usable.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} as a table of attributes: {error}") from error
    skip = 1 if lines and lines[0].strip().isdecimal() else 0
    numbered = [(number, line) for number, line in enumerate(lines[skip:], skip + 1) if line.strip()]
    rows = _cells([line for _, line in numbered])
    if len(rows) < 2:
        raise DataError(f"{file}: the table is empty; it needs a header and one line per picture")
    header, *body = rows
    # CelebA's header names only the attributes; that of a CSV file also names the column of pictures.
    columns = [nfc(name) for name in (header if len(header) == len(body[0]) - 1 else header[1:])]
    wanted = tuple(map(nfc, wanted))
    for (number, _), row in zip(numbered[1:], body, strict=True):
        if len(row) != len(columns) + 1:
            raise DataError(f"{file}, line {number}: {len(row)} cells, but there must be {len(columns) + 1}")
    if len(set(columns)) < len(columns):
        raise DataError(f"{file}: two columns have the same name")
    if absent := [name for name in wanted if name not in columns]:
        raise DataError(f"{file}: no column {', '.join(absent)}; choose from {', '.join(columns)}")
    taken: dict[str, list[int]] = {}
    ignored: list[str] = []
    for place, name in enumerate(columns, 1):
        if wanted and name not in wanted:
            continue
        values = [VALUES.get(row[place].casefold(), -1) for row in body]
        if -1 not in values:
            taken[name] = values
        elif wanted:
            bad = values.index(-1)
            raise DataError(
                f"{file}, line {numbered[bad + 1][0]}: {name} is {body[bad][place]!r}, but must be 1, 0 or -1"
            )
        else:
            ignored.append(name)
    if not taken:
        raise DataError(f"{file}: no column has only 1 for yes and 0 or -1 for no")
    ordered = tuple(wanted) or tuple(taken)
    matrix = np.array([taken[name] for name in ordered], np.uint8).T
    return Table(ordered, [Row(row[0], values) for row, values in zip(body, matrix, strict=True)], tuple(ignored))


def _cells(lines: list[str]) -> list[list[str]]:
    lines = [line for line in lines if line.strip()]
    if not lines:
        return []
    delimiter = next((mark for mark in "\t;," if mark in lines[0] and mark in lines[-1]), None)
    if delimiter is None:
        return [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
