"""How fast a model is on this machine and what memory it takes: a short measurement, kept in the user's cache."""

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
from img2img.runtime.network import cache, cpu, devices, failures

_TIMEOUT = 300  # seconds for a measurement: RRDB with 23 blocks takes 3 on one slow core


@dataclass(frozen=True)
class Speed:
    """What was measured of a model on this machine.

    Attributes:
        seconds_per_megapixel: wall time of the bare network for 10^6 pixels of its input, one run after the other.
        side_by_side: the same for runs at the same time, one for each thread, as batches do them; None: not measured.
        bytes_per_pixel: host memory that the network takes for each input pixel of a window.
        base: bytes of a process that has the model loaded and does nothing else.
        device: "cpu" or "cuda:N", where it ran.
        calm: whether the machine had time for it. What is measured while it is busy is true now and not kept.
        window: height and width in pixels where the network takes no others; None: any.
    """

    seconds_per_megapixel: float
    bytes_per_pixel: float
    base: int
    device: str
    calm: bool = True
    window: tuple[int, int] | None = None
    side_by_side: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.seconds_per_megapixel, self.bytes_per_pixel, self.base]
        numbers += [] if self.side_by_side is None else [self.side_by_side]
        if not all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in numbers):
            raise ValueError(f"no measurement: {self}")
        if self.window is not None:  # JSON has lists
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
    """Measure a model, or look up what was measured before of this file on this machine. About a second.

    Args:
        path: the model's file.
        device, threads: as `session.load` takes them.
        assume: what is assumed of a file without a card, as `session.load` takes it.
        fresh: measure whatever the cache holds.

    Raises:
        ModelError, DeviceError, UsageError, OutOfMemory: as `session.load` and `Model.infer`.
    """
    found = None if fresh else known(path, device=device, threads=threads, assume=assume)
    if found is not None:
        return found
    threads = devices.cores() if threads is None else threads
    given = dict(assume or {})
    speed = Speed(**_measured({"path": str(path), "device": device, "threads": threads, "assume": given}))
    if speed.calm and (key := _key(path, speed.device, threads, given)) is not None:
        cache.put("speeds", key, dataclasses.asdict(speed))
    return speed


def known(
    path: Path, *, device: str = "auto", threads: int | None = None, assume: Mapping[str, str] | None = None
) -> Speed | None:
    """What was measured before of this file on this machine; None: nothing. Arguments as of `measure`."""
    threads = devices.cores() if threads is None else threads
    key = _key(path, expected_device(device), threads, dict(assume or {}))
    kept = None if key is None else cache.get("speeds", key)
    try:
        return None if kept is None else Speed(**kept)
    except (TypeError, ValueError):  # of another version, or edited
        return None


def expected_device(device: str) -> str:
    """Where `device` leads, told without loading CUDA."""
    if device == "cuda" or (device == "auto" and "onnxruntime-gpu" in _wheels()):
        return "cuda:0"
    return "cpu" if device == "auto" else device


def _key(path: Path, device: str, threads: int, assume: dict[str, str]) -> list[Any] | None:
    """What a measurement is true for; None where the file cannot be looked at, which measuring will say better."""
    try:
        file = path.stat()
    except OSError:
        return None
    known = [str(path.resolve()), file.st_size, file.st_mtime_ns, device, threads, sorted(assume.items())]
    return json.loads(json.dumps([*known, _wheels(), cpu.name()]))  # type: ignore[no-any-return]  # as it is read back


def _wheels() -> dict[str, str]:
    """Versions of the packages that may be behind `import onnxruntime`."""
    import importlib.metadata

    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _measured(asked: dict[str, Any]) -> dict[str, Any]:
    if not sys.executable:  # Python inside another program
        from img2img.runtime.network import speed_process

        return speed_process.measure(Path(asked["path"]), asked["device"], asked["threads"], asked["assume"])
    # At the end of the path, and -P: neither a folder of ours nor the current one may hide a module of Python's.
    own = str(Path(errors.__file__).parents[1])
    code = f"import sys; sys.path.append({own!r}); from img2img.runtime.network.speed_process import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            input=json.dumps(asked),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
        found = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ModelError(f"{asked['path']}: it could not be measured: {error}") from error
    if "error" in found:
        kind = failures.OutOfMemory if found["error"] == "OutOfMemory" else getattr(errors, found["error"], ModelError)
        raise kind(found["message"])
    if not found:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else f"its process ended with status {done.returncode}"
        raise ModelError(f"{asked['path']}: it could not be measured: {why}")
    return found
