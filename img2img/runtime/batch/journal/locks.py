"""Locks between processes that end with their holder, however it ends.

The operating system keeps them, so nobody has to find out whether a lock that is left over is stale. They reach other
machines where the file system does (NFS, SMB; not most of the user-space ones).
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

# What says "somebody holds it"; every other error says that locks do not work here.
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
PATIENCE = 10.0  # seconds; a file is locked for a millisecond, at most for a second

if sys.platform == "win32":
    import msvcrt

    # Locks are mandatory there: one byte far behind the end leaves readers alone. The C library seeks with 32 bits.
    _LAST = 2**31 - 2

    def _lock(descriptor: int, offset: int | None) -> None:
        os.lseek(descriptor, _LAST if offset is None else offset % _LAST, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int, offset: int | None) -> None:
        os.lseek(descriptor, _LAST if offset is None else offset % _LAST, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    # Bytes of a file are locked for the process (POSIX), a whole file for the descriptor (BSD). On NFS, Linux makes
    # the second of the first.
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
    """Hold the whole open file for the block; yields whether it is held.

    It is not, where locks do not work, or where another process keeps it for `patience` seconds (a stopped one, say).
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


class NameLocks:
    """Locks on names, each a byte of one empty file: a hundred thousand names cost nothing, and leave nothing behind.

    Two names share a byte once in 2^62 (2^31 on Windows) pairs.

    A process has one of these for a file, see `name_locks`: POSIX drops all locks of a process on a file as soon as
    the process closes any descriptor of it.
    """

    def __init__(self, path: Path) -> None:
        self.working = True
        self.users = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        status = os.fstat(self._descriptor)
        # The process: a child made by fork has the descriptor, but not the locks.
        self.key = os.getpid(), status.st_dev, status.st_ino
        self._held: set[int] = set()
        self._mutex = threading.Lock()

    def take(self, name: str) -> bool:
        """Lock `name`. False: another process, or this one, holds it. True where locks do not work."""
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
        """Unlock `name`, which `take` has locked."""
        offset = _offset(name)
        with self._mutex:
            self._held.remove(offset)
            try:
                _unlock(self._descriptor, offset)
            except OSError:  # where locks do not work there was none
                self.working = False

    def close(self) -> None:
        """One user less. The last one's call drops what is still locked."""
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
    """The locks that the file at `path` stands for; it is created where it is missing. To be closed.

    Raises OSError.
    """
    with _opening:
        try:
            status = path.stat()
            found = _opened.get((os.getpid(), status.st_dev, status.st_ino))
        except FileNotFoundError:
            found = None
        if found is None:
            found = NameLocks(path)
            _opened[found.key] = found
        found.users += 1
        return found
