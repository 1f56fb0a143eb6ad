"""Read what is needed of an ONNX file without onnxruntime: its metadata, its digest, and the files of its weights.

An ONNX file is one protobuf message. A short walk over its fields, which seeks past the weights, lists a folder of
models in milliseconds, and lets a model that reaches outside its folder be refused before anything opens it.
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


def metadata(path: Path) -> dict[str, str]:
    """The `metadata_props` of the ONNX file at `path`. Weights are seeked over, not read.

    Raises:
        ModelError: the file is missing, unreadable, truncated, or not an ONNX file.
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
            raise Malformed("it holds no graph")
        return found


def external_files(path: Path) -> set[str]:
    """Locations, as written in the ONNX file, of the files that hold weights outside it. Empty for most models.

    Raises:
        ModelError: as `metadata`.
    """
    with opened(path) as (file, size):
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


def digest(path: Path) -> str:
    """The SHA-256 of a model, in hexadecimal digits: of all that its card describes, so without the card.

    Hashed are, in the order of the file, the bytes of every field of its protobuf message (tag, length, content) but
    the metadata entry "img2img". Then, for each file beside it that holds weights, by the order of their names: name,
    0 byte, size in decimal digits, 0 byte, and the file.

    Raises:
        ModelError: as `require_safe`.
    """
    require_safe(path)
    with opened(path) as (file, size):
        return _digest(file, size, path.parent)


def require_whole(path: Path, card: Card) -> None:
    """Refuse a model whose bytes are not those that its card was written for. Cards without a digest pass.

    Raises:
        ModelError: they differ; or as `digest`.
    """
    if card.sha256 is not None and digest(path) != card.sha256:
        raise ModelError(f"{path}: damaged or changed, its digest is not that of its card: get it again")


def with_card(data: bytes, card: Card, folder: Path | None = None) -> bytes:
    """The ONNX file `data` with this card in the place of any other, its `sha256` filled in; all else stays as it is.

    Args:
        folder: where the files lie that hold its weights, if there are such.

    Raises:
        ModelError: `data` is no ONNX file, or has weights outside and no `folder`.
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


def stamped(data: bytes, card: Card) -> bytes:
    """As `with_card`, with the card's `selftest` filled in as well: what every writer of a new network ends in.

    Raises:
        ModelError: onnxruntime refuses the file, or it is not in one piece. BrokenOutput: its result is no picture.
    """
    from img2img.runtime.network import (
        selftest,  # late, as are numpy and onnxruntime, which a list of models need not pay for
    )

    return with_card(data, dataclasses.replace(card, selftest=selftest.measured(data, card)))


class opened:
    """Open a model, give it and its size, and turn what goes wrong, here and in the block, into a ModelError."""

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
    ways = _WAYS[message]
    for number, first, last, _ in protobuf.fields(file, start, stop):
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
    for number, first, last, _ in protobuf.fields(file, start, stop):
        if first is not None and number in texts:
            texts[number] = protobuf.text(file, first, last)
    return texts[1], texts[2]


def _without_card(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """(First byte, past the last byte) of each field, tag and length included, that is not the card."""
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
            raise ModelError(f"its weights lie in another file ({location!r}): make it one file")
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
            raise Malformed("it became shorter while it was read")
        hashed.update(chunk)
        start += len(chunk)
