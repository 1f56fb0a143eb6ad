"""The pipeline: what runs beside what, what is kept in memory, and what becomes of failures."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2img.errors import PictureError
from img2img.runtime.batch.event import Cancelled, Event, Written, explain
from img2img.runtime.batch.pipeline import Check, run_jobs
from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture


def picture(width: int = 2, height: int = 1) -> Picture:
    return Picture(np.zeros((height, width, 3), np.uint8))


def job(name: str) -> Job:
    return Job(Path(name), Path(f"{name}.out"))


def read(job: Job) -> Picture:
    return picture()


def work(job: Job, given: Picture, check: Check) -> Picture:
    return given


def write(job: Job, given: Picture) -> Written:
    return Written()


def named(events: list[Event]) -> dict[str, str]:
    return {str(event.job.source): event.status for event in events}


def run(jobs: list[Job], **stages: object) -> list[Event]:
    return list(run_jobs(jobs, stages.pop("work", work), **({"read": read, "write": write} | stages)))  # type: ignore[arg-type]


def test_every_job_ends_in_one_event_in_the_order_of_the_jobs() -> None:
    jobs = [job(str(n)) for n in range(20)]
    events = run(jobs)
    assert [event.job for event in events] == jobs
    assert {event.status for event in events} == {"done"}


def test_no_jobs_no_events() -> None:
    assert run([]) == []


def test_an_event_tells_sizes_notes_and_time() -> None:
    def enlarge(job: Job, given: Picture, check: Check) -> Picture:
        time.sleep(0.01)
        return replace(given, colour=given.colour.repeat(2, 0).repeat(2, 1), notes=("a", "b"))

    (event,) = run(
        [job("x")], read=lambda _: replace(picture(3, 2), notes=("a",)), work=enlarge, write=lambda *_: Written(("c",))
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
@pytest.mark.parametrize("stage", ["read", "work", "write"])
def test_a_failure_in_any_stage_fails_one_file_and_the_rest_are_done(stage: str, error: Exception) -> None:
    original: Callable[..., object] = {"read": read, "work": work, "write": write}[stage]

    def failing(job: Job, *rest: object) -> object:
        if job.source == Path("bad.png"):
            raise error
        return original(job, *rest)

    events = run([job("1"), job("bad.png"), job("2"), job("3")], **{stage: failing})
    assert named(events) == {"1": "done", "bad.png": "failed", "2": "done", "3": "done"}
    failed = next(event for event in events if event.status == "failed")
    assert failed.error is error and failed.message.startswith("bad.png: ")


def test_jobs_with_a_problem_or_to_be_skipped_pass_through_unread() -> None:
    touched = []
    problem = PictureError("no such file")
    jobs = [replace(job("gone"), problem=problem), job("1"), replace(job("old"), skip="exists")]
    events = run(jobs, read=lambda given: touched.append(given) or picture())
    assert named(events) == {"gone": "failed", "1": "done", "old": "skipped"}
    assert touched == [jobs[1]]
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


def test_the_three_stages_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=5)
    names = {f"{n}" for n in range(5)}
    arrived: list[str] = []

    def meet(stage: str, job: Job) -> None:
        # The third picture is read while the second is worked on while the first is written.
        if (stage, str(job.source)) in {("read", "2"), ("work", "1"), ("write", "0")}:
            meeting.wait()
            arrived.append(stage)

    def met_read(given: Job) -> Picture:
        meet("read", given)
        return picture()

    def met_work(given: Job, image: Picture, check: Check) -> Picture:
        meet("work", given)
        return image

    def met_write(given: Job, image: Picture) -> Written:
        meet("write", given)
        return Written()

    events = run([job(name) for name in sorted(names)], read=met_read, work=met_work, write=met_write)
    assert set(named(events).values()) == {"done"} and sorted(arrived) == ["read", "work", "write"]


def in_flight(depth: int, budget: int, count: int, sizes: Callable[[int], int], slow: str) -> int:
    """The most pixels' bytes that were alive at once, outside the picture that is being worked on."""
    lock = threading.Lock()
    alive: dict[Job, int] = {}
    most = 0

    def read(given: Job) -> Picture:
        nonlocal most
        made = picture(sizes(int(str(given.source))))
        with lock:
            alive[given] = made.colour.nbytes
            most = max(most, sum(alive.values()))
        return made

    def wait(given: Job, image: Picture, check: Check) -> Picture:
        time.sleep(0.003 if slow == "work" else 0)
        return image

    def write(given: Job, image: Picture) -> Written:
        time.sleep(0.003 if slow == "write" else 0)
        with lock:
            del alive[given]
        return Written()

    run([job(str(n)) for n in range(count)], read=read, work=wait, write=write, depth=depth, budget=budget)
    return most


