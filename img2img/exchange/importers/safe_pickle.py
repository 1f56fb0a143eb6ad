"""Read torch's .pth files as data: nothing that they name is imported, called or created.

A .pth file is a program for Python's unpickler. Here every name that it may use stands for something harmless in this
module. A tensor becomes a description, which is compared with the size of the file before memory is allocated for it.

Reading takes time and memory in proportion to the file: the steps of the program are limited, no step copies or hashes
more than it reads, and keys are texts and integers. So every file ends, and Ctrl-C works between two steps.
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

from img2img.errors import CheckpointError, Img2ImgError
from img2img.exchange.listing import shortened

MAGIC = 0x1950A86A20F9469CFC6C
"""First value of the files that torch wrote before version 1.6 (2020)."""

MAX_SHARING = 4
"""The tensors may claim this many times the size of the file, because tensors may share memory (tied weights)."""

MAX_PICKLE_BYTES = 64 * 2**20
"""The pickle holds names and shapes, not the numbers. Real ones have a few MB at most."""

MAX_STEPS = 2_000_000
"""The most steps of the unpickler in one file: some seconds, and some hundred MB. A tensor takes about 40."""

MAX_DIRECTORY_BYTES = 8 * 2**20
"""The most bytes of the table of contents of a zip file: some hundred thousand blocks of numbers."""

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


class Refused(CheckpointError):
    """The pickle needs something that weights never need, so it is not opened."""


class _Steps(dict[int, Callable[[Any], None]]):
    """The unpickler's table of steps. Looking up a step counts it."""

    def __init__(self, steps: dict[int, Callable[[Any], None]]) -> None:
        super().__init__(steps)
        self.left = MAX_STEPS

    def __getitem__(self, step: int) -> Callable[[Any], None]:
        self.count(1)
        return super().__getitem__(step)

    def count(self, steps: int) -> None:
        """Raises CheckpointError after more than `MAX_STEPS` steps."""
        self.left -= steps
        if self.left < 0:
            raise CheckpointError("is not a weights file: its list of tensors takes too many steps to read")


class Reader(pickle._Unpickler):
    """An unpickler that knows only the names in `ALLOWED` and `IGNORED`, and imports none of them.

    Based on the unpickler in Python: the one in C allocates memory for as many objects as a file claims to have.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.dispatch = self.steps = _Steps(type(self).dispatch)  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        if any(full.startswith(one) if one.endswith(".") else full == one for one in IGNORED):
            return Placeholder
        raise Refused(
            f"holds more than weights: the Python object {shortened(full)}. It is not opened, because this could run"
            " any program (if this is your own model, save its state_dict())"
        )

    def get_extension(self, code: int) -> None:
        raise Refused("holds more than weights (a registered extension), so it is not opened")

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise Refused("holds a whole module with its source code instead of weights, so it is not opened")
        _, dtype, key, _, numel, *view = pid
        is_known = isinstance(dtype, torch.dtype) and isinstance(key, str | int) and isinstance(numel, int)
        if not is_known or not 0 <= numel < 2**48 or any(one is not None for one in view):
            raise CheckpointError("holds a storage of an unknown type")
        return Storage(dtype, str(key), numel)

    def load_build(self) -> None:
        # The original could change a tensor description after its check. Nothing allowed here needs a state.
        self.stack.pop()
        if not isinstance(self.stack[-1], Record | Placeholder):
            raise CheckpointError("gives a state to an object that has none")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self._called(kind, arguments))

    def load_newobj_ex(self) -> None:
        del self.stack[-1]  # named arguments, which only placeholders may have
        self.load_newobj()

    def _instantiate(self, kind: Any, arguments: list[Any]) -> None:  # for the steps OBJ and INST
        self.append(self._called(kind, arguments))

    def _called(self, function: Any, arguments: Any) -> Any:
        # A step may pass a large list again and again, so its length counts.
        self.steps.count(sum(len(one) for one in (arguments, *arguments) if isinstance(one, list | tuple | dict)))
        return function(*arguments)

    def load_empty_dict(self) -> None:
        self.append(Record())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Record(list(zip(items[::2], items[1::2], strict=True))))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _entries(self.stack[-1])[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        entries = _entries(self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            entries[key] = value

    def load_empty_set(self) -> None:
        self.append(Placeholder())  # weights need no sets, and hashing their members may take forever

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(Placeholder())

    def load_bytearray8(self) -> None:
        # The original allocates the claimed length first.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.EMPTY_SET[0]: load_empty_set,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _entries(target: Any) -> Record | Placeholder:
    """`target`, if entries can be added to it. Raises CheckpointError."""
    if not isinstance(target, Record | Placeholder):
        raise CheckpointError("adds entries to something that is no dictionary")
    return target


Choose = Callable[[Any], dict[str, TensorDescription]]
"""Takes the content of a file and returns the tensors to read. Raises CheckpointError or UsageError."""


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
    except Img2ImgError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise CheckpointError("needs more memory than there is") from error
    except Exception as error:  # an unpickler fails in countless ways on damaged files
        raise CheckpointError(f"is damaged or cut short ({type(error).__name__}: {shortened(str(error))})") from error


def _load_zip(file: BinaryIO, choose: Choose) -> dict[str, Tensor]:
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
        raise CheckpointError("is not a weights file: its table of contents is larger than 8 MB")
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    root = next((name[: -len("data.pkl")] for name in entries if name.endswith("data.pkl")), None)
    if root is None:
        raise CheckpointError("is a zip archive, but not from torch")
    if any(name.startswith(f"{root}code/") for name in entries):
        raise Refused("is a TorchScript program instead of weights, so it is not opened; get its state dict")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError("is compressed, unlike any file from torch")
    if entries[f"{root}data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError("is not a weights file: its list of tensors is larger than 64 MB")
    if f"{root}byteorder" in entries:
        with archive.open(f"{root}byteorder") as order:
            if order.read(10) != b"little":
                raise CheckpointError("was written on a big-endian machine")
    chosen = choose(Reader(io.BytesIO(archive.read(f"{root}data.pkl")), encoding="utf-8").load())
    blocks: dict[str, bytearray] = {}
    for storage in _storages(chosen, file.seek(0, io.SEEK_END)):
        size = storage.numel * storage.dtype.itemsize
        with archive.open(f"{root}data/{storage.key}") as entry:
            block = bytearray(entry.read(size))
        if len(block) < size:
            raise CheckpointError(f"claims a block of {storage.numel} numbers, but holds only {len(block)} bytes of it")
        blocks[storage.key] = block
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
    keys = Reader(data, encoding="utf-8").load()
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise CheckpointError("is damaged: it does not list its blocks of numbers")
    for key in keys:
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
    storages = list({one.storage.key: one.storage for one in chosen.values()}.values())
    claims = [one.numel * one.dtype.itemsize for one in chosen.values()]
    blocks = [one.numel * one.dtype.itemsize for one in storages]
    claimed = max(sum(claims), sum(blocks))
    if claimed > MAX_SHARING * file_size:
        raise CheckpointError(f"claims tensors of {claimed} bytes, but the file has only {file_size}")
    return storages


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
