"""Reads and writes parts of ONNX files without onnxruntime: metadata, digest and the names of external weights files.

An ONNX file is one protobuf message. Walking over its fields and skipping the weights takes milliseconds even for a
folder of models. It also allows rejecting a model that reaches outside its folder before anything opens it.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, BinaryIO

from img2img.errors import ModelError
from img2img.runtime.network import protobuf
from img2img.runtime.network.card import METADATA_KEY, Card
from img2img.runtime.network.protobuf import Malformed

if TYPE_CHECKING:
    from hashlib import _Hash

_METADATA, _IR_VERSION, _GRAPH = 14, 1, 7
_MAX_DEPTH = 64  # graphs nested in attributes of graphs; real models have two or three
_CHUNK = 1 << 20

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


def metadata(path: Path) -> dict[str, str]:
    """Read the `metadata_props` of the ONNX file at `path`. Weights are skipped, not read.

    Raises:
        ModelError: the file is missing, unreadable or truncated, or is not an ONNX file.
    """
    with opened(path) as (file, size):
        found: dict[str, str] = {}
        seen = set()
        for field in protobuf.fields(file, 0, size):
            seen.add(field.number)
            if field.number == _METADATA and field.start is not None:
                key, value = _entry(file, field.start, field.stop)
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
        return set(_locations(file, "model", 0, size, 0))


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
        if outside or not (folder / location).resolve().is_relative_to(folder):
            raise ModelError(
                f"{path}: rejected, because its weights point outside its folder ({location!r});"
                " export it as one file, or keep the weights next to it"
            )
        if not (folder / location).is_file():
            raise ModelError(f"{path}: its weights file {location!r} is missing in the same folder")


def digest(path: Path) -> str:
    """The SHA-256 of a model without its card, in hexadecimal digits.

    It hashes two parts. First, the bytes of every field of the protobuf message (tag, length, content), in the order of
    the file, except the metadata entry "img2img". Then each external weights file, sorted by name: name, 0 byte, size
    in decimal digits, 0 byte, content.

    Raises:
        ModelError: see `require_safe`.
    """
    require_safe(path)
    with opened(path) as (file, size):
        return _digest(file, size, path.parent)


def require_whole(path: Path, card: Card) -> None:
    """Reject a model whose digest differs from the one in its card. A card without a digest passes.

    Raises:
        ModelError: the digests differ; see also `digest`.
    """
    if card.sha256 is not None and digest(path) != card.sha256:
        raise ModelError(f"{path}: damaged or changed: its digest differs from the one in its card; get the file again")


def with_card(data: bytes, card: Card, folder: Path | None = None) -> bytes:
    """Return the ONNX file `data` with `card` as its only card, `sha256` filled in. The rest is unchanged.

    Args:
        folder: the folder of the external weights files, if there are any.

    Raises:
        ModelError: `data` is not an ONNX file, or has external weights although `folder` is None.
    """
    file = io.BytesIO(data)
    try:
        kept = b"".join(data[start:stop] for start, stop in _without_card(file, len(data)))
        found = _digest(file, len(data), folder)
    except Malformed as error:
        raise ModelError(f"not an ONNX file, or cut short: {error}") from error
    text = dataclasses.replace(card, sha256=found).to_json()
    entry = protobuf.encoded(1, METADATA_KEY.encode()) + protobuf.encoded(2, text.encode())
    return kept + protobuf.encoded(_METADATA, entry)


def with_card_and_selftest(data: bytes, card: Card) -> bytes:
    """Like `with_card`, and fills in the card's `selftest`. Every function that writes a new network ends with this.

    Raises:
        ModelError: onnxruntime rejects the file, or it has external weights.
        BrokenOutput: its result is no valid picture.
    """
    from img2img.runtime.network import selftest  # imported late: listing models needs no numpy and no onnxruntime

    return with_card(data, dataclasses.replace(card, selftest=selftest.create(data, card)))


class opened:
    """Opens a model file and returns it with its size. Converts errors, including those of the block, to ModelError."""

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
        if isinstance(error, Malformed):
            raise ModelError(f"{self.path}: not an ONNX file, or cut short: {error}") from error
        if isinstance(error, OSError):
            raise ModelError(f"{self.path}: cannot read the model: {error.strerror or error}") from error


def _locations(file: BinaryIO, message: str, start: int, stop: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise Malformed("its graphs are nested too deeply")
    fields = _PATHS_TO_TENSORS[message]
    for number, first, last, _ in protobuf.fields(file, start, stop):
        if first is None or number not in fields:
            continue
        if fields[number] == "entry":
            key, value = _entry(file, first, last)
            # The field data_location is ignored: checking a location that nothing reads does no harm.
            if key == "location":
                yield value
        else:
            yield from _locations(file, fields[number], first, last, depth + 1)


def _entry(file: BinaryIO, start: int, stop: int) -> tuple[str, str]:
    """Read a StringStringEntryProto: key and value."""
    texts = {1: "", 2: ""}
    for number, first, last, _ in protobuf.fields(file, start, stop):
        if first is not None and number in texts:
            texts[number] = protobuf.text(file, first, last)
    return texts[1], texts[2]


def _without_card(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield the byte range [start, stop) of each field, including its tag and length, that is not the card."""
    begin = 0
    for number, start, stop, _ in protobuf.fields(file, 0, size):
        if number != _METADATA or start is None or _entry(file, start, stop)[0] != METADATA_KEY:
            yield begin, stop
        begin = stop


def _digest(file: BinaryIO, size: int, folder: Path | None) -> str:
    hashed = hashlib.sha256()
    for start, stop in _without_card(file, size):
        _feed(hashed, file, start, stop)
    for location in sorted(set(_locations(file, "model", 0, size, 0))):
        if folder is None:
            raise ModelError(f"its weights are in another file ({location!r}): merge them into one file")
        with (folder / location).open("rb") as weights:
            length = os.fstat(weights.fileno()).st_size
            hashed.update(f"{location}\0{length}\0".encode())
            _feed(hashed, weights, 0, length)
    return hashed.hexdigest()


def _feed(hashed: "_Hash", file: BinaryIO, start: int, stop: int) -> None:
    file.seek(start)
    while start < stop:
        chunk = file.read(min(_CHUNK, stop - start))
        if not chunk:
            raise Malformed("it became shorter while being read")
        hashed.update(chunk)
        start += len(chunk)
