"""The journal file: JSON lines. Any number of processes append to it.

The first line names the format. Each later line describes one result.

    {"output": {"path": "a/cat.png", "size": 812, "mtime_ns": 1..., "sha256": "..."},
     "input": {"path": "a/cat.jpg", "size": 345, "mtime_ns": 1..., "sha256": "..."},
     "model": "sha256", "options": "sha256", "with": "img2img 0.1.0", "at": "2025-01-31T12:00:00Z"}

Paths use slashes and are relative to the output folder and to the input's root. Bytes that are not UTF-8 become lone
surrogates, as in Python. A time is null if it cannot show whether a file has changed.

Appended lines are not synced to disk. A power cut may lose the last lines or turn them into zeros. Then those pictures
are processed again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import ExitStatus, Img2ImgError
from img2img.runtime.batch.journal import locks
from img2img.runtime.files.digests import Fingerprint
from img2img.text import show
from img2img.version import __version__

NAME = ".img2img.jsonl"
FORMAT = 1
_FORMAT_KEY = "img2img journal"
_HEADER = json.dumps({_FORMAT_KEY: FORMAT}) + "\n"
_SLACK = 1000  # outdated lines allowed, besides one per current line, before the file is rewritten


class JournalError(Img2ImgError):
    """The journal of an output folder cannot be written or read."""

    status = ExitStatus.USAGE


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of a line, without those that only inform the user."""

    path: str
    output: Fingerprint
    source: str
    input: Fingerprint
    model: str
    options: str

    def to_json(self) -> dict[str, Any]:
        return {
            "output": {"path": self.path, **_stored(self.output)},
            "input": {"path": self.source, **_stored(self.input)},
            "model": self.model,
            "options": self.options,
            "with": f"img2img {__version__}",
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }

    @classmethod
    def from_json(cls, values: Any) -> Entry:
        """Raises KeyError or TypeError."""
        output, input = values["output"], values["input"]
        return cls(
            output["path"],
            Fingerprint(output["size"], output["mtime_ns"], output["sha256"]),
            input["path"],
            Fingerprint(input["size"], input["mtime_ns"], input["sha256"]),
            values["model"],
            values["options"],
        )


def _stored(fingerprint: Fingerprint) -> dict[str, Any]:
    return {key: value for key, value in asdict(fingerprint).items() if key != "fresh"}


