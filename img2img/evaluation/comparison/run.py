"""Runs a comparison: several pictures at a time, each with all its sides, measured and encoded in the same thread.

So the network of one picture runs while others are measured, and no more pictures are in memory than are in work.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from img2img.errors import Img2ImgError, PictureError
from img2img.evaluation.comparison import baselines, rgb
from img2img.evaluation.comparison.baselines import BICUBIC, TELEA
from img2img.evaluation.comparison.case import Case
from img2img.evaluation.comparison.plan import Entry, Plan
from img2img.evaluation.comparison.rgb import Seen
from img2img.evaluation.comparison.sides import INPUT, TRUTH, FolderSide, ModelSide, Side, Sides
from img2img.runtime.batch import pipeline, sharing
from img2img.runtime.batch.event import Event, ProgressListener, SilentListener, Written, explain
from img2img.runtime.batch.run_job import JobItem, Steps, Stop
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import devices
from img2img.runtime.network.tiling import Progress, rescaled
from img2img.runtime.tasks import masks
from img2img.runtime.tasks.checked import CheckedTask
from img2img.text import show

if TYPE_CHECKING:
    from img2img.types import Mask

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Done(Generic[T]):
    """One picture of a comparison.

    Attributes:
        value: what the consumer's function made of the case; None: the input cannot be read.
        problems: what failed, one line each.
        seconds: how long each model took.
    """

    name: str
    value: T | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    megapixels: float = 0.0


class Runner:
    """Loads the models of a plan and runs its pictures.

    Attributes:
        sides: those whose model could be loaded.
        problems: why others could not.
        at_once: number of pictures in work at the same time.

    Raises:
        Img2ImgError: no side is left.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        wishes, jobs = plan.wishes, len(plan.entries)
        self.at_once = min(wishes.threads or devices.cores(), jobs)
        self._network: AbstractContextManager[object] = nullcontext()
        chosen = plan.sides.models
        if chosen:
            shared = sharing.share(chosen[0].task, chosen[0].choice, wishes.settings, jobs, list)
            self.at_once = shared.pictures
            self._network = threading.Lock() if shared.one_by_one else nullcontext()
            for side in chosen:
                side.choice.share(shared.runs, split=shared.split)
        self.problems: list[Img2ImgError] = []
        self.sides = [side for side in plan.sides.sides if self._loads(side)]
        if not self.sides:
            raise self.problems[0]
        self._checked = {side.name: self._prepared(side) for side in self.models}
        self._stop = Stop(self._interrupt)

    def _interrupt(self) -> None:
        for side in self.models:
            side.choice.stop()

    @property
    def models(self) -> list[ModelSide]:
        """The sides that run a network."""
        return [side for side in self.sides if isinstance(side, ModelSide)]

    def _loads(self, side: Side) -> bool:
        try:
            if isinstance(side, ModelSide):
                side.choice.load()
        except Img2ImgError as error:
            self.problems.append(error)
            return False
        return True

    def _prepared(self, side: ModelSide) -> CheckedTask:
        """The task of a side, with the masks of the pictures."""
        task, holes = side.task, self.plan.holes
        if holes is not None and task.name == "inpaint":
            task = dataclasses.replace(task, masks=holes.masks)  # type: ignore[call-arg]
        return CheckedTask(task, side.choice)

    def run(self, look: Callable[[Case], T], watch: ProgressListener | None = None) -> Generator[Done[T], None, None]:
        """Run all pictures; yield one `Done` for each, in order.

        `look` measures and encodes a case, in the thread that made it. The pictures are freed after that.
        """
        made: dict[int, Done[T]] = {}
        listener = watch or SilentListener()

        def apply(item: JobItem, picture: Picture) -> Picture:
            area = picture.size[0] * picture.size[1]
            listener.begin(item.index, area)
            report = rescaled(partial(listener.advance, item.index), area * max(len(self.models), 1), area)

            def progress(pixels: int) -> None:
                self._stop.check()
                report(pixels)

            case = self._case(self.plan.entries[item.index], picture, progress)
            made[item.index] = Done(
                case.name,
                look(case),
                tuple(case.problems.values()),
                tuple(dict.fromkeys(case.notes)),
                case.seconds,
                case.megapixels,
            )
            return picture

        items = [JobItem(index, Job(entry.path, None)) for index, entry in enumerate(self.plan.entries)]
        limit = self.plan.wishes.max_pixels
        steps = Steps(lambda item: rgb.read(_path(item), limit), apply, lambda item, picture: Written())
        events = pipeline.run_jobs(items, steps, stop=self._stop, workers=self.at_once)
        with closing(events):
            for event in _in_order(events):
                if event.index in made:
                    yield made.pop(event.index)
                else:
                    yield Done(self.plan.entries[event.index].name, None, (event.message,))

    def _case(self, entry: Entry, picture: Picture, progress: Progress) -> Case:
        input_ = rgb.seen(picture)
        problems: dict[str, str] = {}
        found = {name: self._file(name, one, problems) for name, one in entry.results.items()}
        truth = self._file(TRUTH, entry.truth, problems)
        size = _size(input_.size, self.plan.sides, truth, found)
        truth = _fitting(TRUTH, truth, size, self.plan.sides.scale, problems, entry)
        case = Case(entry.name, input_, size, truth=truth, problems=problems)
        if entry.mask_problem is not None:
            problems[INPUT] = entry.mask_problem
        with ExitStack() as stack:
            for one in self.models:  # a picture in work occupies one core for every network
                stack.enter_context(one.choice.load().cores.busy())
            for side in self.sides:
                self._stop.check()
                result = self._result(side, case, entry, picture, found, progress)
                if result is not None:
                    case.results[side.name] = result
        return case

    def _file(self, name: str, one: PictureError | Any, problems: dict[str, str]) -> Seen | None:
        """Read an earlier result or the truth."""
        if one is None:
            return None
        try:
            if isinstance(one, PictureError):
                raise one
            return rgb.seen(rgb.read(one, self.plan.wishes.max_pixels))
        except Exception as error:
            problems[name] = explain(error)
            return None

    def _result(
        self,
        side: Side,
        case: Case,
        entry: Entry,
        picture: Picture,
        found: dict[str, Seen | None],
        progress: Progress,
    ) -> Seen | None:
        if isinstance(side, FolderSide):
            return _fitting(side.name, found[side.name], case.size, self.plan.sides.scale, case.problems, entry)
        if entry.mask_problem is not None and (side.name == TELEA or side.name in self._checked):
            return None
        try:
            if isinstance(side, ModelSide):
                result = rgb.seen(self._run_model(side, case, entry, picture, progress))
                return _fitting(side.name, result, case.size, self.plan.sides.scale, case.problems, entry)
            if side.name == TELEA:
                return Seen(baselines.telea(case.input.pixels, self._hole(entry, picture)), case.input.icc)
            resize = baselines.bicubic if side.name == BICUBIC else baselines.copy
            return Seen(resize(case.input.pixels, case.size), case.input.icc)
        except Exception as error:
            case.problems[side.name] = f"{entry.name}: {side.name}: {explain(error)}"
            return None

    def _run_model(self, side: ModelSide, case: Case, entry: Entry, picture: Picture, progress: Progress) -> Picture:
        with self._network:
            began = time.perf_counter()
            result = self._checked[side.name](Job(entry.path, None, domain=side.domain), picture, progress)
            case.seconds[side.name] = time.perf_counter() - began
        case.notes += [f"{side.name}: {note}" for note in result.notes if note not in picture.notes]
        return result

    def _hole(self, entry: Entry, picture: Picture) -> Mask:
        holes = self.plan.holes
        assert holes is not None
        file = holes.masks.get(entry.path)
        given = None if file is None else masks.read(file, max_pixels=holes.max_pixels)
        return masks.MaskSources(holes.mask == "alpha").apply(picture, given)[1]


