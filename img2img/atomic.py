"""Writes files atomically: they are complete or do not exist."""

import errno
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
def atomic(target: Path, permissions: int | None = None) -> Iterator[BinaryIO]:
    """Open a seekable binary file that replaces `target` when the block ends without an exception.

    Until then, it is a hidden file next to the target, `.NAME.PID.RANDOM.part`. It is on the disk, not only in the
    system's memory, before it gets its name. Any exception, including KeyboardInterrupt, removes it. Missing parent
    folders are created. A new file gets `permissions` (mode bits; Windows has none), or those that the umask leaves. A
    replaced file keeps its own. If the target is a symbolic link, the file that it points to is replaced. If it is not
    a regular file (a pipe, /dev/null), it is written to at the end and not replaced.

    Raises PictureError if the target cannot be written. Exceptions of the block are not changed.
    """
    try:
        real = Path(os.path.realpath(target)) if target.is_symlink() else target
        mode = _mode_of(real)
        if mode is None:
            real.parent.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError("it is a folder")
        elif not os.access(real, os.W_OK) and stat.S_IMODE(mode) != permissions:  # else a copied protection
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
            # "x" does not follow a link that an attacker may have created under the temporary name.
            stream = temporary.open("x+b")
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            elif permissions is not None and os.name == "posix":
                with suppress(PermissionError):  # a file system without permissions
                    temporary.chmod(permissions)
        except OSError as error:
            raise _unwritable(target, error) from error
        yield stream
        try:
            _finish(stream, temporary)
            temporary.replace(real)
        except OSError as error:
            raise _unwritable(target, error) from error
    except BaseException:
        # The original exception explains the problem. A failure to clean up (the folder is gone) adds nothing.
        with suppress(OSError):
            if stream is not None:
                stream.close()
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _finish(stream: BinaryIO, path: Path) -> None:
    """Close a written file. Raises OSError unless all of it has reached the disk."""
    stream.flush()
    size = stream.seek(0, os.SEEK_END)
    try:
        os.fsync(stream.fileno())  # some file systems report a full disk only here
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # the file system cannot sync
            raise
    stream.close()
    if (stored := path.stat().st_size) != size:
        raise OSError(f"only {stored:,} of {size:,} bytes were stored")


def temporary_name(name: str) -> str:
    """A unique hidden name for a temporary file next to `name`. A long `name` is shortened to fit."""
    tail = f".{os.getpid()}.{os.urandom(4).hex()}.part"
    room = MAX_NAME_BYTES - len(tail) - 1
    raw = os.fsencode(name)
    return f".{name if len(raw) <= room else raw[:room].decode(errors='ignore')}{tail}"


def leftovers(folder: Path) -> dict[Path, list[Path]]:
    """Find the temporary files of killed or running processes below `folder`: target -> temporary files.

    If the name of a target is very long, its key contains only the beginning.
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
