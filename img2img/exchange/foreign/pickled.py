"""torch's .pth files read as data: nothing named in them is imported, called or built.

A .pth file is a program for Python's unpickler. Here the names it may use stand for harmless things of this module, and
a tensor becomes a description, which is compared with the size of the file before any memory is taken for it.
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
"""First value of torch's files from before 1.6 (2020)."""

SHARING = 4
"""How many times the file's own size its tensors may amount to: tensors may share memory (tied weights)."""

PICKLE_LARGEST = 256 * 2**20
"""Bytes. The pickle holds names and shapes, not the numbers; real ones are below a few MB."""

STORAGES = {
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

BESIDE_WEIGHTS = (
    *("argparse.Namespace", "easydict.EasyDict", "collections.defaultdict", "collections.Counter", "copyreg."),
    *("_codecs.encode", "numpy.", "omegaconf.", "pathlib.", "datetime.", "pytorch_lightning.", "lightning."),
    *("typing.", "enum.Enum", "torch.device", "torch.Generator", "torch.optim."),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("dict", "list", "set", "frozenset")),
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("int", "float", "str", "bool", "bytes")
    ),
)
"""What training code leaves in checkpoints beside the weights: options, counters, optimisers. Each becomes a
placeholder. A name that ends in a dot is a whole package."""


class Record(dict[Any, Any]):
    """An OrderedDict of the file."""


