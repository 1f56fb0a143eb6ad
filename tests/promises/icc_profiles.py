"""ICC profiles built from the specification (ICC.1:2001-04), because good ones are not freely available."""

import struct
from functools import cache

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
# Primaries of Display P3, adapted to D50: far enough from sRGB's that a dropped profile is seen.
P3 = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419), b"bXYZ": (0.1571, 0.0666, 0.7841)}


@cache
def display_p3() -> bytes:
    curves = {name: _curve(1.8) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", {name: _xyz(*values) for name, values in P3.items()} | curves)


@cache
def grey(gamma: float = 1.0) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


@cache
def cmyk() -> bytes:
    """Paper is white, black is black, and the inks between are not what plain arithmetic makes of them."""
    steps = np.linspace(1, 0, 9)  # how much of the paper's light an ink leaves
    c, m, y, k = np.meshgrid(steps, steps, steps, steps, indexing="ij")
    light = (0.4 + 0.6 * c) * (0.5 + 0.5 * m) * (0.9 + 0.1 * y) * k
    red, yellow = (50 * (c - m) + 20 * (1 - m)) * k, 64 * (c * m - y) * k
    lab = np.stack([255 * light, red + 128, yellow + 128], axis=-1)  # as 8 bits hold it
    data = np.clip(np.rint(lab), 0, 255).astype(np.uint8).tobytes()
    unit = struct.pack(">9i", *(65536 * (row == column) for row in range(3) for column in range(3)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 9, 0]) + unit + bytes(range(256)) * 4 + data + bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"test"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(1 + 4 + 4 + 2 + 1 + 67)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": _xyz(*D50), **tags}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    illuminant = struct.pack(">3i", *(round(value * 65536) for value in D50))
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + illuminant
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
