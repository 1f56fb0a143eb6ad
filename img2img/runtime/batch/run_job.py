"""A batch that is ready to run, and how one of its jobs runs: read the picture, apply the task, write the result.

Batches, single pictures and Ray workers share this.
"""

from __future__ import annotations

import io
import os
import stat
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from img2img.errors import PictureError
from img2img.runtime.batch.event import Cancelled, Event, Skipped, Written
from img2img.runtime.files import digests, storage
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.pictures import Picture
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.text import show
from img2img.threads import Cores, Worker

POLL = 0.2  # seconds; Windows delivers Ctrl-C only between waits that end


class Stop:
    """Tells the threads of a batch to end.

    Args:
        interrupt: ends what a thread waits for, such as a run of the network. Called by every `set`.
    """

    def __init__(self, interrupt: Callable[[], None] = lambda: None) -> None:
        self._stopped = False
        self._interrupt = interrupt

    def set(self) -> None:
        self._stopped = True
        self._interrupt()

    def join(self, thread: Worker) -> None:
        """Wait until the thread ends, and interrupt it again and again if the batch is being stopped."""
        while thread.is_alive():
            if self._stopped:
                thread.should_end = True
                self._interrupt()
            thread.join(POLL)

    def check(self) -> None:
        """Raises Cancelled once the batch is being stopped."""
        if self._stopped:
            raise Cancelled


@dataclass(frozen=True, slots=True)
class JobItem:
    """A job with its place in the batch.

    Attributes:
        index: the place in `Batch.jobs`. It identifies the job; events carry it.
        home: the output folder whose journal records the result; None: no journal does.
    """

    index: int
    job: Job
    home: Path | None = None


