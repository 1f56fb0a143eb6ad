"""Walks over the fields of a protobuf message in a file without reading their contents.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TEXT = 4 << 20  # a card takes a few kilobytes


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


def fields(file: BinaryIO, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message in `file` from `start` to `stop`, in order.

    The caller may read and seek between two fields.

    Raises:
        Malformed: the bytes are not a message.
    """
    at = start
    while at < stop:
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


def encoded(number: int, content: bytes) -> bytes:
    """Encode a field that holds bytes, a text or a message."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


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


def _encoded_varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
