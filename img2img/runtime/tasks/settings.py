"""The options that every batch shares, declared once for the command line, Python and the journal.

`cli.options` turns these fields into options, and `img2img.batch` accepts them as keyword arguments. `--help` imports
this module, so it must not import numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from img2img.errors import UsageError
from img2img.runtime.files.jobs import Existing
from img2img.runtime.files.lists import MAX_BYTES
from img2img.text import parse_memory


class FileFormat(StrEnum):
    """Extensions that --format accepts."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    AVIF = "avif"


class Engine(StrEnum):
    """Where a batch runs."""

    LOCAL = "local"
    RAY = "ray"


MAX_PIXELS = "Refuse pictures with more pixels. Default: 200 million."
"""Help of --max-pixels, in every command that reads pictures."""

PANELS = OUTPUT, MODEL, INPUT, BATCH, MESSAGES = "Output", "Model", "Input", "Batch", "Messages"
"""The panels of --help, in order."""


def option(default: Any, *names: str, panel: str = "Options", help: str, **limits: Any) -> Any:
    """A dataclass field that is also a command-line option.

    Args:
        names: further names, such as "-o"; the first one is derived from the field's name.
        panel: the panel of --help that lists it.
        limits: `metavar`, `min` and `max`.
    """
    metadata = MappingProxyType({"names": names, "panel": panel, "help": help, **limits})
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of every command that turns pictures into pictures.

    Raises:
        UsageError: a number is out of range.
    """

    output: str | None = option(
        None,
        "-o",
        metavar="WHERE",
        panel=OUTPUT,
        help="A file; a folder (keeps the names); a template of {stem} {name} {dir} {sub} {model} {domain} {scale} "
        "{ext}; or - for stdout. Default: next to the input, with a suffix (PHOTO_x4.png, PHOTO_MODEL.png, "
        "PHOTO_DOMAIN.png; FOLDER_x4); stdout if the input is stdin.",
    )
    suffix: str | None = option(
        None,
        metavar="TEXT",
        panel=OUTPUT,
        help="End the names of results with this (PHOTO_large.png), next to the input instead of the default suffix, "
        "and in the folder of -o. Several results per picture keep their own suffix before it.",
    )
    format: FileFormat | None = option(
        None, panel=OUTPUT, help="Output format. Default: from the output's extension, or as the input, or png."
    )
    quality: int | None = option(None, panel=OUTPUT, help="Quality for JPEG, WebP and AVIF.", min=1, max=100)
    existing: Existing = option(
        Existing.SKIP,
        panel=OUTPUT,
        help="What to do if the output exists. skip: keep it, but redo it if the journal of its folder shows that the "
        "input, the model or the options have changed. newer: replace it if the input is newer. overwrite: replace "
        "it. fail: stop before doing anything.",
    )
    color_fix: bool = option(
        False,
        panel=OUTPUT,
        help="Remove colour casts: match the low frequencies of the colours to the input. Keeps detail and white.",
    )
    strip: bool = option(
        False,
        panel=OUTPUT,
        help="Drop metadata (EXIF, XMP, IPTC, texts, resolution). Colours and orientation stay right.",
    )
    keep_times: bool = option(
        False, panel=OUTPUT, help="Give results the access and modification times of their inputs (local files only)."
    )
    model: str | None = option(
        None, "-m", metavar="NAME|PATH", panel=MODEL, help="A name listed by 'img2img models', or an ONNX file."
    )
    assume: tuple[str, ...] = option(
        (),
        metavar="KEY=VALUE",
        panel=MODEL,
        help="A property of a model file without a card, such as scale=4, range=255 or offset=14. Repeatable.",
    )
    verify: bool = option(
        False, panel=MODEL, help="Refuse a model whose bytes differ from the digest in its card. Default: a warning."
    )
    device: str = option("auto", metavar="auto|cpu|cuda[:N]", panel=MODEL, help="Where the network runs.")
    strength: float = option(
        1.0,
        panel=MODEL,
        min=0,
        max=1,
        help="Blend of input and result: 0 returns the input, 1 the result.",
    )
    threads: int | None = option(
        None, panel=MODEL, min=1, max=1024, metavar="N", help="CPU threads. Default: all cores."
    )
    max_memory: str | None = option(
        None, metavar="SIZE", panel=MODEL, help="Memory limit, such as 500M or 2G. Tiles are sized to fit."
    )
    recursive: bool = option(False, "-r", panel=INPUT, help="Include subfolders. The results keep the folder tree.")
    include: tuple[str, ...] = option(
        (), metavar="GLOB", panel=INPUT, help="Only process matching files in folders and globs ('*.jpg', 'best/**')."
    )
    exclude: tuple[str, ...] = option(
        (),
        metavar="GLOB",
        panel=INPUT,
        help="Skip matching files and folders in folders and globs; overrides --include. Files named on the command "
        "line, for example by the shell's *, are always processed.",
    )
    files_from: str | None = option(
        None, metavar="FILE|-", panel=INPUT, help="Read input names from a file or from stdin, one per line."
    )
    null: bool = option(False, "-0", panel=INPUT, help="Names in --files-from end with a null byte (find -print0).")
    first_frame: bool = option(False, panel=INPUT, help="Use the first frame of animations.")
    max_pixels: int | None = option(None, panel=INPUT, min=1, metavar="N", help=MAX_PIXELS)
    max_bytes: str | None = option(
        None,
        metavar="SIZE",
        panel=INPUT,
        help="Refuse a picture on stdin or a list of names with more bytes, such as 500M. Default: the largest picture "
        "that --max-pixels allows; 64M for lists.",
    )
    shard: str | None = option(
        None,
        metavar="N/TOTAL",
        panel=BATCH,
        help="Process one part of the list, for job arrays: 3/16 is the third of 16 parts. Every machine splits the "
        "list in the same way.",
    )
    journal: bool = option(
        True,
        "--journal/--no-journal",
        panel=BATCH,
        help="Keep a journal in the output folder, so that a second run does only what is missing or changed.",
    )
    fail_fast: bool = option(False, panel=BATCH, help="Stop at the first failure.")
    check_seams: bool = option(
        False, panel=BATCH, help="Run each picture twice with different tiles and report the largest difference."
    )
    engine: Engine = option(
        Engine.LOCAL, panel=BATCH, help="Where to run: this process, or a Ray cluster (pip install 'img2img[ray]')."
    )

    def __post_init__(self) -> None:
        for name, kind in (("format", FileFormat), ("existing", Existing), ("engine", Engine)):
            given = getattr(self, name)
            if given is not None and given not in list(kind):
                raise UsageError(f"{name}: {given!r} is not one of {', '.join(kind)}")
            object.__setattr__(self, name, None if given is None else kind(given))  # Python callers pass plain strings
        for one in fields(self):
            value, low, high = getattr(self, one.name), one.metadata.get("min"), one.metadata.get("max")
            if isinstance(value, list) or (value is None and isinstance(one.default, tuple)):
                object.__setattr__(self, one.name, tuple(value or ()))
            if value is None or (low is None and high is None):
                continue
            if not (low is None or value >= low) or not (high is None or value <= high):
                raise UsageError(f"{one.name}: {value} is not in {low}..{'' if high is None else high}")

    @property
    def limit(self) -> int:
        """The most pixels of an input."""
        from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

        return self.max_pixels or DEFAULT_MAX_PIXELS

    def bytes_of_pictures(self) -> int:
        """The most bytes of a picture on stdin: --max-bytes, or those of the largest raw picture. Raises UsageError."""
        from img2img.runtime.image.special_files import most_bytes

        return self._max_bytes(most_bytes(self.limit))

    def bytes_of_lists(self) -> int:
        """The most bytes of a list of names: --max-bytes, or 64 MiB. Raises UsageError."""
        return self._max_bytes(MAX_BYTES)

    def _max_bytes(self, default: int) -> int:
        if self.max_bytes is not None:
            return parse_memory(self.max_bytes, "--max-bytes")
        return default if self.max_memory is None else min(default, parse_memory(self.max_memory))

    def assumed(self) -> Mapping[str, str]:
        """The pairs in `assume`. Raises UsageError."""
        found = {}
        for text in self.assume:
            key, equals, value = text.partition("=")
            if not equals or not key or not value:
                raise UsageError(f"--assume {text}: use KEY=VALUE, such as range=255")
            found[key.strip()] = value.strip()
        return found
