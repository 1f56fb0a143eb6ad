"""Does what a request asks for, with the functions that the commands use: read, task, write, all of it in memory."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from img2img.errors import Img2ImgError, UsageError
from img2img.runtime.batch.event import COMPRESSED, Cancelled, Event, Skipped
from img2img.runtime.batch.run_job import JobItem, PictureFiles, Steps, run_job
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.image import pillow
from img2img.runtime.image.fitting import FORMATS
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.writing import format_for
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import Tile
from img2img.runtime.network.session import LoadedModel
from img2img.runtime.tasks.checked import CheckedTask, check_color_fix
from img2img.runtime.tasks.restore import DEFAULT_MODEL as RESTORE
from img2img.runtime.tasks.suggestions import Suggestions
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.runtime.tasks.upscale import DEFAULT_MODEL as UPSCALE
from img2img.runtime.tasks.upscale import UpscaleTask
from img2img.serve.catalogue import Catalogue, Offer, facts
from img2img.serve.operations import OPERATIONS
from img2img.serve.requests import MOST_SAMPLES, Request
from img2img.serve.work import Turn, Work

MOST_ENLARGED = 16
"""A result may have as many times the pixels that a picture may have: x4 of the largest picture is allowed."""


class Failed(Exception):
    """The work on a picture failed. The cause is the error of the command."""


@dataclass(frozen=True)
class Result:
    """A picture that goes back to the client.

    Attributes:
        name: a file name, made from the client's.
        format: Pillow's name of the format.
        size: width and height in pixels.
    """

    name: str
    format: str
    data: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """The results of a request, the name of the model that made them, and notes for the user."""

    results: tuple[Result, ...]
    model: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EngineOptions:
    """How the server works on pictures.

    Attributes:
        max_pixels: the most pixels of a picture, mask or reference.
        keep: number of models that stay loaded.
        device, threads, verify: as the options of the commands.
        tile: see `tiling.Tile`.
    """

    max_pixels: int
    device: str = "auto"
    threads: int | None = None
    tile: Tile = "auto"
    verify: bool = False
    keep: int = 4


class Engine:
    """Works on requests, from any number of threads; one at a time is in the network."""

    def __init__(self, catalogue: Catalogue, options: EngineOptions) -> None:
        self.catalogue = catalogue
        self.options = options
        self._turn = Turn()
        self._loaded = _Loaded(options)

    def run(self, request: Request, work: Work) -> Answer:
        """Do what a request asks for.

        Raises:
            UsageError, ModelError, PictureError: the request asks for something impossible.
            Failed: the work failed; the cause tells why.
            Cancelled: the work was cancelled.
        """
        work.began = time.monotonic()
        work.check()
        offer = self._offer(request)
        try:
            return self._answer(request, offer, work)
        except Img2ImgError as error:
            raise _without_paths(error, offer) from error.__cause__
        except Failed as failed:
            cause = failed.__cause__
            raise Failed from _without_paths(cause, offer) if isinstance(cause, Img2ImgError) else cause

    def models(self) -> list[dict[str, Any]]:
        """The facts of all models, as JSON."""
        offers = self.catalogue.offers()
        defaults = {name: self._default(name) for name in OPERATIONS}
        return [facts(one, default_of=[name for name in defaults if defaults[name] == one.name]) for one in offers]

    def _offer(self, request: Request) -> Offer | None:
        if request.model is not None:
            return self.catalogue.find(request.model)
        if "budget" in request.values:  # it chooses the model
            return None
        return self.catalogue.default(request.operation)

    def _default(self, operation: str) -> str | None:
        """The name of the model that a request gets without naming one; None: it must name one."""
        given = self.catalogue.default(operation)
        if given is not None:
            return given.name
        if operation in ("upscale", "restore"):
            return UPSCALE if operation == "upscale" else RESTORE
        with suppress(Img2ImgError):
            return models.for_task(operation).stem
        return None

    def _answer(self, request: Request, offer: Offer | None, work: Work) -> Answer:
        options = self.options
        settings = request.settings(
            None if offer is None else str(offer.path),
            max_pixels=options.max_pixels,
            device=options.device,
            threads=options.threads,
        )
        task = request.task(settings, options.tile)
        files = PictureFiles(
            options.max_pixels,
            settings.first_frame,
            settings.quality,
            request.image,
            hashes=False,
            strip=settings.strip,
            name=request.name,
        )
        format = None if settings.format is None else format_for(f"x.{settings.format}")
        picture: Picture | None = None
        path = models.for_device(task.find_model(settings, lambda: _pixels(request.image)), options.device)
        choice = self._loaded.choice(path, task)
        model = self._loaded.model(choice)
        card = choice.card
        task = task.with_card(card)
        if settings.color_fix:
            check_color_fix(card)
        namings = task.namings(card, settings)
        name = offer.name if offer is not None else path.stem
        work.about, work.results = name, len(namings)

        def read(item: JobItem) -> Picture:
            nonlocal picture
            work.check()
            if picture is None:  # several results have one picture
                picture = files.read(item.job)
                self._refuse_too_large(picture, task, card, len(namings))
            return picture

        cores = model.cores
        files = replace(files, cores=cores if model.device == "cpu" else None)
        checked = CheckedTask(task, choice, settings.color_fix, settings.check_seams)

        def apply(item: JobItem, read: Picture) -> Picture:
            work.begin(item.index, read.size[0] * read.size[1])
            return checked(item.job, read, lambda pixels: work.advance(item.index, pixels))

        results, notes = [], dict.fromkeys(model.notes)
        for index, naming in enumerate(namings):
            turns = (cores.busy(), self._turn.taken(work, cores, choice.stop), cores.busy())
            steps = Steps(read, apply, lambda item, result: files.write(item.job, result), turns=turns)
            job = Job(None, None, format, domain=naming.domain)
            event = run_job(JobItem(index, job), steps)
            work.check()  # a run that was stopped looks like one that failed
            results.append(_result(event, request.name, naming, picture, format))
            notes |= dict.fromkeys(event.notes)
            if (event.jpeg_quality or 100) < COMPRESSED and (cleaner := Suggestions(task, choice).cleaner):
                note = f"{request.name} is compressed (quality ~{event.jpeg_quality}): model {cleaner} also cleans it"
                notes[note] = None
        assert picture is not None
        width, height = results[0].size
        work.about = "{} {}x{} -> {}x{}".format(name, *picture.size, width, height)
        return Answer(tuple(results), name, tuple(notes))

    def _refuse_too_large(self, picture: Picture, task: Task, card: Card, results: int) -> None:
        width, height = picture.size
        if results > MOST_SAMPLES:
            raise UsageError(f"this server makes up to {MOST_SAMPLES} results of a picture, not {results}")
        wanted = task.size if isinstance(task, UpscaleTask) else None
        one = width * height * task.area_factor(card) if wanted is None else math.prod(wanted.of(width, height))
        pixels = one * results
        most = self.options.max_pixels * MOST_ENLARGED
        if pixels > most:
            what = "the result" if results == 1 else f"{results} results"
            raise UsageError(f"{what} would have {pixels / 1e6:,.0f} megapixels, the limit is {most / 1e6:,.0f}")


def _pixels(image: bytes) -> int | None:
    """Number of pixels by the header of a picture; None if its first bytes do not tell."""
    head = image[: pillow.HEAD_BYTES]
    format = pillow.identify(head)
    size = None if format is None else pillow.size_of(head, format)
    return None if size is None else size[0] * size[1]


def _result(event: Event, name: str, naming: Naming, picture: Picture | None, format: str | None) -> Result:
    """The result of a job. Raises Failed."""
    if event.error is not None:
        if isinstance(event.error, Skipped):
            raise Cancelled
        raise Failed from event.error
    assert event.data is not None and event.result_size is not None and picture is not None
    format = format or (picture.format if picture.format in FORMATS else "PNG")
    stem, _, extension = name.rpartition(".")
    same = bool(stem) and _is_extension(extension, format)
    suffix = extension if same else FORMATS[format].suffix
    return Result(f"{stem or name}{naming.suffix}.{suffix}", format, event.data, event.result_size)


def _is_extension(extension: str, format: str) -> bool:
    with suppress(Img2ImgError):
        return format_for(f"x.{extension}") == format
    return False


def _without_paths(error: Img2ImgError, offer: Offer | None) -> Img2ImgError:
    """The same error, but it calls the model by its name: clients need not know the folders of the server."""
    if offer is None or str(offer.path) not in str(error):
        return error
    other = type(error)(str(error).replace(str(offer.path), offer.name))
    other.__cause__ = error.__cause__
    return other


class _Loaded:
    """The models that were used last, loaded. Threads may share it."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._choices: OrderedDict[tuple[object, ...], ModelChoice] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def choice(self, path: Path, task: Task) -> ModelChoice:
        """The model at `path` for a task. A file that has changed is read again. Raises ModelError."""
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, task.name)
        options = self._options
        with self._lock:
            found = self._choices.get(key)
            if found is None:
                more: dict[str, Any] = {"verify": options.verify, "doing": task.doing}
                found = ModelChoice(path, task.name, options.device, options.threads, **more)
                self._choices[key] = found
            self._choices.move_to_end(key)
            while len(self._choices) > options.keep:
                self._choices.popitem(last=False)
            return found

    def model(self, choice: ModelChoice) -> LoadedModel:
        """The network, loaded once."""
        with self._loading:
            return choice.load()
