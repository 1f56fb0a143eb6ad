"""Whether a process trains in a run folder at this moment."""

import json
import platform
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

HOLDER = ".trainer.json"
"""Process, machine and start time of the trainer of a run. It removes the file when it ends, unless it is killed."""

SLACK = 120.0
"""Seconds by which the clock may have been corrected since a trainer noted its start."""


def is_running(folder: Path) -> bool:
    """Whether a process trains in `folder`, as far as that can be seen: yes if it is on another machine."""
    try:
        found: Any = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        pid, host, since = int(found["pid"]), str(found["host"]), datetime.fromisoformat(found["since"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host != platform.node():
        return True
    try:
        # A process that started later has got the number of a trainer that was killed.
        return bool(psutil.Process(pid).create_time() <= since + SLACK)
    except psutil.AccessDenied:
        return True
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False
