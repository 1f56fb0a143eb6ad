"""Picture files built byte by byte from their specifications, for the tests: what Pillow cannot write, and what it must
not be asked to write if it is to be checked."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int = 8, kind: int = 2, interlace: int = 0) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))


def png(pixels: Pixels, *, filters: str = "01234", interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """A PNG of uint8 or uint16 [H, W, C], rows filtered with the given types in turn; `chunks` go before the data."""
    height, width, channels = pixels.shape
    raw = b""
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = pixels[top::down, left::across]
        if part.size:
            raw += filtered(part, [int(letter) for letter in filters])
    start = png_header(width, height, pixels.dtype.itemsize * 8, COLOUR_TYPES[channels], int(interlaced))
    packed = zlib.compress(raw)
    middle = len(packed) // 2  # in two chunks, as encoders do
    data = chunk(b"IDAT", packed[:middle]) + chunk(b"IDAT", packed[middle:])
    return start + chunks + data + chunk(b"IEND", b"")


def filtered(pixels: Pixels, filters: list[int]) -> bytes:
    step = pixels.shape[2] * pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(len(pixels), -1).view(np.uint8).astype(int)
    result = b""
    above = np.zeros(rows.shape[1], int)
    for number, row in enumerate(rows):
        left, corner = (np.concatenate((np.zeros(step, int), line[:-step])) for line in (row, above))
        kind = filters[number % len(filters)]
        distance = [np.abs(left + above - corner - other) for other in (left, above, corner)]
        nearest = np.where(distance[1] <= distance[2], above, corner)
        paeth = np.where((distance[0] <= distance[1]) & (distance[0] <= distance[2]), left, nearest)
        guess = (0 * row, left, above, (left + above) // 2, paeth)[kind]
        result += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return result


def tiff(
    pixels: Pixels,
    *,
    order: str = "<",
    compression: str = "raw",
    predictor: bool = False,
    separate: bool = False,
    photometric: int | None = None,
    extra: int | None = None,
    rows: int = 4,
    more: dict[int, tuple[int, ...]] | None = None,
    following: int = 0,
) -> bytes:
    """A TIFF of uint8, uint16 or float32 [H, W, C] in strips; `more` are SHORT tags, `following` pages repeat it."""
    height, width, channels = pixels.shape
    codes = {"raw": 1, "lzw": 5, "deflate": 8}
    pack = {"raw": bytes, "lzw": lzw, "deflate": zlib.compress}[compression]
    strips = []
    for plane in np.split(pixels, channels, axis=2) if separate else [pixels]:
        for top in range(0, height, rows):
            strip = plane[top : top + rows].copy()
            if predictor:
                strip[:, 1:] -= plane[top : top + rows][:, :-1]
            strips.append(pack(strip.astype(strip.dtype.newbyteorder(order)).tobytes()))
    photometric = (2 if channels > 2 else 1) if photometric is None else photometric
    shorts: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (pixels.dtype.itemsize * 8,) * channels,
        259: (codes[compression],),
        262: (photometric,),
        277: (channels,),
        278: (rows,),
        284: (2 if separate else 1,),
        **({317: (2,)} if predictor else {}),
        **({338: (extra,)} if extra is not None else {}),
        **({339: (3,) * channels} if pixels.dtype.kind == "f" else {}),
        **(more or {}),
    }
    result = bytearray(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))
    offsets = []
    for strip in strips:
        offsets.append(len(result))
        result += strip + b"\0" * (len(strip) % 2)
    longs = {273: tuple(offsets), 279: tuple(map(len, strips))}
    hook = 4
    for _ in range(following + 1):
        struct.pack_into(f"{order}I", result, hook, len(result))
        entries = {**{tag: (3, "H", v) for tag, v in shorts.items()}, **{tag: (4, "I", v) for tag, v in longs.items()}}
        start = len(result) + 2 + 12 * len(entries) + 4
        table, beyond = b"", b""
        for tag, (kind, code, values) in sorted(entries.items()):
            raw = struct.pack(f"{order}{len(values)}{code}", *values)
            place = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", start + len(beyond))
            beyond += (raw + b"\0" * (len(raw) % 2)) if len(raw) > 4 else b""
            table += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
        hook = len(result) + 2 + len(table)
        result += struct.pack(f"{order}H", len(entries)) + table + bytes(4) + beyond
    return bytes(result)


def lzw(data: bytes) -> bytes:
    """TIFF's LZW without ever using the table: literals of 9 bits, and a clear code before 10 would be needed."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at : at + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


MAKER_NOTE = b"MAKER\0" + bytes(range(40))


def exif(order: str = "<", *, orientation: int | None = 1, thumbnail: bool = True, size: int = 100) -> bytes:
    """An EXIF block: maker, orientation, pixel dimensions, a maker note, a position, and a thumbnail at its end."""

    def directory(entries: list[tuple[int, int, int, Any]], following: int = 0) -> bytes:
        table = struct.pack(f"{order}H", len(entries))
        for tag, kind, count, value in sorted(entries):
            field = value if isinstance(value, bytes) else struct.pack(f"{order}{'H' if kind == 3 else 'I'}", value)
            table += struct.pack(f"{order}HHI", tag, kind, count) + field.ljust(4, b"\0")
        return table + struct.pack(f"{order}I", following)

    # Fixed places: main directory at 8, EXIF at 100, position at 200, values from 300 on, thumbnail's directory at 400.
    main: list[tuple[int, int, int, Any]] = [
        (0x010F, 2, 6, 300),
        (0x8769, 4, 1, 100),
        (0x8825, 4, 1, 200),
    ]
    if orientation is not None:
        main.append((0x0112, 3, 1, orientation))
    main = [(tag, kind, count, struct.pack(f"{order}I", v) if kind == 2 else v) for tag, kind, count, v in main]
    maker = (0x927C, 7, len(MAKER_NOTE), struct.pack(f"{order}I", 320))
    photo = [(0xA002, 3, 1, size), (0xA003, 4, 1, size), maker]
    position = [(0x0001, 2, 2, b"N\0"), (0x0002, 5, 3, struct.pack(f"{order}I", 370))]
    small = b"\xff\xd8 a thumbnail \xff\xd9"
    second = [(0x0201, 4, 1, 440), (0x0202, 4, 1, len(small))]
    result = bytearray(440)
    parts = (
        (0, struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)),
        (8, directory(main, 400 if thumbnail else 0)),
        (100, directory(photo)),
        (200, directory(position)),
        (300, b"Canon\0"),
        (320, MAKER_NOTE),
        (370, struct.pack(f"{order}6I", 52, 1, 31, 1, 12, 1)),
        (400, directory(second)),
    )
    for at, part in parts if thumbnail else parts[:-1]:
        result[at : at + len(part)] = part
    return b"Exif\0\0" + bytes(result) + (small if thumbnail else b"")


def noise(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> Pixels:
    """Random pixels: the hardest for filters and predictors, and every bit matters."""
    largest = int(np.iinfo(dtype).max)
    return np.random.default_rng(seed).integers(0, largest, shape, endpoint=True).astype(dtype)


def rgb_profile(space: bytes = b"RGB ") -> bytes:
    """A valid sRGB profile; with another `space`, one whose header claims to be for that colour space."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space
    return bytes(profile)


class Pipe(BytesIO):
    """A stream that can only be read, or only be written, front to back."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError("a pipe cannot seek")

    def notify(self) -> int:
        raise OSError("a pipe has no position")
