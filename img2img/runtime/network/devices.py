"""Creates onnxruntime sessions on the CPU and on CUDA. Measurements decided their settings."""

import contextlib
import io
import math
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.errors import DeviceError, ModelError, UsageError
from img2img.runtime.network import header, inference_errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# The parts of onnxruntime's message about a file that is newer than onnxruntime itself.
_NEWEST = re.compile(r"max supported IR version: (\d+)|domain ai\.onnx is till opset (\d+)")
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_MAX_SHAPES = 2  # input shapes whose buffers are kept: a row of tiles is run in groups of at most two sizes


def create(path: Path, device: str, threads: int | None) -> tuple[Any, str, list[str]]:
    """Create a session for the ONNX file at `path`.

    Args:
        path: a model that passed `model_file.require_safe`.
        device: "auto" (CUDA if it works, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: all that this process may use.

    Returns:
        The session, the device it runs on ("cpu" or "cuda:N"), and notes for the user.

    Raises:
        UsageError: `device` or `threads` has an invalid value.
        DeviceError: CUDA was requested and does not work; the message says what to install.
        ModelError: onnxruntime rejects the file.
        OutOfMemory: the model does not fit.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    threads = cores() if threads is None else threads
    if device == "cpu":
        return _cpu(path, threads), "cpu", []
    number = int(device.partition(":")[2] or 0)
    try:
        return _cuda(path, threads, number)
    except DeviceError as error:
        if device != "auto":
            raise
        # A machine without the CUDA package is common and needs no note. Broken CUDA needs one.
        notes = [f"running on the CPU: {error}"] if _CUDA in _onnxruntime().get_available_providers() else []
        return _cpu(path, threads), "cpu", notes


class BufferedSession:
    """Runs a session on buffers that stay on its device, which avoids allocating memory for each run.

    The first run with given input shapes uses no buffers and reveals the result's shape. Buffers are created when the
    same shapes come again, so a picture of a unique size costs no buffers.

    Args:
        session: an onnxruntime session.
        device: "cpu" or "cuda:N", where the session runs. On the CPU, buffers gain nothing.
    """

    def __init__(self, session: Any, device: str) -> None:
        self._session = session
        kind, _, number = device.partition(":")
        self._place = (kind, int(number or 0))
        self._is_host = kind == "cpu"
        # Shapes and types of the inputs -> shape and type of the result, and the buffers or None.
        self._kept: dict[Any, tuple[tuple[int, ...], Any, Any]] = {}
        self._lock = threading.Lock()

    def run(self, output: str, feeds: "dict[str, npt.NDArray[Any]]") -> "npt.NDArray[Any]":
        """Compute the output of that name for these inputs. Raises onnxruntime's exceptions."""
        key = (output, *((name, array.shape, array.dtype.str) for name, array in feeds.items()))
        with self._lock:
            known = self._kept.pop(key, None)  # inserted again below as the most recently used entry
            try:
                if known is None:
                    result: npt.NDArray[Any] = self._session.run([output], feeds)[0]
                    known = (result.shape, result.dtype, None)
                else:
                    shape, dtype, buffers = known
                    buffers = buffers or self._buffers(output, feeds, shape, dtype)
                    result = self._run_on(buffers, output, feeds)
                    known = (shape, dtype, buffers)
            except Exception:
                self._kept.clear()  # memory may have run out: leave all of it to the next attempt
                raise
            self._kept[key] = known
            while len(self._kept) > _MAX_SHAPES:
                del self._kept[next(iter(self._kept))]
            return result

    def _buffers(
        self, output: str, feeds: "dict[str, npt.NDArray[Any]]", shape: tuple[int, ...], dtype: "np.dtype[Any]"
    ) -> Any:
        """Create an onnxruntime binding and the values that it binds."""
        make = _onnxruntime().OrtValue.ortvalue_from_shape_and_type
        binding = self._session.io_binding()
        values = {name: make(array.shape, array.dtype.type, *self._place) for name, array in feeds.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        values[output] = make(shape, dtype.type, *self._place)
        binding.bind_ortvalue_output(output, values[output])
        return binding, values

    def _run_on(self, buffers: Any, output: str, feeds: "dict[str, npt.NDArray[Any]]") -> "npt.NDArray[Any]":
        binding, values = buffers
        for name, array in feeds.items():
            values[name].update_inplace(array)
        self._session.run_with_iobinding(binding)
        result: npt.NDArray[Any] = values[output].numpy()
        return result.copy() if self._is_host else result  # on the host, `result` is the buffer itself


def cores() -> int:
    """Number of CPU cores that this process may use, by its affinity and the limit of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


def _onnxruntime() -> Any:
    """Import onnxruntime and silence it. Imported late: it takes 0.1 s, which `--help` and `models` do not need."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(f"onnxruntime does not work here ({error}): run pip install onnxruntime") from error
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
        # With enable_fallback, onnxruntime would replace CUDA by the CPU on its own and print a banner to stdout.
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except inference_errors.runtime_errors() as error:
        newest = _NEWEST.search(str(error))
        if newest is None:
            raise inference_errors.convert(error, f"{path}: onnxruntime cannot load it") from error
        known = f"IR version {newest[1]}" if newest[1] else f"opset {newest[2]}"
        raise ModelError(
            f"{path}: the file ({header.read(path).versions()}) is newer than onnxruntime {ort.__version__}, which"
            f" reads up to {known}: run pip install -U onnxruntime"
        ) from error


def _cpu(path: Path, threads: int) -> Any:
    return _session(path, _options(threads), [_CPU])


def _cuda(path: Path, threads: int, number: int) -> tuple[Any, str, list[str]]:
    ort = _onnxruntime()
    if _CUDA not in ort.get_available_providers():
        raise DeviceError(_how_to_get_cuda())
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
        raise DeviceError(
            f"onnxruntime could not start CUDA device {number} (driver, CUDA or cuDNN libraries missing"
            f"{': ' + why[0] if why else ''}): run pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return session, f"cuda:{number}", notes


def _how_to_get_cuda() -> str:
    packages = {one for one in ("onnxruntime", "onnxruntime-gpu") if _is_installed(one)}
    if len(packages) == 2:
        return (
            "onnxruntime and onnxruntime-gpu are both installed, and the one without CUDA hides the other:"
            " run pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    if "onnxruntime-gpu" in packages:
        return "onnxruntime-gpu is installed, but does not support CUDA on this machine"
    return "this onnxruntime does not support CUDA: run pip install --force-reinstall --no-deps onnxruntime-gpu"


def _is_installed(package: str) -> bool:
    import importlib.metadata  # imported late: it takes 20 ms and only an error message needs it

    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
