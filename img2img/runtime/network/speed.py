"""Measures the speed and memory of a model on this machine, and keeps the measurement in the user's cache."""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img import errors
from img2img.errors import ModelError
from img2img.runtime.network import cache, cpu, devices, inference_errors

_TIMEOUT = 300  # seconds; measuring RRDB with 23 blocks takes 3 on one slow core


@dataclass(frozen=True)
class Speed:
    """The measured speed and memory of a model on this machine.

    Attributes:
        seconds_per_megapixel: wall time of the bare network per 10^6 input pixels, one run after the other.
        side_by_side: the same with one simultaneous run per thread, as in batches; None: not measured.
        bytes_per_pixel: host memory of the network per input pixel of a window.
        base: memory of a process that has loaded the model and does nothing else, in bytes.
        device: where the network ran: "cpu" or "cuda:N".
        idle: nothing else kept the machine busy. A measurement on a busy machine is valid now, but is not kept.
        window: height and width in pixels of the only input size that the network accepts; None: any size.
    """

    seconds_per_megapixel: float
    bytes_per_pixel: float
    base: int
    device: str
    idle: bool = True
    window: tuple[int, int] | None = None
    side_by_side: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.seconds_per_megapixel, self.bytes_per_pixel, self.base]
        numbers += [] if self.side_by_side is None else [self.side_by_side]
        if not all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in numbers):
            raise ValueError(f"not a measurement: {self}")
        if self.window is not None:  # JSON yields lists
            height, width = self.window
            object.__setattr__(self, "window", (height, width))


def measure(
    path: Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    assume: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> Speed:
    """Measure a model, or look up an earlier measurement of this file on this machine. Takes about a second.

    Args:
        path: the model file.
        device, threads, assume: see `session.load`.
        fresh: measure even if the cache has a measurement.

    Raises:
        ModelError, DeviceError, UsageError, OutOfMemory: see `session.load` and `LoadedModel.infer`.
    """
    found = None if fresh else known(path, device=device, threads=threads, assume=assume)
    if found is not None:
        return found
    threads = devices.cores() if threads is None else threads
    given = dict(assume or {})
    speed = Speed(**_measured({"path": str(path), "device": device, "threads": threads, "assume": given}))
    if speed.idle and (key := _key(path, speed.device, threads, given)) is not None:
        cache.put("speeds", key, dataclasses.asdict(speed))
    return speed


def known(
    path: Path, *, device: str = "auto", threads: int | None = None, assume: Mapping[str, str] | None = None
) -> Speed | None:
    """The earlier measurement of this file on this machine; None if there is none. See `measure` for the arguments."""
    threads = devices.cores() if threads is None else threads
    key = _key(path, expected_device(device), threads, dict(assume or {}))
    kept = None if key is None else cache.get("speeds", key)
    try:
        return None if kept is None else Speed(**kept)
    except (TypeError, ValueError):  # written by another version, or edited
        return None


def expected_device(device: str) -> str:
    """The device that `device` selects, determined without loading CUDA."""
    if device == "cuda" or (device == "auto" and "onnxruntime-gpu" in _wheels()):
        return "cuda:0"
    return "cpu" if device == "auto" else device


def _key(path: Path, device: str, threads: int, assume: dict[str, str]) -> list[Any] | None:
    """The cache key: all that a measurement depends on. None if the file is unreadable, which measuring reports."""
    try:
        file = path.stat()
    except OSError:
        return None
    known = [str(path.resolve()), file.st_size, file.st_mtime_ns, device, threads, sorted(assume.items())]
    # Through JSON, so that it equals the key read back from the cache.
    return json.loads(json.dumps([*known, _wheels(), cpu.name()]))  # type: ignore[no-any-return]


def _wheels() -> dict[str, str]:
    """Versions of the packages that may provide `import onnxruntime`."""
    import importlib.metadata

    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _measured(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure in a separate process."""
    if not sys.executable:  # Python is embedded in another program
        from img2img.runtime.network import speed_process

        path, device = Path(arguments["path"]), arguments["device"]
        return speed_process.measure(path, device, arguments["threads"], arguments["assume"])
    # Our folder goes to the end of the path, and -P removes the current one, so that they hide no standard module.
    package = str(Path(errors.__file__).parents[1])
    code = f"import sys; sys.path.append({package!r}); from img2img.runtime.network.speed_process import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            input=json.dumps(arguments),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
        found = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ModelError(f"{arguments['path']}: cannot be measured: {error}") from error
    if "error" in found:
        kind = (
            inference_errors.OutOfMemory
            if found["error"] == "OutOfMemory"
            else getattr(errors, found["error"], ModelError)
        )
        raise kind(found["message"], hint=found["hint"])
    if not found:
        printed = done.stderr.strip().splitlines()
        why = printed[-1] if printed else f"the measuring process ended with status {done.returncode}"
        raise ModelError(f"{arguments['path']}: cannot be measured: {why}")
    return found
