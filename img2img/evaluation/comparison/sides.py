"""The sides of a comparison: models, folders of results and baselines, from the names that the user gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import Img2ImgError, ModelError, UsageError
from img2img.evaluation.comparison import baselines
from img2img.evaluation.comparison.baselines import BASELINES, TELEA
from img2img.evaluation.comparison.wishes import Wishes
from img2img.runtime.batch.plan import choose_model
from img2img.runtime.files.naming import safe_name
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.runtime.tasks import results
from img2img.runtime.tasks.inpaint import InpaintTask
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.runtime.tasks.translate import TranslateTask
from img2img.runtime.tasks.upscale import UpscaleTask
from img2img.text import show

INPUT, TRUTH = "input", "truth"
"""What a comparison shows next to its sides."""
RESERVED = (INPUT, TRUTH, *BASELINES)
"""Names that a model or folder cannot have."""


@dataclass(frozen=True)
class ModelSide:
    """A model, run like the command of its task.

    Attributes:
        domain: which result of the task it is; see `Job.domain`.
    """

    name: str
    choice: ModelChoice
    task: Task
    domain: str = ""

    @property
    def card(self) -> Card:
        return self.choice.card


@dataclass(frozen=True)
class FolderSide:
    """Pictures that were made before."""

    name: str
    folder: Path


@dataclass(frozen=True)
class BaselineSide:
    """One of `BASELINES`."""

    name: str


Side = ModelSide | FolderSide | BaselineSide


@dataclass(frozen=True)
class Sides:
    """The sides that can be compared.

    Attributes:
        scale: side of the results divided by side of the inputs; None: the results tell.
        problems: why other sides cannot be compared.
    """

    sides: list[Side]
    scale: float | None
    problems: list[Img2ImgError]

    @property
    def models(self) -> list[ModelSide]:
        return [side for side in self.sides if isinstance(side, ModelSide)]


def resolve(names: Sequence[str], wishes: Wishes, notify: Callable[[str], None] | None = None) -> Sides:
    """Find out what each name means: a baseline, an installed model, a model file, a run folder or a result folder.

    A model that cannot be used, or that is for another task than the first one, is left out and becomes a problem.

    Raises:
        UsageError: there is nothing of this name, two names mean the same, or an option fits no model.
        Img2ImgError: no side is left; this is the problem of the first one.
    """
    if not names:
        raise UsageError("nothing to compare: name models, folders or baselines with --with")
    found: list[Side] = []
    problems: list[Img2ImgError] = []
    tasks: dict[str, str] = {}
    for name in names:
        try:
            side = _side(name, wishes, notify)
            if isinstance(side, ModelSide):
                task = next(iter(tasks), side.task.name)
                if side.task.name != task:
                    raise ModelError(
                        f"{show(name)}: this model is for {side.task.name!r}, but {show(tasks[task])} is for {task!r}: "
                        "compare models for one task"
                    )
                tasks.setdefault(task, name)
            found.append(side)
        except UsageError:
            raise
        except Img2ImgError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    _check_options(found, wishes)
    return Sides(_named(found), _scale(found, wishes), problems)


def _side(name: str, wishes: Wishes, notify: Callable[[str], None] | None) -> Side:
    if name in BASELINES:
        if name == TELEA:
            if wishes.mask is None:
                raise UsageError("the baseline telea fills holes: say where with --mask FILE, FOLDER or alpha")
            baselines.require_opencv()
        return BaselineSide(name)
    path = Path(name).expanduser()
    if path.is_dir() and not models.is_installed(name) and not _is_run(path):
        return FolderSide(name, path)
    return _model_side(name, _model_file(name, path), wishes, notify)


def _is_run(folder: Path) -> bool:
    return (folder / "config.toml").is_file() or any(folder.glob(f"model*{models.SUFFIX}"))


def _model_file(name: str, path: Path) -> Path:
    """The file of a model, to read its card. A name without any meaning is a usage error."""
    try:
        return models.find(name)
    except ModelError as error:
        several = sorted(path.glob(f"model.*{models.SUFFIX}")) if path.is_dir() else []
        if several:
            hint = f"name one of its files, such as --with {show(several[0])}"
            raise UsageError(f"{show(path)}: this run has several models: {hint}", path=path, hint=hint) from error
        if path.exists():
            raise
        raise UsageError(f"--with {show(name)}: {error}; or use a folder of results, {_listed(BASELINES)}") from error


def _model_side(name: str, path: Path, wishes: Wishes, notify: Callable[[str], None] | None) -> ModelSide:
    card = models.read_card(path)
    task = _task(card, wishes)
    choice = choose_model(task, dataclasses.replace(wishes.settings, model=name), lambda: None, notify)
    task = task.with_card(choice.card)
    domain = ""
    if isinstance(task, TranslateTask):
        domain = next(iter(task.wanted))
    return ModelSide(name, choice, task, domain)


def _task(card: Card | None, wishes: Wishes) -> Task:
    if card is None or card.task == "upscale":
        return UpscaleTask(scale=wishes.scale)
    to = wishes.to if card.domains else ()
    if results.ALL in to and results.ALL not in card.domains:
        raise UsageError("--to all gives several results: compare one domain at a time")
    if card.task == "translate":
        reference = wishes.reference if card.reference is not None else None
        return TranslateTask(to=to, reference=reference, max_pixels=wishes.max_pixels)
    if wishes.mask is None:
        raise UsageError(f"{card.name} fills holes: say where with --mask FILE, FOLDER or alpha")
    return InpaintTask(mask=wishes.mask, to=to, max_pixels=wishes.max_pixels)


def _check_options(sides: Sequence[Side], wishes: Wishes) -> None:
    """Raise UsageError if an option is given that no side uses."""
    cards = [side.card for side in sides if isinstance(side, ModelSide)]
    has_telea = any(side.name == TELEA for side in sides)
    unused = {
        "--mask": wishes.mask is not None and not has_telea and all(card.task != "inpaint" for card in cards),
        "--to": bool(wishes.to) and not any(card.domains for card in cards),
        "--reference": wishes.reference is not None and all(card.reference is None for card in cards),
        "--scale": wishes.scale is not None and any(card.task != "upscale" for card in cards),
    }
    for option, is_unused in unused.items():
        if is_unused:
            raise UsageError(f"{option}: no side uses it; omit it")


def _scale(sides: Sequence[Side], wishes: Wishes) -> float | None:
    """The scale of all results. Raises UsageError if the models differ."""
    if wishes.scale is not None:
        return wishes.scale
    scales = {side.name: side.card.scale for side in sides if isinstance(side, ModelSide) and _enlarges(side)}
    if len(set(scales.values())) > 1:
        listed = ", ".join(f"{show(name)} x{scale}" for name, scale in scales.items())
        raise UsageError(f"the models enlarge differently ({listed}): choose one size with --scale")
    if scales:
        return float(next(iter(scales.values())))
    if any(isinstance(side, ModelSide) or side.name == TELEA for side in sides):
        return 1.0
    return None


def _enlarges(side: ModelSide) -> bool:
    return side.task.name == "upscale"


def _named(sides: Sequence[Side]) -> list[Side]:
    """The sides with distinct short names. Raises UsageError if two are the same."""
    places = [_place(side) for side in sides]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"the same side is given twice: {show(place)}")
    for names in zip(*(_names(side, place) for side, place in zip(sides, places, strict=True)), strict=True):
        if len(set(names)) == len(names):
            break
    return [dataclasses.replace(side, name=name) for side, name in zip(sides, names, strict=True)]


def _place(side: Side) -> str:
    """What a side is, apart from its name."""
    if isinstance(side, BaselineSide):
        return side.name
    return str((side.choice.path if isinstance(side, ModelSide) else side.folder).resolve())


def _names(side: Side, place: str) -> tuple[str, str, str]:
    """Names from short to long; the longest is unique."""
    if isinstance(side, BaselineSide):
        return (side.name,) * 3
    path = Path(place)
    if isinstance(side, FolderSide):
        short, kind = path.name, "folder"
        longer = "/".join(path.parts[-2:])
    else:
        stem, card = path.stem, side.card.name
        short, kind = (stem if stem.startswith(f"{card}.") else card or safe_name(stem)), "model"
        longer = f"{path.parent.name}/{stem}"
    short = f"{short} ({kind})" if short in RESERVED else short
    return short, longer, place


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
