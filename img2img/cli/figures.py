"""Figures of an evaluation as a table or as lines of JSON on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from img2img.cli import console
from img2img.text import show

if TYPE_CHECKING:
    from img2img.evaluation.results import Case

LOWER = ("l1", "chroma_l1", "lpips", "dists", "niqe")  # less is better
OF_SETS = (
    *("kid", "fid", "inception_score", "swd", "precision", "recall", "density", "coverage"),
    *("class_accuracy", "mean_iou"),
)
"""How names of figures begin that sets of pictures have, and no picture alone."""
RATIOS = ("sharpness", "border", "chroma_ratio", "novelty")
"""Relative to the truth or to real pictures: 1 is right."""
SHORT = {
    "niqe": ".2f",
    "inception_score": ".2f",
    "recognised": ".0%",
    "recognised_with_results": ".1%",
    "gain": "+.1%",
} | dict.fromkeys(RATIOS, ".2f")
NAME = 28


class Printer:
    """Writes a line for each case, and the means at the end.

    Args:
        ways: the rivals in order, and the model as the last.
        main: the figures that the table of cases shows; the others have a table of their own at the end.
        data: says which data set it is, in JSON.
    """

    def __init__(self, ways: Sequence[str], main: Sequence[str], data: str, *, json: bool) -> None:
        self.ways = list(ways)
        self.main = list(main)
        self.data = data
        self.json = json

    def head(self) -> None:
        """The names of the columns."""
        if not self.json:
            _line("picture", [show(way) for way in self.ways], self._widths())

    def case(self, case: Case) -> None:
        """One line."""
        from img2img.evaluation.results import value

        self._row(case.name, {way: {k: value(v) for k, v in found.items()} for way, found in case.figures.items()})

    def mean(self, means: Mapping[str, Mapping[str, float]], further: Mapping[str, Any]) -> None:
        """The last line, and a table of the figures that the lines before had no room for, in which there may be more
        than the ways; `further` is for JSON."""
        self._row("mean", means, further)
        names = list(dict.fromkeys(name for found in means.values() for name in found))
        if self.json or set(names) <= set(self.main):
            return
        table("mean", names, {show(way): [_shown(found, name) for name in names] for way, found in means.items()})

    def _row(
        self, name: str, figures: Mapping[str, Mapping[str, float]], further: Mapping[str, Any] | None = None
    ) -> None:
        if self.json:
            *rivals, own = self.ways
            record = {"picture": name, "data": self.data, **figures[own], **{way: figures[way] for way in rivals}}
            console.write_json(record | dict(further or {}))
        else:
            cells = [" ".join(_shown(figures[way], one).rjust(6) for one in self.main) for way in self.ways]
            _line(show(name), cells, self._widths())
        sys.stdout.flush()

    def _widths(self) -> list[int]:
        return [max(len(show(way)), 7 * len(self.main) - 1) for way in self.ways]


def better(cases: Sequence[Case], rival: str, own: str, figure: str) -> int:
    """In how many cases the model is better than a rival."""
    from img2img.evaluation.results import value

    sign = -1 if figure in LOWER else 1
    return sum(sign * value(case.figures[own][figure]) > sign * value(case.figures[rival][figure]) for case in cases)


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a table after an empty line."""
    widths = [max(len(column), 10) for column in columns]
    sys.stdout.write("\n")
    _line(title, columns, widths)
    for name, cells in rows.items():
        _line(name, cells, widths)
    sys.stdout.flush()


def rounded(figure: str, number: float) -> float:
    """A figure as a card holds it."""
    return round(number, 3 if figure.startswith(("psnr", "niqe")) else 4)


def shown(figure: str, number: float) -> str:
    """A figure as tables show it."""
    usual = ".2f" if figure.startswith("psnr") else ".4f"
    return format(number, SHORT.get(figure, usual))


def _shown(figures: Mapping[str, float], name: str) -> str:
    return shown(name, figures[name]) if name in figures else "-"


def _line(name: str, cells: Sequence[str], widths: Sequence[int]) -> None:
    padded = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    name = name if len(name) <= NAME else f"…{name[1 - NAME :]}"
    sys.stdout.write(f"{name:<{NAME}}  {padded}\n")
