"""Locks between processes. A lock ends with its process, even if the process is killed.

The operating system holds the locks, so stale locks cannot occur. They work across machines if the file system supports
that: NFS and SMB do, most user-space file systems do not.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

# These errors mean that another process holds the lock. Any other error means that locks do not work here.
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
PATIENCE = 10.0  # seconds; a lock normally lasts a millisecond, at most a second

if sys.platform == "win32":
    import msvcrt

    # Windows locks are mandatory. Locking one byte far past the end does not block readers. The C library has 32-bit
    # offsets.
    _LAST = 2**31 - 2

    def _lock(descriptor: int, offset: int | None) -> None:
        os.lseek(descriptor, _LAST if offset is None else offset % _LAST, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int, offset: int | None) -> None:
        os.lseek(descriptor, _LAST if offset is None else offset % _LAST, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    # A byte lock belongs to the process (POSIX), a whole-file lock to the descriptor (BSD). On NFS, Linux implements
    # whole-file locks with byte locks.
    def _lock(descriptor: int, offset: int | None) -> None:
        if offset is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)

    def _unlock(descriptor: int, offset: int | None) -> None:
        if offset is None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)


@contextmanager
def exclusive(descriptor: int, patience: float = PATIENCE) -> Iterator[bool]:
    """Lock the whole open file for the block. Yields whether the lock is held.

    Yields False if locks do not work here, or if another process, such as a stopped one, holds the lock for `patience`
    seconds.
    """
    held, pause, deadline = False, 0.0005, time.monotonic() + patience
    while not held:
        try:
            _lock(descriptor, None)
            held = True
        except OSError as error:
            if error.errno not in _HELD or time.monotonic() > deadline:
                break
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    try:
        yield held
    finally:
        if held:
            _unlock(descriptor, None)


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file and return its descriptor. Links and devices are refused: they may lead out of the folder.

    Raises OSError.
    """
    # Opening a pipe must not wait for its other end.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        if path.is_symlink():
            raise OSError(error.errno, "it is a symbolic link, which is not followed", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


class NameLocks:
    """Locks on names. Each name is a byte offset in one empty file, so a hundred thousand names cost nothing.

    The locks leave nothing behind. One in 2^62 pairs of names (2^31 on Windows) shares a byte.

    A process has one instance per file, see `name_locks`: POSIX drops all locks of a process on a file as soon as the
    process closes any descriptor of it.
    """

    def __init__(self, path: Path) -> None:
        self.working = True
        self.users = 0
        self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        status = os.fstat(self._descriptor)
        # Includes the process ID: a forked child inherits the descriptor, but not the locks.
        self.key = os.getpid(), status.st_dev, status.st_ino
        self._held: set[int] = set()
        self._mutex = threading.Lock()

    def take(self, name: str) -> bool:
        """Lock `name`. Returns False if this or another process holds it, and True if locks do not work."""
        offset = _offset(name)
        with self._mutex:
            if offset in self._held:
                return False
            try:
                _lock(self._descriptor, offset)
            except OSError as error:
                if error.errno in _HELD:
                    return False
                self.working = False
            self._held.add(offset)
            return True

    def free(self, name: str) -> None:
        """Unlock `name` after `take` locked it."""
        offset = _offset(name)
        with self._mutex:
            self._held.remove(offset)
            try:
                _unlock(self._descriptor, offset)
            except OSError:  # locks do not work here, so there was none
                self.working = False

    def close(self) -> None:
        """Remove one user. When the last user closes, all remaining locks are dropped."""
        with _opening:
            self.users -= 1
            if self.users == 0:
                _opened.pop(self.key, None)
                os.close(self._descriptor)


def _offset(name: str) -> int:
    return int.from_bytes(sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 2


_opened: dict[tuple[int, int, int], NameLocks] = {}
_opening = threading.Lock()


def name_locks(path: Path) -> NameLocks:
    """Open the name locks in the file at `path`. Creates the file if it is missing. The caller must close them.

    Raises OSError.
    """
    with _opening:
        try:
            status = path.lstat()
            found = _opened.get((os.getpid(), status.st_dev, status.st_ino))
        except FileNotFoundError:
            found = None
        if found is None:
            found = NameLocks(path)
            _opened[found.key] = found
        found.users += 1
        return found
