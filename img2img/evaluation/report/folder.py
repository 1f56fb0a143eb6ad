"""Reads everything that a run folder says about its run. What cannot be read becomes a note, and the rest is shown."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from img2img.errors import ConfigError, ModelError
from img2img.evaluation.report.log import VALIDATION, Key, Log
from img2img.evaluation.report.settings import Settings
from img2img.evaluation.report.sheets import Sheet, Sheets, shrink
from img2img.evaluation.report.speed import Speed
from img2img.runtime.network.card import Card
from img2img.runtime.network.models import read_card
from img2img.text import count_of, show

SEEN = "data.png"
"""Contact sheet of training pictures as the method sees them."""

SEEN_NOTES = "data.json"
"""What is known about the pictures of `SEEN`: `{"notes": [...], "items": [{"files": [...], "odd": [...]}]}`."""


class Best(NamedTuple):
    """The best checkpoint. `figure` decides which one is the best; `name` is its name, None if unknown."""

    step: int
    figure: float
    name: str | None


@dataclass
class Found:
    """What a run folder holds at one moment.

    Attributes:
        notes: what is missing or damaged, one sentence each.
        models: the model files, with their cards.
        seen: the contact sheet of the training pictures, as a `data:` URL; None if there is none.
        seen_notes: see `SEEN_NOTES`; empty if there are none.
        pictures: number of pictures and of bytes for each folder that the settings name; empty if unknown.
    """

    folder: Path
    settings: Settings
    log: Log
    speed: Speed
    sheets: list[Sheet]
    best: Best | None
    models: dict[Path, Card]
    seen: str | None
    seen_notes: dict[str, Any]
    pictures: dict[str, tuple[int, int]]
    notes: list[str] = field(default_factory=list)

    @property
    def method(self) -> str:
        return str(self.settings.get("method") or "unknown method")

    @property
    def steps(self) -> int | None:
        """The planned steps; None if unknown."""
        steps = self.settings.get("steps")
        return steps if isinstance(steps, int) else None


class RunFolder:
    """A run folder that can be read again and again, at the cost of what is new in it.

    Raises:
        ConfigError: `folder` does not exist or is no run folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            what = "this is a file" if folder.exists() else "no such folder"
            raise ConfigError(f"{show(folder)}: {what}; name the folder of a run", path=folder)
        parts = ("config.toml", "log.jsonl", "checkpoints")
        if not any((folder / part).exists() for part in parts):
            raise ConfigError(f"{show(folder)}: not a run folder (it has no {parts[0]} and no {parts[1]})", path=folder)
        self.folder = folder
        self._log = Log(folder / "log.jsonl")
        self._sheets = Sheets(folder / "samples")
        self._speed = Speed(folder)
        self._seen: tuple[int, str] | None = None

    def read(self) -> Found:
        """Read what is there now."""
        notes: list[str] = []
        settings = Settings.read(self.folder)
        notes += [settings.problem] if settings.problem else []
        try:
            self._log.update()
        except OSError as error:
            notes.append(f"log.jsonl cannot be read: {error.strerror or error}")
        self._speed.update()
        sheets = self._sheets.update()
        best, fault = _best(self.folder, self._log)
        notes += fault
        notes += _about_log(self._log)
        notes += [f"samples/{name} cannot be read" for name in self._sheets.broken]
        if not sheets and not self._sheets.broken and self._log.validations():
            notes.append("there are no contact sheets: samples/ is missing or empty")
        models: dict[Path, Card] = {}
        for path in sorted(self.folder.glob("model*.onnx")):
            try:
                card = read_card(path)
            except ModelError as error:
                notes.append(str(error))
                continue
            if card is not None:
                models[path] = card
        return Found(
            folder=self.folder,
            settings=settings,
            log=self._log,
            speed=self._speed,
            sheets=sheets,
            best=best,
            models=models,
            seen=self._seen_sheet(notes),
            seen_notes=_json(self.folder / SEEN_NOTES, notes),
            pictures=_pictures(self.folder / "pictures.json", notes),
            notes=notes,
        )

    def _seen_sheet(self, notes: list[str]) -> str | None:
        path = self.folder / SEEN
        try:
            stamp = path.stat().st_mtime_ns
            if self._seen is None or self._seen[0] != stamp:
                self._seen = stamp, shrink(path)[0]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SyntaxError) as error:
            notes.append(f"{SEEN} cannot be read: {error}")
            return None
        return self._seen[1]


def _about_log(log: Log) -> list[str]:
    notes = []
    if log.missing:
        notes.append("there is no log.jsonl: the run has not logged a step yet, or the file was removed")
    elif not log.curves:
        notes.append("log.jsonl has no figures yet")
    if log.damaged:
        notes.append(f"{count_of(log.damaged, 'line')} of log.jsonl {'is' if log.damaged == 1 else 'are'} damaged")
    if log.unfinished:
        notes.append("the last line of log.jsonl is incomplete: a process is writing it, or was killed")
    for key, count in log.not_finite().items():
        notes.append(f"{key.name} ({key.kind}): {count_of(count, 'value')} NaN or infinite; the curve has gaps there")
    return notes


def _best(folder: Path, log: Log) -> tuple[Best | None, list[str]]:
    path = folder / "checkpoints" / "best.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        step, figure = int(found["step"]), float(found["figure"])
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError):
        return None, ["checkpoints/best.json is broken; the best checkpoint is unknown"]
    notes = []
    if not (folder / "checkpoints" / f"step-{step:08}").is_dir():
        notes.append(f"the best checkpoint, of step {step}, is no longer there")
    return Best(step, figure, _name_of(figure, step, log)), notes


def _name_of(figure: float, step: int, log: Log) -> str | None:
    """The validation figure that has this value at `step`: best.json holds only the value."""
    for name in reversed(log.validations()):  # methods add their headline last
        curve = log.curves[Key(VALIDATION, name)]
        for place in range(len(curve.steps) - 1, -1, -1):
            if curve.steps[place] == step:
                if math.isclose(curve.values[place], figure, rel_tol=1e-9):
                    return name
                break
    return None


def _json(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        notes.append(f"{path.name} is damaged; the page lacks what it holds")
        return {}
    return found


def _pictures(path: Path, notes: list[str]) -> dict[str, tuple[int, int]]:
    totals: dict[str, tuple[int, int]] = {}
    for key, size in _json(path, notes).items():
        place = "/".join(key.split("/", 2)[:2])
        count, total = totals.get(place, (0, 0))
        totals[place] = count + 1, total + max(int(size), 0) if isinstance(size, int) else total
    return totals
