"""Odd picture files, built byte by byte or with Pillow: file name -> content."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import icc_profiles
import numpy as np
import numpy.typing as npt
import picture_files as files
from PIL import Image, features

Pixels = npt.NDArray[Any]
Corpus = dict[str, bytes]

SIDES = 40, 24  # width, height: whole blocks of JPEG, so that white next to an edge stays white
FORMATS = [
    name for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF") if name != "AVIF" or features.check("avif")
]
SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "AVIF": ".avif",
}
# What Pillow can write of each format without changing the mode.
MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "GIF": ["1", "L", "P", "RGB"],
    "AVIF": ["L", "RGB", "RGBA"],
}
METADATA = [name for name in FORMATS if name not in ("BMP", "GIF")]


def scene(width: int = SIDES[0], height: int = SIDES[1], channels: int = 3, dtype: Any = np.uint8) -> Pixels:
    """Smooth slopes of all colours and of transparency, and in one corner 16 x 16 pixels of white.

    With 2 or 4 channels the last is alpha, which goes from none to all; the white is opaque.
    """
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [x, y, (1 - x + y) / 2] if channels > 2 else [(x + y) / 2]
    planes += [np.clip(1.5 * (1 - x) * y + 1.5 * x * (1 - y) - 0.1, 0, 1)] if channels in (2, 4) else []
    pixels = np.stack(planes, axis=2)
    pixels[:16, :16] = 1
    return np.rint(pixels * np.iinfo(dtype).max).astype(dtype)


def image(mode: str, width: int = SIDES[0], height: int = SIDES[1]) -> Image.Image:
    """The scene in a mode of Pillow's."""
    grey = Image.fromarray(scene(width, height, 1)[..., 0])
    colour = Image.fromarray(scene(width, height))
    if mode in ("L", "1"):
        return grey.convert(mode)
    if mode == "I;16":
        return Image.fromarray(scene(width, height, 1, np.uint16)[..., 0])
    if mode == "I":
        return Image.fromarray(scene(width, height, 1, np.uint16)[..., 0].astype(np.int32))
    if mode == "P":
        return colour.quantize(64, dither=Image.Dither.NONE)
    if mode == "PA":
        made = colour.quantize(64, dither=Image.Dither.NONE).convert("PA")
        made.putalpha(Image.fromarray(scene(width, height, 4)[..., 3]))
        return made
    if mode == "LA":
        return Image.fromarray(scene(width, height, 2), "LA")
    if mode == "RGBA":
        return Image.fromarray(scene(width, height, 4))
    return colour.convert(mode)


def exif(orientation: int | None = None) -> bytes:
    """When, with what and where a photo was taken."""
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x0132] = "Canon", "EOS R5", "2026:02:03 04:05:06"
    if orientation is not None:
        block[0x0112] = orientation
    block.get_ifd(0x8769).update({0x9003: "2026:02:03 04:05:06", 0xA002: SIDES[0], 0xA003: SIDES[1]})
    block.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 36.0)})
    return block.tobytes()


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    lossless: dict[str, Any] = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95}}.get(format, {})
    if format == "TIFF" and picture.mode == "YCbCr":
        lossless = {"compression": "jpeg", "quality": 95}
    picture.save(stream, format, **lossless | options)
    return stream.getvalue()


def good() -> Corpus:
    """Files that are pictures, each odd in its own way; no two have one stem."""
    made: Corpus = {}
    for format in FORMATS:
        for mode in MODES[format]:
            stem = f"{format.lower()}-{mode.replace(';', '')}"
            made[stem + SUFFIXES[format]] = saved(image(mode), format)
    for format in METADATA:
        for orientation in range(1, 9):
            name = f"turned-{orientation}-{format.lower()}{SUFFIXES[format]}"
            options = {} if format == "WEBP" else {"dpi": (300, 300)}
            made[name] = saved(image("RGB"), format, exif=exif(orientation), **options)
        made[f"p3-{format.lower()}{SUFFIXES[format]}"] = saved(
            image("RGB"), format, icc_profile=icc_profiles.display_p3(), exif=exif()
        )
        white = Image.new("RGB", SIDES, (255, 255, 255))
        made[f"white-{format.lower()}{SUFFIXES[format]}"] = saved(white, format)
    for maker in (_pngs, _jpegs, _tiffs, _others, _sizes):
        made |= maker()
    return made