def without_value(done: Done[Any]) -> Done[None]:
    """The same without what the consumer's function made, which may be large."""
    return dataclasses.replace(done, value=None)


def seconds_per_megapixel(done: Sequence[Done[Any]], names: Sequence[str], at_once: int) -> dict[str, float]:
    """Seconds of each model for one megapixel of input, with all cores at work.

    at_once: number of pictures that were in work at the same time.
    """
    found = {}
    for name in names:
        own = [one for one in done if name in one.seconds]
        megapixels = sum(one.megapixels for one in own)
        if megapixels:
            found[name] = sum(one.seconds[name] for one in own) / megapixels / min(at_once, len(own))
    return found


def _path(item: JobItem) -> Any:
    return item.job.source


def _in_order(events: Generator[Event, None, None]) -> Iterator[Event]:
    """The events by their index."""
    waiting: dict[int, Event] = {}
    following = 0
    for event in events:
        waiting[event.index] = event
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _size(input_: tuple[int, int], sides: Sides, truth: Seen | None, found: dict[str, Seen | None]) -> tuple[int, int]:
    """The size of all results: from the scale, or that of the truth, of the first result, or of the input."""
    if sides.scale is not None:
        width, height = (max(1, math.floor(side * sides.scale + 0.5)) for side in input_)
        return width, height
    known = [one.size for one in (truth, *found.values()) if one is not None]
    return known[0] if known else input_


def _fitting(
    name: str, one: Seen | None, size: tuple[int, int], scale: float | None, problems: dict[str, str], entry: Entry
) -> Seen | None:
    """The picture if it has the right size. A truth whose sides are no multiples of the scale is cropped."""
    if one is None or one.size == size:
        return one
    over = [have - want for have, want in zip(one.size, size, strict=True)]
    if name == TRUTH and scale is not None and all(0 <= more < scale for more in over):
        return Seen(one.pixels[: size[1], : size[0]], one.icc)
    file = entry.truth if name == TRUTH else entry.results.get(name)
    what = show(file) if file is not None and not isinstance(file, PictureError) else f"{entry.name}: {name}"
    problems[name] = f"{what}: {one.size[0]}x{one.size[1]} pixels, but {size[0]}x{size[1]} are expected"
    return None
