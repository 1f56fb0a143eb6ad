"""What one process of a Ray cluster does: it loads the model once, and takes jobs from file to file.

img2img has to be installed on every node. Paths are those of the driver, so that folders have to be shared; URIs need
nothing but the rights to read and write there.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from img2img import atomic
from img2img.errors import Img2ImgError, ModelError, PictureError
from img2img.runtime.batch import prepare, run_job, storage
from img2img.runtime.batch.event import Event, Skipped, Written, explain
from img2img.runtime.batch.journal.resume import JournaledFiles
from img2img.runtime.batch.picture_files import PictureFiles
from img2img.runtime.batch.storage import RemoteFile
from img2img.runtime.files import digests
from img2img.runtime.files.jobs import Job
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS, Picture
from img2img.runtime.network import model_digest
from img2img.runtime.tasks.model_choice import ModelChoice
from img2img.runtime.tasks.retry import RetryingTask
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task
from img2img.text import show

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class WorkerSetup:
    """What is the same for all jobs of a batch.

    Attributes:
        model_choice: the model, with the device and the threads that one worker has.
        sizes: of all pictures, where memory is limited.
        folder: what relative paths are relative to.
        model: the digest of the model's file.
        files: name -> Ray's reference to the bytes of the model's file and those that belong to it; for nodes that have
            other files where the driver has these. Empty where there is one node.
    """

    task: Task
    model_choice: ModelChoice
    settings: Settings
    stdin: bytes
    sizes: list[tuple[int, int]]
    folder: str
    model: str
    files: Mapping[str, Any]


@dataclass(frozen=True)
class JobItem:
    """One job. `again`: a worker has died at it, which may have written its result before."""

    item: run_job.JobItem
    again: bool = False


@dataclass(frozen=True)
class JobRecord:
    """What became of a job. `fatal`: nothing can be done, for this job and all others. `said`: of the model."""

    event: Event | None = None
    fatal: Img2ImgError | None = None
    said: tuple[str, ...] = ()


class Files(Protocol):
    """How a worker reads and writes."""

    def read(self, item: run_job.JobItem) -> Picture: ...
    def write(self, item: run_job.JobItem, picture: Picture) -> Written: ...


class Worker:
    """A Ray Data operator for batches of rows with an `index` and a `parcel`; gives back `index` and `record`.

    Ray calls it from two threads at once, so that one picture is decoded or encoded while the other is in the network.
    """

    def __init__(self, order: WorkerSetup) -> None:
        self._order = order
        self._reading, self._working, self._writing = threading.Lock(), threading.Lock(), threading.Lock()
        self._said: list[str] = []
        self._ready: _Ready | Img2ImgError | None = None

    def __call__(self, rows: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        parcels = [pickle.loads(one) for one in rows.column("parcel").to_pylist()]
        records = [_packed(self._record(parcel)) for parcel in parcels]
        return pyarrow.table({"index": rows.column("index"), "record": pyarrow.array(records, pyarrow.binary())})

    def _record(self, parcel: JobItem) -> JobRecord:
        with self._working:
            if self._ready is None:
                self._ready = self._prepared()
        if isinstance(self._ready, Img2ImgError):
            return JobRecord(fatal=self._ready)
        return JobRecord(self._event(parcel, self._ready), said=tuple(self._said))

    def _prepared(self) -> _Ready | Img2ImgError:
        order, settings = self._order, self._order.settings
        with suppress(OSError):  # a node without it can still work on URIs
            os.chdir(order.folder)
        try:
            path = _at_hand(order)
            model_choice = dataclasses.replace(order.model_choice, path=path, notify=self._said.append)
            model_choice.load()
            limited = dataclasses.replace(settings, device=model_choice.device, threads=model_choice.threads)
            task = prepare.within_memory(order.task, model_choice, limited, lambda: order.sizes)
        except Img2ImgError as error:
            return error
        limit = settings.max_pixels or DEFAULT_MAX_PIXELS
        transfer = PictureFiles(limit, settings.first_frame, settings.quality, order.stdin)
        batch = prepare.Batch([], [], task, model_choice, settings)
        return _Ready(
            RetryingTask(task, model_choice, settings.color_fix, settings.check_seams),
            JournaledFiles(batch, transfer),
            _Remote(transfer),
        )

    def _event(self, parcel: JobItem, ready: _Ready) -> Event:
        files: Files = ready.remote if _is_remote(parcel.item.job) else ready.journalled

        def read(item: run_job.JobItem) -> Picture:
            if parcel.again:
                _pass_over_if_made(item.job)
            return files.read(item)

        def apply(item: run_job.JobItem, picture: Picture) -> Picture:
            return ready.careful(item.job, picture, lambda _: None)

        turns = self._reading, self._working, self._writing
        steps = run_job.Steps(read, apply, files.write, ready.journalled.release, turns)
        event = run_job.run_job(parcel.item, steps)
        if event.error is not None and event.status == "failed":  # tracebacks do not travel: keep it as text
            event.error.add_note("".join(traceback.format_exception(event.error)))
        return event


@dataclass(frozen=True)
class _Ready:
    careful: RetryingTask
    journalled: JournaledFiles
    remote: _Remote


@dataclass(frozen=True)
class _Remote:
    """Reads and writes as `transfer` does, where one side or both are `RemoteFile`s."""

    transfer: PictureFiles

    def read(self, item: run_job.JobItem) -> Picture:
        job = item.job
        source, target = job.source, job.target
        if isinstance(target, RemoteFile) and not job.overwrite and storage.look([target])[0] is not None:
            raise Skipped(f"{show(str(target))} was made in the meantime")
        assert isinstance(source, RemoteFile)
        data = io.BytesIO(storage.read(source))
        with _called(source, "standard input"):
            return pictures.read(data, max_pixels=self.transfer.max_pixels, first_frame=self.transfer.first_frame)

    def write(self, item: run_job.JobItem, picture: Picture) -> Written:
        job = item.job
        buffer, target = io.BytesIO(), job.target
        if not isinstance(target, RemoteFile):
            return self.transfer.write(job, picture)
        with _called(target, "standard output"):
            notes = writing.write(picture, buffer, format=job.format, quality=self.transfer.quality)
        data = buffer.getvalue()
        storage.write(target, data)
        return Written(notes, digest=digests.of_bytes(data).sha256)


@contextmanager
def _called(file: RemoteFile, stream: str) -> Iterator[None]:
    """Errors of reading and writing a stream speak of the file that it stands for."""
    try:
        yield
    except PictureError as error:
        raise PictureError(str(error).replace(stream, show(str(file)), 1)) from error


def _is_remote(job: Job) -> bool:
    return isinstance(job.source, RemoteFile) or isinstance(job.target, RemoteFile)


def _pass_over_if_made(job: Job) -> None:
    """The worker that died may have got that far: nothing was there when the batch was planned."""
    if isinstance(job.target, Path) and not job.overwrite and job.target.is_file():
        raise Skipped(f"{show(job.target)} was made before its worker died")


def _at_hand(order: WorkerSetup) -> Path:
    """The model's file on this node. Raises ModelError."""
    path = order.model_choice.path
    if not order.files:
        return path
    with suppress(ModelError):  # not there, or something else
        if model_digest.of_model(path) == order.model:
            return path
    import ray

    folder = Path(tempfile.gettempdir(), f"img2img-{order.model}")
    for name, reference in order.files.items():
        if not (folder / name).is_file():
            with atomic.atomic(folder / name) as stream:
                stream.write(ray.get(reference))
    return folder / path.name


def _packed(record: JobRecord) -> bytes:
    try:
        packed = pickle.dumps(record)
        pickle.loads(packed)
        return packed
    except Exception:  # an exception that cannot travel
        event = record.event
        assert event is not None and event.error is not None
        error = PictureError(f"{event.job.label}: {explain(event.error)}")
        return pickle.dumps(dataclasses.replace(record, event=dataclasses.replace(event, error=error)))