@dataclass
class Batch:
    """A batch that is ready to run.

    Attributes:
        jobs: all jobs, also those that are skipped or have failed before they start.
        homes: for each job the output folder whose journal records the result; None: no journal does.
        stdin: the bytes from stdin, if a job reads them.
    """

    jobs: list[Job]
    homes: list[Path | None]
    task: Task
    model_choice: ModelChoice
    settings: Settings
    stdin: bytes = b""
    _sizes: dict[Location | None, tuple[int, int] | None] = field(default_factory=dict, repr=False)

    @property
    def items(self) -> list[JobItem]:
        """The jobs with their places and homes."""
        pairs = zip(self.jobs, self.homes, strict=True)
        return [JobItem(index, job, home) for index, (job, home) in enumerate(pairs)]

    @property
    def to_do(self) -> list[Job]:
        return [job for job in self.jobs if job.problem is None and job.skip is None]

    def sizes(self, count: int | None = None) -> list[tuple[int, int]]:
        """The known sizes (width, height) of the pictures to do, or of `count` of them, evenly spread."""
        jobs = self.to_do
        if count is not None and len(jobs) > count:
            jobs = [jobs[place * len(jobs) // count] for place in range(count)]
        return [size for size in map(self.size_of, jobs) if size is not None]

    def size_of(self, job: Job) -> tuple[int, int] | None:
        """The size of a job's picture from its header, which is read once; None if it does not tell."""
        from img2img.runtime.batch.sharing import size_of

        if job.source not in self._sizes:
            self._sizes[job.source] = size_of(self.stdin if job.source is None else job.source, self.settings.limit)
        return self._sizes[job.source]


def _nothing(item: JobItem) -> None:
    pass


@dataclass(frozen=True)
class Steps:
    """The functions that run a job. They may be called from several threads.

    Attributes:
        read: decodes the picture. It may raise Skipped if the job is no longer necessary.
        apply: runs the task on the picture.
        write: encodes the result.
        release: called once at the end of each job, whatever happened.
        turns: what to hold during read, apply and write: a lock, for example, so that one job reads while another
            is in the network. The time spent waiting for them does not count as work.
    """

    read: Callable[[JobItem], Picture]
    apply: Callable[[JobItem, Picture], Picture]
    write: Callable[[JobItem, Picture], Written]
    release: Callable[[JobItem], None] = _nothing
    turns: tuple[AbstractContextManager[object], AbstractContextManager[object], AbstractContextManager[object]] = (
        nullcontext(),
        nullcontext(),
        nullcontext(),
    )


def run_job(item: JobItem, steps: Steps) -> Event:
    """Read, apply and write one job. Returns its event: done, skipped, or failed with the exception as its error.

    Exceptions that are not an Exception pass through: Cancelled, when the batch stops.
    """
    decided = decided_event(item)
    if decided is not None:
        return decided
    facts = _Facts(item)
    try:
        written = _run_steps(item, steps, facts)
        return facts.event("done", data=written.data, digest=written.digest)
    except Skipped as reason:
        return facts.event("skipped", error=reason)
    except Exception as error:
        _free_frames(error)
        return facts.event("failed", error=error)
    finally:
        steps.release(item)


def decided_event(item: JobItem) -> Event | None:
    """The event of a job that is skipped or has failed before it starts. None: the job must run."""
    if item.job.skip is not None:
        return Event(item.job, "skipped", index=item.index)
    if item.job.problem is not None:
        return Event(item.job, "failed", error=item.job.problem, index=item.index)
    return None


def _run_steps(item: JobItem, steps: Steps, facts: _Facts) -> Written:
    reading, applying, writing = steps.turns
    with reading, facts.clock:
        picture = steps.read(item)
    facts.size, facts.jpeg_quality = picture.size, picture.jpeg_quality
    facts.add_notes(picture.notes)
    with applying, facts.clock:
        result = steps.apply(item, picture)
    del picture  # not needed while the result is encoded
    facts.result_size = result.size
    facts.add_notes(result.notes)
    with writing, facts.clock:
        written = steps.write(item, result)
    facts.add_notes(written.notes)
    return written


def _free_frames(error: BaseException | None) -> None:
    """Keep the tracebacks, but not the pictures in their frames: callers may keep events for long."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class _Clock:
    """Adds up the time spent in its blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


@dataclass
class _Facts:
    """What is known of a job so far, for its event."""

    item: JobItem
    clock: _Clock = field(default_factory=_Clock)
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    notes: dict[str, None] = field(default_factory=dict)  # an ordered set
    jpeg_quality: int | None = None

    def add_notes(self, notes: tuple[str, ...]) -> None:
        self.notes.update(dict.fromkeys(notes))

    def event(
        self,
        status: Literal["done", "skipped", "failed"],
        *,
        error: BaseException | None = None,
        data: bytes | None = None,
        digest: str | None = None,
    ) -> Event:
        return Event(
            self.item.job,
            status,
            self.size,
            self.result_size,
            self.clock.seconds,
            tuple(self.notes),
            data=data,
            error=error,
            digest=digest,
            index=self.item.index,
            jpeg_quality=self.jpeg_quality,
        )


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """How pictures are read and written.

    Attributes:
        stdin: its bytes, if a job reads them.
        name: what messages call stdin; None: standard input.
        hashes: whether `Written` has the digest of the result.
        cores: the cores that encoders share with the network; None: each may use all.
        strip: whether results have no metadata.
    """

    max_pixels: int = pictures.DEFAULT_MAX_PIXELS
    first_frame: bool = False
    quality: int | None = None
    stdin: bytes = b""
    hashes: bool = True
    cores: Cores | None = None
    strip: bool = False
    name: str | None = None

    def read(self, job: Job) -> Picture:
        """Decode the job's source.

        Raises PictureError; Skipped if another process has written the target to storage in the meantime.
        """
        source, target = job.source, job.target
        if isinstance(target, StorageFile) and not job.overwrite and storage.look([target])[0] is not None:
            raise Skipped(f"{show(target)} was made in the meantime")
        if isinstance(source, Path):
            stream: Path | BinaryIO = source
        else:
            stream = io.BytesIO(self.stdin if source is None else storage.read(source))
        name = show(source) if isinstance(source, StorageFile) else self.name if source is None else None
        try:
            picture = pictures.read(stream, name=name, max_pixels=self.max_pixels, first_frame=self.first_frame)
        except PictureError as error:
            error.path = None if source is None else str(source)
            raise
        name = show(target) if isinstance(target, StorageFile) else None
        writing.check(picture, target if isinstance(target, Path) else None, name=name, format=job.format)
        return picture.stripped() if self.strip else picture

    def write(self, job: Job, picture: Picture, finished: Callable[[Fingerprint], None] | None = None) -> Written:
        """Encode to the job's target, which appears whole or not at all. For stdout, to bytes for the consumer.

        `finished` receives the fingerprint of a local file before the file gets its name; if it raises, the file gets
        none.

        Raises PictureError, also if another process has written a target that may not be replaced.
        """
        target = job.target
        if isinstance(target, Path) and not job.overwrite and target.is_file():
            raise PictureError(f"{show(target)}: appeared while the picture was being made; left as it is")
        stream: Path | io.BytesIO = target if isinstance(target, Path) else io.BytesIO()
        name = show(target) if isinstance(target, StorageFile) else None
        seen: list[Fingerprint] = []

        def look(file: BinaryIO) -> None:
            _set_times(file, job.times)
            seen.append(digests.of_stream(file))
            _set_times(file, job.times)  # the digest has read the file
            if finished is not None:
                finished(seen[0])

        hook = look if self.hashes or finished is not None or job.times is not None else None
        threads = None if self.cores is None else self.cores.within_reach
        notes = writing.write(
            picture,
            stream,
            name=name,
            format=job.format,
            quality=self.quality,
            finished=hook,
            threads=threads,
            permissions=_permissions(job.source),
        )
        data = stream.getvalue() if isinstance(stream, io.BytesIO) else None
        if isinstance(target, StorageFile) and data is not None:
            storage.write(target, data)
            data = None
        return Written(notes, data, seen[0].sha256 if seen else None)


def _permissions(source: Location | None) -> int | None:
    """The permissions of a local file, for its result; None for other sources."""
    if not isinstance(source, Path):
        return None
    try:
        mode = source.stat().st_mode
    except OSError:  # it is gone
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def _set_times(file: BinaryIO, times: tuple[int, int] | None) -> None:
    """Set the access and modification times of an open file; nothing for bytes in memory."""
    name = getattr(file, "name", None)
    if times is not None and name is not None:
        file.flush()
        os.utime(name, ns=times)
