"""`img2img.batch`: many pictures from Python, with the engine and the options of the command line."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal

from img2img.errors import UsageError
from img2img.runtime.batches import engine
from img2img.runtime.batches.settings import Settings

if TYPE_CHECKING:
    from img2img.runtime.batches.batch import Event
    from img2img.runtime.verbs.verb import Verb

Name = str | os.PathLike[str]


def batch(
    inputs: Name | Iterable[Name],
    *,
    task: Literal["upscale", "translate", "inpaint"] | None = None,
    model: Name | None = None,
    output: Name | None = None,
    **options: Any,
) -> Generator[Event, None, None]:
    """Do many pictures; yield an Event for each, in the order in which they end.

    What can be known beforehand is checked at the call, before the first event is asked for. A picture that fails is
    an event with status "failed", its `error` and its `message`, and the others are done. Leaving the loop stops the
    batch: files are whole or not there.

    Args:
        inputs: files, folders, or globs; one or several.
        task: None: that of the model, or "upscale" where no model is named either.
        model: a name, or an ONNX file; None: the default of the task.
        output: a file, a folder or a template; None: beside the inputs.
        options: of the task (`scale`, `tile`; `to`, `size`; `mask`, `boxes`, `dilate`, ...: the fields of
            `verbs.upscaling.Upscaling` and its like) and those of every batch (`recursive`, `existing`, `format`,
            `quality`, `device`, `strength`, ...: the fields of `settings.Settings`).

    Raises:
        UsageError: an option that the task does not have, or a value that makes no sense.
        ModelError: there is no such model, or it is for another task.
    """
    names = [os.fspath(one) for one in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    if "-" in names:
        raise UsageError("'-' stands for stdin on the command line: here, give a file, or a picture to Model.run")
    common: dict[str, Any] = {"output": _text(output), "model": _text(model)}
    known = set(Settings.__dataclass_fields__)
    common |= {name: value for name, value in options.items() if name in known}
    own = {name: value for name, value in options.items() if name not in known}
    said = Settings(**common)
    verb = _verb(task or _task_of(said), own, said)
    return engine.run(engine.prepare(names, verb, said))


def _task_of(settings: Settings) -> str:
    from img2img.runtime.network import models

    if settings.model is None:
        return "upscale"
    card = models.read_card(models.find(settings.model))
    return "upscale" if card is None else card.task


def _verb(task: str, own: dict[str, Any], settings: Settings) -> Verb:
    from img2img.runtime.verbs.inpainting import Inpainting
    from img2img.runtime.verbs.translating import Translating
    from img2img.runtime.verbs.upscaling import Upscaling

    kinds: dict[str, type[Verb]] = {one.task: one for one in (Upscaling, Translating, Inpainting)}
    if task not in kinds:
        raise UsageError(f"there is no task {task!r}: {', '.join(kinds)}")
    kind = kinds[task]
    known = set(kind.__dataclass_fields__) - {"wanted", "masks", "strength"}
    if strangers := sorted(set(own) - known):
        raise UsageError(f"{task} has no option {strangers[0]!r}; its own are {', '.join(sorted(known))}")
    if isinstance(own.get("to"), str):
        own["to"] = (own["to"],)
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    if own.get("mask") is not None:
        own["mask"] = os.fspath(own["mask"])
    return kind(strength=settings.strength, **own)


def _text(name: Name | None) -> str | None:
    return None if name is None else os.fspath(name)
