"""Keeps a second process from training in the same run folder."""

import json
import os
import platform
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from img2img.errors import ConfigError
from img2img.runtime.batch.journal.locks import exclusive

LOCK = ".lock"
"""Name of the lock file in a run folder. It stays there; only the lock on it counts, which ends with the process."""


class RunLock:
    """The lock on a run folder, held until `release` or the end of the process.

    Raises:
        ConfigError: another process is training in this folder.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        self._stack = ExitStack()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        self._stack.callback(os.close, descriptor)
        held = self._stack.enter_context(exclusive(descriptor, patience=0.5))  # the other one may not have signed yet
        if held:
            _sign(descriptor)
            self._stack.callback(os.ftruncate, descriptor, 0)
        elif (holder := _holder(path)) is not None:  # otherwise locks do not work here, and training needs none
            self.release()
            raise ConfigError(
                f"{folder}: {holder} is training here; wait until it ends, stop it, or choose another --out"
            )

    def release(self) -> None:
        self._stack.close()


def _sign(descriptor: int) -> None:
    """Leave a note for the message to the second process."""
    note = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat(" ", "seconds")}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(note).encode())


def _holder(path: Path) -> str | None:
    """Who holds the lock, in words. None: nobody signed, so locks do not work on this file system."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(note['pid'])} on {str(note['host'])[:99]!r} (since {str(note['since'])[:19]})"
    except (OSError, ValueError, KeyError, TypeError):
        return None
