"""What the values in torch's .pth files become: harmless stand-ins for the objects that the files describe."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from img2img.errors import CheckpointError

MAX_DIMENSIONS = 16
"""The most dimensions of a tensor. Weights have up to 5."""

STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}

BUILTINS = ("dict", "list", "set", "frozenset", "int", "float", "str", "bool", "bytes")

IGNORED = (
    "argparse.Namespace",
    "easydict.EasyDict",
    "collections.defaultdict",
    "collections.Counter",
    "copyreg.",
    "_codecs.encode",
    "numpy.",
    "omegaconf.",
    "pathlib.",
    "datetime.",
    "pytorch_lightning.",
    "lightning.",
    "typing.",
    "enum.Enum",
    "torch.device",
    "torch.Generator",
    "torch.optim.",
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in BUILTINS),
)
"""What training code stores in checkpoints beside the weights: options, counters, optimisers. Each becomes a
`Placeholder`. A name that ends with a dot stands for a whole package."""


class Record(dict[Any, Any]):
    """A dictionary in the file. Its keys are texts and integers; entries with other simple keys are dropped.

    Raises:
        CheckpointError: a key is something else. Hashing nested tuples can take forever.
    """

    __slots__ = ()

    def __init__(self, pairs: object = ()) -> None:
        if not isinstance(pairs, list | tuple):  # Python 2 wrote the pairs of an OrderedDict as one list
            raise CheckpointError("holds a dictionary that is built in an unknown way")
        super().__init__()
        for key, value in pairs:
            self[key] = value

    def __setitem__(self, key: object, value: object) -> None:
        if isinstance(key, str) or (isinstance(key, int) and -(2**63) <= key < 2**63):
            super().__setitem__(key, value)
        elif not isinstance(key, float | bytes | type | Placeholder | None):
            raise CheckpointError(f"holds a dictionary whose keys are no names ({type(key).__name__})")


class Placeholder:
    """Stands for an ignored object. Accepts every operation and does nothing."""

    __slots__ = ()

    def __new__(cls, *args: object, **named: object) -> "Placeholder":
        return super().__new__(cls)

    def __init__(self, *args: object, **named: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def _ignore(self, *values: object) -> None:
        pass

    append = extend = add = __call__ = _ignore


@dataclass(frozen=True)
class Storage:
    """A block of numbers in the file."""

    dtype: torch.dtype
    key: str
    numel: int


@dataclass(frozen=True)
class TensorDescription:
    """A tensor as the file describes it: its value at an index is element `offset + sum(stride * index)` of `storage`.

    Raises:
        CheckpointError: the description does not fit its storage.
    """

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.size, *self.stride)
        if not all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers) or len(self.size) != len(self.stride):
            raise CheckpointError("holds a tensor of impossible shape")
        if not isinstance(self.storage, Storage):
            raise CheckpointError("holds a tensor without numbers")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        held = self.storage.numel * self.storage.dtype.itemsize // self.dtype.itemsize
        if self.numel and (last >= held or self.numel > held):
            raise CheckpointError(f"holds a tensor of shape {list(self.size)}, but only {held} numbers for it")

    @property
    def numel(self) -> int:
        return math.prod(self.size)


def _tensor(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *others: Any
) -> TensorDescription:
    # `others`: requires_grad, hooks, and in version 3 the dtype, because its storage has none.
    dtype = next((one for one in others if isinstance(one, torch.dtype)), storage.dtype)
    return TensorDescription(storage, dtype, offset, _size(size), _size(stride))


def _size(sides: object = ()) -> tuple[int, ...]:
    """The shape or the strides of a tensor. Raises CheckpointError."""
    if not isinstance(sides, list | tuple) or len(sides) > MAX_DIMENSIONS:
        raise CheckpointError("holds a tensor of impossible shape")
    return tuple(sides)


def _parameter(data: TensorDescription, *others: object) -> TensorDescription:
    return data


ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": Record,
    "typing.OrderedDict": Record,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{name}": dtype for name, dtype in STORAGE_TYPES.items()},
    **{f"torch.storage.{name}": dtype for name, dtype in STORAGE_TYPES.items()},
    **{str(dtype): dtype for dtype in STORAGE_TYPES.values()},
}
