"""The pipeline: what runs at the same time, how much is in memory, and how failures end."""

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2img.errors import PictureError
from img2img.runtime.batch.event import Cancelled, Event, Skipped, Written, explain
from img2img.runtime.batch.pipeline import AHEAD, run_jobs
from img2img.runtime.batch.run import run_alone
from img2img.runtime.batch.run_job import JobItem, PictureFiles, Steps, Stop, run_job
from img2img.runtime.batch.sharing import Room
from img2img.runtime.files.jobs import Job
from img2img.runtime.image import writing
from img2img.runtime.image.pictures import Picture
from img2img.threads import Cores


def picture(width: int = 2, height: int = 1) -> Picture:
    return Picture(np.zeros((height, width, 3), np.uint8))


def job(name: str) -> Job:
    return Job(Path(name), Path(f"{name}.out"))


def read(item: JobItem) -> Picture:
    return picture()


def apply(item: JobItem, given: Picture) -> Picture:
    return given


def write(item: JobItem, given: Picture) -> Written:
    return Written()


def items(jobs: Iterable[Job]) -> Iterator[JobItem]:
    return (JobItem(index, job) for index, job in enumerate(jobs))


def named(events: list[Event]) -> dict[str, str]:
    return {str(event.job.source): event.status for event in events}


def run(jobs: list[Job], workers: int = 1, **steps: object) -> list[Event]:
    given = Steps(**({"read": read, "apply": apply, "write": write} | steps))  # type: ignore[arg-type]
    return list(run_jobs(items(jobs), given, stop=Stop(), workers=workers))


def test_every_job_ends_in_one_event_in_the_order_of_the_jobs() -> None:
    jobs = [job(str(n)) for n in range(20)]
    events = run(jobs)
    assert [event.job for event in events] == jobs
    assert {event.status for event in events} == {"done"}


def test_no_jobs_no_events() -> None:
    assert run([]) == []


def test_an_event_tells_sizes_notes_and_time() -> None:
    def enlarge(item: JobItem, given: Picture) -> Picture:
        time.sleep(0.01)
        return replace(given, colour=given.colour.repeat(2, 0).repeat(2, 1), notes=("a", "b"))

    (event,) = run(
        [job("x")], read=lambda _: replace(picture(3, 2), notes=("a",)), apply=enlarge, write=lambda *_: Written(("c",))
    )
    assert (event.size, event.result_size) == ((3, 2), (6, 4))
    assert event.notes == ("a", "b", "c")
    assert 0.01 <= event.seconds < 1


