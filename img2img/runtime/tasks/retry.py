"""Makes a broken result once more, in another way."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from img2img.errors import Img2ImgError
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.inference_errors import BrokenOutput
from img2img.runtime.network.tiling import Progress
from img2img.runtime.tasks.task import ModelChoice, Task

if TYPE_CHECKING:
    from img2img.runtime.network.session import LoadedModel

Fault = Exception | str
Attempt = Callable[[Task, "LoadedModel", Job, Picture, Progress], tuple[Picture | None, Fault | None]]

RETRY_TILE = 128
"""Side of the tiles of a second attempt, in pixels. Tiles of this size fit on every device."""

_lock = threading.Lock()  # several pictures may need the other model at the same time


def again(
    attempt: Attempt,
    task: Task,
    model_choice: ModelChoice,
    job: Job,
    picture: Picture,
    progress: Progress,
    first: Picture | None,
    fault: Fault,
) -> Picture:
    """Make a broken result once more: with the full-precision file of the model on the CPU if there is one, otherwise
    in small tiles.

    A note on the result says so. If the second result is broken too, it is kept with a warning. There is no second
    attempt after full precision on the CPU.

    Args:
        attempt: as `checked.attempt`.
        first: the broken result; None: there is none.

    Raises:
        Img2ImgError: `fault`, if there is no other way or it fails for another reason; BrokenOutput and OutOfMemory of
            the second attempt.
    """
    other = _other(task, model_choice)
    if other is None:
        if isinstance(fault, Exception):
            raise fault
        assert first is not None
        return _noted(first, f"{fault}, and so it is what the network makes of this picture")
    second_task, model, how = other
    if first is not None:
        progress(-picture.size[0] * picture.size[1])
    try:
        second, second_fault = attempt(second_task, model, job, picture, progress)
    except Img2ImgError:
        if isinstance(fault, Exception):
            raise fault from None  # of the two failures the first is the one to mend
        raise
    if second is None:
        raise second_fault if isinstance(second_fault, Exception) else BrokenOutput(str(second_fault))
    if second_fault is not None:
        return _noted(second, f"{second_fault}, and again {how}: so it is what the network makes of this picture")
    return _noted(second, f"first try: {fault}; done again {how}")


def _other(task: Task, model_choice: ModelChoice) -> tuple[Task, LoadedModel, str] | None:
    """Another way to the same result: the task, the model, and how to say it."""
    with _lock:
        spare = model_choice.spare()
    if spare is not None:
        return task, spare, "in full precision on the CPU"
    model = model_choice.load()
    tiles = model.card.context is not None and task.name != "inpaint"
    smaller = not isinstance(task.tile, int) or task.tile > RETRY_TILE
    if tiles and smaller and (model.device != "cpu" or model.card.precision != "fp32"):
        return task.with_tile(RETRY_TILE), model, f"in tiles of {RETRY_TILE}"
    return None


def _noted(picture: Picture, note: str) -> Picture:
    return dataclasses.replace(picture, notes=(*picture.notes, note))
