"""Runs a batch with journals: skips finished outputs and records new ones."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from img2img import atomic
from img2img.runtime.batch.event import Skipped, Written
from img2img.runtime.batch.journal.journal import Claim, Journal
from img2img.runtime.batch.run_job import JobItem, PictureFiles
from img2img.runtime.files import digests
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.files.jobs import Existing, Job
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import model_digest
from img2img.text import show

if TYPE_CHECKING:
    from img2img.runtime.batch.run_job import Batch


def skip_completed(batch: Batch, notify: Callable[[str], None] | None, *, write: bool) -> list[Job]:
    """Check the jobs of a batch against the journals of its output folders, for --existing skip.

    img2img replaces its own untouched output if the input, the model or the options have changed. It leaves an
    unrecorded output alone, as it does without a journal. With `write`, the journal stores the new times of copied but
    unchanged files, so that they need not be hashed again.
    """
    journals = _OpenJournals(batch, write=write)
    try:
        found = [journals.judged(job, home) for job, home in zip(batch.jobs, batch.homes, strict=True)]
        if notify is not None:
            for warning in journals.warnings():
                notify(warning)
        return found
    finally:
        journals.close()


class Busy(Skipped):
    """Another process is making this output."""


class JournaledFiles:
    """Reads and writes through `transfer` and keeps the journals up to date. Worker threads may share it.

    It claims an output before it reads the picture, so that two processes do not make the same output. It records the
    output before the output gets its name, so that the journal knows every output.
    """

    def __init__(self, batch: Batch, transfer: PictureFiles) -> None:
        self._transfer = transfer
        self._batch = batch
        self._journals = _OpenJournals(batch, write=True)
        self._resumes = batch.settings.existing is Existing.SKIP
        self._work: dict[int, _Claimed] = {}  # by the index of the job
        self._leftovers: dict[Path, dict[Path, list[Path]]] = {}
        self._sweeping = threading.Lock()

    def read(self, item: JobItem) -> Picture:
        """Like `PictureFiles.read`. Raises Skipped if another process is making or has just made the output."""
        job, home = item.job, item.home
        if home is None or not isinstance(job.target, Path) or not isinstance(job.source, Path):
            return self._transfer.read(job)
        journal = self._journals.of(home)
        claim = journal.claim(job.target)
        if claim is None:
            raise Busy(f"another process is making {show(job.target)}")
        try:
            source = digests.of_file(job.source)
        except OSError:
            source = None  # decoding raises a clearer error
        options = self._journals.options(job)
        if source is not None and self._resumes:
            verdict = journal.verdict(job.target, source, model=self._journals.model, options=options)
            if verdict.status == "done":
                claim.release()
                raise Skipped(f"{show(job.target)} was made in the meantime")
        self._work[item.index] = _Claimed(journal, claim, source, options)
        self._sweep(home, job.target)
        return self._transfer.read(job)

    def write(self, item: JobItem, picture: Picture) -> Written:
        job, work = item.job, self._work.get(item.index)
        if work is None or work.source is None or not isinstance(job.source, Path) or not isinstance(job.target, Path):
            return self._transfer.write(job, picture)
        target, source, input = job.target, job.source, work.source

        def record(output: Fingerprint) -> None:
            work.journal.record(target, output, source, input, model=self._journals.model, options=work.options)

        return self._transfer.write(job, picture, record)

    def release(self, item: JobItem) -> None:
        """End the job, so that other processes may claim its output."""
        work = self._work.pop(item.index, None)
        if work is not None:
            work.claim.release()

    def tidy(self) -> None:
        """Remove temporary files that killed processes left for this batch's outputs. Call it at the end."""
        targets = {job.target for job in self._batch.jobs if isinstance(job.target, Path)}
        for home in {home for home in self._batch.homes if home is not None}:
            left = atomic.leftovers(home)
            for target in targets & left.keys():
                claim = self._journals.of(home).claim(target)
                if claim is not None:  # no live process is making it
                    with claim:
                        _remove(left[target])

    def close(self) -> None:
        self._journals.close()

    def _sweep(self, home: Path, target: Path) -> None:
        """Remove temporary files that a killed process left for this output.

        The claim shows that no live process is making it. The folder may be large, so it is scanned only once before
        the end.
        """
        with self._sweeping:
            if home not in self._leftovers:
                self._leftovers[home] = atomic.leftovers(home)
        _remove(self._leftovers[home].get(target, ()))


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()


@dataclass(frozen=True)
class _Claimed:
    journal: Journal
    claim: Claim
    source: Fingerprint | None
    options: str


class _OpenJournals:
    """The journals of a batch's output folders. Each opens on first use."""

    def __init__(self, batch: Batch, *, write: bool) -> None:
        self._batch = batch
        self._write = write
        self._open: dict[Path, Journal] = {}
        self._opening = threading.Lock()
        self._common = {
            "strength": batch.settings.strength,
            "quality": batch.settings.quality,
            "color_fix": batch.settings.color_fix,
            "first_frame": batch.settings.first_frame,
            "assume": sorted(batch.settings.assumed().items()),
            **({"strip": True} if batch.settings.strip else {}),  # older journals do not know the option
        }

    @property
    def model(self) -> str:
        return model_digest.of_model(self._batch.model_choice.path)

    def of(self, home: Path) -> Journal:
        with self._opening:  # worker threads call this concurrently
            if home not in self._open:
                self._open[home] = Journal.open(home, write=self._write)
            return self._open[home]

    def options(self, job: Job) -> str:
        facts = self._batch.task.journal_key(job)
        return digests.of_options({**self._common, **facts, "format": job.format, "domain": job.domain})

    def judged(self, job: Job, home: Path | None) -> Job:
        if home is None or not isinstance(job.source, Path) or not isinstance(job.target, Path) or not job.exists:
            return job
        verdict = self.of(home).verdict(job.target, job.source, model=self.model, options=self.options(job))
        if verdict.status == "done":
            return dataclasses.replace(job, skip=f"{show(job.target)} was made before")
        if verdict.ours:
            return dataclasses.replace(job, skip=None, overwrite=True)
        return job

    def warnings(self) -> list[str]:
        return [warning for journal in self._open.values() for warning in journal.warnings]

    def close(self) -> None:
        for journal in self._open.values():
            journal.close()
