"""Read torch's .pth files as data: nothing that they name is imported, called or created.

A .pth file is a program for Python's unpickler. Here every name that it may use stands for something harmless in this
module. A tensor becomes a description, which is compared with the size of the file before memory is allocated for it.
"""

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from torch import Tensor

from img2img.errors import CheckpointError

MAGIC = 0x1950A86A20F9469CFC6C
"""First value of the files that torch wrote before version 1.6 (2020)."""

MAX_SHARING = 4
"""The tensors may claim this many times the size of the file, because tensors may share memory (tied weights)."""

MAX_PICKLE_BYTES = 256 * 2**20
"""The pickle holds names and shapes, not the numbers. Real ones have a few MB at most."""

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
    """An OrderedDict in the file."""


class Placeholder:
    """Stands for an ignored object. Accepts every operation and does nothing."""

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
    return TensorDescription(storage, dtype, offset, tuple(size), tuple(stride))


def _parameter(data: TensorDescription, *others: object) -> TensorDescription:
    return data


ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": Record,
    "typing.OrderedDict": Record,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{name}": dtype for name, dtype in STORAGE_TYPES.items()},
    **{f"torch.storage.{name}": dtype for name, dtype in STORAGE_TYPES.items()},
    **{str(dtype): dtype for dtype in STORAGE_TYPES.values()},
}


class Refused(CheckpointError):
    """The pickle needs something that weights never need, so it is not opened."""


class Reader(pickle._Unpickler):
    """An unpickler that knows only the names in `ALLOWED` and `IGNORED`, and imports none of them.

    Based on the unpickler in Python: the one in C allocates memory for as many objects as a file claims to have.
    """

    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        if any(full.startswith(one) if one.endswith(".") else full == one for one in IGNORED):
            return Placeholder
        raise Refused(
            f"holds more than weights: the Python object {full}. It is not opened, because this could run any program"
            " (if this is your own model, save its state_dict())"
        )

    def get_extension(self, code: int) -> None:
        raise Refused("holds more than weights (a registered extension), so it is not opened")

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("holds a whole module with its source code instead of weights, so it is not opened")
        _, dtype, key, _, numel, *view = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(numel, int) or numel < 0 or any(view):
            raise CheckpointError("holds a storage of an unknown type")
        return Storage(dtype, str(key), numel)

    def load_build(self) -> None:
        # The original could change a tensor description after its check. Nothing allowed here needs a state.
        self.stack.pop()
        if not isinstance(self.stack[-1], Record | Placeholder):
            raise CheckpointError("gives a state to an object that has none")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


Choose = Callable[[Any], dict[str, TensorDescription]]
"""Takes the content of a file and returns the tensors to read. Raises CheckpointError if there are none."""


def load(path: Path, choose: Choose) -> dict[str, Tensor]:
    """The tensors that `choose` picks from the file at `path`. No others are read.

    Reads the files that `torch.save` writes: zip archives since torch 1.6, a series of pickles before.

    Raises:
        CheckpointError: the file is damaged, claims more than it holds, or holds more than weights and what training
            code stores beside them. Nothing of it has been executed. The message does not name the file.
    """
    try:
        with path.open("rb") as file:
            return _load_zip(file, choose) if file.read(4) == b"PK\x03\x04" else _load_old(file, choose)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error})") from error
    except Exception as error:  # an unpickler fails in countless ways on damaged files
        raise CheckpointError(f"is damaged or cut short ({type(error).__name__}: {error})") from error


def _load_zip(file: BinaryIO, choose: Choose) -> dict[str, Tensor]:
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    root = next((name[: -len("data.pkl")] for name in entries if name.endswith("data.pkl")), None)
    if root is None:
        raise CheckpointError("is a zip archive, but not from torch")
    if any(name.startswith(f"{root}code/") for name in entries):
        raise Refused("is a TorchScript program instead of weights, so it is not opened; get its state dict")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError("is compressed, unlike any file from torch")
    if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError("was written on a big-endian machine")
    if entries[f"{root}data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError("is not a weights file: its list of tensors is larger than 256 MB")
    chosen = choose(Reader(io.BytesIO(archive.read(f"{root}data.pkl")), encoding="utf-8").load())
    blocks: dict[str, bytearray] = {}
    for storage in _storages(chosen, file.seek(0, io.SEEK_END)):
        held = entries[f"{root}data/{storage.key}"].file_size
        if held < storage.numel * storage.dtype.itemsize:
            raise CheckpointError(f"claims a block of {storage.numel} numbers, but holds only {held} bytes of it")
        blocks[storage.key] = bytearray(archive.read(f"{root}data/{storage.key}"))
    return {key: _as_tensor(blocks[one.storage.key], one) for key, one in chosen.items()}


def _load_old(file: BinaryIO, choose: Choose) -> dict[str, Tensor]:
    file.seek(0)
    data = io.BytesIO(file.read())
    file_size = len(data.getbuffer())
    start = data.getvalue()[:512]
    if start[:1] != b"\x80":
        raise CheckpointError(_describe(start))
    # Magic number, protocol version, machine, content, keys of the storages; then count and numbers of each storage.
    if Reader(data, encoding="utf-8").load() != MAGIC:
        raise CheckpointError("is a pickle, but not from torch")
    Reader(data, encoding="utf-8").load()
    machine = Reader(data, encoding="utf-8").load()
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise CheckpointError("was written on a big-endian machine")
    reader = _StorageCollector(data, encoding="utf-8")
    chosen = choose(reader.load())
    _storages(chosen, file_size)
    blocks: dict[str, bytearray] = {}
    for key in Reader(data, encoding="utf-8").load():
        storage = reader.storages[str(key)]
        (count,) = struct.unpack("<q", data.read(8))
        size = storage.numel * storage.dtype.itemsize
        left = file_size - data.tell()
        if count != storage.numel or size > left:
            raise CheckpointError(f"claims a block of {storage.numel} numbers, but only {left} bytes follow")
        blocks[storage.key] = bytearray(data.read(size))
    return {key: _as_tensor(blocks[one.storage.key], one) for key, one in chosen.items()}


def _storages(chosen: dict[str, TensorDescription], file_size: int) -> list[Storage]:
    """The storages of the tensors in `chosen`.

    Raises:
        CheckpointError: the tensors claim too much for a file of `file_size` bytes.
    """
    claimed = sum(one.numel * one.dtype.itemsize for one in chosen.values())
    if claimed > MAX_SHARING * file_size:
        raise CheckpointError(f"claims tensors of {claimed} bytes, but the file has only {file_size}")
    return list({one.storage.key: one.storage for one in chosen.values()}.values())


class _StorageCollector(Reader):
    """A reader that remembers the storages that it meets."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        storage = super().persistent_load(pid)
        return self.storages.setdefault(storage.key, storage)


def _as_tensor(block: bytearray, tensor: TensorDescription) -> Tensor:
    if not tensor.numel:
        return torch.empty(tensor.size, dtype=tensor.dtype)
    return torch.frombuffer(block, dtype=tensor.dtype).as_strided(tensor.size, tensor.stride, tensor.offset)


def _describe(start: bytes) -> str:
    """What is wrong with a file that begins like this. Recognises common mistakes."""
    if start.lstrip().startswith(b"<"):
        return "is a web page instead of weights: the download went wrong"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer instead of the weights: fetch them with git lfs pull"
    if b"ustar" in start:
        return "is a tar archive: from torch before 0.2, or not from torch"
    if not start.strip(b"\0"):
        return "is empty"
    return "is neither a torch file nor a safetensors file"
