"""Many pictures through decode | run | encode at once, with few of them in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, Literal, TypeVar

from img2img.runtime.batch.event import Cancelled, Event, Skipped, Written
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture

DEPTH = 2  # pictures waiting before, and after, the network
BUDGET = 256 * 2**20  # bytes of pixels waiting before, and after, the network; one picture may exceed it
POLL = 0.2  # seconds; without a timeout, Ctrl-C would not be heard on Windows


Check = Callable[[], None]
Read = Callable[[Job], Picture]
Work = Callable[[Job, Picture, Check], Picture]
Write = Callable[[Job, Picture], Written]


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    *,
    read: Read,
    write: Write,
    depth: int = DEPTH,
    budget: int = BUDGET,
    decoders: int = 1,
    encoders: int = 1,
) -> Generator[Event, None, None]:
    """Do the jobs; yield one Event for each, in the order in which they end.

    `read`, `work` and `write` run in threads of their own, each stage beside the others (zlib, libjpeg and onnxruntime
    let go of the interpreter's lock); `work` has one thread, so it sees the pictures one at a time and in the order of
    `jobs`. Whatever they raise becomes an Event with status "failed" (Skipped: "skipped"), and the rest go on. A job
    that has a problem, or is to be skipped, passes straight through.

    At most `depth` pictures wait before the network and `depth` after it, and fewer where they hold `budget` bytes.

    An exception in the consumer, KeyboardInterrupt among them, stops the batch. `work` is to call the `check` that it
    is given now and then, for each tile, say: it raises Cancelled. A picture that is being decoded or encoded is
    finished, and every thread has ended, before the exception goes on.
    """
    batch = _Batch(iter(jobs), work, read, write, depth, budget, decoders, encoders)
    try:
        yield from batch.run()
    finally:
        batch.close()


_T = TypeVar("_T")


@dataclass(slots=True)
class _Outcome(Generic[_T]):
    """What a stage made of a picture, or its exception: kept as a value, since a raised one would keep frames alive."""

    value: _T | None
    error: BaseException | None
    seconds: float


@dataclass(slots=True)
class _Item:
    job: Job
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    weight: int = 0

    def done(self, written: Written) -> Event:
        return Event(
            self.job,
            "done",
            self.size,
            self.result_size,
            self.seconds,
            self.notes,
            data=written.data,
            digest=written.digest,
        )

    def ended(self, error: BaseException | None) -> Event:
        """The event of a job that has no result."""
        status: Literal["skipped", "failed"] = "skipped" if isinstance(error, Skipped) else "failed"
        return Event(self.job, status, self.size, self.result_size, self.seconds, self.notes, error=error)


@dataclass
class _Batch:
    """The consumer's thread alone decides what starts, so that nothing here needs a lock."""

    jobs: Iterator[Job]
    work: Work
    read: Read
    write: Write
    depth: int
    budget: int
    decoders: int
    encoders: int
    reading: deque[tuple[_Item, Future[_Outcome[Picture]]]] = field(default_factory=deque)
    working: tuple[_Item, Future[_Outcome[Picture]]] | None = None
    writing: list[tuple[_Item, Future[_Outcome[Written]]]] = field(default_factory=list)
    exhausted: bool = False

    def __post_init__(self) -> None:
        # No threading.Event: a Ctrl-C inside its Python code can leave its lock in disorder for the other threads.
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.stop = threading.Event()
        self.pools = [
            ThreadPoolExecutor(threads, thread_name_prefix=name)
            for name, threads in (("decode", self.decoders), ("run", 1), ("encode", self.encoders))
        ]

    def run(self) -> Iterator[Event]:
        while True:
            while not self.wake.empty():  # before looking: what ends from here on wakes the wait below
                self.wake.get()
            yield from self._finish_writing()
            yield from self._finish_working()
            yield from self._start_reading()
            yield from self._start_working()
            yield from self._start_reading()
            if not (self.reading or self.working or self.writing):
                return
            while not self._woken():
                pass

    def _woken(self) -> bool:
        try:
            self.wake.get(timeout=POLL)
        except Empty:
            return False
        return True

    def close(self) -> None:
        self.stop.set()
        for pool in self.pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def check(self) -> None:
        if self.stop.is_set():
            raise Cancelled

    def _start_reading(self) -> Iterator[Event]:
        while not self.exhausted and self._room_before():
            job = next(self.jobs, None)
            if job is None:
                self.exhausted = True
            elif job.skip is not None:
                yield Event(job, "skipped")
            elif job.problem is not None:
                yield Event(job, "failed", error=job.problem)
            else:
                self.reading.append((_Item(job), self._submit(0, self.read, job)))

    def _room_before(self) -> bool:
        # Only a decoded picture's size is known: no more are begun than there are threads to decode them.
        decoded = sum(_weight(future.result().value) for _, future in self.reading if future.done())
        pending = sum(not future.done() for _, future in self.reading)
        return len(self.reading) < self.depth and pending < self.decoders and decoded < self.budget

    def _start_working(self) -> Iterator[Event]:
        while self.working is None and self.reading and self.reading[0][1].done() and self._room_after():
            item, future = self.reading.popleft()
            outcome = future.result()
            item.seconds += outcome.seconds
            if outcome.value is None:
                yield item.ended(outcome.error)
                continue
            item.size, item.notes = _size(outcome.value), outcome.value.notes
            self.working = item, self._submit(1, self.work, item.job, outcome.value, self.check)

    def _room_after(self) -> bool:
        return not self.writing or (
            len(self.writing) < self.depth and sum(item.weight for item, _ in self.writing) < self.budget
        )

    def _finish_working(self) -> Iterator[Event]:
        if self.working is None or not self.working[1].done():
            return
        (item, future), self.working = self.working, None
        outcome = future.result()
        item.seconds += outcome.seconds
        if outcome.value is None:
            yield item.ended(outcome.error)
            return
        item.result_size, item.weight = _size(outcome.value), _weight(outcome.value)
        item.notes += tuple(note for note in outcome.value.notes if note not in item.notes)
        self.writing.append((item, self._submit(2, self.write, item.job, outcome.value)))

    def _finish_writing(self) -> Iterator[Event]:
        for pair in [pair for pair in self.writing if pair[1].done()]:
            self.writing.remove(pair)
            item, outcome = pair[0], pair[1].result()
            item.seconds += outcome.seconds
            if outcome.value is None:
                yield item.ended(outcome.error)
                continue
            item.notes += tuple(note for note in outcome.value.notes if note not in item.notes)
            yield item.done(outcome.value)

    def _submit(self, stage: int, function: Callable[..., _T], *arguments: object) -> Future[_Outcome[_T]]:
        future = self.pools[stage].submit(_attempt, function, *arguments)
        future.add_done_callback(lambda _: self.wake.put(None))
        return future


def _attempt(function: Callable[..., _T], *arguments: object) -> _Outcome[_T]:
    began = time.perf_counter()
    try:
        return _Outcome(function(*arguments), None, time.perf_counter() - began)
    except BaseException as error:  # handed on as a failed Event: an exception in a thread is never lost
        return _Outcome(None, error, time.perf_counter() - began)


def _size(picture: Picture) -> tuple[int, int]:
    height, width = picture.colour.shape[:2]
    return width, height


def _weight(picture: Picture | None) -> int:
    if picture is None:
        return 0
    return picture.colour.nbytes + (picture.alpha.nbytes if picture.alpha is not None else 0)
