"""Runs the jobs of a batch in worker threads, one picture per thread: each decodes, runs and encodes its picture."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from queue import Empty, SimpleQueue

from img2img.runtime.batch.event import Cancelled, Event
from img2img.runtime.batch.run_job import JobItem, Steps, decided_event, run_job

AHEAD = 2  # jobs that wait for a worker, so that none is idle while the caller handles an event
POLL = 0.2  # seconds; Windows delivers Ctrl-C only between waits that end


class Stop:
    """Tells the threads of a batch to end."""

    def __init__(self) -> None:
        self._stopped = False

    def set(self) -> None:
        self._stopped = True

    def check(self) -> None:
        """Raises Cancelled once the batch is being stopped."""
        if self._stopped:
            raise Cancelled


def run_jobs(items: Iterable[JobItem], steps: Steps, *, stop: Stop, workers: int = 1) -> Generator[Event, None, None]:
    """Run the jobs; yield one event for each, in the order in which they end.

    Exceptions of the steps become events with status "failed" (Skipped: "skipped") and the other jobs go on. At most
    `workers` pictures are in work. Jobs are taken from `items` as events are taken from here, a few ahead.

    An exception in the consumer, such as KeyboardInterrupt, stops the batch: `stop` is set, and every thread has ended
    before the exception goes on. The steps should call `stop.check()` often, for each tile for example; a picture that
    is being decoded or encoded is finished first.
    """
    todo: SimpleQueue[JobItem | None] = SimpleQueue()
    ended: SimpleQueue[Event | BaseException] = SimpleQueue()
    threads = [
        threading.Thread(target=_work, args=(todo, ended, steps, stop), name=f"picture {number + 1}")
        for number in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        yield from _events(iter(items), todo, ended, workers + AHEAD)
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in threads:
            todo.put(None)
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _events(
    items: Iterator[JobItem],
    todo: SimpleQueue[JobItem | None],
    ended: SimpleQueue[Event | BaseException],
    most: int,
) -> Iterator[Event]:
    """`most`: jobs that are in work or wait for a worker."""
    running = 0
    exhausted = False
    while running or not exhausted:
        while not exhausted and running < most:
            item = next(items, None)
            if item is None:
                exhausted = True
            elif (event := decided_event(item)) is not None:
                yield event
            else:
                running += 1
                todo.put(item)
        if running:
            yield wait_for(ended)
            running -= 1


def wait_for(ended: SimpleQueue[Event | BaseException]) -> Event:
    """The next event. Ctrl-C can interrupt it. Raises the exception that ended a thread."""
    while True:
        try:
            found = ended.get(timeout=POLL)
        except Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        return found


def _work(
    todo: SimpleQueue[JobItem | None], ended: SimpleQueue[Event | BaseException], steps: Steps, stop: Stop
) -> None:
    """One thread of a batch."""
    while (item := todo.get()) is not None:
        try:
            stop.check()
            ended.put(run_job(item, steps))
        except BaseException as error:  # Cancelled, or one that ends the program: the main thread raises it
            ended.put(error)
            return
