"""Detecting the processor and its features on each operating system."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from img2img.runtime.network import cpu, memory

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
flags\t\t: fpu sse2 avx avx2 avx512f avx512bw avx512_vnni
processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
flags\t\t: fpu sse2 avx avx2 avx512f avx512bw avx512_vnni
"""
HASWELL = "processor : 0\nmodel name : Intel(R) Core(TM) i5-4570\nflags : fpu sse2 avx avx2 fma\n"
ALDER_LAKE = "model name : 12th Gen Intel(R) Core(TM) i5\nflags : avx2 avx_vnni\n"
SAPPHIRE = "model name : Xeon\nflags : avx2 avx512f avx512_vnni amx_bf16 amx_tile amx_int8\n"
PI_4 = "processor : 0\nBogoMIPS : 108.00\nFeatures : fp asimd evtstrm crc32 cpuid\n\nModel : Raspberry Pi 4\n"
GRAVITON = "processor : 0\nFeatures : fp asimd asimdhp asimddp sve i8mm bf16\nCPU implementer : 0x41\n"
BIG_LITTLE = "Features : asimd asimddp i8mm\nFeatures : asimd asimddp\n"


@pytest.mark.parametrize(
    ("text", "name", "features"),
    [
        (XEON, "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", {"avx2", "avx512", "vnni"}),
        (HASWELL, "Intel(R) Core(TM) i5-4570", {"avx2"}),
        (ALDER_LAKE, "12th Gen Intel(R) Core(TM) i5", {"avx2", "vnni"}),
        (SAPPHIRE, "Xeon", {"avx2", "avx512", "vnni", "amx"}),
        (PI_4, "", set()),
        (GRAVITON, "", {"dotprod", "i8mm"}),
        (BIG_LITTLE, "", {"dotprod"}),
        ("", "", set()),
    ],
)
def test_linux_tells_name_and_features(text: str, name: str, features: set[str]) -> None:
    assert cpu.parse_cpuinfo(text) == (name, features)


@pytest.mark.parametrize(
    ("text", "name", "features"),
    [
        (
            "hw.optional.floatingpoint: 1\nhw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\n"
            "machdep.cpu.brand_string: Apple M1\nmachdep.cpu.core_count: 8\n",
            "Apple M1",
            {"dotprod"},
        ),
        (
            "hw.optional.avx2_0: 1\nhw.optional.avx512f: 1\nmachdep.cpu.brand_string: Intel(R) Core(TM) i7-1068NG7\n"
            "machdep.cpu.leaf7_features: RDWRFSGS AVX2 AVX512F AVX512VNNI\n",
            "Intel(R) Core(TM) i7-1068NG7",
            {"avx2", "avx512", "vnni"},
        ),
    ],
)
def test_macos_tells_name_and_features(text: str, name: str, features: set[str]) -> None:
    assert cpu.parse_sysctl(text) == (name, features)


@pytest.mark.parametrize(("text", "has"), [(XEON, True), (ALDER_LAKE, True), (GRAVITON, True), (HASWELL, False)])
def test_integers_are_worth_it_with_vnni_or_dot_product(monkeypatch: pytest.MonkeyPatch, text: str, has: bool) -> None:
    monkeypatch.setattr(cpu, "_detect", lambda: cpu.parse_cpuinfo(text))
    assert cpu.has_int8() is has


def test_a_processor_that_tells_nothing_has_the_name_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_detect", lambda: ("", frozenset()))
    assert cpu.name() in (platform.processor(), platform.machine())
    assert not cpu.has_int8()


@pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux's own list")
def test_this_machines_features_are_those_that_the_kernel_lists() -> None:
    words = set(cpu._CPUINFO.read_text().split())
    assert ("avx2" in cpu.features()) == ("avx2" in words)
    assert cpu.has_int8() == bool(words & {"avx512_vnni", "avx_vnni", "asimddp"})


def test_memory_that_is_taken_shows_and_there_is_less_than_the_machine_has() -> None:
    # In a process of its own: one that has given memory back takes it again without growing.
    code = "from img2img.runtime.network.memory import resident; before = resident()"
    code += "; taken = bytearray(b'x') * (64 << 20); print(resident() - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert 60 << 20 < int(done.stdout) < 80 << 20
    assert memory.resident() < memory.total()


def test_a_containers_limit_is_all_the_memory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", tmp_path / "memory.max")
    machine = memory.total()
    for text, expected in (("max\n", machine), ("1000000\n", 1_000_000)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.total() == expected
