"""`img2img doctor`"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import img2img
from img2img.cli import console
from img2img.errors import ExitStatus, Img2ImgError
from img2img.runtime.network import cache, cpu, devices, memory, models
from img2img.text import show, show_memory

_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "torch")
_GPU = "onnxruntime-gpu"
_REINSTALL = "pip install --force-reinstall img2img"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        section: heading in the output, and name of an object in the JSON output.
        key: name of the check in its section.
        text: the result in words.
        value: the result for the JSON output.
        do: how to fix it, if it is a problem.
    """

    section: str
    key: str
    text: str
    value: Any
    do: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> ExitStatus:
    """Check this machine: show what img2img finds, how fast it is, and how to fix problems.

    Exit status: 0 upscaling works, 1 it does not.
    """
    found: list[Finding] = []
    for finding in _findings():
        found.append(finding)
        if not json:
            _say(finding, found)
    works = any(one.section == "speed" and one.value is not None for one in found)
    if json:
        console.write_json(_record(found, works))
    else:
        sys.stdout.write(f"\nupscaling {'works' if works else 'does not work'}\n")
    return ExitStatus.OK if works else ExitStatus.SOME_FAILED


def _say(finding: Finding, before: list[Finding]) -> None:
    """Print one line, and another one with the fix, immediately, because the next check may take seconds."""
    if len(before) < 2 or before[-2].section != finding.section:
        sys.stdout.write(("\n" if len(before) > 1 else "") + f"{finding.section}\n")
    sys.stdout.write(f"  {finding.key:<20}  {show(finding.text)}\n")
    if finding.do:
        sys.stdout.write(f"  {'':<20}  -> {show(finding.do)}\n")
    sys.stdout.flush()


def _record(found: list[Finding], works: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"works": works}
    for one in found:
        record.setdefault(one.section, {})[one.key] = one.value
    record["to_do"] = [
        {"section": one.section, "key": one.key, "found": one.text, "do": one.do} for one in found if one.do
    ]
    return record


def _findings() -> Iterator[Finding]:
    yield from _versions()
    yield from _machine()
    cuda = False
    for finding in _gpu():
        cuda |= finding.key == "used" and finding.value["works"]
        yield finding
    yield from _pictures()
    yield from _models()
    yield from _speeds(cuda)


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "img2img", img2img.__version__, img2img.__version__)
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", "python", f"{python} ({sys.executable})", python)
    installed = {name: version for name in _PACKAGES if (version := _version(name))}
    for name, do in (("numpy", "pip install numpy"), ("pillow", "pip install pillow")):
        if name not in installed:
            yield Finding("versions", name, "not installed", None, f"run {do}")
    for name, version in installed.items():
        yield Finding("versions", name, version, version)
    if not {"onnxruntime", _GPU} & set(installed):
        yield Finding("versions", "onnxruntime", "not installed", None, "run pip install onnxruntime")
    if "torch" not in installed:
        yield Finding("versions", "torch", "not installed (only training needs it: pip install 'img2img[train]')", None)


def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> Iterator[Finding]:
    import platform

    yield Finding("machine", "system", platform.platform(), platform.platform())
    yield Finding("machine", "processor", cpu.name(), cpu.name())
    usable, there = devices.cores(), os.cpu_count() or 1
    yield Finding("machine", "cores", f"{usable} of {there} usable" if usable != there else f"{there}", usable)
    features = sorted(cpu.features())
    yield Finding("machine", "features", ", ".join(features) or "none known", features)
    fast = cpu.has_int8()
    what = (
        "yes: --device cpu uses the 8-bit version of a model"
        if fast
        else "no: the CPU has neither VNNI nor dot product"
    )
    yield Finding("machine", "int8", what, fast)
    size = memory.total()
    yield Finding("machine", "memory", show_memory(size), size)


def _gpu() -> Iterator[Finding]:
    cards = _nvidia_smi()
    driver = cards[0]["driver"] if cards else _driver_version()
    yield Finding("cuda", "driver", driver or "no NVIDIA driver on this machine", driver)
    for number, card in enumerate(cards):
        yield Finding("cuda", f"gpu {number}", f"{card['name']}, {card['memory']}", card)
    try:
        import onnxruntime

        providers = list(onnxruntime.get_available_providers())
    except Exception as error:  # a broken package may raise anything, and this command must report it
        yield Finding(
            "cuda",
            "providers",
            f"onnxruntime does not load: {error}",
            [],
            "run pip install --force-reinstall onnxruntime",
        )
        return
    yield Finding("cuda", "providers", ", ".join(providers), providers)
    problem = _why_not()
    if problem is None:
        yield Finding("cuda", "used", "yes", {"works": True, "why": None})
        return
    reason, _, advice = problem.partition(": run ")
    yield Finding("cuda", "used", f"no: {reason}", {"works": False, "why": reason}, _remedy(reason, advice, driver))


