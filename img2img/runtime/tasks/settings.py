"""What every batch can be told beside what it does: one declaration for the command line, Python, and the journal.

The command line makes its options of these fields (`cli.options`), `img2img.batch` takes them as keyword arguments.
No numpy here: `--help` reads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from img2img.errors import UsageError
from img2img.runtime.files.jobs import Existing


class FileFormat(StrEnum):
    """Extensions that --format takes."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    AVIF = "avif"


class Engine(StrEnum):
    """What runs a batch."""

    LOCAL = "local"
    RAY = "ray"


SECTIONS = OUTPUT, MODEL, READING, BATCH, SPEAKING = "Output", "Model", "Reading", "Batch", "Speaking"
"""Sections of --help, in their order."""


def option(default: Any, *names: str, panel: str, help: str, **limits: Any) -> Any:
    """A field that is an option as well: `names` beside the field's own; `limits`: metavar, min and max."""
    metadata = MappingProxyType({"names": names, "panel": panel, "help": help, **limits})
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options that all commands have which turn pictures into pictures.

    Raises:
        UsageError: a number is out of its range.
    """

    output: str | None = option(
        None,
        "-o",
        metavar="WHERE",
        panel=OUTPUT,
        help="A file; a folder (names are kept); a template of {stem} {name} {dir} {sub} {model} {domain} {scale} "
        "{ext}; or - for stdout. Default: beside a file or a folder, its name and what was done (PHOTO_x4.png, "
        "PHOTO_MODEL.png, PHOTO_DOMAIN.png; FOLDER_x4); for stdin, stdout.",
    )
    format: FileFormat | None = option(
        None, panel=OUTPUT, help="Format of the results. Default: the extension's, or the input's, or png."
    )
    quality: int | None = option(None, panel=OUTPUT, help="Of jpg, webp and avif.", min=1, max=100, metavar="1..100")
    existing: Existing = option(
        Existing.SKIP,
        panel=OUTPUT,
        help="Where an output exists: skip leaves it, unless the journal of its folder says that it was made of "
        "another input, model or options; newer replaces those older than their input; overwrite replaces it; fail "
        "stops before anything is done.",
    )
    color_fix: bool = option(
        False,
        panel=OUTPUT,
        help="Match the low frequencies of the colours to the input's: a cast goes, detail stays, white stays white.",
    )
    model: str | None = option(
        None, "-m", metavar="NAME|PATH", panel=MODEL, help="A name that 'img2img models' lists, or an ONNX file."
    )
    assume: tuple[str, ...] = option(
        (),
        metavar="KEY=VALUE",
        panel=MODEL,
        help="What a model file without a card cannot say itself: scale=4, range=255, context=16 ... May be repeated.",
    )
    device: str = option("auto", metavar="auto|cpu|cuda[:N]", panel=MODEL, help="What the network runs on.")
    strength: float = option(
        1.0,
        panel=MODEL,
        min=0,
        max=1,
        metavar="0..1",
        help="How much of the network's result is taken: 0 is the input, 1 the result, between is a blend.",
    )
    threads: int | None = option(None, panel=MODEL, min=1, help="CPU threads of the network. Default: all cores.")
    max_memory: str | None = option(
        None, metavar="2G", panel=MODEL, help="Most memory that the process may take: chooses the size of the tiles."
    )
    recursive: bool = option(False, "-r", panel=READING, help="Folders with all their subfolders; the tree is kept.")
    include: tuple[str, ...] = option(
        (), metavar="GLOB", panel=READING, help="Of folders and globs take these files only ('*.jpg', 'best/**')."
    )
    exclude: tuple[str, ...] = option(
        (),
        metavar="GLOB",
        panel=READING,
        help="Of folders and globs leave these files and folders out; wins over --include. What is named outright, "
        "as by a shell's own *, is always taken.",
    )
    files_from: str | None = option(
        None, metavar="FILE|-", panel=READING, help="Read names of inputs from a file, or from stdin: one a line."
    )
    null: bool = option(False, "-0", panel=READING, help="Names in --files-from end with a zero byte (find -print0).")
    first_frame: bool = option(False, panel=READING, help="Take the first frame of an animation.")
    max_pixels: int | None = option(
        None, panel=READING, min=1, help="Refuse larger inputs: a small file can claim to be a huge picture."
    )
    shard: str | None = option(
        None,
        metavar="N/OF",
        panel=BATCH,
        help="Do the Nth of OF parts of the list, the same on every machine: for job arrays ('3/16').",
    )
    journal: bool = option(
        True,
        "--journal/--no-journal",
        panel=BATCH,
        help="Keep a journal of a batch in its output folder, by which a second call does what is missing or changed.",
    )
    fail_fast: bool = option(False, panel=BATCH, help="Stop at the first file that fails.")
    check_seams: bool = option(
        False, panel=BATCH, help="Run every picture twice, in other tiles, and report the largest difference."
    )
    engine: Engine = option(Engine.LOCAL, panel=BATCH, help="ray: on a Ray cluster (pip install 'img2img[ray]').")

    def __post_init__(self) -> None:
        for name, kind in (("format", FileFormat), ("existing", Existing), ("engine", Engine)):
            said = getattr(self, name)
            if said is not None and said not in list(kind):
                raise UsageError(f"{name} is {said!r}: it is one of {', '.join(kind)}")
            object.__setattr__(self, name, None if said is None else kind(said))  # plain strings, from Python
        for one in fields(self):
            value, low, high = getattr(self, one.name), one.metadata.get("min"), one.metadata.get("max")
            if isinstance(value, list) or (value is None and isinstance(one.default, tuple)):
                object.__setattr__(self, one.name, tuple(value or ()))
            if value is None or (low is None and high is None):
                continue
            if not (low is None or value >= low) or not (high is None or value <= high):
                raise UsageError(f"{one.name} is {value}: it lies between {low} and {high if high else 'any number'}")

    def assumed(self) -> Mapping[str, str]:
        """`assume` as keys and values. Raises UsageError."""
        found = {}
        for text in self.assume:
            key, equals, value = text.partition("=")
            if not equals or not key or not value:
                raise UsageError(f"--assume {text}: say KEY=VALUE, such as range=255")
            found[key.strip()] = value.strip()
        return found
