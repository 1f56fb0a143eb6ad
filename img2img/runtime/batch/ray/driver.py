"""`--engine ray`: runs a batch on a Ray cluster with Ray Data, one worker for each GPU or group of cores.

The driver plans and reports as for a local batch. Workers run whole jobs, from file to file.
"""

from __future__ import annotations

import dataclasses
import gc
import pickle
import re
import time
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from img2img.errors import DeviceError, PictureError, UsageError
from img2img.runtime.batch.event import Event
from img2img.runtime.batch.ray import cluster
from img2img.runtime.batch.run_job import JobItem, decided_event
from img2img.runtime.files.jobs import Job
from img2img.runtime.network import model_digest, model_file, models

if TYPE_CHECKING:
    from img2img.runtime.batch.event import ProgressListener
    from img2img.runtime.batch.ray.worker import JobRecord, WorkerSetup
    from img2img.runtime.batch.run_job import Batch
    from img2img.runtime.tasks.settings import Settings

CORES = 4
"""Cores per worker without --threads. More cores help a network little, and each worker holds the model."""

PATIENCE = 3.0  # seconds that workers get to exit

_PART = re.compile(r"\.(.*)\.([0-9]+)\.[0-9a-f]{8}\.part", re.DOTALL)  # `atomic.temporary_name`


def run(batch: Batch, watch: ProgressListener | None = None) -> Generator[Event, None, None]:
    """Run a batch on the connected Ray cluster, else on the one that RAY_ADDRESS names, else on a local one.

    If a worker dies, its jobs run once more on other workers, one at a time. A job fails if its second worker dies as
    well. Only a local cluster is shut down at the end.

    Raises:
        UsageError: Ray is not installed, or the cluster does not support the settings of `batch`.
        DeviceError: there is no cluster, it has no GPU, or it fails as a whole.
        Img2ImgError: a worker cannot start, for example because the model does not load.
    """
    to_do: dict[int, JobItem] = {}
    for item in batch.items:
        if (event := decided_event(item)) is not None:
            yield event
        else:
            to_do[item.index] = item
    if not to_do:
        return
    with cluster.connected() as is_own:
        pool = _pool(batch.settings, len(to_do))
        setup = _worker_setup(batch, pool, is_own=is_own)
        try:
            for again in (False, True):
                setup = dataclasses.replace(setup, again=again)
                with closing(_events(batch, setup, pool, list(to_do.values()), watch)) as events:
                    for event in events:
                        del to_do[event.index]
                        yield event
                if again:
                    _tidy(batch)
                if not to_do:
                    return
                # Workers exit and free their cores once nothing refers to them. Tracebacks of dead workers still do.
                gc.collect()
        except BaseException:
            if is_own:
                cluster.end()
                _sweep(item.job for item in to_do.values())
            raise
        for item in to_do.values():
            error = PictureError("the worker that was at it died, and so did the next (out of memory?)")
            yield Event(item.job, "failed", error=error, index=item.index)


@dataclass(frozen=True)
class _Pool:
    """A pool of `workers` processes. `cores` and `gpus` count per process."""

    workers: int
    cores: int
    gpus: int
    device: str


