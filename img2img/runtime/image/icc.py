"""Builds ICC profiles for colour spaces that files describe in another way (ICC.1:2001-04)."""

import struct

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]  # CIE 1931 x, y

HEADER_BYTES = 128
CURVE_POINTS = 4096
D65: Point = (0.3127, 0.3290)
SRGB_PRIMARIES: tuple[Point, Point, Point] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D50 = (0.96420, 1.0, 0.82491)
_BRADFORD = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))


def srgb_light(encoded: Floats) -> Floats:
    """Linear light of sRGB values (IEC 61966-2-1), both 0..1."""
    light: Floats = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return light


def encoded_points() -> Floats:
    """The encoded values, 0..1, at which a curve is given."""
    return np.linspace(0, 1, CURVE_POINTS)


def grey(light: Floats) -> bytes:
    """A profile for grey. light: linear light, 0..1, at `encoded_points`."""
    return _profile(b"GRAY", {b"kTRC": _curve(light)})


def rgb(light: Floats, primaries: tuple[Point, Point, Point], white: Point) -> bytes:
    """A profile for RGB. light: as in `grey`.

    Raises:
        ValueError: the primaries do not span a colour space.
    """
    columns = np.array([_xyz(point) for point in primaries]).T
    target = _xyz(white)
    try:
        columns = columns * np.linalg.solve(columns, target)
    except np.linalg.LinAlgError as error:
        raise ValueError("the primaries do not span a colour space") from error
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ target)) @ _BRADFORD @ columns
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 4:
        raise ValueError("the primaries do not span a colour space")
    curve = _curve(light)
    tags = {name: _point(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted.T, strict=True)}
    return _profile(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def _xyz(point: Point) -> Floats:
    x, y = point
    if not y > 0:
        raise ValueError("the primaries do not span a colour space")
    return np.array((x / y, 1, (1 - x - y) / y))


def _point(xyz: Floats) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in xyz))


def _curve(light: Floats) -> bytes:
    values: bytes = np.rint(np.clip(light, 0, 1) * 65535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", len(light)) + values


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"img2img\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"CC0\0", b"wtpt": _point(np.array(_D50)), **tags}
    start = HEADER_BYTES + 4 + 12 * len(tags)
    table, data, places = struct.pack(">I", len(tags)), b"", {}
    for tag, content in tags.items():
        if content not in places:  # tags may share their content
            places[content] = start + len(data)
            data += content + b"\0" * (-len(content) % 4)
        table += struct.pack(">4sII", tag, places[content], len(content))
    d50 = struct.pack(">3i", 63190, 65536, 54061)  # x 65536
    size = start + len(data)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, b"mntr", space, b"XYZ ", b"acsp") + d50
    return header.ljust(HEADER_BYTES, b"\0") + table + data