FAILURES = [
    PictureError("bad.png: truncated"),
    OSError(28, "No space left on device"),
    MemoryError(),
    ZeroDivisionError("0"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("step", ["read", "apply", "write"])
def test_a_failure_in_any_step_fails_one_file_and_the_rest_are_done(step: str, error: Exception, workers: int) -> None:
    original: Callable[..., object] = {"read": read, "apply": apply, "write": write}[step]

    def failing(item: JobItem, *rest: object) -> object:
        if item.job.source == Path("bad.png"):
            raise error
        return original(item, *rest)

    events = run([job("1"), job("bad.png"), job("2"), job("3")], workers, **{step: failing})
    assert named(events) == {"1": "done", "bad.png": "failed", "2": "done", "3": "done"}
    failed = next(event for event in events if event.status == "failed")
    assert failed.error is error and failed.message.startswith("bad.png: ")


def test_jobs_with_a_problem_or_to_be_skipped_pass_through_unread() -> None:
    touched = []
    problem = PictureError("no such file")
    jobs = [replace(job("gone"), problem=problem), job("1"), replace(job("old"), skip="exists")]
    events = run(jobs, read=lambda given: touched.append(given) or picture())
    assert named(events) == {"gone": "failed", "1": "done", "old": "skipped"}
    assert touched == [JobItem(1, jobs[1])]
    assert all(event.job is jobs[event.index] for event in events)
    assert {event.message for event in events} == {"gone: no such file", "", "exists"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PictureError("x.png is empty"), "x.png is empty"),
        (FileNotFoundError(2, "No such file", "x.png"), "x.png: No such file"),
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory (Unable to allocate 9 GiB)"),
        (ZeroDivisionError("by\nzero"), "ZeroDivisionError: by zero"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_errors_are_one_line_and_only_bugs_show_their_type(error: Exception, expected: str) -> None:
    assert explain(error) == expected


def test_a_step_may_find_that_a_job_is_no_longer_necessary() -> None:
    def skipping(item: JobItem) -> Picture:
        raise Skipped("made in the meantime")

    (event,) = run([job("x")], read=skipping)
    assert (event.status, event.message) == ("skipped", "made in the meantime")


def test_a_failed_event_keeps_its_traceback_but_not_the_picture() -> None:
    alive = []

    def read_large(item: JobItem) -> Picture:
        made = picture(100, 100)
        alive.append(weakref.ref(made.colour))
        return made

    def fail(item: JobItem, given: Picture) -> Picture:
        try:
            raise MemoryError
        except MemoryError as error:
            raise PictureError("too large") from error

    (event,) = run([job("x")], read=read_large, apply=fail)
    assert event.error is not None and event.error.__traceback__ is not None and event.error.__cause__ is not None
    gc.collect()
    assert alive[0]() is None


def test_each_job_is_released_once_whatever_happened() -> None:
    released: list[int] = []

    def fail(item: JobItem, given: Picture) -> Picture:
        if item.index == 1:
            raise PictureError("bad")
        return given

    run([job("0"), job("1"), job("2")], apply=fail, release=lambda item: released.append(item.index))
    assert sorted(released) == [0, 1, 2]


def test_time_waited_for_a_turn_is_no_work() -> None:
    turn = threading.Lock()

    def slow(item: JobItem, given: Picture) -> Picture:
        time.sleep(0.05)
        return given

    events = run([job("0"), job("1"), job("2")], 3, apply=slow, turns=(nullcontext(), turn, nullcontext()))
    assert all(0.05 <= event.seconds < 0.09 for event in events)


def test_as_many_pictures_as_workers_are_in_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=5)

    def meet(item: JobItem, given: Picture) -> Picture:
        meeting.wait()
        return given

    events = run([job(str(number)) for number in range(6)], 3, apply=meet)
    assert {event.status for event in events} == {"done"}


def in_flight(workers: int, budget: int | None, count: int, size: int, slow: str) -> int:
    """The most bytes of pixels that were alive at once."""
    lock, stop = threading.Lock(), Stop()
    alive: dict[int, int] = {}
    most = 0

    def read(item: JobItem) -> Picture:
        nonlocal most
        made = picture(size)
        with lock:
            alive[item.index] = made.colour.nbytes
            most = max(most, sum(alive.values()))
        return made

    def wait(item: JobItem, image: Picture) -> Picture:
        time.sleep(0.003 if slow == "apply" else 0)
        return image

    def write(item: JobItem, image: Picture) -> Written:
        time.sleep(0.003 if slow == "write" else 0)
        with lock:
            del alive[item.index]
        return Written()

    room = Room(budget, stop.check)
    steps, jobs = Steps(read, wait, write), [job(str(number)) for number in range(count)]
    events = run_jobs(items(jobs), steps, stop=stop, workers=workers, admit=lambda item: room.hold(3 * size))
    assert [event.status for event in events] == ["done"] * count
    return most


@pytest.mark.parametrize("slow", ["apply", "write"])
def test_memory_does_not_grow_with_the_number_of_files(slow: str) -> None:
    assert in_flight(3, None, 60, 100, slow) <= 3 * 3 * 100


@pytest.mark.parametrize("slow", ["apply", "write"])
def test_large_pictures_wait_for_one_another(slow: str) -> None:
    one = 3 * 1000
    assert in_flight(8, one // 2, 20, 1000, slow) == one
    assert in_flight(8, 3 * one, 20, 1000, slow) <= 3 * one


def test_stopping_early_ends_every_thread_at_the_next_check() -> None:
    running, stopped, stop = threading.Event(), threading.Event(), Stop()

    def forever(item: JobItem, image: Picture) -> Picture:
        if item.index == 0:
            assert running.wait(5)  # so that the second job is in work when the event of the first comes
            return image
        running.set()
        try:
            while True:
                stop.check()
                time.sleep(0.001)
        except Cancelled:
            stopped.set()
            raise

    before = set(threading.enumerate())
    events = run_jobs(items(job(str(n)) for n in range(9)), Steps(read, forever, write), stop=stop, workers=2)
    assert next(events).status == "done"
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    assert stopped.is_set() and time.perf_counter() - began < 1
    assert set(threading.enumerate()) <= before


def test_stopping_ends_a_picture_that_waits_for_memory() -> None:
    stop, running = Stop(), threading.Event()
    room = Room(1, stop.check)

    def forever(item: JobItem, image: Picture) -> Picture:
        if item.index == 0:
            return image
        running.set()
        while True:
            stop.check()
            time.sleep(0.001)

    jobs = items(job(str(number)) for number in range(9))
    steps = Steps(read, forever, write)
    events = run_jobs(jobs, steps, stop=stop, workers=3, admit=lambda item: room.hold(2))
    assert next(events).status == "done" and running.wait(5)
    began = time.perf_counter()
    events.close()
    assert time.perf_counter() - began < 1


def test_jobs_are_taken_one_by_one_not_listed_beforehand() -> None:
    taken = 0

    def endless() -> Iterator[Job]:
        nonlocal taken
        while True:
            taken += 1
            yield job(str(taken))

    events = run_jobs(items(endless()), Steps(read, apply, write), stop=Stop(), workers=3)
    for _ in range(10):
        next(events)
    events.close()
    assert taken <= 10 + 3 + AHEAD


def test_cores_know_how_many_pictures_are_in_work() -> None:
    cores, seen = Cores(3), []

    def look(item: JobItem, image: Picture) -> Picture:
        time.sleep(0.01)
        seen.append(cores.idle)
        return image

    jobs = items(job(str(number)) for number in range(7))
    events = run_jobs(jobs, Steps(read, look, write), stop=Stop(), workers=3, cores=cores)
    assert len(list(events)) == 7
    assert seen[:5] == [0] * 5 and seen[-1] in (1, 2) and cores.idle == 3  # the last ones may have help


def test_encoders_use_the_cores_that_other_pictures_leave_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int | None] = []
    monkeypatch.setattr(writing, "write", lambda *args, threads, **options: used.append(threads) or ())
    cores = Cores(3)
    files = PictureFiles(hashes=False, cores=cores)
    target = Job(tmp_path / "a.png", tmp_path / "b.png")
    with cores.busy():
        files.write(target, picture())
        with cores.busy(), cores.busy():
            files.write(target, picture())
    PictureFiles(hashes=False).write(target, picture())
    assert used == [3, 1, None]


def test_a_single_job_runs_in_a_thread_of_its_own_and_can_be_stopped() -> None:
    stop = Stop()
    seen: list[threading.Thread] = []

    def look(item: JobItem, image: Picture) -> Picture:
        seen.append(threading.current_thread())
        return image

    event = run_alone(JobItem(0, job("x")), Steps(read, look, write), stop)
    assert event.status == "done" and seen[0] is not threading.current_thread()

    def forever(item: JobItem, image: Picture) -> Picture:
        signal.raise_signal(signal.SIGINT)  # handled by the main thread
        while True:
            stop.check()
            time.sleep(0.001)

    began = time.perf_counter()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for jobs in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            run_alone(JobItem(0, job("x")), Steps(read, forever, write), stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - began < 1 and not seen[0].is_alive()


def test_cancelling_is_no_failure_of_the_job() -> None:
    def cancelled(item: JobItem, image: Picture) -> Picture:
        raise Cancelled

    with pytest.raises(Cancelled):
        run_job(JobItem(0, job("x")), Steps(read, cancelled, write))


@settings(max_examples=25, deadline=None)
@given(
    outcomes=st.lists(st.sampled_from(["done", "read", "apply", "write", "skip", "problem"]), max_size=12),
    workers=st.integers(1, 4),
    budget=st.sampled_from([1, 6, 10**9]),
)
def test_whatever_happens_each_job_has_its_one_event(outcomes: list[str], workers: int, budget: int) -> None:
    jobs = [
        replace(
            job(f"{n} {what}"),
            skip="s" if what == "skip" else None,
            problem=PictureError("p") if what == "problem" else None,
        )
        for n, what in enumerate(outcomes)
    ]

    def step(name: str, answer: object) -> Callable[..., object]:
        def run_step(item: JobItem, *rest: object) -> object:
            if str(item.job.source).endswith(name):
                raise PictureError(name)
            return rest[0] if name == "apply" else answer

        return run_step

    steps = Steps(step("read", picture()), step("apply", None), step("write", Written()))  # type: ignore[arg-type]
    room = Room(budget)
    found = run_jobs(items(jobs), steps, stop=Stop(), workers=workers, admit=lambda item: room.hold(3))
    events = list(found)
    status = {"done": "done", "skip": "skipped"}
    assert named(events) == {str(j.source): status.get(what, "failed") for j, what in zip(jobs, outcomes, strict=True)}
    assert sorted(event.index for event in events) == list(range(len(jobs)))