def _pool(settings: Settings, jobs: int) -> _Pool:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    device = settings.device
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Ray assigns the GPUs itself; use --device cuda")
    if device == "cuda" and not gpus:
        raise DeviceError("--device cuda: no node of the Ray cluster has a GPU")
    if device == "cuda" or (device == "auto" and gpus and _has_cuda()):
        most = max(int(node.get("CPU", 0)) // int(node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1)
        return _Pool(min(gpus, jobs), max(1, min(settings.threads or 1, most)), 1, device)
    largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
    # Ray would wait forever for a group of cores that no node has.
    cores = max(1, min(settings.threads or CORES, largest))
    groups = sum(int(node.get("CPU", 0)) // cores for node in nodes)
    return _Pool(max(1, min(groups, jobs)), cores, 0, "cpu" if device == "auto" else device)


def _worker_setup(batch: Batch, pool: _Pool, *, is_own: bool) -> WorkerSetup:
    import ray

    from img2img.runtime.batch.ray.worker import WorkerSetup

    model_choice, settings = batch.model_choice, batch.settings
    files = {} if is_own else {path.name: ray.put(path.read_bytes()) for path in _files_of(model_choice.path)}
    return WorkerSetup(
        batch.task,
        dataclasses.replace(model_choice, device=pool.device, threads=settings.threads or pool.cores, notify=None),
        settings,
        batch.stdin,
        batch.sizes() if settings.max_memory is not None else [],
        str(Path.cwd()),
        model_digest.of_model(model_choice.path),
        files,
    )


def _files_of(model: Path) -> list[Path]:
    """The model file and all files that it needs beside it."""
    found = [model]
    if (plain := models.full_precision(model)) is not None:
        found.append(plain)
    return [*found, *(one.parent / name for one in found for name in model_file.external_files(one))]


def _events(
    batch: Batch, setup: WorkerSetup, pool: _Pool, items: list[JobItem], watch: ProgressListener | None
) -> Generator[Event, None, None]:
    """Yield the event of each job whose worker survived, in order of completion."""
    seen: set[str] = set()
    with closing(_records(setup, pool, items)) as records:
        for record in records:
            if record.fatal is not None:
                raise record.fatal
            for note in record.notes:
                if note not in seen and batch.model_choice.notify is not None:
                    batch.model_choice.notify(note)
                seen.add(note)
            assert record.event is not None
            event = dataclasses.replace(record.event, job=batch.jobs[record.event.index])
            if watch is not None and event.size is not None:
                watch.begin(event.index, event.size[0] * event.size[1])
                watch.advance(event.index, event.size[0] * event.size[1])
            yield event


def _records(setup: WorkerSetup, pool: _Pool, items: list[JobItem]) -> Generator[JobRecord, None, None]:
    import ray
    import ray.data

    from img2img.runtime.batch.ray.worker import Worker

    rows = [{"item": pickle.dumps(item)} for item in items]
    at_once = 1 if setup.again else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last three arguments are deprecated, some without a replacement
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            fn_constructor_args=(setup,),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=pool.cores,
            num_gpus=pool.gpus or None,
            compute=ray.data.ActorPoolStrategy(
                size=min(pool.workers, len(rows)),
                max_tasks_in_flight_per_actor=at_once,
                enable_true_multi_threading=True,
            ),
            # By default Ray would pass a picture that kills its worker to other workers forever.
            max_concurrency=at_once,
            max_restarts=-1,
            max_task_retries=int(setup.again),
        )
    context = data.context
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # the death of a worker does not end the batch
    context.execution_no_progress_timeout_s = -1  # a large picture may take an hour
    try:
        tables = iter(data.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"))
        with closing(cast(Any, tables)):
            for table in tables:
                for record in table.column("record").to_pylist():
                    yield pickle.loads(record)
    except ray.exceptions.RayError as error:
        raise DeviceError(f"the Ray cluster failed: {cluster.short(error)}") from error


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _tidy(batch: Batch) -> None:
    """Remove partial files of dead workers, if a journal shows that no live process is writing them."""
    from img2img.runtime.batch.journal.resume import JournaledFiles
    from img2img.runtime.batch.run_job import PictureFiles

    files = JournaledFiles(batch, PictureFiles())
    try:
        files.tidy()
    finally:
        files.close()


def _sweep(jobs: Iterable[Job]) -> None:
    """Remove partial files of killed workers."""
    import psutil

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
            process = int(match[2])
            while psutil.pid_exists(process) and time.monotonic() < deadline:
                time.sleep(0.05)
            if not psutil.pid_exists(process):  # otherwise another program is writing it
                with suppress(OSError):
                    left.unlink()
