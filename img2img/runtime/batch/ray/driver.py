"""`--engine ray`: a batch on a Ray cluster, by Ray Data's own operators, one actor for each GPU or group of cores.

The driver plans and reports, as it does for a batch in its own process; actors take whole jobs, from file to file.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import re
import sys
import time
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from img2img.errors import DeviceError, PictureError, UsageError
from img2img.runtime.batch import remote
from img2img.runtime.batch.event import Event
from img2img.runtime.batch.ray import cluster
from img2img.runtime.batch.storage import RemoteFile
from img2img.runtime.files.jobs import Job
from img2img.runtime.network import model_digest, model_file, models

if TYPE_CHECKING:
    from img2img.runtime.batch.event import ProgressListener
    from img2img.runtime.batch.prepare import Batch
    from img2img.runtime.batch.ray.worker import JobRecord, WorkerSetup
    from img2img.runtime.tasks.settings import Settings

CORES = 4
"""Of an actor, where --threads does not say: a network gains little from more, and each actor holds the model."""

PATIENCE = 3.0  # seconds for workers that are being ended

_PART = re.compile(r"\.(.*)\.([0-9]+)\.[0-9a-f]{8}\.part", re.DOTALL)  # of `atomic.temporary_name`


def run(batch: Batch, watch: ProgressListener | None = None) -> Generator[Event, None, None]:
    """As `engine.run`, on the cluster that RAY_ADDRESS names, that the process is connected to, or a local one.

    A worker that dies takes with it the jobs that it was at: they are given to others once more, one at a time, and
    those that end the next worker as well have failed. A local cluster, and it alone, is shut down at the end.

    Raises:
        UsageError: Ray is not installed, or `batch` asks for what it does not give.
        DeviceError: there is no cluster, or no GPU in it; or it fails as a whole.
        Img2ImgError: what keeps a worker from beginning, such as a model that does not load.
    """
    to_do = set()
    for index, job in enumerate(batch.jobs):
        if job.skip is not None:
            yield Event(job, "skipped", index=index)
        elif job.problem is not None:
            yield Event(job, "failed", error=job.problem, index=index)
        else:
            to_do.add(index)
    if not to_do:
        return
    with cluster.connected() as is_own:
        pool = _pool(batch.settings, len(to_do))
        order = _order(batch, pool, is_own=is_own)
        try:
            for again in (False, True):
                with closing(_events(batch, order, pool, sorted(to_do), watch, again=again)) as events:
                    for index, event in events:
                        to_do.remove(index)
                        yield event
                if again:
                    _tidy(batch)
                if not to_do:
                    return
                # Actors end, and give back their cores, when nothing refers to them; tracebacks of deaths do.
                gc.collect()
        except BaseException:
            if is_own:
                cluster.end()
                _sweep(batch.jobs[index] for index in to_do)
            raise
        for index in sorted(to_do):
            job = batch.jobs[index]
            error = PictureError(f"{job.label}: the worker that was at it died, and so did the next (out of memory?)")
            yield Event(job, "failed", error=error, index=index)


@dataclass(frozen=True)
class _Pool:
    """`actors` processes with so many cores and GPUs each."""

    actors: int
    cores: int
    gpus: int
    device: str


def _pool(settings: Settings, jobs: int) -> _Pool:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    device = settings.device
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Ray deals out the GPUs itself: say --device cuda")
    if device == "cuda" and not gpus:
        raise DeviceError("--device cuda: no node of the Ray cluster has a GPU")
    if device == "cuda" or (device == "auto" and gpus and _has_cuda()):
        most = max(int(node.get("CPU", 0)) // int(node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1)
        return _Pool(min(gpus, jobs), max(1, min(settings.threads or 1, most)), 1, device)
    largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
    # A group that no node has room for would be waited for without end.
    cores = max(1, min(settings.threads or CORES, largest))
    groups = sum(int(node.get("CPU", 0)) // cores for node in nodes)
    return _Pool(max(1, min(groups, jobs)), cores, 0, "cpu" if device == "auto" else device)


def _order(batch: Batch, pool: _Pool, *, is_own: bool) -> WorkerSetup:
    import ray

    from img2img.runtime.batch.ray.worker import WorkerSetup

    model_choice, settings = batch.model_choice, batch.settings
    sizes: list[tuple[int, int]] = []
    if settings.max_memory is not None:
        sources = [cast(object, job.source) for job in batch.to_do]
        sizes = batch.sizes() + remote.header_sizes([one for one in sources if isinstance(one, RemoteFile)])
    files = {} if is_own else {path.name: ray.put(path.read_bytes()) for path in _files_of(model_choice.path)}
    return WorkerSetup(
        batch.task,
        dataclasses.replace(model_choice, device=pool.device, threads=settings.threads or pool.cores, notify=None),
        settings,
        batch.stdin,
        sizes,
        str(Path.cwd()),
        model_digest.of_model(model_choice.path),
        files,
    )


def _files_of(model: Path) -> list[Path]:
    """What has to lie together, so that the model runs as it does here."""
    found = [model]
    if (plain := models.full_precision(model)) is not None:
        found.append(plain)
    return [*found, *(one.parent / name for one in found for name in model_file.external_files(one))]


def _events(
    batch: Batch, order: WorkerSetup, pool: _Pool, to_do: list[int], watch: ProgressListener | None, *, again: bool
) -> Generator[tuple[int, Event], None, None]:
    """Index and event of each job that a worker lived through; without order."""
    said: set[str] = set()
    with closing(_records(batch, order, pool, to_do, again=again)) as records:
        for index, record in records:
            if record.fatal is not None:
                raise record.fatal
            for note in record.said:
                if note not in said and batch.model_choice.notify is not None:
                    batch.model_choice.notify(note)
                said.add(note)
            assert record.event is not None
            event = dataclasses.replace(record.event, job=batch.jobs[index], index=index)
            if watch is not None and event.size is not None:
                watch.begin(index, event.size[0] * event.size[1])
                watch.advance(index, event.size[0] * event.size[1])
            yield index, event


def _records(
    batch: Batch, order: WorkerSetup, pool: _Pool, to_do: list[int], *, again: bool
) -> Generator[tuple[int, JobRecord], None, None]:
    import ray
    import ray.data

    from img2img.runtime.batch.ray.worker import JobItem, Worker

    batch_items = batch.items
    items = [{"index": index, "parcel": pickle.dumps(JobItem(batch_items[index], again))} for index in to_do]
    at_once = 1 if again else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last three are said to go, some of them without a successor
        data = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker,
            fn_constructor_args=(order,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=pool.cores,
            num_gpus=pool.gpus or None,
            compute=ray.data.ActorPoolStrategy(
                size=min(pool.actors, len(items)),
                max_tasks_in_flight_per_actor=at_once,
                enable_true_multi_threading=True,
            ),
            # By default Ray would give a picture that kills its worker to one worker after the other, without end.
            max_concurrency=at_once,
            max_restarts=-1,
            max_task_retries=int(again),
        )
    context = data.context
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a worker's death is no end of the batch
    context.execution_no_progress_timeout_s = -1  # a large picture may take an hour
    try:
        tables = iter(data.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"))
        with closing(cast(Any, tables)):
            for table in tables:
                for row in table.to_pylist():
                    yield row["index"], pickle.loads(row["record"])
    except ray.exceptions.RayError as error:
        raise DeviceError(f"the Ray cluster failed: {cluster.short(error)}") from error


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _tidy(batch: Batch) -> None:
    """Take away what workers that have died left half written, where a journal tells that nobody living is at it."""
    from img2img.runtime.batch.journal.resume import JournaledFiles
    from img2img.runtime.batch.picture_files import PictureFiles

    journalled = JournaledFiles(batch, PictureFiles())
    try:
        journalled.tidy()
    finally:
        journalled.close()


def _sweep(jobs: Iterable[Job]) -> None:
    """Take away what the workers, which have been killed, were at: no picture is left half written."""
    names: dict[Path, set[str]] = {}
    for job in jobs:
        if isinstance(job.target, Path):
            names.setdefault(job.target.parent, set()).add(job.target.name)
    deadline = time.monotonic() + PATIENCE
    for folder, wanted in names.items():
        for left in folder.glob(".*.part"):
            match = _PART.fullmatch(left.name)
            if match is None or match[1] not in wanted:
                continue
            while _lives(int(match[2])) and time.monotonic() < deadline:
                time.sleep(0.05)
            if not _lives(int(match[2])):  # a living one is another program's
                with suppress(OSError):
                    left.unlink()


def _lives(process: int) -> bool:
    if sys.platform == "win32":  # where asking would be ending
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
