"""Decodes PNG, WebP, BMP, GIF and AVIF files."""

from collections.abc import Callable
from typing import Any, BinaryIO

from PIL import ImageFile

from img2img.runtime.image import avif_boxes, colour_tags, decoding, exif, metadata, pillow, png_checks, png_chunks
from img2img.runtime.image.colour_tags import NO_TAGS, ColourTags
from img2img.runtime.image.decoding import Decoded

Opener = Callable[[], BinaryIO]


def read(fresh: Opener, format: str, max_pixels: int, *, first_frame: bool) -> Decoded:
    """Decode a file of Pillow's format `format`. `fresh` returns it as a seekable stream, from its beginning.

    Raises:
        PictureError: as `pictures.read`.
    """
    chunks = png_chunks.read(fresh()) if format == "PNG" else png_chunks.Chunks()

    def opened() -> ImageFile.ImageFile:
        source: Any = pillow.Skipping(fresh(), chunks.places) if chunks.places else fresh()
        image = pillow.open_image(source, format)
        if format == "PNG":
            image.info["icc_profile"] = chunks.icc
        return image

    with pillow.reading(max_pixels):
        image = opened()
        frames = getattr(image, "n_frames", 1)
        notes = pillow.check_frames(frames, first_frame)
        pillow.check_size(image.size, max_pixels)
        # Pillow composes the frames of an animated PNG in 8 bits.
        decoded = decoding.decode(image, opened, shallow="it is animated" if frames > 1 else "")
        if format == "PNG":
            png_checks.check(fresh(), image)
    decoded.notes[:0] = [*notes, *chunks.notes]
    block = None
    if format == "PNG":
        decoded.metadata, block = metadata.from_png(chunks, decoded.notes)
    else:
        decoded.metadata = metadata.from_info(image.info, decoded.notes)
    if block := image.info.get("exif") or block:
        decoded.exif = exif.kept(block, decoded.notes)
    decoded.tags = _tags_of(decoded, format, chunks, fresh)
    decoded.dpi = pillow.resolution(image)
    return decoded


def _tags_of(decoded: Decoded, format: str, chunks: png_chunks.Chunks, fresh: Opener) -> ColourTags:
    """The colour tags of a file. Pixels of narrow range are expanded."""
    if format == "PNG":
        tags, narrow = colour_tags.from_png(chunks.tags, decoded.notes)
        if narrow:
            decoded.colour = colour_tags.full_range(decoded.colour)
        return tags
    if format != "AVIF":
        return NO_TAGS
    found = avif_boxes.read(fresh())
    if found.bits > 8:
        decoded.notes.append(f"{found.bits} bits were read as 8")
    if found.gain_map:
        decoded.notes.append(metadata.GAIN_MAP_NOTE)
    return colour_tags.from_nclx(found.primaries, found.transfer, with_icc=decoded.icc is not None)
