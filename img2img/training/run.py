"""The run folder: config.toml and its schema, checkpoints/, samples/, log.jsonl, curves.png, events and models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import ConfigError, PictureError
from img2img.methods.config import RunConfig
from img2img.methods.method import Facts
from img2img.training.checkpoints import Store
from img2img.training.run_lock import LOCK, RunLock

FACTS = "facts.json"
"""File with the facts of the method (`methods.method.Facts`), as JSON."""

CHANGEABLE = {"steps", "workers", "log_every", "validate_every", "checkpoint_every", "keep", "compile"}
"""Keys that may change when a run continues: they affect how long it runs and what it reports, and not what it learns.

A new number of steps stretches the learning-rate schedule.
"""


class Run:
    """A run folder, new or existing.

    Args:
        lock: keep other processes from training in this folder until `close`.

    Raises:
        ConfigError: the folder holds another run, or files that do not belong to a run, or another process has locked
            it.
    """

    def __init__(self, folder: Path, config: RunConfig, facts: Facts, *, lock: bool = False) -> None:
        self.folder = folder
        self.facts_file = folder / FACTS
        self.config_file = folder / "config.toml"
        self.log_file = folder / "log.jsonl"
        self.store = Store(folder / "checkpoints", config.keep)
        if self.config_file.exists():
            self._check_same(config, facts)
        elif folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
            raise ConfigError(
                f"{folder}: not empty and not a run folder (there is no config.toml); choose another --out"
            )
        self._lock: RunLock | None = None
        try:
            for part in (folder, folder / "checkpoints", folder / "samples"):
                part.mkdir(parents=True, exist_ok=True)
            if lock:
                self._lock = RunLock(folder)
                self.store.remove_leftovers()
            config.save(self.config_file)
            if facts:
                with atomic(self.facts_file) as file:
                    file.write(json.dumps(dict(facts)).encode())
        except (OSError, PictureError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{folder}: cannot be written to ({reason}); choose another --out") from error

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.release()

    def _check_same(self, config: RunConfig, facts: Facts) -> None:
        old = type(config).load(self.config_file).model_dump(mode="json")
        new = config.model_dump(mode="json")
        changed = [key for key in new if key not in CHANGEABLE and old.get(key) != new[key]]
        if changed and self.store.steps():
            raise ConfigError(
                f"{self.folder} was started with another configuration ({', '.join(changed)}): "
                "use another --out, or omit these options to continue it"
            )

        before = read_facts(self.folder)
        if self.store.steps() and before is not None and before != json.loads(json.dumps(dict(facts))):
            raise ConfigError(
                f"{self.folder}: the data has changed since the run started "
                f"({', '.join(key for key in before if before[key] != facts.get(key))}); use another --out"
            )

    def rewind_log(self, step: int) -> None:
        """Drop the lines of log.jsonl after `step`, which a killed run wrote after its last checkpoint."""
        if not self.log_file.exists():
            return
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) != len(lines):
            part = self.log_file.with_suffix(".part")
            part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            part.replace(self.log_file)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append a line to log.jsonl."""
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def read_facts(folder: Path) -> Facts | None:
    """Return the facts of the run in `folder`, or None if it has none.

    Raises:
        ConfigError: the file is broken.
    """
    path = folder / FACTS
    if not path.exists():
        return None
    try:
        facts: Facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return facts


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # the unfinished line of a killed run
