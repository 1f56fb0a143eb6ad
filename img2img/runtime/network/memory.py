"""How much memory this process has and may use, in bytes."""

import contextlib
import sys
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def resident() -> int:
    """The memory of this process that is in RAM now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most memory that this process has had in RAM."""
    import psutil

    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def total() -> int:
    """The memory that this process may use: the machine's, or the limit of its container, which psutil ignores."""
    import psutil

    size = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # ValueError: "max", no limit
        size = min(size, int(_CGROUP_LIMIT.read_text()))
    return size
