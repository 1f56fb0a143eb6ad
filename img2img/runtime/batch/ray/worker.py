"""One worker process of a Ray cluster. It loads the model once and runs jobs from file to file.

img2img must be installed on every node. Nodes use the driver's paths, so folders must be shared. For
URIs a node only needs permission to read and write there.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import tempfile
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img import atomic
from img2img.errors import Img2ImgError, ModelError, PictureError
from img2img.runtime.batch.event import Event, Skipped, explain
from img2img.runtime.batch.journal.resume import JournaledFiles
from img2img.runtime.batch.run_job import Batch, JobItem, PictureFiles, Steps, run_job
from img2img.runtime.batch.sharing import within_memory
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import model_digest
from img2img.runtime.tasks.checked import CheckedTask
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.text import show

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class WorkerSetup:
    """The common setup of all jobs of a batch.

    Attributes:
        model_choice: the model, with the device and thread count of one worker.
        sizes: the sizes of all pictures, if memory is limited.
        folder: the base of relative paths.
        model: the digest of the model file.
        files: maps names to Ray references to the bytes of the model file and its companion files, for nodes that lack
            the driver's files. Empty for a local cluster.
        again: a worker died while it ran the jobs. It may have written their results before.
    """

    task: Task
    model_choice: ModelChoice
    settings: Settings
    stdin: bytes
    sizes: list[tuple[int, int]]
    folder: str
    model: str
    files: Mapping[str, Any]
    again: bool = False


@dataclass(frozen=True)
class JobRecord:
    """The result of a job.

    Attributes:
        event: None if there is a fatal error.
        fatal: the error that keeps this worker from running any job.
        notes: messages about the model.
    """

    event: Event | None = None
    fatal: Img2ImgError | None = None
    notes: tuple[str, ...] = ()


class Worker:
    """A Ray Data operator. It maps batches of rows with a pickled `item` to rows with a pickled `record`.

    Ray calls it from two threads at once, so that one picture is decoded or encoded while the other is in the network.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._reading, self._applying, self._writing = threading.Lock(), threading.Lock(), threading.Lock()
        self._notes: list[str] = []
        self._steps: Steps | Img2ImgError | None = None

    def __call__(self, rows: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        records = [_pickled(self._record(pickle.loads(item))) for item in rows.column("item").to_pylist()]
        return pyarrow.table({"record": pyarrow.array(records, pyarrow.binary())})

    def _record(self, item: JobItem) -> JobRecord:
        with self._applying:
            if self._steps is None:
                try:
                    self._steps = self._prepare()
                except Img2ImgError as error:
                    self._steps = error
        if isinstance(self._steps, Img2ImgError):
            return JobRecord(fatal=self._steps)
        event = run_job(item, self._steps)
        if event.error is not None and event.status == "failed":  # pickle drops tracebacks, so keep them as text
            event.error.add_note("".join(traceback.format_exception(event.error)))
        return JobRecord(event, notes=tuple(self._notes))

    def _prepare(self) -> Steps:
        setup, settings = self._setup, self._setup.settings
        with suppress(OSError):  # a node without the folder can still process URIs
            os.chdir(setup.folder)
        path = _model_on_this_node(setup)
        model_choice = dataclasses.replace(setup.model_choice, path=path, notify=self._notes.append)
        model_choice.load()
        limited = dataclasses.replace(settings, device=model_choice.device, threads=model_choice.threads)
        task = within_memory(setup.task, model_choice, limited, lambda: setup.sizes)
        pictures = PictureFiles(
            settings.limit, settings.first_frame, settings.quality, setup.stdin, strip=settings.strip
        )
        files = JournaledFiles(Batch([], [], task, model_choice, settings), pictures)
        checked = CheckedTask(task, model_choice, settings.color_fix, settings.check_seams)

        def read(item: JobItem) -> Picture:
            if setup.again:
                _skip_if_made(item.job)
            return files.read(item)

        def apply(item: JobItem, picture: Picture) -> Picture:
            return checked(item.job, picture, lambda _: None)

        turns = self._reading, self._applying, self._writing
        return Steps(read, apply, files.write, files.release, turns)


def _skip_if_made(job: Job) -> None:
    """Raises Skipped if the dead worker had written the result. No output existed when the batch was planned."""
    if isinstance(job.target, Path) and not job.overwrite and job.target.is_file():
        raise Skipped(f"{show(job.target)} was made before its worker died")


def _model_on_this_node(setup: WorkerSetup) -> Path:
    """Find the model file on this node. Copies it from the driver if it differs or is missing. Raises ModelError."""
    path = setup.model_choice.path
    if not setup.files:
        return path
    with suppress(ModelError):  # it does not exist here
        if model_digest.of_model(path) == setup.model:
            return path
    import ray

    folder = Path(tempfile.gettempdir(), f"img2img-{setup.model}")
    for name, reference in setup.files.items():
        if not (folder / name).is_file():
            with atomic.atomic(folder / name) as stream:
                stream.write(ray.get(reference))
    return folder / path.name


def _pickled(record: JobRecord) -> bytes:
    try:
        pickled = pickle.dumps(record)
        pickle.loads(pickled)
        return pickled
    except Exception:  # an exception that pickle cannot handle
        event = record.event
        assert event is not None and event.error is not None
        error = PictureError(explain(event.error))
        return pickle.dumps(dataclasses.replace(record, event=dataclasses.replace(event, error=error)))
