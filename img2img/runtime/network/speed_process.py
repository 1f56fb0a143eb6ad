"""Measures one model in a separate process, where nothing else takes time or leaves memory behind.

It creates several sessions of the model. The first runs a small window, which loads onnxruntime's code into memory. The
others are new, so that their first run requests all the memory for a window from the system.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from img2img.errors import Img2ImgError
from img2img.pool import Pool
from img2img.runtime.network import input_size, memory, selftest, session
from img2img.runtime.network.grid import grids, round_up
from img2img.runtime.network.session import LoadedModel
from img2img.threads import off_main

_FIRST, _SMALLEST, _LARGEST = 32, 64, 256  # sides of windows, in pixels
_LARGEST_OF_FIXED_WORK = 1024
_MAX_SECONDS_PER_RUN = 0.5  # if a run takes longer, a smaller window is used
_TOTAL_SECONDS, _MAX_RUNS = 0.4, 5  # runs are repeated for so many seconds, or so many times
_RUNS_PER_THREAD = 2  # when threads run side by side
_MIN_CPU_SHARE = 0.5  # a network on an idle CPU gets at least this share of its threads' time


def measure(path: Path, device: str, threads: int, assume: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of `speed.Speed`, by name. Raises the errors of `session.load` and `LoadedModel.infer`."""
    given: dict[str, Any] = {"assume": assume} if assume else {}
    first = session.load(path, device=device, threads=threads, split=True, **given)
    window = _window(first, _FIRST)
    _run(first, window)  # prepares and allocates
    seconds = _run(first, window)
    base = memory.resident()

    wanted, pixels = _LARGEST, math.prod(window)
    while wanted > _SMALLEST and seconds * math.prod(_window(first, wanted)) / pixels > _MAX_SECONDS_PER_RUN:
        wanted //= 2
    # Most work of these networks has one size, which small windows would count fully.
    if input_size.keeps_luminance(first.card) or first.card.resizes:
        wanted = _LARGEST_OF_FIXED_WORK
    # How well the allocator fills its regions varies with the size by up to 1.4 times, so use the mean of two windows.
    windows = dict.fromkeys(_window(first, side) for side in (wanted * 3 // 4, wanted))
    taken, kept = [], []  # sessions are kept: the next one would reuse the memory of a released one
    for window in windows:
        second = session.load(path, device=first.device, threads=threads, split=True, **given)
        kept.append(second)
        before, begun, worked = memory.resident(), time.perf_counter(), time.process_time()
        runs = [_run(second, window)]
        taken.append(max(memory.resident() - before, 0) / math.prod(window))
    while sum(runs) < _TOTAL_SECONDS and len(runs) < _MAX_RUNS:
        runs.append(_run(second, window))
    share = (time.process_time() - worked) / (time.perf_counter() - begun) / threads
    # On CUDA, the first run of a size searches for algorithms.
    typical = statistics.median(runs[1:] or runs)
    return {
        "seconds_per_megapixel": typical / math.prod(window) * 1e6,
        "bytes_per_pixel": statistics.mean(taken),
        "base": base,
        "device": first.device,
        "idle": first.device != "cpu" or share >= _MIN_CPU_SHARE,
        "window": first.fixed,
        "side_by_side": _side_by_side(path, window, threads, given) if first.device == "cpu" and threads > 1 else None,
    }


def _side_by_side(path: Path, window: tuple[int, int], threads: int, given: dict[str, Any]) -> float:
    """Seconds per 10^6 pixels if each thread runs its own windows in a shared session."""
    model = session.load(path, device="cpu", threads=threads, split=False, **given)

    def run_windows(number: int) -> None:
        for _ in range(_RUNS_PER_THREAD):
            _run(model, window)

    with Pool(threads) as pool:
        list(pool.map(run_windows, range(threads)))  # allocates
        begun = time.perf_counter()
        list(pool.map(run_windows, range(threads)))
        seconds = time.perf_counter() - begun
    return seconds / (threads * _RUNS_PER_THREAD * math.prod(window)) * 1e6


def _window(model: LoadedModel, wanted: int) -> tuple[int, int]:
    """Height and width of a window that the network accepts, with sides of about `wanted` pixels."""
    rows, columns = (max(round_up(wanted, one.multiple), one.minimum) for one in grids(model))
    return model.fixed or (rows, columns)


def _run(model: LoadedModel, window: tuple[int, int]) -> float:
    """Run a window of height x width pixels and return the seconds it took."""
    card, (height, width) = model.card, window
    given = selftest.inputs(card, 8, 8)  # computing a large picture would take memory that would count as the model's
    given["image"] = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    if "mask" in given:
        given["mask"] = np.zeros((1, 1, height, width), np.float32)
        given["mask"][..., height // 4 : height // 2, width // 4 : width // 2] = 1
    begun = time.perf_counter()
    model.infer(**given)
    return time.perf_counter() - begun


def main() -> None:
    """Read the arguments of `measure` as JSON from stdin; write its result or the error as JSON to stdout."""
    arguments = json.load(sys.stdin)
    try:
        # In one thread: otherwise each run would get a thread of its own, and with it memory of its own.
        values = Path(arguments["path"]), arguments["device"], arguments["threads"], arguments["assume"]
        found = off_main(lambda: measure(*values))
    except Img2ImgError as error:
        found = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    print(json.dumps(found))
