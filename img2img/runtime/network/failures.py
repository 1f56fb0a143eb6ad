"""What can go wrong while a network runs, as types, and how onnxruntime's exceptions become them."""

import functools
import re

from img2img.errors import ExitStatus, Img2ImgError, ModelError

# onnxruntime has no exception type for it. The texts of its two CPU allocators, of its CUDA arena, and of CUDA's
# own libraries (a convolution asks cuDNN for scratch memory by itself).
_OUT_OF_MEMORY = re.compile(
    r"bad[_ ]alloc|failed to allocate memory|out of memory|available memory of"
    r"|(?:CUDNN|CUBLAS)_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)


class OutOfMemory(Img2ImgError, MemoryError):
    """A run needs more memory than the device has. A smaller tile may fit."""


class BrokenOutput(ModelError):
    """A model computed values that are no picture: not a number, infinite, or of another size than promised."""

    status = ExitStatus.SOME_FAILED


@functools.cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """Every exception that onnxruntime raises by itself; they have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (*own, RuntimeError, MemoryError, ValueError)


def typed(error: Exception, what: str) -> Img2ImgError:
    """The typed error for one of `runtime_errors`; `what` says which file and what was tried."""
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        return OutOfMemory(f"{what}: out of memory")
    return ModelError(f"{what}: {short(error)}")


def short(error: BaseException) -> str:
    """The first line of an onnxruntime message, without its codes."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0]).strip()
    return text if len(text) <= 300 else f"{text[:300]}…"
