"""How much memory this process and this machine have, in bytes, without a package for it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def resident() -> int:
    """Memory of this process that lies in RAM now."""
    if sys.platform == "win32":
        return _windows_resident()
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True)
    return int(shown.stdout) * 1024


def total() -> int | None:
    """Memory that this process may use: the machine's, or its container's share; None where nothing tells."""
    if sys.platform == "win32":
        return _windows_total()
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        size = min(size, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return size


def _windows_resident() -> int:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):  # PROCESS_MEMORY_COUNTERS
        _fields_ = (
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            *((name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize", *"abcdef")),
        )

    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
    counters = Counters(cb=ctypes.sizeof(Counters))
    if not kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise OSError("Windows does not tell how much memory this process has")
    return int(counters.WorkingSetSize)


def _windows_total() -> int | None:
    import ctypes
    from ctypes import wintypes

    class Status(ctypes.Structure):  # MEMORYSTATUSEX
        _fields_ = (
            ("dwLength", wintypes.DWORD),
            ("dwMemoryLoad", wintypes.DWORD),
            *((name, ctypes.c_uint64) for name in ("ullTotalPhys", *"abcdef")),
        )

    status = Status(dwLength=ctypes.sizeof(Status))
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined]
    return int(status.ullTotalPhys) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None
