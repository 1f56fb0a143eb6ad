"""Creates onnxruntime sessions on the CPU and on CUDA, with settings that measurements decided.

Ctrl-C, a batch that stops, and a time limit can end what a session does. A network may contain a loop that never ends.
Python handles signals in the main thread only, between two instructions, and a call into onnxruntime is one
instruction. So onnxruntime never runs in the main thread.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from img2img.errors import DeviceError, ModelError, UsageError
from img2img.runtime.network import header, inference_errors
from img2img.text import show, show_duration
from img2img.threads import TookTooLong, off_main

T = TypeVar("T")

LIMIT = 30.0
"""Seconds that probing or verifying a model may take. The pictures have some thousand pixels: large networks take a
second or two. Loading takes as long, and a little longer for large files."""

_BYTES_PER_SECOND = 10e6  # of a file that is loaded; slow disks and CUDA have more

# The parts of onnxruntime's message about a file that is newer than onnxruntime itself.
_NEWEST = re.compile(r"max supported IR version: (\d+)|domain ai\.onnx is till opset (\d+)")
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def create(path: Path, device: str, threads: int | None) -> tuple[Any, str, list[str]]:
    """Create a session for the ONNX file at `path`.

    Args:
        path: a model that passed `model_file.require_safe`.
        device: "auto" (CUDA if it works, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: all that this process may use.

    Returns:
        The session, the device it runs on ("cpu" or "cuda:N"), and notes for the user.

    Raises:
        UsageError: `device` has an invalid value.
        DeviceError: CUDA was requested and does not work; the message says what to install.
        ModelError: onnxruntime rejects the file.
        OutOfMemory: the model does not fit.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
    threads = cores() if threads is None else threads
    if is_cpu(device):
        return _session(path, _options(threads), [_CPU]), "cpu", []
    number = int(device.partition(":")[2] or 0)
    try:
        return _cuda(path, threads, number)
    except DeviceError as error:
        if device != "auto":
            raise
        return _session(path, _options(threads), [_CPU]), "cpu", [f"running on the CPU: {error}"]


def is_cpu(device: str) -> bool:
    """Whether `device` means the CPU. "auto" does on a machine without CUDA, which is common and needs no note."""
    return device == "cpu" or (device == "auto" and _CUDA not in _onnxruntime().get_available_providers())


def cores() -> int:
    """Number of CPU cores that this process may use, by its affinity and the limit of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


class StoppableSession:
    """An onnxruntime session whose runs can be ended by `stop`, by Ctrl-C and by a time limit. Threads may share it."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._deadline: float | None = None
        self._running: set[Any] = set()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
        """Like onnxruntime's `run`. Raises TookTooLong inside `limited`, and what onnxruntime raises."""
        found: list[Any] = self._guarded(lambda options: self._session.run(outputs, feeds, options))
        return found

    def run_with_iobinding(self, binding: Any) -> None:
        """Like onnxruntime's `run_with_iobinding`."""
        self._guarded(lambda options: self._session.run_with_iobinding(binding, options))

    def stop(self) -> None:
        """End all current runs. They raise onnxruntime's exception for that."""
        with self._lock:
            for options in self._running:
                options.terminate = True

    @contextlib.contextmanager
    def limited(self, seconds: float = LIMIT) -> Iterator[None]:
        """Give all runs inside the block `seconds` together."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except TookTooLong as error:
            raise TookTooLong(f"it does not finish within {show_duration(seconds)}") from error
        finally:
            self._deadline = None

    def _guarded(self, call: Callable[[Any], T]) -> T:
        from onnxruntime import RunOptions

        options = RunOptions()
        with self._lock:
            self._running.add(options)
        try:
            if self._deadline is None and threading.current_thread() is not threading.main_thread():
                return call(options)
            return off_main(lambda: call(options), stop=self.stop, deadline=self._deadline)
        finally:
            with self._lock:
                self._running.discard(options)


def stoppable(model: Path | bytes, options: Any, providers: list[Any]) -> StoppableSession:
    """Create an onnxruntime session. Every session comes from here, because loading a model may never end, either.

    onnxruntime computes constant parts of a network while it loads it.

    Args:
        model: the path or the content of an ONNX file.
        options: onnxruntime's `SessionOptions`.

    Raises:
        TookTooLong: it does not load in time. Other exceptions come from onnxruntime.
    """
    import onnxruntime

    # With enable_fallback, onnxruntime would replace CUDA by the CPU on its own and print a banner to stdout.
    given: dict[str, Any] = {"providers": providers, "enable_fallback": 0}
    file = model if isinstance(model, bytes) else str(model)
    seconds = LIMIT + (len(model) if isinstance(model, bytes) else _size(model)) / _BYTES_PER_SECOND

    def stop() -> None:
        if hasattr(options, "set_load_cancellation_flag"):  # new in onnxruntime 1.21
            options.set_load_cancellation_flag(True)

    try:
        session = off_main(
            lambda: onnxruntime.InferenceSession(file, options, **given), stop=stop, deadline=time.monotonic() + seconds
        )
    except TookTooLong as error:
        name = "the model" if isinstance(model, bytes) else show(model)
        raise TookTooLong(f"{name}: loading it does not finish within {show_duration(seconds)}") from error
    return StoppableSession(session)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # onnxruntime reports it
        return 0


def _onnxruntime() -> Any:
    """Import onnxruntime and silence it. Imported late: it takes 0.1 s, which `--help` and `models` do not need."""
    try:
        import onnxruntime
    except ImportError as error:
        hint = "run pip install onnxruntime"
        raise DeviceError(f"onnxruntime does not work here ({error}): {hint}", hint=hint) from error
    onnxruntime.disable_telemetry_events()
    # 4 = fatal only. Other errors raise exceptions as well, and the user should see one line, not two.
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime


def _options(threads: int) -> Any:
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    # Spinning is 5 to 8 % faster if the network has the machine to itself (48 features, 10 convs, 256x256, 2 cores:
    # 177 ms instead of 190) but uses 10 % more CPU time (440 ms per run instead of 397). Decoding and encoding need
    # that time: next to one encoding thread, both the network and the encoder were faster without spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # 300 runs at random sizes up to 420x420, x4 (24 features, 6 convs). Resident MB after 20, 100, 300 runs | peak
    # | CPU seconds per megapixel:
    #   arena, no pattern      187 187 188 | 188 | 2.04   chosen: memory stays at what the largest size needs
    #   arena, pattern         187 208 240 | 239 | 2.05   keeps a plan for every size
    #   no arena, no pattern   218 250 243 | 368 | 2.35   maps and zeroes every buffer again
    #   no arena, pattern      277 387 518 | 521 | 2.38
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    return options


def _session(path: Path, options: Any, providers: list[Any]) -> Any:
    ort = _onnxruntime()
    try:
        return stoppable(path, options, providers)
    except inference_errors.runtime_errors() as error:
        newest = _NEWEST.search(str(error))
        if newest is None:
            raise inference_errors.convert(error, f"{path}: onnxruntime cannot load it") from error
        known = f"IR version {newest[1]}" if newest[1] else f"opset {newest[2]}"
        hint = "run pip install -U onnxruntime"
        raise ModelError(
            f"{path}: the file ({header.read(path).versions()}) is newer than onnxruntime {ort.__version__}, which"
            f" reads up to {known}: {hint}",
            hint=hint,
        ) from error


def _cuda(path: Path, threads: int, number: int) -> tuple[Any, str, list[str]]:
    ort = _onnxruntime()
    if _CUDA not in ort.get_available_providers():
        raise _no_cuda()
    printed = io.StringIO()
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(printed):  # it prints, and stdout may carry a picture
            ort.preload_dlls()
    # HEURISTIC: an exhaustive search takes seconds for every new picture size.
    provider = (_CUDA, {"device_id": str(number), "cudnn_conv_algo_search": "HEURISTIC"})
    notes = []
    try:
        try:
            options = _options(threads)
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            session = _session(path, options, [provider])
        except ModelError as error:
            if "explicitly disabled" not in str(error.__cause__):
                raise
            # Some operators have no CUDA kernel, or are faster on the CPU (arithmetic on shapes).
            session = _session(path, _options(threads), [provider, _CPU])
            notes.append(f"{path.name}: some of its operators run on the CPU")
    except ModelError as error:
        raise DeviceError(
            f"CUDA device {number} does not work: {inference_errors.first_line(error.__cause__ or error)}"
        ) from error
    if _CUDA not in session.get_providers():
        why = printed.getvalue().strip().splitlines()
        hint = "run pip install 'onnxruntime-gpu[cuda,cudnn]'"
        raise DeviceError(
            f"onnxruntime could not start CUDA device {number} (driver, CUDA or cuDNN libraries missing"
            f"{': ' + why[0] if why else ''}): {hint}",
            hint=hint,
        )
    return session, f"cuda:{number}", notes


def _no_cuda() -> DeviceError:
    packages = {one for one in ("onnxruntime", "onnxruntime-gpu") if _is_installed(one)}
    if packages == {"onnxruntime-gpu"}:
        return DeviceError("onnxruntime-gpu is installed, but does not support CUDA on this machine")
    problem = "this onnxruntime does not support CUDA"
    if len(packages) == 2:
        problem = "onnxruntime and onnxruntime-gpu are both installed, and the one without CUDA hides the other"
    hint = "run pip install --force-reinstall --no-deps onnxruntime-gpu"
    return DeviceError(f"{problem}: {hint}", hint=hint)


def _is_installed(package: str) -> bool:
    import importlib.metadata  # imported late: it takes 20 ms and only an error message needs it

    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
