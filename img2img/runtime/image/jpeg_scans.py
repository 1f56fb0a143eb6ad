"""Whether all scans of a JPEG are whole, if it has several: progressive JPEGs, and those with a scan for each colour.

libjpeg decodes all scans before it gives the first row. But the bytes that it leaves in its buffer show what it waits
for. It leaves a unit that is not complete, and nothing while it looks for the marker after the scan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageFile

DECODER = "img2img-jpeg"

_PIECE = 64 << 10
_AHEAD = 8  # bytes that libjpeg reads ahead at most
_PROBES = _AHEAD + 1
_MOST_PADDING = 4096


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan: where its pixels start and end, and its header."""

    start: int
    end: int
    header: bytes

    def components(self) -> bytes:
        return self.header[1 : 1 + 2 * self.header[0] : 2]


def have_all(scans: Sequence[Scan], components: bytes, progressive: bool) -> bool:
    """Whether the scans together hold every bit of every coefficient of all components."""
    missing = {(component, place) for component in components for place in range(64 if progressive else 1)}
    for scan in scans:
        first, last, bits = scan.header[1 + 2 * scan.header[0] :][:3]
        if not progressive:
            first, last, bits = 0, 0, 0
        if bits & 15 == 0:  # down to the last bit
            missing -= {(one, place) for one in scan.components() for place in range(first, last + 1)}
    return not missing


def is_padded(stream: BinaryIO, start: int, end: int) -> bool:
    """Whether there are some zeros before the end of a scan, as some encoders write them after the last bits."""
    stream.seek(max(start, end - _MOST_PADDING - 1))
    tail = stream.read(end - stream.tell())
    return 2 <= len(tail) - len(tail.rstrip(b"\0")) <= _MOST_PADDING


class ScansWatch:
    """Feeds Pillow's decoder in pieces and looks at what it leaves. Replaces the stream and the decoder of an image."""

    def __init__(self, image: ImageFile.ImageFile, scans: Sequence[Scan]) -> None:
        stream: Any = image.fp
        self._stream = stream
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close
        self._pieces = self._fed(scans)
        self.left = 0  # bytes that the decoder has left of the last piece
        self.waits = False  # whether a scan ended before all its units
        self.has_rest = False  # whether bytes were left after all units of a scan
        tile: Any = image.tile[0]
        _, extents, offset, args = tile
        image.tile = [type(tile)(DECODER, extents, offset, (*args, self))]
        image.fp = self  # type: ignore[assignment]
        Image.register_decoder(DECODER, _Decoder)  # type: ignore[arg-type]

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever the size."""
        return next(self._pieces, b"")

    def _fed(self, scans: Sequence[Scan]) -> Iterator[bytes]:
        for scan in scans:
            if scan.end - scan.start > 2 * _PROBES:
                yield from self._up_to(scan.end - _PROBES)
                padded, idle = is_padded(self._stream, scan.start, scan.end), True
                self._stream.seek(scan.end - _PROBES)
                for _ in range(_PROBES):
                    yield self._stream.read(1)
                    idle = idle and not self.left
                self.has_rest |= idle and not padded
            yield from self._up_to(scan.end)
            yield bytes(_AHEAD)  # skipped before the next marker
            for _ in range(_AHEAD):
                yield b"\0"
                self.waits |= self.left > 0
        while data := self._stream.read(_PIECE):
            yield data

    def _up_to(self, place: int) -> Iterator[bytes]:
        while (size := place - self._stream.tell()) > 0:
            yield self._stream.read(min(size, _PIECE))


class _Decoder:
    """Pillow's decoder for JPEG. It tells a ScansWatch how many bytes it leaves."""

    pulls_fd = False

    def __init__(self, mode: str, raw_mode: str, jpeg_mode: str, watch: ScansWatch, *extra: Any) -> None:
        self._decoder: Any = Image._getdecoder(mode, "jpeg", (raw_mode, jpeg_mode), extra)
        self._watch = watch
        self.setimage, self.cleanup = self._decoder.setimage, self._decoder.cleanup

    def decode(self, buffer: bytes) -> tuple[int, int]:
        used, code = self._decoder.decode(buffer)
        self._watch.left = len(buffer) - max(used, 0)
        return used, code
