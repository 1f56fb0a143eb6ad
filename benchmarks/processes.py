"""Whole processes timed from outside: wall seconds, CPU seconds, peak memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """One finished process: wall and CPU seconds, peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Usage:
    """Run `command` to its end; its output is thrown away.

    Raises:
        RuntimeError: it did not exit with 0.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(env or {})}
    )
    assert process.stderr
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: status {process.returncode}: {errors.decode(errors='replace')[-500:]}"
        )
    return Usage(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Usage]]:
    """Run all commands in turn, `rounds` times after one warm-up, so that a drifting machine slows them alike."""
    usages: dict[str, list[Usage]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            usage = run(command)
            if turn:
                usages[name].append(usage)
    return usages


def median(usages: Sequence[Usage], figure: str) -> float:
    """Median of `wall`, `cpu` or `peak`."""
    return statistics.median(getattr(usage, figure) for usage in usages)


def ratio(ours: Sequence[Usage], theirs: Sequence[Usage], figure: str) -> float:
    """Median of ours / theirs, pair by pair."""
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True))