@pytest.mark.parametrize("slow", ["work", "write"])
def test_memory_does_not_grow_with_the_number_of_files(slow: str) -> None:
    one = 3 * 100
    # Two before the network, one in it, two after it, one on its way.
    assert in_flight(2, 1 << 30, 60, lambda n: 100, slow) <= 6 * one


@pytest.mark.parametrize("slow", ["work", "write"])
def test_large_pictures_wait_for_one_another(slow: str) -> None:
    one = 3 * 1000
    # With a budget below one picture: one before the network, one in it, one after it, one on its way.
    assert in_flight(8, one // 2, 20, lambda n: 1000, slow) <= 4 * one


def test_stopping_early_ends_every_thread_at_the_next_check() -> None:
    running, stopped = threading.Event(), threading.Event()

    def forever(given: Job, image: Picture, check: Check) -> Picture:
        if given.source == Path("first"):
            return image
        running.set()
        try:
            while True:
                check()
                time.sleep(0.001)
        except Cancelled:
            stopped.set()
            raise

    def write_late(given: Job, image: Picture) -> Written:
        assert running.wait(5)  # so that the second job is under way when the first one's event comes
        return write(given, image)

    before = set(threading.enumerate())
    events = run_jobs([job("first"), *(job(str(n)) for n in range(9))], forever, read=read, write=write_late)
    assert next(events).status == "done"
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert stopped.is_set() and time.perf_counter() - began < 1
    assert set(threading.enumerate()) <= before


def test_jobs_are_taken_one_by_one_not_listed_beforehand() -> None:
    taken = 0

    def endless() -> Iterator[Job]:
        nonlocal taken
        while True:
            taken += 1
            yield job(str(taken))

    events = run_jobs(endless(), work, read=read, write=write)
    for _ in range(10):
        next(events)
    events.close()  # type: ignore[attr-defined]
    assert taken <= 16


@settings(max_examples=25, deadline=None)
@given(
    outcomes=st.lists(st.sampled_from(["done", "read", "work", "write", "skip", "problem"]), max_size=12),
    depth=st.integers(1, 3),
    decoders=st.integers(1, 3),
    encoders=st.integers(1, 3),
    budget=st.sampled_from([0, 6, 10**9]),
)
def test_whatever_happens_each_job_has_its_one_event(
    outcomes: list[str], depth: int, decoders: int, encoders: int, budget: int
) -> None:
    jobs = [
        replace(
            job(f"{n} {what}"),
            skip="s" if what == "skip" else None,
            problem=PictureError("p") if what == "problem" else None,
        )
        for n, what in enumerate(outcomes)
    ]

    def stage(name: str, answer: object) -> Callable[..., object]:
        def run_stage(given: Job, *rest: object) -> object:
            if str(given.source).endswith(name):
                raise PictureError(name)
            return rest[0] if name == "work" else answer

        return run_stage

    events = run(
        jobs,
        read=stage("read", picture()),
        work=stage("work", None),
        write=stage("write", Written()),
        depth=depth,
        decoders=decoders,
        encoders=encoders,
        budget=max(budget, 1),
    )
    status = {"done": "done", "skip": "skipped"}
    assert named(events) == {str(j.source): status.get(what, "failed") for j, what in zip(jobs, outcomes, strict=True)}
    assert len(events) == len(jobs)
