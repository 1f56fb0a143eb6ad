"""Runs whole processes and measures wall seconds, CPU seconds and peak memory."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnxruntime


@dataclass(frozen=True)
class Usage:
    """One finished process: wall and CPU seconds, peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Finished:
    """How a process ended, what it wrote, and what it used."""

    status: int
    out: str
    err: str
    usage: Usage


def finish(command: Sequence[str], limit: float | None = None, **options: Any) -> Finished:
    """Run `command` to its end. `options` are those of `subprocess.Popen`, such as `cwd` and `env`.

    Raises:
        subprocess.TimeoutExpired: it took more than `limit` seconds, and has been killed.
    """
    # The peak of a child starts at the size of its parent, so the parent must be small, unlike this process.
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with tempfile.NamedTemporaryFile() as result:
        watch = [sys.executable, "-S", "-c", _WATCH, result.name, *command]
        with subprocess.Popen(watch, **pipes, **options) as watched:
            try:
                out, err = watched.communicate(timeout=limit)
            except BaseException:
                os.killpg(watched.pid, signal.SIGKILL)  # the command as well, or its pipes stay open
                raise
        status, wall, cpu, peak = json.load(result)
    return Finished(status, out.decode(errors="replace"), err.decode(errors="replace"), Usage(wall, cpu, peak / 1024))


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Usage:
    """Run `command` to its end; its output is discarded.

    Raises:
        RuntimeError: it did not exit with 0.
    """
    done = finish(command, env={**os.environ, **(env or {})})
    if done.status:
        raise RuntimeError(f"{' '.join(command)}: status {done.status}: {done.err[-500:]}")
    return done.usage


_WATCH = """
import json, os, sys, time
begin = time.perf_counter()
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
wall, cpu = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), wall, cpu, usage.ru_maxrss], file)
"""


def announce(model: str, rounds: int) -> None:
    """Print what the figures below were measured with."""
    facts = {"onnxruntime": onnxruntime.__version__, "cores": os.cpu_count(), "model": model}
    print(json.dumps({**facts, "rounds": rounds, "time": time.strftime("%Y-%m-%d")}))


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
