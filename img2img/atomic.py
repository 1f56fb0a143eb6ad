"""Files that exist whole or not at all."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from img2img.errors import PictureError
from img2img.text import shown

MAX_NAME_BYTES = 255  # the longest file name of every common file system
_PART = re.compile(r"\.(.*)\.[0-9]+\.[0-9a-f]{8}\.part", re.DOTALL)


@contextmanager
def atomic(target: Path) -> Iterator[BinaryIO]:
    """A binary file to write and seek in, which takes the place of `target` when the block ends without an exception.

    Until then it is a hidden file beside the target, `.NAME.PID.RANDOM.part`, which is removed on any exception,
    KeyboardInterrupt included. Missing parent folders are created. A new file gets the permissions that the umask
    leaves; a replaced one hands its own on. A symbolic link stays one: the file that it points to is replaced. What is
    no regular file (a pipe, /dev/null) is written to at the end, not replaced.

    Raises PictureError where the target cannot be written; exceptions of the block pass through.
    """
    try:
        real = Path(os.path.realpath(target)) if target.is_symlink() else target
        mode = _mode_of(real)
        if mode is None:
            real.parent.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError("it is a folder")
        elif not os.access(real, os.W_OK):
            raise PermissionError("it is write-protected")
    except OSError as error:
        raise _unwritable(target, error) from error
    if mode is not None and not stat.S_ISREG(mode):
        yield from _through_memory(target)
        return

    temporary = real.with_name(temporary_name(real.name))
    stream: BinaryIO | None = None
    try:
        try:
            # "x" refuses to follow a link that somebody planted under the temporary name.
            stream = temporary.open("x+b")
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
        except OSError as error:
            raise _unwritable(target, error) from error
        yield stream
        try:
            stream.close()
            temporary.replace(real)
        except OSError as error:
            raise _unwritable(target, error) from error
    except BaseException:
        # The exception on its way says what is wrong; that cleaning up fails as well (the folder is gone) adds nothing.
        with suppress(OSError):
            if stream is not None:
                stream.close()
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def temporary_name(name: str) -> str:
    """A hidden name beside `name`, recognisable and unique; `name` is shortened where the whole would be too long."""
    tail = f".{os.getpid()}.{os.urandom(4).hex()}.part"
    room = MAX_NAME_BYTES - len(tail) - 1
    raw = os.fsencode(name)
    return f".{name if len(raw) <= room else raw[:room].decode(errors='ignore')}{tail}"


def leftovers(folder: Path) -> dict[Path, list[Path]]:
    """What killed processes, or ones still at work, have half written below `folder`: beginning of a target -> files.

    The keys are paths of targets, or of what their names begin with where they are very long.
    """
    found: dict[Path, list[Path]] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            if (match := _PART.fullmatch(name)) is not None:
                found.setdefault(Path(parent, match[1]), []).append(Path(parent, name))
    return found


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _through_memory(target: Path) -> Iterator[BinaryIO]:
    buffer = BytesIO()
    yield buffer
    try:
        with target.open("wb") as stream:
            stream.write(buffer.getbuffer())
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> PictureError:
    return PictureError(f"cannot write {shown(target)}: {error.strerror or error}")