def _why_not() -> str | None:
    """The error message of --device cuda; None if CUDA works."""
    from img2img.runtime.network import speed

    paths = models.candidates("upscale", device="cuda:0")
    if not paths:
        return "there is no bundled model to test it with"
    try:
        speed.measure(paths[-1], device="cuda:0", fresh=True)
    except Img2ImgError as error:
        return str(error)
    return None


def _remedy(reason: str, advice: str, driver: str | None) -> str:
    if "insufficient" in reason:  # CUDA driver version is insufficient for CUDA runtime version
        return f"update the NVIDIA driver (this is {driver})"
    if driver is None:
        # Without a graphics card, nothing is wrong, unless the package for one is installed.
        return "install NVIDIA's driver if this machine has an NVIDIA GPU" if _version(_GPU) else ""
    return f"run {advice}" if advice else "run img2img upscale PHOTO --device cuda --debug for details"


def _nvidia_smi() -> list[dict[str, str]]:
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # it finds no GPU, or the driver does not match
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [dict(zip(("name", "driver", "memory"), row, strict=True)) for row in rows if len(row) == 3]


def _driver_version() -> str | None:
    """The version of the kernel module, for machines without nvidia-smi (containers)."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), "of unknown version")


def _pictures() -> Iterator[Finding]:
    import shutil

    try:
        from PIL import features
    except ImportError as error:
        yield Finding("pictures", "pillow", f"does not load: {error}", None, "run pip install --force-reinstall pillow")
    else:
        for name, feature, do in (
            ("jpeg", "libjpeg_turbo", ""),
            ("webp", "webp", "run pip install --upgrade pillow to read and write WebP"),
            ("avif", "avif", "run pip install --upgrade pillow to read and write AVIF"),
        ):
            there = bool(features.check(feature))
            version = features.version(feature) if there else None
            text = f"{feature} {version or ''}".strip() if there else f"without {feature}"
            yield Finding("pictures", name, text, version or there, "" if there else do)
    ffmpeg = shutil.which("ffmpeg")
    do = "" if ffmpeg else "install it to convert videos to frames and back; pictures do not need it"
    yield Finding("pictures", "ffmpeg", ffmpeg or "not found", ffmpeg, do)


def _models() -> Iterator[Finding]:
    for key, folder in (
        ("bundled", models.bundled_folder()),
        ("your own", models.user_folder()),
        ("cache", cache.folder()),
    ):
        text = str(folder) if folder.is_dir() else f"{folder} (does not exist yet)"
        yield Finding("folders", key, text, str(folder))
    found = models.installed()
    if not found:
        yield Finding("models", "none", "no model is installed", None, f"run {_REINSTALL}")
    for one in found:
        where = "bundled" if one.bundled else str(one.path)
        card = one.card
        if one.problem:
            do = f"run {_REINSTALL}" if one.bundled else "export it again or delete it"
            yield Finding("models", one.name, one.problem, None, do)
        elif card is None:
            yield Finding("models", one.name, f"no card, {where}", {"path": str(one.path)})
        else:
            text = f"{card.task} x{card.scale}, {card.precision}, {where}"
            value = {"path": str(one.path), "task": card.task, "scale": card.scale, "precision": card.precision}
            yield Finding("models", one.name, text, value)


def _speeds(cuda: bool) -> Iterator[Finding]:
    from img2img.runtime.network import speed

    if not models.candidates("upscale"):
        yield Finding("speed", "none", "there is no bundled model for upscaling", None, f"run {_REINSTALL}")
    for device in ("cpu", "cuda:0") if cuda else ("cpu",):
        for path in models.candidates("upscale", device=device):
            key = f"{path.stem}, {device}"
            try:
                measured = speed.measure(path, device=device, fresh=True)
            except Img2ImgError as error:
                yield Finding("speed", key, f"does not run: {error.reason}", None, error.hint or f"run {_REINSTALL}")
                continue
            text = f"{measured.seconds_per_megapixel:.3g} s per megapixel of input"
            if not measured.idle:
                text += " (the machine is busy with other work)"
            value = {"device": device, "seconds_per_megapixel": measured.seconds_per_megapixel, "calm": measured.idle}
            yield Finding("speed", key, text, value)
