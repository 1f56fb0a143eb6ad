"""Detects the processor: its name, and the instruction sets that decide how a network runs on it."""

import contextlib
import functools
import platform
import re
import sys
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")

# Names of the operating systems -> our names. x86, then ARM, then macOS, which uses its own names.
_FLAGS = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
    "amx_int8": "amx",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "avx2_0": "avx2",
    "avx512vnni": "vnni",
    "feat_dotprod": "dotprod",
    "feat_i8mm": "i8mm",
}
# PF_..._INSTRUCTIONS_AVAILABLE for IsProcessorFeaturePresent; Windows defines no number for VNNI.
_WINDOWS = {40: "avx2", 41: "avx512", 43: "dotprod"}


def features() -> frozenset[str]:
    """Which of avx2, avx512, vnni, amx, dotprod and i8mm the processor has, as far as the operating system reports."""
    return _detect()[1]


def name() -> str:
    """The processor's name; its architecture if the operating system does not report the name."""
    return _detect()[0] or platform.processor() or platform.machine() or "unknown"


def has_int8() -> bool:
    """Whether the processor multiplies and adds 8-bit integers in one instruction. Only then are int8 models useful.

    Without it, x86 processors add pairs of products in 16 bits, which saturate. The result of an int8 model is then
    wrong, not just slow (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "U8S8").
    """
    return bool(features() & {"vnni", "dotprod"})


@functools.cache
def _detect() -> tuple[str, frozenset[str]]:
    with contextlib.suppress(OSError, ValueError):
        if sys.platform == "win32":
            return _windows()
        if sys.platform == "darwin":
            return _macos()
        return parse_cpuinfo(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    return "", frozenset()


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Name and features from Linux's /proc/cpuinfo. Only features of all cores count: big and little cores differ."""
    names = re.findall(r"^(?:model name|Processor|cpu model)\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    cores = re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    found = [frozenset(_FLAGS[flag] for flag in core.lower().split() if flag in _FLAGS) for core in cores]
    return names[0] if names else "", frozenset.intersection(*found) if found else frozenset()


def parse_sysctl(text: str) -> tuple[str, frozenset[str]]:
    """Name and features from the output of macOS's `sysctl hw.optional machdep.cpu`."""
    values = dict(re.findall(r"^([\w.]+):[ \t]*(.*?)\s*$", text, re.MULTILINE))
    words = {word for key, value in values.items() if key.endswith("features") for word in value.lower().split()}
    # hw.optional.arm.FEAT_DotProd: 1; hw.optional.avx512f: 1
    words |= {key.rpartition(".")[2].lower() for key, value in values.items() if value == "1"}
    return values.get("machdep.cpu.brand_string", ""), frozenset(_FLAGS[word] for word in words if word in _FLAGS)


def _macos() -> tuple[str, frozenset[str]]:
    import subprocess

    command = ["/usr/sbin/sysctl", "hw.optional", "machdep.cpu"]
    # The exit status is 1 if one of the two groups is incomplete. The other one is still valid.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return parse_sysctl(done.stdout)


def _windows() -> tuple[str, frozenset[str]]:
    import ctypes
    import winreg

    registry: Any = winreg
    key = registry.OpenKey(registry.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0")
    with key:
        processor = str(registry.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined]
    return processor, frozenset(name for number, name in _WINDOWS.items() if kernel.IsProcessorFeaturePresent(number))
