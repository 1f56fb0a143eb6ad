"""Runs the jobs of a batch in worker threads, one picture per thread: each decodes, runs and encodes its picture."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from queue import Empty, SimpleQueue

from img2img.runtime.batch.event import Event
from img2img.runtime.batch.run_job import POLL, JobItem, Steps, Stop, decided_event, run_job
from img2img.threads import Cores, Worker, start_thread

AHEAD = 2  # jobs that wait for a worker, so that none is idle while the caller handles an event

Admit = Callable[[JobItem], AbstractContextManager[object]]


def run_jobs(
    items: Iterable[JobItem],
    steps: Steps,
    *,
    stop: Stop,
    workers: int = 1,
    cores: Cores | None = None,
    admit: Admit = lambda item: nullcontext(),
    fail_fast: bool = False,
) -> Generator[Event, None, None]:
    """Run the jobs; yield one event for each, in the order in which they end.

    Exceptions of the steps become events with status "failed" (Skipped: "skipped") and the other jobs go on. Jobs are
    taken from `items` as events are taken from here, a few ahead.

    An exception in the consumer, such as KeyboardInterrupt, stops the batch: `stop` is set, and every thread has ended
    before the exception goes on. The steps should call `stop.check()` often, for each tile for example; a picture that
    is being decoded or encoded is finished first.

    Args:
        workers: the most pictures in work at the same time.
        cores: learns how many pictures are in work, so that idle cores can help with their tiles.
        admit: what to hold while a job runs: memory, for example. Waiting for it does not count as work.
        fail_fast: stop the other workers at the first failure. Its event is the last that the caller should take.
    """
    todo: SimpleQueue[JobItem | None] = SimpleQueue()
    ended: SimpleQueue[Event | BaseException] = SimpleQueue()
    threads = [
        Worker(partial(_work, todo, ended, steps, stop, admit, fail_fast), name=f"picture {number + 1}")
        for number in range(workers)
    ]
    try:
        for thread in threads:
            start_thread(thread)
        yield from _events(iter(items), todo, ended, workers, cores or Cores(workers))
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in threads:
            todo.put(None)
        for thread in threads:
            if thread.ident is not None:
                stop.join(thread)


def _events(
    items: Iterator[JobItem],
    todo: SimpleQueue[JobItem | None],
    ended: SimpleQueue[Event | BaseException],
    workers: int,
    cores: Cores,
) -> Iterator[Event]:
    running = 0  # jobs that are in work or wait for a worker
    exhausted = False
    while running or not exhausted:
        while not exhausted and running < workers + AHEAD:
            item = next(items, None)
            if item is None:
                exhausted = True
            elif (event := decided_event(item)) is not None:
                yield event
            else:
                running += 1
                if running <= workers:
                    cores.occupy()
                todo.put(item)
        if running:
            event = wait_for(ended)
            if running <= workers:
                cores.free()
            running -= 1
            yield event


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
    todo: SimpleQueue[JobItem | None],
    ended: SimpleQueue[Event | BaseException],
    steps: Steps,
    stop: Stop,
    admit: Admit,
    fail_fast: bool,
) -> None:
    """One thread of a batch."""
    while (item := todo.get()) is not None:
        try:
            stop.check()
            with admit(item):
                event = run_job(item, steps)
            ended.put(event)
            if fail_fast and event.status == "failed":
                stop.set()
        except BaseException as error:  # Cancelled, or one that ends the program: the main thread raises it
            ended.put(error)
            return
