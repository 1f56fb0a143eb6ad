"""Runs a task and checks the results: retries broken ones, removes colour casts, measures seams."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from img2img.errors import Img2ImgError
from img2img.runtime.files.jobs import Job
from img2img.runtime.image import colour_fix, result_check
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import seams
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.runtime.network.tiling import Progress
from img2img.runtime.tasks.task import ModelChoice, Task

if TYPE_CHECKING:
    from img2img.runtime.network.session import LoadedModel

Pixels = npt.NDArray[Any]

RETRY_TILE = 128
"""Side of the tiles of a second attempt, in pixels. Tiles of this size fit on every device."""


@dataclass
class RetryingTask:
    """Runs a task on one picture and retries broken results.

    A result is broken if it is black or constant although the picture is not, if it is not a number, or if memory ran
    out. It is computed once more: with the full-precision file of the model on the CPU if there is one, otherwise in
    small tiles. A note on the result says so. If the second result is broken too, it is kept with a warning.
    There is no second attempt after full precision on the CPU.
    """

    task: Task
    model_choice: ModelChoice
    color_fix: bool = False
    check_seams: bool = False
    _spare: LoadedModel | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, job: Job, picture: Picture, progress: Progress) -> Picture:
        model = self.model_choice.load()
        result, fault = self._attempt(self.task, model, job, picture, progress)
        if fault is not None:
            result = self._again(model, job, picture, progress, result, fault)
        assert result is not None
        notes = list(result.notes)
        if self.check_seams:
            notes.append(self._seams(model, job, picture))
        if self.color_fix:
            result = dataclasses.replace(result, colour=colour_fix.match_colours(result.colour, _shown(picture)))
        elif self.task.name == "upscale":  # other tasks change colours on purpose
            warning = result_check.cast_warning(result_check.colour_cast(result.colour, _shown(picture)))
            notes += [] if warning is None else [warning]
        return dataclasses.replace(result, notes=tuple(notes))

    def _attempt(
        self, task: Task, model: LoadedModel, job: Job, picture: Picture, progress: Progress
    ) -> tuple[Picture | None, Exception | str | None]:
        """A result, and what is wrong with it or why there is none."""
        done = 0

        def counted(pixels: int) -> None:
            nonlocal done
            done += pixels
            progress(pixels)

        try:
            result = task.apply(model, job, picture, counted)
        except (OutOfMemory, BrokenOutput) as error:
            progress(-done)
            return None, error
        if self.task.name == "inpaint":
            return result, None
        found = result_check.find_fault(result.colour, _shown(picture), same=self.task.name == "upscale")
        return result, None if found is None else f"its result is {found}"

    def _again(
        self,
        model: LoadedModel,
        job: Job,
        picture: Picture,
        progress: Progress,
        first: Picture | None,
        fault: Exception | str,
    ) -> Picture:
        other = self._other(model)
        if other is None:
            if isinstance(fault, Exception):
                raise fault
            assert first is not None
            return _noted(first, f"{fault}, and so it is what the network makes of this picture")
        task, spare, how = other
        if first is not None:
            progress(-picture.size[0] * picture.size[1])
        try:
            second, again = self._attempt(task, spare, job, picture, progress)
        except Img2ImgError:
            if isinstance(fault, Exception):
                raise fault from None  # of the two failures the first is the one to mend
            raise
        if second is None:
            raise again if isinstance(again, Exception) else BrokenOutput(str(again))
        if again is not None:
            return _noted(second, f"{again}, and again {how}: so it is what the network makes of this picture")
        return _noted(second, f"first try: {fault}; done again {how}")

    def _other(self, model: LoadedModel) -> tuple[Task, LoadedModel, str] | None:
        """Another way to the same result: the task, the model, and how to say it."""
        with self._lock:  # several pictures may need it at the same time
            if self._spare is None:
                self._spare = self.model_choice.spare()
        if self._spare is not None:
            return self.task, self._spare, "in full precision on the CPU"
        tiles = model.card.context is not None and self.task.name != "inpaint"
        smaller = not isinstance(self.task.tile, int) or self.task.tile > RETRY_TILE
        if tiles and smaller and (model.device != "cpu" or model.card.precision != "fp32"):
            return self.task.with_tile(RETRY_TILE), model, f"in tiles of {RETRY_TILE}"
        return None

    def _seams(self, model: LoadedModel, job: Job, picture: Picture) -> str:
        if self.task.name == "inpaint":
            return "no seams: the surroundings of a hole are seen whole"
        runner = self.task.bind(model, job)
        found = seams.check(runner, picture.colour, self.task.tile)
        return seams.why_not(model.card) if found is None else str(found)


def _shown(picture: Picture) -> Pixels:
    """Its colours as the network has seen them."""
    return picture.colour if picture.alpha is None else bleed(picture.colour, picture.alpha)


def _noted(picture: Picture, note: str) -> Picture:
    return dataclasses.replace(picture, notes=(*picture.notes, note))
