"""A short measurement of one model, made in a process of its own: there nothing else takes time or leaves memory.

Several sessions of the model: the first runs a small window, which brings onnxruntime's code into memory; the others
are fresh, so that the first run of each takes from the system all the memory that a window needs.
"""

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from img2img.errors import Img2ImgError
from img2img.runtime.network import memory, session
from img2img.runtime.network.grid import grids, up
from img2img.runtime.network.session import Floats, LoadedModel

_FIRST, _LEAST, _MOST = 32, 64, 256  # sides of windows, in pixels
_LONG = 0.5  # seconds that one run of a window may take, where a smaller one does
_ENOUGH, _MOST_RUNS = 0.4, 5  # runs are repeated for so many seconds, or so often
_RUNS_EACH = 2  # side by side
_CALM = 0.5  # share of the threads' time that a network on the CPU gets at least where nothing else takes it


def measure(path: Path, device: str, threads: int, assume: Mapping[str, str]) -> dict[str, Any]:
    """What `speed.Speed` holds, by name. Raises what `session.load` and `LoadedModel.infer` raise."""
    given: dict[str, Any] = {"assume": assume} if assume else {}
    first = session.load(path, device=device, threads=threads, **given)
    window = _window(first, _FIRST)
    _run(first, window)  # prepares, allocates
    seconds = _run(first, window)
    base = memory.resident()

    wanted, pixels = _MOST, math.prod(window)
    while wanted > _LEAST and seconds * math.prod(_window(first, wanted)) / pixels > _LONG:
        wanted //= 2
    # The allocator fills its regions well or badly depending on the size, by up to 1.4 times: the mean of two windows.
    windows = dict.fromkeys(_window(first, side) for side in (wanted * 3 // 4, wanted))
    taken, kept = [], []  # kept: what one gives back, the next would take instead of new memory
    for window in windows:
        second = session.load(path, device=first.device, threads=threads, **given)
        kept.append(second)
        before, begun, worked = memory.resident(), time.perf_counter(), time.process_time()
        runs = [_run(second, window)]
        taken.append(max(memory.resident() - before, 0) / math.prod(window))
    while sum(runs) < _ENOUGH and len(runs) < _MOST_RUNS:
        runs.append(_run(second, window))
    share = (time.process_time() - worked) / (time.perf_counter() - begun) / threads
    # On CUDA the first run of a size searches for algorithms.
    typical = statistics.median(runs[1:] or runs)
    return {
        "seconds_per_megapixel": typical / math.prod(window) * 1e6,
        "bytes_per_pixel": statistics.mean(taken),
        "base": base,
        "device": first.device,
        "calm": first.device != "cpu" or share >= _CALM,
        "window": first.fixed,
        "side_by_side": _side_by_side(path, window, threads, given) if first.device == "cpu" and threads > 1 else None,
    }


def _side_by_side(path: Path, window: tuple[int, int], threads: int, given: dict[str, Any]) -> float:
    """Seconds for 10^6 pixels where each thread runs windows of its own, in one session."""
    model = session.load(path, device="cpu", threads=threads, split=False, **given)

    def run_windows(number: int) -> None:
        for _ in range(_RUNS_EACH):
            _run(model, window)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run_windows, range(threads)))  # allocates
        begun = time.perf_counter()
        list(pool.map(run_windows, range(threads)))
        seconds = time.perf_counter() - begun
    return seconds / (threads * _RUNS_EACH * math.prod(window)) * 1e6


def _window(model: LoadedModel, wanted: int) -> tuple[int, int]:
    """Height and width of a window with sides of about `wanted` pixels, as the network can have it."""
    rows, columns = (max(up(wanted, one.multiple), one.minimum) for one in grids(model))
    return model.fixed or (rows, columns)


def _run(model: LoadedModel, window: tuple[int, int]) -> float:
    """Seconds for a window of height x width pixels."""
    card, (height, width) = model.card, window
    image = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    others: dict[str, Floats] = {}
    if card.task == "inpaint":
        mask = np.zeros((1, 1, height, width), np.float32)
        mask[..., height // 4 : height // 2, width // 4 : width // 2] = 1
        others["mask"] = mask
    if card.domains:
        others["domain"] = np.eye(1, len(card.domains), dtype=np.float32)
    begun = time.perf_counter()
    model.infer(image, **others)
    return time.perf_counter() - begun


def main() -> None:
    """Take the arguments of `measure` as JSON from stdin, give its result, or the error, as JSON to stdout."""
    asked = json.load(sys.stdin)
    try:
        found = measure(Path(asked["path"]), asked["device"], asked["threads"], asked["assume"])
    except Img2ImgError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(found))