def _pngs() -> Corpus:
    made: Corpus = {}
    for channels in (1, 2, 3, 4):
        for interlaced in (False, True):
            for dtype in (np.uint8, np.uint16):
                pixels = scene(21, 19, channels, dtype)
                extra = files.chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")) + _phys(96)
                name = f"png-{pixels.itemsize * 8}x{channels}{'-adam7' * interlaced}.png"
                made[name] = files.png(pixels, interlaced=interlaced, chunks=extra)
    made["png-p-alpha.png"] = saved(image("P"), "PNG", transparency=bytes(range(0, 256, 4)))
    made["png-p-one-transparent.png"] = saved(image("P"), "PNG", transparency=7)
    made["png-p-icc.png"] = saved(image("P"), "PNG", icc_profile=icc_profiles.display_p3())
    made["png-l-key.png"] = saved(image("L"), "PNG", transparency=255)
    made["png-rgb-key.png"] = saved(image("RGB"), "PNG", transparency=(255, 255, 255))
    made["png-i16-key.png"] = files.png(
        scene(9, 9, 1, np.uint16), chunks=files.chunk(b"tRNS", struct.pack(">H", 0x1FFF + 0x2000))
    )
    made["png-l-icc.png"] = saved(image("L"), "PNG", icc_profile=icc_profiles.grey())
    made["png-la-icc.png"] = saved(image("LA"), "PNG", icc_profile=icc_profiles.grey())
    made["png-i16-icc.png"] = files.png(scene(channels=1, dtype=np.uint16), chunks=_iccp(icc_profiles.grey()))
    made["png-rgb16-icc.png"] = files.png(scene(dtype=np.uint16), chunks=_iccp(icc_profiles.display_p3()))
    made["png-broken-icc.png"] = files.png(scene(), chunks=_iccp(b"no profile"))
    for depth in (1, 2, 4):
        made[f"png-grey-{depth}-bits.png"] = _shallow(depth, 0, b"")
        made[f"png-grey-{depth}-bits-key.png"] = _shallow(depth, 0, files.chunk(b"tRNS", b"\0\1"))
        palette = files.chunk(b"PLTE", bytes(range(100, 100 + (3 << depth))))
        made[f"png-palette-{depth}-bits.png"] = _shallow(depth, 3, palette)
    plain = files.png(scene())
    end = plain.index(b"IEND") - 4
    made["png-exif-at-the-end.png"] = plain[:end] + files.chunk(b"eXIf", exif(8)[6:]) + plain[end:]
    made["png-trailing-rubbish.png"] = plain + b"rubbish" * 50
    made["png-unknown-chunks.png"] = files.png(
        scene(), chunks=files.chunk(b"vpAg", bytes(9)) + files.chunk(b"IDAT", b"")
    )
    made["png-large-text.png"] = files.png(
        scene(), chunks=files.chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20)))
    )
    made["png-large-icc.png"] = files.png(scene(), chunks=_iccp(icc_profiles.display_p3() + bytes(3 << 20)))
    return made


def _phys(dpi: int) -> bytes:
    return files.chunk(b"pHYs", struct.pack(">IIB", round(dpi / 0.0254), round(dpi / 0.0254), 1))


