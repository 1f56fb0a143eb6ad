"""How much memory this process has and may use, in bytes."""

import contextlib
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def resident() -> int:
    """The memory of this process that is in RAM now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def total() -> int:
    """The memory that this process may use: the machine's, or the limit of its container, which psutil ignores."""
    import psutil

    size = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # ValueError: "max", no limit
        size = min(size, int(_CGROUP_LIMIT.read_text()))
    return size