class Placeholder:
    """Stands for an object that is not wanted; takes whatever is done to it, and does nothing."""

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
class Described:
    """A tensor as the file describes it, checked against its storage: element `offset + sum(stride * index)`."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.size, *self.stride)
        if not all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers) or len(self.size) != len(self.stride):
            raise CheckpointError("a tensor of impossible shape")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        held = self.storage.numel * self.storage.dtype.itemsize // self.dtype.itemsize
        if self.numel and (last >= held or self.numel > held):
            raise CheckpointError(f"a tensor of shape {list(self.size)}, but there are only {held} numbers for it")

    @property
    def numel(self) -> int:
        return math.prod(self.size)


def _tensor(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *others: Any) -> Described:
    # `others`: requires_grad, hooks, and in the third version the dtype, where the storage has none.
    dtype = next((one for one in others if isinstance(one, torch.dtype)), storage.dtype)
    return Described(storage, dtype, offset, tuple(size), tuple(stride))


def _parameter(data: Described, *others: object) -> Described:
    return data


MEANING: dict[str, Any] = {
    "collections.OrderedDict": Record,
    "typing.OrderedDict": Record,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{name}": dtype for name, dtype in STORAGES.items()},
    **{f"torch.storage.{name}": dtype for name, dtype in STORAGES.items()},
    **{str(dtype): dtype for dtype in STORAGES.values()},
}


class Refused(CheckpointError):
    """The pickle asks for something that weights do not need."""


class Reader(pickle._Unpickler):
    """An unpickler that knows the names of `MEANING` and `BESIDE_WEIGHTS` and imports none of them.

    Python's own and not the one in C: that one takes memory for as many objects as a file says it has.
    """

    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in MEANING:
            return MEANING[full]
        if any(full.startswith(one) if one.endswith(".") else full == one for one in BESIDE_WEIGHTS):
            return Placeholder
        raise Refused(
            f"holds more than weights, the Python object {full}, and is not opened: that could run any program"
            " (of a model of your own, save its state_dict())"
        )

    def get_extension(self, code: int) -> None:
        raise Refused("holds more than weights (a registered extension) and is not opened")

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("holds a whole module with its source code, not weights, and is not opened")
        _, dtype, key, _, numel, *view = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(numel, int) or numel < 0 or any(view):
            raise CheckpointError("storage of an unknown kind")
        return Storage(dtype, str(key), numel)

    def load_build(self) -> None:
        # As written in `pickle` it could change what has been checked already. Nothing here needs a state.
        self.stack.pop()
        if not isinstance(self.stack[-1], Record | Placeholder):
            raise CheckpointError("gives a state to what has none")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


Choose = Callable[[Any], dict[str, Described]]
"""From what a file holds to the tensors that are wanted of it. Raises CheckpointError where there are none."""


def load(path: Path, choose: Choose) -> dict[str, Tensor]:
    """The tensors that `choose` takes from the file at `path`; only those are read.

    Read are the files that `torch.save` writes: zip archives since 1.6, one pickle after the other before.

    Raises:
        CheckpointError: the file is damaged, claims more than it holds, or holds anything but weights and what
            training code leaves beside them. Nothing of it has been executed. The message does not name the file.
    """
    try:
        with path.open("rb") as file:
            return _zip(file, choose) if file.read(4) == b"PK\x03\x04" else _old(file, choose)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error})") from error
    except Exception as error:  # an unpickler fails in as many ways as there are damaged files
        raise CheckpointError(f"is damaged or cut short ({type(error).__name__}: {error})") from error


def _zip(file: BinaryIO, choose: Choose) -> dict[str, Tensor]:
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    root = next((name[: -len("data.pkl")] for name in entries if name.endswith("data.pkl")), None)
    if root is None:
        raise CheckpointError("is a zip archive, but not one of torch's")
    if any(name.startswith(f"{root}code/") for name in entries):
        raise Refused("is a TorchScript program, not weights, and is not opened: ask for the state dict")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError("is compressed, which torch's files never are")
    if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError("was written on a big-endian machine")
    if entries[f"{root}data.pkl"].file_size > PICKLE_LARGEST:
        raise CheckpointError("is no weights file: its list of tensors is larger than 256 MB")
    chosen = choose(Reader(io.BytesIO(archive.read(f"{root}data.pkl")), encoding="utf-8").load())
    blocks: dict[str, bytearray] = {}
    for storage in _storages(chosen, file.seek(0, io.SEEK_END)):
        held = entries[f"{root}data/{storage.key}"].file_size
        if held < storage.numel * storage.dtype.itemsize:
            raise CheckpointError(f"claims a block of {storage.numel} numbers where it holds {held} bytes")
        blocks[storage.key] = bytearray(archive.read(f"{root}data/{storage.key}"))
    return {key: _view(blocks[one.storage.key], one) for key, one in chosen.items()}


def _old(file: BinaryIO, choose: Choose) -> dict[str, Tensor]:
    file.seek(0)
    data = io.BytesIO(file.read())
    whole = len(data.getbuffer())
    start = data.getvalue()[:512]
    if start[:1] != b"\x80":
        raise CheckpointError(_what(start))
    # Magic number, protocol, machine, content, keys of the storages; then each one: count, numbers.
    if Reader(data, encoding="utf-8").load() != MAGIC:
        raise CheckpointError("is a pickle, but not one of torch's")
    Reader(data, encoding="utf-8").load()
    machine = Reader(data, encoding="utf-8").load()
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise CheckpointError("was written on a big-endian machine")
    reader = _Noting(data, encoding="utf-8")
    chosen = choose(reader.load())
    _storages(chosen, whole)
    blocks: dict[str, bytearray] = {}
    for key in Reader(data, encoding="utf-8").load():
        storage = reader.storages[str(key)]
        (count,) = struct.unpack("<q", data.read(8))
        size = storage.numel * storage.dtype.itemsize
        if count != storage.numel or size > whole - data.tell():
            raise CheckpointError(f"claims a block of {storage.numel} numbers where {whole - data.tell()} bytes follow")
        blocks[storage.key] = bytearray(data.read(size))
    return {key: _view(blocks[one.storage.key], one) for key, one in chosen.items()}


def _storages(chosen: dict[str, Described], whole: int) -> list[Storage]:
    """Those of the tensors `chosen`, whose sizes fit a file of `whole` bytes."""
    claimed = sum(one.numel * one.dtype.itemsize for one in chosen.values())
    if claimed > SHARING * whole:
        raise CheckpointError(f"claims tensors of {claimed} bytes, but is a file of {whole}")
    return list({one.storage.key: one.storage for one in chosen.values()}.values())


class _Noting(Reader):
    """A reader that keeps the storages it came across."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.storages: dict[str, Storage] = {}

    def persistent_load(self, pid: Any) -> Storage:
        storage = super().persistent_load(pid)
        return self.storages.setdefault(storage.key, storage)


def _view(block: bytearray, tensor: Described) -> Tensor:
    if not tensor.numel:
        return torch.empty(tensor.size, dtype=tensor.dtype)
    return torch.frombuffer(block, dtype=tensor.dtype).as_strided(tensor.size, tensor.stride, tensor.offset)


def _what(start: bytes) -> str:
    """What a file that begins like this is, where it is a common mistake."""
    if start.lstrip().startswith(b"<"):
        return "is a web page, not weights: the download went wrong"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the weights: fetch them with git lfs pull"
    if b"ustar" in start:
        return "is a tar archive: a file of torch before 0.2, or none of torch's"
    if not start.strip(b"\0"):
        return "is empty"
    return "is no file of torch or safetensors"
