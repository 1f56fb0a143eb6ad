"""What `img2img compare` can write: a page, a contact sheet, or a page for a user study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from img2img.cli import figures
from img2img.evaluation.comparison import blind as trials
from img2img.evaluation.comparison import looks
from img2img.evaluation.comparison.looks import Look
from img2img.evaluation.comparison.sides import INPUT, TRUTH
from img2img.pages import blind as blind_page
from img2img.pages import compare as page
from img2img.pages.embedded import Store, quality_for
from img2img.text import count_of, show_memory
from img2img.version import __version__

if TYPE_CHECKING:
    from img2img.evaluation.comparison import measuring
    from img2img.evaluation.comparison.case import Case
    from img2img.evaluation.comparison.run import Runner


@dataclass(frozen=True)
class Total:
    """What is known after the last picture.

    Attributes:
        seconds: of each model for one megapixel of input.
        parameters: of each model.
        problems: everything that has failed, one line each.
    """

    sides: Mapping[str, measuring.Total]
    seconds: Mapping[str, float]
    parameters: Mapping[str, int]
    problems: Sequence[str]

    def records(self) -> dict[str, dict[str, Any]]:
        """For JSON."""
        return {
            name: {
                **one.means,
                "best": one.best,
                "pictures": one.pictures,
                "seconds_per_megapixel": self.seconds.get(name),
                "parameters": self.parameters.get(name),
            }
            for name, one in self.sides.items()
        }

    def table(self) -> tuple[list[str], dict[str, list[str]]]:
        """Columns and rows of a table of the means."""
        names = list(dict.fromkeys(figure for one in self.sides.values() for figure in one.means))
        rows = {}
        for name, one in self.sides.items():
            cells = [figures.shown(figure, one.means[figure]) if figure in one.means else "-" for figure in names]
            cells.append(f"{self.seconds[name]:.3g}" if name in self.seconds else "-")
            cells.append(str(self.parameters[name]) if name in self.parameters else "-")
            rows[name] = [*cells, str(one.pictures)]
        return [*names, "s/megapixel", "parameters", "pictures"], rows


class Output(Protocol):
    """Something to write. `look` is called in worker threads, `take` in the order of the pictures."""

    def look(self, case: Case) -> Look: ...
    def take(self, name: str, look: Look) -> None: ...
    def write(self, total: Total) -> None: ...
    @property
    def about(self) -> str:
        """What has been written, in a few words."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def output_of(file: Path, runner: Runner, border: int, *, blind: bool, seed: int) -> Output:
    """What to write to a file with this name. `border`: see `measuring.Truth`."""
    names = [side.name for side in runner.sides]
    quality = quality_for(len(runner.plan.entries) * (len(names) + runner.plan.has_truth))
    if blind:
        return _Study(file, names, seed, partial(looks.for_page, border=border, quality=quality))
    if file.suffix.lower() in (".html", ".htm"):
        columns = [*names, *([TRUTH] if runner.plan.has_truth else []), INPUT]
        return _Page(file, columns, border, partial(looks.for_page, border=border, quality=quality))
    details = any(side.task.name == "upscale" for side in runner.models)
    return _Sheet(file, names, border, has_truth=runner.plan.has_truth, details=details)


class _Page:
    def __init__(self, file: Path, names: Sequence[str], border: int, look: Callable[[Case], Look]) -> None:
        self.file = file
        self.names = names
        self.border = border
        self.look = look
        self.store = Store()
        self.cases: list[page.ShownCase] = []

    def take(self, name: str, look: Look) -> None:
        numbers = {side: self.store.add(look.encoded[side]) for side in self.names if side in look.encoded}
        self.cases.append(
            page.ShownCase(
                name,
                look.size,
                look.thumbnail,
                numbers,
                look.figures,
                look.differences.crops,
                look.differences.mean,
                look.problems,
            )
        )

    def write(self, total: Total) -> None:
        sides = [self._side(name, total) for name in self.names]
        page.write(self.file, sides, self.cases, self.store, about=self._how(), problems=total.problems)

    def _how(self) -> str:
        """How the figures were measured."""
        border = f", without a border of {self.border} pixels" if self.border else ""
        measured = f"PSNR and SSIM are measured on luma{border}. " if TRUTH in self.names else ""
        return f"{measured}Made with img2img {__version__}."

    def _side(self, name: str, total: Total) -> page.ShownSide:
        if name not in total.sides:
            return page.ShownSide(name, is_side=False)
        one = total.sides[name]
        return page.ShownSide(
            name, one.pictures, total.parameters.get(name), total.seconds.get(name), one.means, one.best
        )

    @property
    def about(self) -> str:
        return f"{count_of(len(self.cases), 'picture')}, {show_memory(self.file.stat().st_size)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


class _Sheet:
    def __init__(self, file: Path, names: Sequence[str], border: int, *, has_truth: bool, details: bool) -> None:
        from img2img.evaluation.sheet_rows import SheetRows

        self.file = file
        columns = [INPUT, *names, *([TRUTH] if has_truth else [])]
        self.rows = SheetRows(details=True)  # the cells are small already
        self.look = partial(looks.for_sheet, names=columns, border=border, details=details)

    def take(self, name: str, look: Look) -> None:
        from img2img.evaluation.results import Case

        self.rows.add(Case(name, {}, look.cells))

    def write(self, total: Total) -> None:
        from img2img.atomic import atomic
        from img2img.evaluation.sheet_rows import save
        from img2img.training.sheets import contact_sheet

        with atomic(self.file) as stream:
            save(contact_sheet(self.rows.columns, self.rows.rows), stream, self.file)

    @property
    def about(self) -> str:
        return count_of(len(self.rows.rows), "row")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Study:
    def __init__(self, file: Path, names: Sequence[str], seed: int, look: Callable[[Case], Look]) -> None:
        self.file = file
        self.names = names
        self.seed = seed
        self.look = look
        self.store = Store()
        self.cases: list[trials.Shown] = []
        self.count = 0

    def take(self, name: str, look: Look) -> None:
        wanted = [*trials.shuffled(self.names, self.seed, name), INPUT]
        numbers = {side: self.store.add(look.encoded[side]) for side in wanted if side in look.encoded}
        self.cases.append(trials.Shown(name, look.size, numbers))

    def write(self, total: Total) -> None:
        study = trials.study(self.cases, self.names, self.seed)
        self.count = len(study.trials)
        blind_page.write(self.file, study.salt, study.trials, self.store)

    @property
    def about(self) -> str:
        return f"{count_of(self.count, 'choice')}, {show_memory(self.file.stat().st_size)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
