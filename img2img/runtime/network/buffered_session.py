"""Runs a session on buffers that stay on its device: for CUDA."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MAX_SHAPES = 2  # input shapes whose buffers are kept: a row of tiles is run in groups of at most two sizes


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

    def run(self, output: str, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
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
        self, output: str, feeds: dict[str, npt.NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Any:
        """Create an onnxruntime binding and the values that it binds."""
        import onnxruntime

        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        binding = self._session.io_binding()
        values = {name: make(array.shape, array.dtype.type, *self._place) for name, array in feeds.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        values[output] = make(shape, dtype.type, *self._place)
        binding.bind_ortvalue_output(output, values[output])
        return binding, values

    def _run_on(self, buffers: Any, output: str, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        binding, values = buffers
        for name, array in feeds.items():
            values[name].update_inplace(array)
        self._session.run_with_iobinding(binding)
        result: npt.NDArray[Any] = values[output].numpy()
        return result.copy() if self._is_host else result  # on the host, `result` is the buffer itself
