"""Runs whole processes and measures wall seconds, CPU seconds and peak memory."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """One finished process: wall and CPU seconds, peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Usage:
    """Run `command` to its end; its output is discarded.

    Raises:
        RuntimeError: it did not exit with 0.
    """
    # The peak of a child starts at the size of its parent, so the parent must be small, unlike this process.
    watched = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *command],
        capture_output=True,
        env={**os.environ, **(env or {})},
        check=True,
    )
    status, wall, cpu, peak = json.loads(watched.stdout)
    if status:
        message = watched.stderr.decode(errors="replace")[-500:]
        raise RuntimeError(f"{' '.join(command)}: status {status}: {message}")
    return Usage(wall, cpu, peak / 1024)


_WATCH = """
import json, os, sys, time
begin = time.perf_counter()
child = os.fork()
if not child:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - begin, cpu, usage.ru_maxrss]))
"""


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Usage]]:
    """Run all commands in turn, `rounds` times after one warm-up, so that a slower machine affects all of them."""
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
