"""The run folder: config.toml and its schema, checkpoints/, samples/, log.jsonl, curves.png, events and models."""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from img2img.atomic import atomic, leftovers
from img2img.data import inventory
from img2img.errors import ConfigError, PictureError
from img2img.evaluation.report.state import HOLDER
from img2img.methods.config import RunConfig
from img2img.methods.method import Facts
from img2img.runtime.batch.journal.locks import NameLocks, name_locks
from img2img.text import count_of, show
from img2img.training.checkpoints import Store

FACTS = "facts.json"
"""File with the facts of the method (`methods.method.Facts`), as JSON."""

LOCK = ".lock"
"""Empty file that a trainer locks. The system releases the lock when the process ends, however it ends."""

PICTURES = "pictures.json"
"""The pictures that the run knows (`data.inventory`), as JSON."""

CHANGEABLE = {
    *("steps", "workers", "log_every", "validate_every", "validate_pictures", "checkpoint_every", "keep", "compile"),
    *("data.cache_mb", "data.max_pixels"),
}
"""Keys that may change when a run continues: they affect how long it runs and what it reports, and not what it learns.

A new number of steps stretches the learning-rate schedule. Where the pictures lie may change as well.
"""


class Run:
    """A run folder, new or existing, locked until `close` so that no other process trains in it.

    Args:
        lock: whether to lock it and remove what killed runs left; no for the other processes of a distributed run.

    Attributes:
        notes: sentences for the user, about pictures that have changed since the run started.

    Raises:
        ConfigError: the folder holds another run, or files that do not belong to a run, or another process trains in
            it.
    """

    def __init__(self, folder: Path, config: RunConfig, facts: Facts, *, lock: bool = True) -> None:
        self.folder = folder
        self.facts_file = folder / FACTS
        self.config_file = folder / "config.toml"
        self.log_file = folder / "log.jsonl"
        self.store = Store(folder / "checkpoints", config.keep)
        self.notes: list[str] = []
        self._locks: NameLocks | None = None
        check_folder(folder)
        try:
            for part in (folder, folder / "checkpoints", folder / "samples"):
                part.mkdir(parents=True, exist_ok=True)
            if lock:
                self._lock()
            if self.config_file.exists() and self.store.steps():
                self._check_same(config, facts)
            if lock:
                self._know_pictures(config)
            config.save(self.config_file)
            if facts:
                with atomic(self.facts_file) as file:
                    file.write(json.dumps(dict(facts)).encode())
            elif lock:
                self.facts_file.unlink(missing_ok=True)  # of a run that ended before its first checkpoint
        except (OSError, PictureError) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{folder}: cannot be written to ({reason}); choose another --out") from error
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        locks = name_locks(self.folder / LOCK)
        if not locks.take(HOLDER):
            locks.close()
            raise ConfigError(
                f"{self.folder}: another process trains in this folder ({_holder(self.folder / HOLDER)}); "
                "wait for it, or use another --out",
                path=self.folder,
            )
        self._locks = locks
        if locks.working:
            self.store.remove_leftovers()
            for target, files in leftovers(self.folder).items():
                if target.suffix != ".onnx":  # `export` may be writing a model
                    for file in files:
                        file.unlink(missing_ok=True)
        holder = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        }
        with atomic(self.folder / HOLDER) as stream:
            stream.write(json.dumps(holder).encode())

    def close(self) -> None:
        """Release the lock."""
        if self._locks is not None:
            with suppress(OSError):
                (self.folder / HOLDER).unlink(missing_ok=True)
            self._locks.free(HOLDER)
            self._locks.close()
            self._locks = None

    def _check_same(self, config: RunConfig, facts: Facts) -> None:
        old, new = _identity(type(config).load(self.config_file)), _identity(config)
        changed = [key for key in {**new, **old} if key not in CHANGEABLE and old.get(key) != new.get(key)]
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ConfigError(
                f"{self.folder} was started with another configuration ({', '.join(changed[:5])}{more}): "
                "use another --out, or omit these options to continue it"
            )
        before = read_facts(self.folder)
        if before is not None and before != json.loads(json.dumps(dict(facts))):
            raise ConfigError(
                f"{self.folder}: what it learns from has changed since the run started "
                f"({', '.join(key for key in before if before[key] != facts.get(key))}); use another --out"
            )

    def _know_pictures(self, config: Any) -> None:
        """Note which pictures differ from those that the run knew, and remember the present ones.

        Raises:
            ConfigError: no picture is the same.
        """
        if not hasattr(config, "data"):
            return
        now = inventory.take(config.data)
        if self.store.steps():
            before = _read_pictures(self.folder / PICTURES)
            difference = inventory.compare(before, now)
            if before and not difference.equal:
                raise ConfigError(
                    f"{self.folder}: none of the {count_of(len(before), 'picture')} of this run is in "
                    f"{', '.join(map(str, config.data.folders))}: use another --out, or name its own data with --data"
                )
            if before and difference:
                self.notes.append(
                    f"warning: the pictures differ from those that the run knew: {difference}. It continues with the "
                    "present ones"
                )
        with atomic(self.folder / PICTURES) as file:
            file.write(json.dumps(now).encode())

    def rewind_log(self, step: int) -> None:
        """Drop the lines of log.jsonl after `step`, which a killed run wrote after its last checkpoint."""
        if not self.log_file.exists():
            return
        # The last line of a killed run may end inside a character.
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) != len(lines):
            with atomic(self.log_file) as file:
                file.write("".join(line + "\n" for line in kept).encode())

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append a line to log.jsonl."""
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def check_folder(folder: Path) -> None:
    """Check that a run may use `folder`.

    Raises:
        ConfigError: it is a file, or has files that do not belong to a run.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: this is a file; name a folder with --out", path=folder)
    begun = (folder / "config.toml").exists() or (folder / LOCK).exists()
    if not begun and folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: not empty and not a run folder (there is no config.toml); choose another --out")


def _identity(config: Any) -> dict[str, Any]:
    """What a run learns: its settings, without the places of its pictures and its teacher, by dotted key."""
    values = config.model_dump(mode="json")
    if values.get("teacher") is not None:
        values["teacher"] = "a model file"  # the facts hold its digest
    if hasattr(config, "data"):
        for key, paths in inventory.places(config.data).items():
            *sections, last = ("data", *key.split("."))
            place = values
            for section in sections:
                place = place[section]
            place[last] = len(paths)
    return _flat(values)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def _read_pictures(path: Path) -> inventory.Inventory:
    """The pictures that the run knew; none if it did not record them, as in version 0.1."""
    try:
        found: inventory.Inventory = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return show(f"process {found['pid']} on {found['host']}, since {found['since']}")
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just started"


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
