"""Watches folders: gives a batch whenever pictures in them are new or have changed, and are complete."""

# os.path answers False where pathlib raises (no permission, for example).
# ruff: noqa: PTH112, PTH116

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.batch import plan
from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.run_job import Batch
from img2img.runtime.files import naming
from img2img.runtime.files.jobs import Existing
from img2img.runtime.tasks.settings import Engine, Settings
from img2img.runtime.tasks.task import Task
from img2img.text import show

INTERVAL = 1.0
"""Seconds between two looks. A picture is complete if its size and time are the same in both."""

_SHARE = 0.2
"""The most of the time that looking may take. In a folder with 100,000 pictures, a look takes about a second."""

_State = tuple[int, int]  # size in bytes, time of the last change in ns


class Watch:
    """Folders, and what was seen of their pictures so far.

    The journals of the output folders know what is done. So a watch that is started again, also after a crash, goes on
    where the last one ended, and a picture that changed while it was read is processed again.

    Args:
        inputs: folders on this machine.
        settings: results go into a folder with a journal, and existing results are skipped.
        notify: see `plan.prepare`.

    Raises:
        UsageError: the inputs or settings do not suit a watch.
    """

    def __init__(self, inputs: Sequence[str], task: Task, settings: Settings, notify: Notify | None = None) -> None:
        _check(inputs, settings)
        self.inputs, self.task, self.settings, self.notify = inputs, task, settings, notify
        self.pause = INTERVAL
        self._seen: dict[Path, _State] = {}
        self._taken: dict[Path, _State] = {}

    def look(self) -> Batch | None:
        """Look at the folders once. Return a batch of the pictures that have become complete since, or None.

        After None, wait for `pause` seconds before the next look. A picture counts as taken once it is in a batch, and
        is in no further one until it changes, whether or not it could be processed.

        Raises:
            PictureError: a folder is gone.
            UsageError, ModelError: as `plan.prepare`.
        """
        began = time.perf_counter()
        now = self._states()
        self.pause = max(INTERVAL, (time.perf_counter() - began) * (1 / _SHARE - 1))
        complete = {
            path
            for path, state in now.items()
            if state[0] and self._seen.get(path) == state and self._taken.get(path) != state
        }
        self._seen = now
        self._taken = {path: state for path, state in self._taken.items() if path in now}
        if not complete:
            return None
        self._taken |= {path: now[path] for path in complete}
        batch = plan.prepare(self.inputs, self.task, self.settings, notify=self.notify, only=complete)
        return batch if batch.jobs else None

    def _states(self) -> dict[Path, _State]:
        for folder in self.inputs:
            if not os.path.isdir(folder):
                raise PictureError(f"{show(Path(folder))}: the folder is gone", path=folder)
        try:
            sources = plan.collect(self.inputs, self.settings)
        except UsageError:  # no pictures yet
            return {}
        found = {}
        for source in sources:
            if source.problem is None and isinstance(source.path, Path):
                try:
                    status = os.stat(source.path)
                except OSError:  # deleted in the meantime
                    continue
                found[source.path] = status.st_size, status.st_mtime_ns
        return found


def _check(inputs: Sequence[str], settings: Settings) -> None:
    if not inputs:
        raise UsageError("--watch: name a folder")
    for given in inputs:
        if not os.path.isdir(given):
            raise UsageError(f"--watch takes folders on this machine, and {show(given)} is none")
    if settings.output is not None and not isinstance(naming.output_folder(settings.output), Path):
        raise UsageError(f"--watch needs a folder for the results: -o {show(settings.output)} is none on this machine")
    wrong = {
        "--files-from": settings.files_from is not None,
        "--no-journal": not settings.journal,
        f"--existing {settings.existing}": settings.existing is not Existing.SKIP,
        "--engine ray": settings.engine is Engine.RAY,
    }
    if found := [option for option, is_given in wrong.items() if is_given]:
        raise UsageError(f"--watch cannot be combined with {', '.join(found)}")
