"""Read what is needed of an ONNX file without onnxruntime: its metadata, and the files that its weights lie in.

An ONNX file is one protobuf message. A short walk over its fields, which seeks past the weights, lists a folder of
models in milliseconds, and lets a model that reaches outside its folder be refused before anything opens it.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from img2img.errors import ModelError

_METADATA, _IR_VERSION, _GRAPH = 14, 1, 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TEXT = 4 << 20  # a card is some kilobytes
_MAX_DEPTH = 64  # graphs nested in attributes of graphs; real models have two or three

# Message -> field number -> message found there, for every way that leads from a model to a tensor.
_WAYS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


class _Malformed(Exception):
    """The bytes are no protobuf message, or end in the middle of one."""


def metadata(path: Path) -> dict[str, str]:
    """The `metadata_props` of the ONNX file at `path`. Weights are seeked over, not read.

    Raises:
        ModelError: the file is missing, unreadable, truncated, or not an ONNX file.
    """
    with _opened(path) as (file, size):
        found: dict[str, str] = {}
        seen = set()
        for number, start, stop in _fields(file, 0, size):
            seen.add(number)
            if number == _METADATA and start is not None:
                key, value = _entry(file, start, stop)
                found[key] = value
        if not {_IR_VERSION, _GRAPH} <= seen:
            raise _Malformed("it holds no graph")
        return found


def external_files(path: Path) -> set[str]:
    """Locations, as written in the ONNX file, of the files that hold weights outside it. Empty for most models.

    Raises:
        ModelError: as `metadata`.
    """
    with _opened(path) as (file, size):
        return set(_locations(file, "model", 0, size, 0))


def require_safe(path: Path) -> None:
    """Refuse a model whose weights lie outside the model's own folder, or are missing.

    Locations are texts that the model's author chose. An absolute path, `..` or a link out of the folder would make
    onnxruntime map any file of this machine into a tensor.

    Raises:
        ModelError: such a location, or a file that does not exist; or as `metadata`.
    """
    folder = path.parent.resolve()
    for location in sorted(external_files(path)):
        pure = PureWindowsPath(location)  # splits at both kinds of slash, knows drives
        # The last one is onnxruntime's mark for "the offset is an address in memory".
        outside = pure.drive or pure.root or ".." in pure.parts or "\0" in location or "_ORT_MEM_ADDR_" in location
        if outside or not (folder / location).resolve().is_relative_to(folder):
            raise ModelError(
                f"{path}: refused, because its weights point outside its folder ({location!r});"
                " export it as one file, or keep the weights beside it"
            )
        if not (folder / location).is_file():
            raise ModelError(f"{path}: its weights file {location!r} is missing beside it")


class _opened:
    """Open `path` for reading and turn what goes wrong, here and in the block, into a ModelError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> tuple[BinaryIO, int]:
        try:
            self.file = self.path.open("rb")
        except OSError as error:
            raise ModelError(f"{self.path}: cannot read the model: {error.strerror or error}") from error
        size = os.fstat(self.file.fileno()).st_size
        if size == 0:
            self.file.close()
            raise ModelError(f"{self.path}: the model file is empty")
        return self.file, size

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if isinstance(error, _Malformed):
            raise ModelError(f"{self.path}: not an ONNX file, or cut short: {error}") from error
        if isinstance(error, OSError):
            raise ModelError(f"{self.path}: cannot read the model: {error.strerror or error}") from error


def _locations(file: BinaryIO, message: str, start: int, stop: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise _Malformed("its graphs are nested too deeply")
    ways = _WAYS[message]
    for number, first, last in _fields(file, start, stop):
        if first is None or number not in ways:
            continue
        if ways[number] == "entry":
            key, value = _entry(file, first, last)
            # Whatever data_location says: a location that nothing reads does no harm when checked.
            if key == "location":
                yield value
        else:
            yield from _locations(file, ways[number], first, last, depth + 1)


def _entry(file: BinaryIO, start: int, stop: int) -> tuple[str, str]:
    """A StringStringEntryProto."""
    texts = {1: "", 2: ""}
    for number, first, last in _fields(file, start, stop):
        if first is not None and number in texts:
            if last - first > _MAX_TEXT:
                raise _Malformed("a text in its metadata is too long")
            file.seek(first)
            try:
                texts[number] = file.read(last - first).decode()
            except UnicodeDecodeError as error:
                raise _Malformed("a text in its metadata is not UTF-8") from error
    return texts[1], texts[2]


def _fields(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, int | None, int]]:
    """Yield (field number, first byte, past the last byte) of each field; first byte is None where it is a number."""
    at = start
    while at < stop:
        file.seek(at)
        tag, at = _varint(file, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 1 << 32:
            raise _Malformed("it holds an impossible field")
        first = None
        if kind == _VARINT:
            _, at = _varint(file, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind == _BYTES:
            length, first = _varint(file, at)
            at = first + length
        else:
            raise _Malformed("it holds an impossible field")
        if at > stop:
            raise _Malformed("it ends in the middle of a field")
        yield number, first, at


def _varint(file: BinaryIO, at: int) -> tuple[int, int]:
    """A variable-length integer at the file's position `at`; returns it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _Malformed("it ends in the middle of a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, at + shift // 7 + 1
    raise _Malformed("it holds an impossible number")
