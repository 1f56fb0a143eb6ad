"""Whether the pixels of a JPEG are whole (ITU-T T.81).

libjpeg replaces what is missing or damaged by grey or by noise, and Pillow drops its warnings. So the decoder is
watched from outside: a sound file needs its last byte to finish the last row, and no more than a few bytes to look
ahead.
"""

import re
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from img2img.runtime.image import jpeg_scans, pillow

CUT_OFF = "the file is cut off: part of the picture is missing"
DAMAGED = "the file is damaged: parts of the picture are wrong"

APP13 = 0xFFED

_LENGTH = 2  # bytes; a length counts itself
_PIECE = 1 << 20
_AHEAD = bytes(8)  # libjpeg fills its buffer of 64 bits before it goes on; one more block takes more than that
_SEQUENTIAL, _FRAMES = (0xFFC0, 0xFFC1), (0xFFC0, 0xFFC1, 0xFFC2)
_SCAN, _RESTART_INTERVAL, _END = 0xFFDA, 0xFFDD, 0xFFD9
_TABLES, _TEXTS = (0xFFC4, 0xFFDB), (0xFFFE, *range(0xFFE0, 0xFFF0))
_MOST_INTERVALS = 2000  # to check one by one: 0.2 s
_MOST_SCANS = 100  # encoders make 10
_LARGEST_SIDE = 65500
_CLEAN = re.compile(rb"\xff[^\x00\xff]..", re.DOTALL)  # a marker and a length
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


class Segment(NamedTuple):
    """A segment between the start of a JPEG and its compressed pixels.

    Attributes:
        start, end: where it starts, with its marker, and where it should end.
        content: what follows its length; shorter if the file is cut off.
        is_next: nothing but padding precedes it.
    """

    marker: int
    start: int
    end: int
    content: bytes
    is_next: bool

    @property
    def is_whole(self) -> bool:
        """The file is not cut off inside it."""
        return len(self.content) == self.end - self.start - 2 - _LENGTH


def segments(stream: BinaryIO, *, strict: bool = False) -> Iterator[Segment]:
    """Yield the segments of a seekable JPEG up to the header of its first scan.

    Args:
        strict: end where anything else, padding included, lies between two segments.

    Raises:
        struct.error, IndexError: the file ends before (not if `strict`).
    """
    stream.seek(2)
    while True:
        if strict:
            place = stream.tell()
            if not _CLEAN.match(stream.read(4)):
                return
            stream.seek(place)
        yield (found := _segment(stream))
        if found.marker == _SCAN or (strict and found.end - found.start < _LENGTH + 2):
            return


