"""Walk over the fields of a protobuf message in a file, without reading what they hold.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TEXT = 4 << 20  # a card is some kilobytes


class Malformed(Exception):
    """The bytes are no protobuf message, or end in the middle of one."""


class Field(NamedTuple):
    """One field. What lies before `start` and after the field before it is its tag and length.

    Attributes:
        number: as the message's definition numbers it.
        start: first byte of its content in the file; None where it is a number.
        stop: past its last byte.
        value: where it is a variable-length integer; 0 elsewhere.
    """

    number: int
    start: int | None
    stop: int
    value: int


def fields(file: BinaryIO, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message that lies in `file` from `start` to `stop`, in order.

    The caller may read and seek between two of them.

    Raises:
        Malformed: it is none.
    """
    at = start
    while at < stop:
        file.seek(at)
        tag, at = _varint(file, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 1 << 32:
            raise Malformed("it holds an impossible field")
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
            raise Malformed("it holds an impossible field")
        if at > stop:
            raise Malformed("it ends in the middle of a field")
        yield Field(number, first, at, value)


def text(file: BinaryIO, start: int, stop: int) -> str:
    """The text that lies in `file` from `start` to `stop`.

    Raises:
        Malformed: it is longer than 4 MiB, or not UTF-8.
    """
    if stop - start > _MAX_TEXT:
        raise Malformed("a text in it is too long")
    file.seek(start)
    try:
        return file.read(stop - start).decode()
    except UnicodeDecodeError as error:
        raise Malformed("a text in it is not UTF-8") from error


def encoded(number: int, content: bytes) -> bytes:
    """A field of bytes, a text or a message, as it stands in a file."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


def _varint(file: BinaryIO, at: int) -> tuple[int, int]:
    """A variable-length integer at the file's position `at`; returns it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise Malformed("it ends in the middle of a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, at + shift // 7 + 1
    raise Malformed("it holds an impossible number")


def _encoded_varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
