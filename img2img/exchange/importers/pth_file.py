"""Reads tensors from the files that torch writes (.pth, .pt, .ckpt), without trusting them.

The file says which tensors it has (`safe_pickle`). Each is compared with the size of the file before memory is
allocated for it.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from img2img.errors import CheckpointError, Img2ImgError
from img2img.exchange.importers.pickled_values import Storage, TensorDescription
from img2img.exchange.importers.safe_pickle import Reader, Refused
from img2img.exchange.listing import shortened

MAGIC = 0x1950A86A20F9469CFC6C
"""First value of the files that torch wrote before version 1.6 (2020)."""

MAX_SHARING = 4
"""The tensors may claim this many times the size of the file, because tensors may share memory (tied weights)."""

MAX_PICKLE_BYTES = 64 * 2**20
"""The pickle holds names and shapes, not the numbers. Real ones have a few MB at most."""

MAX_DIRECTORY_BYTES = 8 * 2**20
"""The most bytes of the table of contents of a zip file: some hundred thousand blocks of numbers."""

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
