"""The journal of an output folder. It records each output with its input, model and options, to avoid repeated work.

The last line for an output counts. The line before it counts if the output still matches that line: the journal writes
a line before the output gets its name, and the process may die in between.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from types import TracebackType
from typing import Literal

from img2img.runtime.batch.journal import locks
from img2img.runtime.batch.journal.log import NAME, Entry, JournalError, JournalFile
from img2img.runtime.files import digests
from img2img.runtime.files.digests import Fingerprint
from img2img.text import show

__all__ = ["LOCK_NAME", "NAME", "Claim", "Journal", "JournalError", "Verdict"]

LOCK_NAME = ".img2img.lock"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Says whether an output must be made.

    Attributes:
        reason: the explanation for the user.
        ours: the output is missing or exactly as img2img made it, so that replacing it loses nothing.
        output: the recorded fingerprint of the existing output.
    """

    status: Literal["done", "missing", "changed"]
    reason: str
    ours: bool
    output: Fingerprint | None = None


class Claim:
    """The right to make one output. It lasts until release or the end of the process. A context manager."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal: Journal | None = journal
        self._name = name

    def release(self) -> None:
        """Let others make the output. A second call does nothing."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal._release(self._name)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Journal:
    """The open journal of one folder. Threads may share it; each process opens its own.

    `warnings` holds messages for the user. It is complete after opening.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        """See `open`."""
        self.folder = folder
        self._mutex = threading.RLock()
        self._claimed: set[str] = set()
        self._locks: locks.NameLocks | None = None
        self._write = write
        self._file = JournalFile(folder, write=write)
        self.warnings = self._file.warnings
        if write:
            self._begin_locking()

    @classmethod
    def open(cls, folder: Path, *, write: bool = True) -> Journal:
        """Open the journal of `folder`. Creates the folder and the journal if they are missing.

        With `write` False it creates and changes nothing. Then `claim` always succeeds, and `record` is forbidden.

        Raises JournalError: the folder is not writable, the journal has another format, or the file is not a journal.
        """
        return cls(folder, write=write)

    def verdict(self, target: Path, source: Path | Fingerprint, *, model: str, options: str) -> Verdict:
        """Check whether `target` is the result of `source` with `model` and `options`, which are digests.

        The status is "done" if the output matches its record and the input, the model and the options have not changed.
        It is "missing" if the output does not exist, and "changed" otherwise. Files are read only if size and time do
        not settle the question. The input's name does not matter. If the input cannot be read, the status is "changed".

        Raises JournalError: the new times cannot be recorded. Raises ValueError: `target` is not in the folder.
        """
        name = self._name(target)
        entries = self._file.entries(name)
        try:
            status = target.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Verdict("missing", "it was made before, but is gone" if entries else "not made yet", True)
        except OSError as error:
            return Verdict("changed", f"it cannot be looked at: {error.strerror or error}", False)
        if not stat.S_ISREG(status.st_mode):
            return Verdict("changed", "it is no regular file", False)
        if not entries:
            return Verdict("changed", "not made by img2img, or not recorded", False)

        entry, output = _entry_of(target, status, entries)
        if entry is None or output is None:
            return Verdict("changed", "the output was changed after it was made", False)
        known = entry.output
        if entry.model != model:
            return Verdict("changed", "made by another model", True, known)
        if entry.options != options:
            return Verdict("changed", "made with other options", True, known)
        try:
            again = _again(source, entry.input)
        except OSError as error:
            return Verdict("changed", f"its input cannot be read: {error.strerror or error}", True, known)
        if again is None:
            return Verdict("changed", "its input has changed", True, known)
        if self._write and (again, output) != (entry.input, entry.output):
            # The times differ but the bytes do not, as in a copied tree. Record the times to avoid hashing again.
            self._file.append(replace(entry, input=again, output=output))
        return Verdict("done", "done before", True, known)

    def claim(self, target: Path) -> Claim | None:
        """Claim the right to make `target`. Returns None if a live process, or a thread of this one, is making it.

        Call `verdict` again afterwards: `claim` reads the lines that other processes have added. Release the claim once
        the output has its name. Where locks do not work, every claim succeeds. Then two processes may do the same work,
        and the last output stays, complete.

        Raises JournalError. Raises ValueError: `target` is not in the folder.
        """
        name = self._name(target)
        if self._locks is not None and not self._locks.take(name):
            return None
        claim = Claim(self, name)
        with self._mutex:
            self._claimed.add(name)
        try:
            self._file.catch_up()
        except BaseException:
            claim.release()
            raise
        return claim

    def record(
        self, target: Path, output: Fingerprint, source: PurePath | str, input: Fingerprint, *, model: str, options: str
    ) -> None:
        """Record how `target` was made. Call it after the last byte is written and before the file gets its name.

        `source` is the input's path relative to the input folder. `input` is its fingerprint, taken no later than
        decoding. `model` and `options` are digests.

        Raises JournalError. Raises ValueError: `target` is not in the folder.
        """
        source = source.as_posix() if isinstance(source, PurePath) else source
        self._file.append(Entry(self._name(target), output, source, _trusted(input), model, options))

    def close(self) -> None:
        """Release all claims. A second call does nothing."""
        with self._mutex:
            for name in list(self._claimed):
                self._release(name)
            self._file.close()
            if self._locks is not None:
                self._locks.close()
                self._locks = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _name(self, target: Path) -> str:
        try:
            inside = target.relative_to(self.folder)
        except ValueError:
            inside = Path(os.path.relpath(target, self.folder))
        if ".." in inside.parts or inside.is_absolute():
            raise ValueError(f"{target} is not in {self.folder}")
        return inside.as_posix()

    def _release(self, name: str) -> None:
        with self._mutex:
            if name in self._claimed:
                self._claimed.remove(name)
                if self._locks is not None:
                    self._locks.free(name)

    def _begin_locking(self) -> None:
        try:
            self._locks = locks.name_locks(self.folder / LOCK_NAME)
            if self._locks.take(""):  # no output has this name; it tests whether locks work
                self._locks.free("")
        except OSError:
            pass
        if not self._file.locked or self._locks is None or not self._locks.working:
            self.warnings.append(
                f"{show(self.folder)}: files cannot be locked here: two processes at work on this folder would do the"
                " same pictures (--shard shares them out)"
            )


def _entry_of(target: Path, status: os.stat_result, entries: list[Entry]) -> tuple[Entry | None, Fingerprint | None]:
    """Find the entry for the existing file. Returns it with the file's current fingerprint."""
    stamp = status.st_size, status.st_mtime_ns
    for entry in entries:
        if (entry.output.size, entry.output.mtime_ns) == stamp:
            return entry, entry.output
    if all(entry.output.size != status.st_size for entry in entries):
        return None, None
    try:
        output = digests.of_file(target)
    except OSError:  # treat it as not ours
        return None, None
    for entry in entries:
        if entry.output.sha256 == output.sha256:
            return entry, replace(output, fresh=False)
    return None, None


def _trusted(input: Fingerprint) -> Fingerprint:
    """Drop a time that might hide a change. Outputs do not need this: their process holds the claim."""
    return replace(input, mtime_ns=None, fresh=False) if input.fresh else input


def _again(source: Path | Fingerprint, known: Fingerprint) -> Fingerprint | None:
    """Return the current fingerprint of the source, or None if its bytes differ from `known`. Raises OSError."""
    if isinstance(source, Fingerprint):
        return known if source.sha256 == known.sha256 else None
    status = source.stat()
    if (status.st_size, status.st_mtime_ns) == (known.size, known.mtime_ns):
        return known
    if status.st_size != known.size:
        return None
    now = digests.of_file(source)
    return _trusted(now) if now.sha256 == known.sha256 else None
