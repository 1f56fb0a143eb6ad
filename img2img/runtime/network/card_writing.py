"""Writes cards into ONNX files, and computes the digest that protects a model from damage."""

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from img2img.errors import ModelError
from img2img.runtime.network.card import METADATA_KEY, Card
from img2img.runtime.network.model_file import METADATA_FIELD, Malformed, entry, fields, locations, opened, require_safe

if TYPE_CHECKING:
    from hashlib import _Hash

_BYTES = 2  # the protobuf wire type of bytes, texts and messages
_CHUNK = 1 << 20


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
    card_entry = _encoded(1, METADATA_KEY.encode()) + _encoded(2, text.encode())
    return kept + _encoded(METADATA_FIELD, card_entry)


def with_card_and_selftest(data: bytes, card: Card) -> bytes:
    """Like `with_card`, and fills in the card's `selftest`. Every function that writes a new network ends with this.

    Raises:
        ModelError: onnxruntime rejects the file, or it has external weights.
        BrokenOutput: its result is no valid picture.
    """
    from img2img.runtime.network import selftest  # imported late: listing models needs no numpy and no onnxruntime

    return with_card(data, dataclasses.replace(card, selftest=selftest.create(data, card)))


def _without_card(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield the byte range [start, stop) of each field, including its tag and length, that is not the card."""
    begin = 0
    for number, start, stop, _ in fields(file, 0, size):
        if number != METADATA_FIELD or start is None or entry(file, start, stop)[0] != METADATA_KEY:
            yield begin, stop
        begin = stop


def _digest(file: BinaryIO, size: int, folder: Path | None) -> str:
    hashed = hashlib.sha256()
    for start, stop in _without_card(file, size):
        _feed(hashed, file, start, stop)
    for location in sorted(set(locations(file, "model", 0, size))):
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


def _encoded(number: int, content: bytes) -> bytes:
    """Encode a field that holds bytes, a text or a message."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


def _encoded_varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
