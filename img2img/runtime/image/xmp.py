"""Corrects XMP packets in place (XMP specification, part 1, 2012).

A packet is XML. Nothing here parses it: patterns change the few values that become wrong with a new picture, and all
else stays as it is. Packets with a document type are refused, so no reader of a result meets entities that grow.
"""

import re

MAX_PACKET = 16 << 20
_NAMESPACES = {"tiff": "http://ns.adobe.com/tiff/1.0/", "exif": "http://ns.adobe.com/exif/1.0/"}
_MOST_PREFIXES = 8

# Properties that refer to other parts of the file, which no result has.
_GAIN_MAP = rb"(?:hdrgm|HDRGainMap):\w+"
_MOTION = rb"(?:GCamera|Camera):(?:MicroVideo|MotionPhoto)\w*"
_EXTENDED = rb"xmpNote:HasExtendedXMP"
_DROPPED_ELEMENTS = ("xmp:Thumbnails", "xap:Thumbnails", "Container:Directory")


class BrokenPacket(ValueError):
    """The bytes are not an XMP packet that can be kept. The message says why, to follow "XMP"."""


def normalised(raw: bytes | str) -> bytes:
    """The packet in UTF-8, without thumbnails and without references to gain maps and videos of the old file.

    Raises:
        BrokenPacket: it is too large, has a document type, or is not XML.
    """
    if len(raw) > MAX_PACKET:
        raise BrokenPacket(f"is larger than {MAX_PACKET >> 20} MB")
    packet = raw.encode() if isinstance(raw, str) else _utf_8(raw)
    packet = packet.rstrip(b"\0")
    if b"<" not in packet or b"\0" in packet:
        raise BrokenPacket("is damaged")
    if re.search(rb"<!(?:DOCTYPE|ENTITY)", packet, re.IGNORECASE):
        raise BrokenPacket("has a document type, which is not safe to keep")
    for name in _DROPPED_ELEMENTS:
        packet = _without_element(packet, name.encode())
    return _without_properties(packet, rb"(?:%s|%s)" % (_GAIN_MAP, _MOTION))


def orientation(packet: bytes) -> int | None:
    """tiff:Orientation, 1 to 8; None if it is missing or invalid."""
    for pattern in _patterns(packet, "tiff", ("Orientation",)):
        match = pattern.search(packet)
        if match is not None and match["value"].strip() in [b"%d" % number for number in range(1, 9)]:
            return int(match["value"])
    return None


def upright(packet: bytes) -> bytes:
    """The packet for pixels that have been turned upright."""
    return _with_value(packet, "tiff", ("Orientation",), 1)


def fitted(packet: bytes, width: int, height: int) -> bytes:
    """The packet for new pixels of this size, in a new file: dimensions corrected if present."""
    packet = _with_value(packet, "exif", ("PixelXDimension",), width)
    packet = _with_value(packet, "exif", ("PixelYDimension",), height)
    packet = _with_value(packet, "tiff", ("ImageWidth",), width)
    return _with_value(packet, "tiff", ("ImageLength", "ImageHeight"), height)


def has_gain_map(packet: bytes) -> bool:
    """Whether the packet says that the file also holds a gain map, which makes the picture HDR."""
    return re.search(_GAIN_MAP, packet) is not None


def unextended(packet: bytes) -> bytes:
    """The packet without its reference to an extension."""
    return _without_properties(packet, _EXTENDED)


def without_padding(packet: bytes) -> bytes:
    """The packet without the white space that lets editors change it in place."""
    start = packet.rfind(b"<?xpacket")
    return packet if start < 1 else packet[:start].rstrip() + b"\n" + packet[start:]


def _with_value(packet: bytes, space: str, names: tuple[str, ...], value: int) -> bytes:
    for pattern in _patterns(packet, space, names):
        packet = pattern.sub(rb"\g<before>%d\g<after>" % value, packet)
    return packet


def _without_properties(packet: bytes, names: bytes) -> bytes:
    packet = re.sub(rb"""(?<![\w:.<-])%s\s*=\s*(?:"[^"<]*"|'[^'<]*')""" % names, b"", packet)
    return re.sub(rb"<(%s)(?:\s[^<>]*)?>[^<]*</\1\s*>" % names, b"", packet)


def _patterns(packet: bytes, space: str, names: tuple[str, ...]) -> list["re.Pattern[bytes]"]:
    """Patterns for a property as an attribute in double and in single quotes, and as an element.

    Each takes linear time: no part can match the same bytes as the next.
    """
    declared = re.findall(rb"xmlns:([\w.-]{1,40})\s*=\s*[\"']" + re.escape(_NAMESPACES[space].encode()), packet)
    prefixes = list(dict.fromkeys([space.encode(), *declared]))[:_MOST_PREFIXES]
    name = b"(?:%s):(?:%s)" % (b"|".join(map(re.escape, prefixes)), "|".join(names).encode())
    return [
        re.compile(rb'(?P<before>(?<![\w:.<-])%s\s*=\s*")(?P<value>[^"<]*)(?P<after>")' % name),
        re.compile(rb"(?P<before>(?<![\w:.<-])%s\s*=\s*')(?P<value>[^'<]*)(?P<after>')" % name),
        re.compile(
            rb"(?P<before><%s(?:\s(?:[^<>]*[^<>/])?)?>(?:\s*<rdf:value>)?(?:\s*<!\[CDATA\[)?)(?P<value>[^<\]]*)(?P<after>\]\]>\s*</|</)"
            % name
        ),
    ]


def _utf_8(raw: bytes) -> bytes:
    """XMP may also be UTF-16 or UTF-32, but not in JPEG and PNG."""
    codec = next((codec for start, codec in _STARTS.items() if raw.startswith(start)), None)
    if codec is None:
        return raw
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        raise BrokenPacket("is damaged") from error
    return text.removeprefix("\ufeff").encode()


_STARTS = {
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\0<": "utf-32-be",
    b"<\0\0\0": "utf-32-le",
    b"\xfe\xff": "utf-16",
    b"\xff\xfe": "utf-16",
    b"\0<": "utf-16-be",
    b"<\0": "utf-16-le",
}


def _without_element(packet: bytes, name: bytes) -> bytes:
    """The packet without an element and all that it holds."""
    kept, at = [], 0
    closing = b"</" + name + b">"
    while (start := packet.find(b"<" + name, at)) >= 0 and (end := packet.find(closing, start)) >= 0:
        kept.append(packet[at:start])
        at = end + len(closing)
    return b"".join([*kept, packet[at:]])
