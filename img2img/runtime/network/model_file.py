"""Reads parts of ONNX files without onnxruntime: metadata, and the names of external weights files.

An ONNX file is one protobuf message. Walking over its fields and skipping the weights takes milliseconds even for a
folder of models. It also allows rejecting a model that reaches outside its folder before anything opens it.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
Wire format: https://protobuf.dev/programming-guides/encoding/
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, NamedTuple

from img2img.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TEXT = 4 << 20  # a card takes a few kilobytes

# The most fields that are read. Large networks have some hundred thousand in all messages, few outside of the graph.
_MAX_FIELDS = 600_000
_MAX_FIELDS_OUTSIDE = 50_000
MAX_FIELDS_OF_GRAPH = 200_000  # one for each node and tensor
_MAX_SHOWN = 80  # characters of a name in a message

METADATA_FIELD, _IR_VERSION, _GRAPH = 14, 1, 7
_MAX_DEPTH = 64  # graphs nested in attributes of graphs; real models have two or three

# Message -> field number -> message in that field, for every path that leads from a model to a tensor.
_PATHS_TO_TENSORS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


class Malformed(Exception):
    """The bytes are not a complete protobuf message."""


class Field(NamedTuple):
    """One field. Its tag and length are the bytes between the end of the previous field and `start`.

    Attributes:
        number: the field number in the message's definition.
        start: position of the first byte of its content; None if the field is a number.
        stop: position after its last byte.
        value: the value of a variable-length integer; 0 for other fields.
    """

    number: int
    start: int | None
    stop: int
    value: int


def metadata(path: Path) -> dict[str, str]:
    """Read the `metadata_props` of the ONNX file at `path`. Weights are skipped, not read.

    Raises:
        ModelError: the file is missing, unreadable or truncated, or is not an ONNX file.
    """
    with opened(path, _MAX_FIELDS_OUTSIDE) as (file, size):
        found: dict[str, str] = {}
        seen = set()
        for field in fields(file, 0, size):
            seen.add(field.number)
            if field.number == METADATA_FIELD and field.start is not None:
                key, value = entry(file, field.start, field.stop)
                found[key] = value
        if not {_IR_VERSION, _GRAPH} <= seen:
            raise Malformed("it contains no graph")
        return found


def external_files(path: Path) -> set[str]:
    """The locations of external weights files, as written in the ONNX file. Empty for most models.

    Raises:
        ModelError: see `metadata`.
    """
    with opened(path) as (file, size):
        return set(locations(file, "model", 0, size))


def require_safe(path: Path) -> None:
    """Reject a model whose external weights are outside the model's folder or missing.

    The author of a model chooses the locations. With an absolute path, `..` or a link out of the folder, onnxruntime
    would map any file of this machine into a tensor.

    Raises:
        ModelError: a location is outside the folder, or its file does not exist; see also `metadata`.
    """
    folder = path.parent.resolve()
    for location in sorted(external_files(path)):
        pure = PureWindowsPath(location)  # splits at both kinds of slash and recognises drives
        # _ORT_MEM_ADDR_ tells onnxruntime that the offset is an address in memory.
        outside = pure.drive or pure.root or ".." in pure.parts or "\0" in location or "_ORT_MEM_ADDR_" in location
        shown = repr(location if len(location) <= _MAX_SHOWN else f"{location[:_MAX_SHOWN]}…")
        try:
            is_inside = not outside and (folder / location).resolve().is_relative_to(folder)
            is_there = is_inside and (folder / location).is_file()
        except OSError as error:  # a name that no file can have, for example
            raise ModelError(f"{path}: its weights file {shown} cannot be read: {error.strerror or error}") from error
        if not is_inside:
            raise ModelError(
                f"{path}: rejected, because its weights point outside its folder ({shown});"
                " export it as one file, or keep the weights next to it"
            )
        if not is_there:
            raise ModelError(f"{path}: its weights file {shown} is missing in the same folder")


class _CountedFile(io.BufferedReader):
    """A model file that is read up to a number of fields."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(io.FileIO(path))
        self.fields_left = limit


class opened:
    """Opens a model file and returns it with its size. Converts errors, including those of the block, to ModelError.

    limit: number of fields that may be read. The block raises ModelError after more.
    """

    def __init__(self, path: Path, limit: int = _MAX_FIELDS) -> None:
        self.path = path
        self.limit = limit

    def __enter__(self) -> tuple[BinaryIO, int]:
        try:
            self.file = _CountedFile(self.path, self.limit)
        except OSError as error:
            raise ModelError(f"{self.path}: cannot read the model: {error.strerror or error}") from error
        size = os.fstat(self.file.fileno()).st_size
        if size == 0:
            self.file.close()
            raise ModelError(f"{self.path}: the model file is empty")
        return self.file, size

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if isinstance(error, Malformed):
            raise ModelError(f"{self.path}: not an ONNX file, or cut short: {error}") from error
        if isinstance(error, OSError):
            raise ModelError(f"{self.path}: cannot read the model: {error.strerror or error}") from error


def locations(file: BinaryIO, message: str, start: int, stop: int, depth: int = 0) -> Iterator[str]:
    """The locations in a message of this kind, which lies in `file` from `start` to `stop`."""
    if depth > _MAX_DEPTH:
        raise Malformed("its graphs are nested too deeply")
    paths = _PATHS_TO_TENSORS[message]
    for number, first, last, _ in fields(file, start, stop):
        if first is None or number not in paths:
            continue
        if paths[number] == "entry":
            key, value = entry(file, first, last)
            # The field data_location is ignored: checking a location that nothing reads does no harm.
            if key == "location":
                yield value
        else:
            yield from locations(file, paths[number], first, last, depth + 1)


def entry(file: BinaryIO, start: int, stop: int) -> tuple[str, str]:
    """Read a StringStringEntryProto: key and value."""
    texts = {1: "", 2: ""}
    for number, first, last, _ in fields(file, start, stop):
        if first is not None and number in texts:
            texts[number] = text(file, first, last)
    return texts[1], texts[2]


def fields(file: BinaryIO, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message in `file` from `start` to `stop`, in order.

    The caller may read and seek between two fields.

    Raises:
        Malformed: the bytes are not a message.
    """
    at = start
    counted = file if isinstance(file, _CountedFile) else None
    while at < stop:
        if counted is not None:
            counted.fields_left -= 1
            if counted.fields_left < 0:
                raise Malformed("it has too many parts")
        file.seek(at)
        tag, at = _varint(file, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 1 << 32:
            raise Malformed("it contains an invalid field")
        first, value = None, 0
        if kind == _VARINT:
            value, at = _varint(file, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind == _BYTES:
            length, first = _varint(file, at)
            at = first + length
        else:
            raise Malformed("it contains an invalid field")
        if at > stop:
            raise Malformed("it ends in the middle of a field")
        yield Field(number, first, at, value)


def text(file: BinaryIO, start: int, stop: int) -> str:
    """Read the text in `file` from `start` to `stop`.

    Raises:
        Malformed: the text is longer than 4 MiB or not UTF-8.
    """
    if stop - start > _MAX_TEXT:
        raise Malformed("it contains a text that is too long")
    file.seek(start)
    try:
        return file.read(stop - start).decode()
    except UnicodeDecodeError as error:
        raise Malformed("it contains a text that is not UTF-8") from error


def _varint(file: BinaryIO, at: int) -> tuple[int, int]:
    """Read a variable-length integer at the file's position `at`; returns it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise Malformed("it ends in the middle of a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, at + shift // 7 + 1
    raise Malformed("it contains an invalid number")
