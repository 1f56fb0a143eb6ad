"""Errors that occur while a network runs, and the conversion of onnxruntime's exceptions into them."""

import functools
import re

from img2img.errors import ExitStatus, Img2ImgError, ModelError
from img2img.threads import NoThreads

# onnxruntime has no exception types for this. These are the texts of its two CPU allocators, of its CUDA arena, and of
# CUDA's own libraries (a convolution requests scratch memory from cuDNN directly).
_OUT_OF_MEMORY = re.compile(
    r"bad[_ ]alloc|failed to allocate memory|out of memory|available memory of"
    r"|(?:CUDNN|CUBLAS)_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)


_OUT_OF_THREADS = re.compile(r"pthread_create failed|beginthreadex failed", re.IGNORECASE)


class OutOfMemory(Img2ImgError, MemoryError):
    """A run needs more memory than the device has. Smaller tiles may fit."""


class BrokenOutput(ModelError):
    """A model's result is no valid picture: it contains NaN or infinity, or its size contradicts the card."""

    status = ExitStatus.SOME_FAILED


@functools.cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """Return all exception types that onnxruntime raises; they have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (*own, RuntimeError, MemoryError, ValueError)


def convert(error: Exception, what: str) -> Img2ImgError:
    """Convert one of `runtime_errors` into an error of ours; `what` names the file and the failed action."""
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        return OutOfMemory(f"{what}: out of memory")
    if _OUT_OF_THREADS.search(str(error)):
        return NoThreads()
    return ModelError(f"{what}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of an onnxruntime message, without its error codes and the path of the file."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?", "", lines[0]).strip()
    return text if len(text) <= 300 else f"{text[:300]}…"