def _iccp(profile: bytes) -> bytes:
    return files.chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def _shallow(depth: int, kind: int, chunks: bytes) -> bytes:
    """A PNG of less than 8 bits: grey (kind 0) or palette (3)."""
    values = np.add.outer(np.arange(7), np.arange(13)) % (1 << depth)
    rows = b""
    for row in values:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        rows += b"\0" + int(bits.ljust(-len(bits) // 8 * -8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    data = files.chunk(b"IDAT", zlib.compress(rows)) + files.chunk(b"IEND", b"")
    return files.png_header(13, 7, depth, kind) + chunks + data


def _jpegs() -> Corpus:
    photo = image("RGB")
    plain = saved(photo, "JPEG")
    assert plain[2:4] == b"\xff\xe0"
    app0 = 4 + int.from_bytes(plain[4:6], "big")
    inks = image("CMYK")
    cmyk = saved(inks, "JPEG", quality=100)
    adobe = cmyk.index(b"Adobe")  # and so it is stored inverted
    return {
        "jpeg-progressive.jpg": saved(
            photo, "JPEG", progressive=True, exif=exif(5), icc_profile=icc_profiles.display_p3()
        ),
        "jpeg-420.jpg": saved(photo, "JPEG", subsampling="4:2:0"),
        "jpeg-no-jfif.jpg": plain[:2] + plain[app0:],
        "jpeg-exif-before-jfif.jpg": saved(photo, "JPEG", exif=exif(3), dpi=(72, 72)),
        "jpeg-restarts.jpg": saved(photo, "JPEG", restart_marker_blocks=2),
        "jpeg-stored-as-rgb.jpg": saved(photo, "JPEG", keep_rgb=True),
        "jpeg-rubbish-behind.jpg": plain + b"motion photo" * 99,
        "jpeg-fill-bytes.jpg": plain[:2] + b"\xff\xff\xff" + plain[2:],
        "jpeg-l-icc.jpg": saved(image("L"), "JPEG", icc_profile=icc_profiles.grey()),
        "jpeg-wrong-icc.jpg": saved(photo, "JPEG", icc_profile=icc_profiles.cmyk()),
        "jpeg-cmyk-icc.jpg": saved(inks, "JPEG", icc_profile=icc_profiles.cmyk(), exif=exif(6), dpi=(240, 240)),
        "jpeg-ycck.jpg": cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :],
        "jpeg-large-icc.jpg": saved(photo, "JPEG", icc_profile=icc_profiles.display_p3() + bytes(200_000)),
        "jpeg-mpo.jpg": saved(photo, "MPO", save_all=True, append_images=[image("RGB", 8, 8)], exif=exif(6)),
    }


def _tiffs() -> Corpus:
    made: Corpus = {}
    for order in "<>":
        for channels, extra in ((1, None), (3, None), (4, 2)):
            for dtype in (np.uint8, np.uint16):
                pixels = scene(21, 19, channels, dtype)
                name = f"tiff-{pixels.itemsize * 8}x{channels}-{'II' if order == '<' else 'MM'}.tif"
                made[name] = files.tiff(pixels, order=order, extra=extra, more={274: (7,)}, compression="deflate")
    dark = scene(channels=1)
    made["tiff-zero-is-white.tif"] = files.tiff(255 - dark, photometric=0)
    made["tiff-16-zero-is-white.tif"] = files.tiff(65535 - scene(channels=1, dtype=np.uint16), photometric=0)
    made["tiff-planes.tif"] = files.tiff(scene(), separate=True)
    made["tiff-i16-icc.tif"] = saved(image("I;16"), "TIFF", icc_profile=icc_profiles.grey())
    made["tiff-cmyk-icc.tif"] = saved(image("CMYK"), "TIFF", icc_profile=icc_profiles.cmyk(), dpi=(240, 240))
    made["tiff-cmyk-16.tif"] = files.tiff(scene(channels=4, dtype=np.uint16)[:, :, [0, 1, 2, 3]], photometric=5)
    made["tiff-thumbnail-page.tif"] = files.tiff(scene(), following=1, more={254: (1,)})
    for compression in ("packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        made[f"tiff-{compression}.tif"] = saved(image("RGB"), "TIFF", compression=compression, tiffinfo={274: 4})
    made["tiff-group4.tif"] = saved(image("1"), "TIFF", compression="group4", dpi=(200, 200))
    made["tiff-bilevel-lzw.tif"] = saved(image("1"), "TIFF", compression="tiff_lzw")
    made["tiff-big.tif"] = saved(image("RGB"), "TIFF", big_tiff=True, exif=exif(2))
    made["tiff-premultiplied.tif"] = files.tiff(_premultiplied(scene(channels=4)), extra=1)
    made["tiff-grey-premultiplied.tif"] = files.tiff(_premultiplied(scene(channels=2)), extra=1)
    made["tiff-unknown-extra.tif"] = files.tiff(scene(channels=4), extra=0)
    made["tiff-ycbcr-raw.tif"] = files.tiff(np.asarray(image("YCbCr")), photometric=6, more={530: (1, 1)})
    return made


def _premultiplied(pixels: Pixels) -> Pixels:
    alpha = pixels[..., -1:].astype(np.uint16)
    return np.concatenate([((pixels[..., :-1] * alpha + 127) // 255).astype(np.uint8), pixels[..., -1:]], axis=2)


def _others() -> Corpus:
    made: Corpus = {
        "gif-transparent.gif": saved(image("P"), "GIF", transparency=3),
        "gif-interlaced.gif": saved(image("P"), "GIF", interlace=True),
        "gif-1x1.gif": saved(image("P", 1, 1), "GIF"),
        "bmp-dpi.bmp": saved(image("RGB"), "BMP", dpi=(150, 150)),
        "bmp-top-down.bmp": _top_down(saved(image("RGB"), "BMP")),
        "webp-lossy-alpha.webp": saved(image("RGBA"), "WEBP", lossless=False, quality=90),
        "webp-animation-of-one.webp": saved(image("RGB"), "WEBP", save_all=True),
    }
    return made


def _top_down(data: bytes) -> bytes:
    """The same BMP, with its rows in the other order and a height that says so."""
    start, width, height = struct.unpack_from("<I", data, 10)[0], *struct.unpack_from("<ii", data, 18)
    pitch = (width * 3 + 3) // 4 * 4
    rows = [data[start + pitch * row : start + pitch * (row + 1)] for row in range(height)]
    return data[:22] + struct.pack("<i", -height) + data[26:start] + b"".join(reversed(rows))


def _sizes() -> Corpus:
    made: Corpus = {}
    for width, height in ((1, 1), (1, 9), (9, 1), (2, 2), (3, 1)):
        for format in FORMATS:
            name = f"size-{width}x{height}-{format.lower()}{SUFFIXES[format]}"
            made[name] = saved(image("RGB", width, height), format)
        made[f"size-{width}x{height}-alpha.png"] = saved(image("RGBA", width, height), "PNG")
        made[f"size-{width}x{height}-deep.png"] = files.png(scene(width, height, 3, np.uint16))
    made["size-30000x10.png"] = saved(image("LA", 30000, 10), "PNG")
    made["size-30000x10-turned.jpg"] = saved(image("L", 10, 30000), "JPEG", exif=exif(6))
    made["size-10x30000.tif"] = saved(image("RGB", 10, 30000), "TIFF")
    return made


NAMES = [
    os.fsdecode(name)
    for name in (
        b"a b  c.png", b"line\nfeed.png", b"\ttab.png", b"it's \"it\".png", "🎈 ñ e\u0301.png".encode(),
        b"latin-\xe9\xff.png",
        b"[red]x{y}%s$HOME;&.png", b"*?.png", b"-rf.png", b"a\\b.png", "\u202egnp.exe.png".encode(), b"UPPER.PNG",
        b"two.dots..png", b"x" * 200 + b".png", "日本.png".encode(), b"esc\x1b[31m.png", b"CON.png", b" .png",
        b"a#b?c=d.png",
    )
]  # fmt: skip


def animated() -> Corpus:
    """Animations whose first frame is the scene in RGB (in GIF, what 256 colours leave of it)."""
    frames = [image("RGB"), Image.new("RGB", SIDES, (0, 99, 0)), Image.new("RGB", SIDES, (99, 0, 0))]
    return {
        f"moving-{format.lower()}{SUFFIXES[format]}": saved(
            frames[0], format, save_all=True, append_images=frames[1:], duration=100
        )
        for format in ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
        if format in FORMATS
    }


def whole() -> Corpus:
    """One small file of each format and coding, to be cut."""
    small: Callable[[str], Image.Image] = lambda mode: image(mode, 24, 24)  # noqa: E731
    return {
        "cut.png": saved(small("RGB"), "PNG"),
        "cut-palette.png": saved(small("P"), "PNG"),
        "cut-deep.png": files.png(scene(16, 16, 3, np.uint16), interlaced=True),
        "cut.jpg": saved(small("RGB"), "JPEG", exif=exif(6), icc_profile=icc_profiles.display_p3()),
        "cut-progressive.jpg": saved(small("RGB"), "JPEG", progressive=True),
        "cut-grey.jpg": saved(small("L"), "JPEG"),
        "cut-lossless.webp": saved(small("RGBA"), "WEBP"),
        "cut.webp": saved(small("RGB"), "WEBP", lossless=False),
        "cut.gif": saved(small("P"), "GIF"),
        "cut.bmp": saved(small("L"), "BMP"),
        "cut.tif": files.tiff(scene(16, 16), compression="deflate"),
        "cut-deep.tif": files.tiff(scene(16, 16, 3, np.uint16), compression="lzw"),
        "cut-pillow.tif": saved(small("RGB"), "TIFF", compression="tiff_lzw"),
        **({"cut.avif": saved(small("RGB"), "AVIF")} if "AVIF" in FORMATS else {}),
    }


def bad() -> dict[str, tuple[bytes, str]]:
    """Files that no picture can be made of, and a word of what a person has to be told."""
    grey, deep = scene(8, 8, 1), scene(8, 8, 3, np.uint16)
    jpeg = saved(image("RGB", 16, 16), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    png = files.png(scene(8, 8))
    flipped = bytearray(png)
    flipped[png.index(b"IDAT") + 12] ^= 4
    broken: dict[str, tuple[bytes, str]] = {
        "empty.png": (b"", "0 bytes"),
        "text.jpg": (b"Dear diary\n", "text"),
        "page.png": (b"<!doctype html>404", "web page"),
        "heic.jpg": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        "zeros.png": (bytes(5000), "not a picture"),
        "float.tif": (files.tiff(np.ones((3, 3, 1), np.float32)), "floating-point"),
        "float-pillow.tif": (saved(Image.new("F", (3, 3), 0.5), "TIFF"), "floating-point"),
        "float-rgb.tif": (files.tiff(np.ones((3, 3, 3), np.float32)), "floating-point"),
        "integers.tif": (saved(Image.new("I", (3, 3), 70000), "TIFF"), "32-bit"),
        "negative.tif": (saved(Image.new("I", (3, 3), -1), "TIFF"), "32-bit"),
        "icclab.tif": (files.tiff(scene(8, 8), photometric=9), "this kind of file is not supported"),
        "no-colours.tif": (files.tiff(grey, more={262: (77,)}), "this kind of file is not supported"),
        "five-channels.tif": (
            files.tiff(scene(8, 8, 4)[..., [0, 1, 2, 3, 3]], extra=0),
            "this kind of file is not supported",
        ),
        "raw.tif": (files.tiff(scene(8, 8), more={50706: (1,)}), "camera raw"),
        "pages.tif": (files.tiff(scene(8, 8), following=2), "3 frames"),
        "unknown-compression.tif": (files.tiff(scene(8, 8), more={259: (50002,)}), "compression (50002)"),
        "12-bit.jpg": (
            jpeg[: frame + 1] + b"\xc1" + jpeg[frame + 2 : frame + 4] + b"\x0c" + jpeg[frame + 5 :],
            "12-bit",
        ),
        "lossless.jpg": (jpeg[: frame + 1] + b"\xc3" + jpeg[frame + 2 :], "damaged"),
        "two-channels.jpg": (jpeg[: frame + 9] + b"\2" + jpeg[frame + 10 :], "this kind of file is not supported"),
        "no-data.png": (files.png_header(8, 8) + files.chunk(b"IEND", b""), "damaged"),
        "no-palette.png": (_shallow(4, 3, b""), "damaged"),
        "flipped-bit.png": (bytes(flipped), "damaged"),
        "checksum.png": (png[:-13] + bytes([png[-13] ^ 1]) + png[-12:], "checksum of IDAT"),
        "depth-3.png": (files.png_header(8, 8, 3) + png[33:], "damaged"),
        "no-width.png": (files.png_header(0, 8) + png[33:], "damaged"),
        "too-few-rows.png": (files.png_header(8, 80) + png[33:], "damaged"),
        "garbled-lzw.tif": (_garbled(files.tiff(deep, compression="lzw")), "damaged"),
        "garbled.tif": (_garbled(files.tiff(deep, compression="deflate")), "damaged"),
    }
    for format, side in (("png", 2**31 - 1), ("png", 15_000), ("bmp", 2**31 - 1), ("jpg", 65_500), ("tif", 60_000)):
        broken[f"bomb-{side}.{format}"] = _bomb(format, side), "--max-pixels"
    return broken


def _garbled(tiff: bytes) -> bytes:
    return tiff[:12] + bytes(255 - byte for byte in tiff[12:40]) + tiff[40:]


def _bomb(format: str, side: int) -> bytes:
    """A small file that claims to hold a square of this side."""
    if format == "png":
        return files.png_header(side, side) + files.chunk(b"IDAT", b"x\x9c") + files.chunk(b"IEND", b"")
    if format == "tif":
        return files.tiff(scene(8, 8), more={256: (side,), 257: (side,)})
    data = bytearray(saved(image("RGB", 8, 8), "BMP" if format == "bmp" else "JPEG"))
    if format == "bmp":
        struct.pack_into("<ii", data, 18, side, -side)
    else:
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    return bytes(data)