class JournalFile:
    """The open journal file. Threads may share it.

    `locked` says whether the folder supports file locks. It is True if the file is open only for reading. `warnings`
    holds messages for the user.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Open and read the file. With `write`, create a missing file and folder. Raises JournalError."""
        self.folder = folder
        self.path = folder / NAME
        self.locked = True
        self.warnings: list[str] = []
        self._write = write
        self._mutex = threading.RLock()
        self._file: FileIO | None = None
        self._forget()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def entries(self, path: str) -> list[Entry]:
        """Return the entries for an output, latest first: at most two, with different content."""
        with self._mutex:
            lines = self._lines.get(path, ())
        return [Entry.from_json(json.loads(line)) for line in reversed(lines)]

    def catch_up(self) -> None:
        """Read the lines that other processes have appended. Raises JournalError."""
        if self._write:
            with self._exclusive():  # on NFS, locking a file revalidates its cache
                self._catch_up()

    def append(self, entry: Entry) -> None:
        """Add a line. Raises JournalError."""
        line = json.dumps(entry.to_json()) + "\n"
        with self._exclusive():
            self._catch_up()
            assert self._file is not None
            rest = (("\n" if self._tail else "") + ("" if self._has_header else _HEADER) + line).encode()
            try:
                while rest:  # a single write, unless the disk is full
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                raise self._unwritable(error) from error
            self._catch_up()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        with self._mutex:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self) -> None:
        if self._write:
            with self._exclusive() as self.locked:
                self._catch_up()
                if self.locked and sys.platform != "win32" and self._total > 2 * self._kept() + _SLACK:
                    self._compact()  # Windows cannot replace a file that other processes have open
            return
        try:
            self._file = FileIO(locks.open_regular(self.path, os.O_RDONLY), "rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{show(self.path)}: cannot be read: {error.strerror or error}") from error
        self._catch_up()

    @contextmanager
    def _exclusive(self) -> Iterator[bool]:
        """Lock the current journal file, not one that was replaced. Yields whether the lock is held."""
        with self._mutex:
            for _ in range(100):
                file = self._reopened()
                with locks.exclusive(file.fileno()) as held:
                    if self._is_current():
                        yield held
                        return
            raise JournalError(f"{show(self.path)}: keeps being replaced; is another program writing it?")

    def _reopened(self) -> FileIO:
        if self._file is not None and self._is_current():
            return self._file
        if self._file is not None:
            self._file.close()
            self._file = None
        self._forget()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(locks.open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "ab+")
            self._key = _key(os.fstat(self._file.fileno()))
        except OSError as error:
            raise self._unwritable(error) from error
        return self._file

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(
            f"{show(self.folder)}: cannot record results in {NAME}: {error.strerror or error};"
            " name another output folder"
        )

    def _is_current(self) -> bool:
        try:
            return _key(self.path.lstat()) == self._key
        except OSError:
            return False

    def _forget(self) -> None:
        self._lines: dict[str, tuple[str, ...]] = {}  # output -> its one or two current lines, oldest first
        self._key = (0, 0)
        self._offset = 0  # bytes read, in whole lines
        self._tail = b""  # the partial line after them, from a process that died or is still writing
        self._total = 0
        self._unreadable = 0
        self._has_header = False

    def _catch_up(self) -> None:
        """Read the lines that this and other processes have appended since the last call."""
        assert self._file is not None
        try:
            size = os.fstat(self._file.fileno()).st_size
            if size < self._offset:  # another program has truncated it
                key = self._key
                self._forget()
                self._key = key
            self._file.seek(self._offset)
            data = self._file.read(size - self._offset) or b""
        except OSError as error:
            raise JournalError(f"{show(self.path)}: cannot be read: {error.strerror or error}") from error
        whole = data.rfind(b"\n") + 1
        self._tail = data[whole:]
        if whole:
            self._offset += whole
            for line in data[: whole - 1].decode("utf-8", "surrogateescape").split("\n"):
                self._take(line)
        if not self._has_header and (self._total or self._unreadable):
            raise JournalError(f"{show(self.path)}: not a journal of img2img; move it away")
        if self._unreadable and not self.warnings:
            self.warnings.append(
                f"{show(self.path)}: {self._unreadable} line(s) cannot be read; their outputs count as not made by"
                " img2img"
            )

    def _take(self, line: str) -> None:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            # The next writer ends the partial line of a killed process. A power cut leaves zeros.
            self._unreadable += not (line.startswith("{") or not line.strip("\0 \r"))
            return
        if isinstance(values, dict) and _FORMAT_KEY in values:
            if values[_FORMAT_KEY] != FORMAT:
                raise JournalError(
                    f"{show(self.path)}: the journal has format {values[_FORMAT_KEY]!r}, this program reads format"
                    f" {FORMAT}: use the img2img that wrote it, or move the journal away"
                )
            self._has_header = True
            return
        self._total += 1
        try:
            entry = Entry.from_json(values)
            before = self._lines.get(entry.path, ())
        except (KeyError, TypeError):
            self._unreadable += 1
            return
        if before and Entry.from_json(json.loads(before[-1])).output.sha256 == entry.output.sha256:
            before = before[:-1]
        self._lines[entry.path] = (*before[-1:], line)

    def _kept(self) -> int:
        return sum(map(len, self._lines.values()))

    def _compact(self) -> None:
        """Rewrite the journal under a temporary name and rename it. Others notice at their next append."""
        with suppress(Img2ImgError, OSError), atomic(self.path) as stream:  # the uncompacted file works as well
            stream.write(_HEADER.encode())
            for lines in self._lines.values():
                stream.writelines(f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
            stream.flush()
            os.fsync(stream.fileno())  # unlike a lost line, a lost journal would cost days


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