class Watch:
    """Watches Pillow decode a JPEG. Create it for an opened image, before `load`; it replaces the image's stream.

    Args:
        stream: the same file, seekable, for looking around.
    """

    def __init__(self, image: ImageFile.ImageFile, stream: BinaryIO) -> None:
        self._image = image
        self._end: int | None = None  # of the pixels, if the decoder can be watched
        self._last = 1  # number of bytes that hold the last bits
        self._before: Any = None  # the last row before the last bits, and after them
        self._after: Any = None
        self._found: str | None = None
        self._scans: jpeg_scans.ScansWatch | None = None
        self._stream = stream
        self._start = 0  # of the pixels
        try:
            self._inspect(stream)
        except (struct.error, LookupError, AttributeError):
            return  # Pillow reports broken headers
        if self._end is not None:
            self._fed: Any = image.fp
            self.seek, self.tell, self.close = self._fed.seek, self._fed.tell, self._fed.close
            image.fp = self

    def read(self, size: int = -1) -> bytes:
        """Read for Pillow's decoder, which asks for more when it can do nothing with what it has."""
        place, end = self._fed.tell(), self._end
        assert end is not None
        if place == end - self._last and self._before is None:
            self._before = self._last_row()
            return _bytes(self._fed, self._last) + _AHEAD
        if place == end and self._after is None and self._before is not None:
            self._after = self._last_row()
        stop = end - self._last if place < end - self._last else end
        return _bytes(self._fed, stop - place if place < stop and (size < 0 or stop < place + size) else size)

    def note(self) -> str | None:
        """What is wrong with the pixels, after they have been decoded; None if nothing is."""
        if self._found is None and self._scans is not None:
            return CUT_OFF if self._scans.waits else DAMAGED if self._scans.has_rest else None
        if self._found is None and self._end is not None:
            last = self._last_row()
            if self._after is not None and not np.array_equal(self._after, last):
                return CUT_OFF
            has_rest = self._before is None or (self._before.any() and np.array_equal(self._before, last))
            if has_rest and not jpeg_scans.is_padded(self._stream, self._start, self._end):
                return DAMAGED
            return None
        return self._found

    def _last_row(self) -> Any:
        """Rows that are not decoded yet are 0."""
        width, height = self._image.size
        return np.array(Image.Image()._new(self._image.im.crop((0, height - 1, width, height))))

    def _inspect(self, stream: BinaryIO) -> None:
        header = _Header(stream)
        end, restarts = _end_of_scan(stream, header.start)
        if end is None:
            return  # Pillow reports that
        if (end - header.start) * 8 < header.blocks:  # each block has one bit or more
            self._found = CUT_OFF
        elif header.whole and header.interval:
            numbers = [number for _, number in restarts]
            expected = [0xD0 + number % 8 for number in range(-(-header.units // header.interval) - 1)]
            if numbers != expected:
                self._found = CUT_OFF if numbers == expected[: len(numbers)] else DAMAGED
            elif len(numbers) <= _MOST_INTERVALS:
                self._found = _check_intervals(stream, header, [place for place, _ in restarts])
        if header.has_garbage:
            self._found = DAMAGED
        if not header.whole:
            scans, is_clean = _all_scans(stream, jpeg_scans.Scan(header.start, end, header.scan))
            if not is_clean:
                self._found = DAMAGED
            if scans and not jpeg_scans.have_all(scans, header.components, header.progressive):
                self._found = CUT_OFF
            if scans:
                self._scans = jpeg_scans.ScansWatch(self._image, scans)
        elif end - header.start > 2:
            stream.seek(end - 2)
            self._last = 2 if stream.read(2) == b"\xff\x00" else 1
            self._start, self._end = header.start, end


def note_of(data: bytes) -> str | None:
    """What is wrong with the pixels of a JPEG in memory; None if nothing is, or if its kind is not supported."""
    try:
        image = pillow.open_image(BytesIO(data), "JPEG")
    except pillow.DECODER_ERRORS:
        return None
    watch = Watch(image, BytesIO(data))
    try:
        image.load()
    except pillow.DECODER_ERRORS:
        return DAMAGED
    return watch.note()


class _Header:
    """What precedes the first scan of a JPEG.

    Attributes:
        whole: the scan holds the whole picture.
        components: their numbers.
        scan: the header of the scan.
        blocks: number of blocks in the scan, at least.
        units: number of units (MCU) in the scan, which restart intervals count.
        interval: units between restart markers; 0: there are none.
        start: where the compressed pixels start.
        has_garbage: there are bytes that belong to no segment.

    Raises:
        struct.error, IndexError: it is cut off or of an unknown kind.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.interval, self.has_garbage = 0, False
        self._tables = b"\xff\xd8"
        for marker, start, end, content, is_next in segments(stream):
            self.has_garbage |= not is_next
            if marker in _FRAMES:
                self._marker, self._frame = marker, content
            elif marker == _RESTART_INTERVAL:
                (self.interval,) = struct.unpack(">H", content)
            elif marker in _TABLES:
                self._tables += struct.pack(">HH", marker, end - start - 2) + content
            elif marker not in (_SCAN, *_TEXTS):
                raise IndexError("a JPEG of another kind")
        frame, self.scan, self.start = self._frame, content, stream.tell()
        self.progressive = self._marker not in _SEQUENTIAL
        self.components = frame[6 : 6 + 3 * frame[5] : 3]
        self.whole = not self.progressive and content[0] == frame[5]
        self.height, self.width = struct.unpack_from(">HH", frame, 1)
        sampling = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, 6 + 3 * frame[5], 3)}
        across, down = (max(1, *(pair[axis] for pair in sampling.values())) for axis in (0, 1))
        chosen = [sampling[content[1 + 2 * number]] for number in range(content[0])]
        sizes = [(-(-self.width * one // (8 * across)), -(-self.height * other // (8 * down))) for one, other in chosen]
        self.blocks = sum(columns * rows for columns, rows in sizes)
        self.unit = (8, 8) if len(sizes) == 1 else (8 * across, 8 * down)
        self.columns = -(-self.width // self.unit[0])
        self.units = self.columns * -(-self.height // self.unit[1])

    def of_interval(self) -> bytes | None:
        """The header of a JPEG that has the units of one restart interval; None if no size has so many."""
        width, height = self.width, self.interval // self.columns * self.unit[1]
        if self.interval % self.columns:
            width, height = self.interval * self.unit[0], self.unit[1]
        if width > _LARGEST_SIDE:
            return None
        frame = self._frame[:1] + struct.pack(">HH", height, width) + self._frame[5:]
        parts = ((self._marker, frame), (_SCAN, self.scan))
        return self._tables + b"".join(struct.pack(">HH", marker, len(data) + 2) + data for marker, data in parts)


def _next_marker(stream: BinaryIO) -> tuple[int, bool]:
    """Read up to the end of the next marker. Returns it, and whether nothing but padding preceded it.

    Raises IndexError: there is none.
    """
    is_next = True
    while byte := stream.read(1):
        if byte == b"\xff":
            while byte == b"\xff":
                byte = stream.read(1)
            if byte not in (b"", b"\0"):
                return 0xFF00 + byte[0], is_next
        is_next = False
    raise IndexError("no marker")


def _segment(stream: BinaryIO) -> Segment:
    """Read the next segment. Raises struct.error, IndexError: there is none."""
    marker, is_next = _next_marker(stream)
    start = stream.tell() - 2
    if marker == _END:
        return Segment(marker, start, start + 2, b"", is_next)
    (length,) = struct.unpack(">H", stream.read(_LENGTH))
    return Segment(marker, start, start + 2 + length, stream.read(max(length - _LENGTH, 0)), is_next)


def _all_scans(stream: BinaryIO, first: jpeg_scans.Scan) -> tuple[list[jpeg_scans.Scan], bool]:
    """The first scan and those that follow, and whether nothing but segments lies between them.

    Empty if there is something unknown between them.
    """
    scans, is_clean = [first], True
    while len(scans) < _MOST_SCANS:
        stream.seek(scans[-1].end)
        while True:
            segment = _segment(stream)
            is_clean &= segment.is_next
            if segment.marker == _END:
                return scans, is_clean
            if segment.marker == _SCAN:
                break
            if segment.marker not in (*_TABLES, *_TEXTS, _RESTART_INTERVAL):
                return [], is_clean
        place = stream.tell()
        end, _ = _end_of_scan(stream, place)
        if end is None:
            return [], is_clean
        scans.append(jpeg_scans.Scan(place, end, segment.content))
    return [], is_clean


def _check_intervals(stream: BinaryIO, header: _Header, restarts: list[int]) -> str | None:
    """Decode all restart intervals but the last, each as a picture of its own."""
    start, head = header.start, header.of_interval()
    for end in restarts if head is not None else ():
        stream.seek(start)
        if note_of((head or b"") + stream.read(end - start) + b"\xff\xd9") is not None:
            return DAMAGED
        start = end + 2
    return None


def _bytes(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    return data


def _end_of_scan(stream: BinaryIO, start: int) -> tuple[int | None, list[tuple[int, int]]]:
    """Where the marker after the scan starts (None: there is none), and place and code of each restart marker."""
    stream.seek(start)
    rest = b""
    restarts: list[tuple[int, int]] = []
    while piece := stream.read(_PIECE):
        data = rest + piece
        base = stream.tell() - len(data)
        found = _MARKER.search(data)
        whole = data[: found.start()] if found else data
        restarts += [(base + marker.start(), whole[marker.end() - 1]) for marker in _RESTART.finditer(whole)]
        if found:
            return base + found.start(), restarts
        rest = whole[len(whole.rstrip(b"\xff")) :]  # may be the start of a marker
    return None, restarts
