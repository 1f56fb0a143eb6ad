"""The file of a journal: JSON lines, only ever appended to, by any number of processes.

After a first line that names the format there is one for each result.

    {"output": {"path": "a/cat.png", "size": 812, "mtime_ns": 1..., "sha256": "..."},
     "input": {"path": "a/cat.jpg", "size": 345, "mtime_ns": 1..., "sha256": "..."},
     "model": "sha256", "options": "sha256", "with": "img2img 0.1.0", "at": "2025-01-31T12:00:00Z"}

Paths are relative to the output folder and to the input's root, with slashes; bytes that are no UTF-8 are lone
surrogates, as Python has them. A time is null where it does not notify whether a file has changed.

Nothing is synced to the disk. A power cut may lose the last lines, or leave zeros for them; then work is done again.
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
_SLACK = 1000  # lines that count no longer, beside as many as count, before the file is written anew


class JournalError(Img2ImgError):
    """The journal of an output folder cannot be written, or is none that this program can read."""

    status = ExitStatus.USAGE


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says of one output, but for what is only for people."""

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
    """The open file. Threads may share it. `locked` says whether files can be locked there; True without writing.

    `warnings` are texts for a person.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Open and read it; with `write` create it, and the folder, where they are missing. Raises JournalError."""
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
        """What was recorded of an output, the latest first: two at most, of different outputs."""
        with self._mutex:
            lines = self._lines.get(path, ())
        return [Entry.from_json(json.loads(line)) for line in reversed(lines)]

    def catch_up(self) -> None:
        """Read what others have appended. Raises JournalError."""
        if self._write:
            with self._exclusive():  # on NFS, what is cached of a file is checked when it is locked
                self._catch_up()

    def append(self, entry: Entry) -> None:
        """Add a line. Raises JournalError."""
        line = json.dumps(entry.to_json()) + "\n"
        with self._exclusive():
            self._catch_up()
            assert self._file is not None
            rest = (("\n" if self._tail else "") + ("" if self._has_header else _HEADER) + line).encode()
            try:
                while rest:  # in one piece, unless the disk is full
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                raise self._unwritable(error) from error
            self._catch_up()

    def close(self) -> None:
        """A second call does nothing."""
        with self._mutex:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self) -> None:
        if self._write:
            with self._exclusive() as self.locked:
                self._catch_up()
                if self.locked and sys.platform != "win32" and self._total > 2 * self._kept() + _SLACK:
                    self._compact()  # Windows does not let an open file be replaced, and others have it open
            return
        try:
            self._file = FileIO(self.path, "rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{show(self.path)}: cannot be read: {error.strerror or error}") from error
        self._catch_up()

    @contextmanager
    def _exclusive(self) -> Iterator[bool]:
        """Alone with the journal that has its name now, not with one that was replaced; yields whether surely alone."""
        with self._mutex:
            for _ in range(100):
                file = self._reopened()
                with locks.exclusive(file.fileno()) as held:
                    if self._is_current():
                        yield held
                        return
            raise JournalError(f"{show(self.path)}: is replaced again and again; is another program at work on it?")

    def _reopened(self) -> FileIO:
        if self._file is not None and self._is_current():
            return self._file
        if self._file is not None:
            self._file.close()
            self._file = None
        self._forget()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self.path, "ab+")
            self._key = _key(os.fstat(self._file.fileno()))
        except OSError as error:
            raise self._unwritable(error) from error
        return self._file

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(
            f"{show(self.folder)}: what is made there cannot be recorded in {NAME}: {error.strerror or error};"
            " name another output folder"
        )

    def _is_current(self) -> bool:
        try:
            return _key(self.path.stat()) == self._key
        except OSError:
            return False

    def _forget(self) -> None:
        self._lines: dict[str, tuple[str, ...]] = {}  # output -> the lines that count, one or two, the last one last
        self._key = (0, 0)
        self._offset = 0  # bytes read: whole lines
        self._tail = b""  # what follows them: of a process that died, or is writing right now
        self._total = 0
        self._unreadable = 0
        self._has_header = False

    def _catch_up(self) -> None:
        """Read what this and other processes have appended since the last time."""
        assert self._file is not None
        try:
            size = os.fstat(self._file.fileno()).st_size
            if size < self._offset:  # somebody has shortened it
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
                f"{show(self.path)}: {self._unreadable} line(s) cannot be read: what they told of counts as not made"
                " by img2img"
            )

    def _take(self, line: str) -> None:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            # A line that a killed process left is closed by the next line's writer; a power cut leaves zeros.
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
        """Write beside, and rename: others find at their next append that theirs is no longer the one with the name."""
        with suppress(Img2ImgError, OSError), atomic(self.path) as stream:  # the long one is as good
            stream.write(_HEADER.encode())
            for lines in self._lines.values():
                stream.writelines(f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
            stream.flush()
            os.fsync(stream.fileno())  # unlike a lost line, a lost journal would cost days


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
