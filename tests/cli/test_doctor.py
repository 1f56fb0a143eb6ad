"""The command `img2img doctor`, with output for users and for programs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

from img2img.cli import doctor
from img2img.errors import DeviceError, ModelError
from img2img.runtime.network import cpu, models, speed
from img2img.runtime.network.speed import Speed

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IMG2IMG_MODELS", str(tmp_path / "models"))


def no_device(reason: str, hint: str) -> DeviceError:
    return DeviceError(f"{reason}: {hint}", hint=hint)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception | float]:
    """Device -> seconds per megapixel of every model there, or the error why it does not run. At first without CUDA."""
    what: dict[str, Exception | float] = {
        "cpu": 6.25,
        "cuda:0": no_device("this onnxruntime does not support CUDA", "run pip install onnxruntime-gpu"),
    }

    def measure(path: Path, *, device: str, fresh: bool = False) -> Speed:
        found = what[device]
        if isinstance(found, Exception):
            raise found
        return Speed(found, 600.0, 1, device)

    monkeypatch.setattr(speed, "measure", measure)
    return what


def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str = "NVIDIA A2, 470.10, 15356 MiB") -> None:
    """A machine with a driver, as nvidia-smi shows it."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def without_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_driver_version", lambda: None)


def record(done: Outcome) -> Any:
    (line,) = done.out.decode().splitlines()
    return json.loads(line)


def to_do(done: Outcome, key: str) -> str:
    """What to do about a finding; empty where nothing is."""
    return " ".join(one["do"] for one in record(done)["to_do"] if one["key"] == key)


def test_a_machine_is_described_and_measured(command: Callable[..., Outcome]) -> None:
    """In a separate process, with nothing replaced."""
    done = command("doctor", "--json")
    assert done.status == 0, done.err
    found = record(done)
    assert found["works"] is True
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["machine"]["processor"] == cpu.name() and found["machine"]["cores"] >= 1
    assert found["machine"]["memory"] > 1 << 28
    assert "CPUExecutionProvider" in found["cuda"]["providers"]
    names = {path.stem for path in models.candidates("upscale")}
    assert {key.removesuffix(", cpu") for key in found["speed"] if key.endswith("cpu")} == names
    assert all(one["seconds_per_megapixel"] > 0 for one in found["speed"].values())


def test_a_person_gets_aligned_lines(img2img: Run, measured: dict[str, Any]) -> None:
    done = img2img("doctor")
    lines = done.out.decode().splitlines()
    assert done.status == 0 and done.err == ""
    for heading in ("versions", "machine", "cuda", "pictures", "folders", "models", "speed"):
        assert lines.count(heading) == 1
    assert any(
        line.startswith("  upscale-x4, cpu ") and line.endswith("6.25 s per megapixel of input") for line in lines
    )
    rows = [line for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert {line[22:24] for line in rows} == {"  "} and all(line[24] != " " for line in rows)
    assert lines[-1] == "upscaling works"


def test_where_upscaling_does_not_run_the_status_says_so(img2img: Run, measured: dict[str, Any]) -> None:
    measured["cpu"] = ModelError("upscale-x4.onnx: onnxruntime cannot load it: illegal instruction")
    done = img2img("doctor", "--json")
    assert done.status == 1 and record(done)["works"] is False
    assert "pip install --force-reinstall img2img" in to_do(done, "upscale-x4, cpu")
    done = img2img("doctor")
    assert done.status == 1 and done.out.decode().splitlines()[-1] == "upscaling does not work"


def test_a_missing_package_is_named_with_how_to_get_it(
    img2img: Run, measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured["cpu"] = no_device("onnxruntime does not work here (no module)", "run pip install onnxruntime")
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "onnxruntime" else "1.0")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = img2img("doctor", "--json")
    assert done.status == 1
    assert to_do(done, "upscale-x4, cpu") == "run pip install onnxruntime"
    assert "pip install --force-reinstall onnxruntime" in to_do(done, "providers")


def test_without_models_the_status_says_so(
    img2img: Run, measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models, "bundled_folder", lambda: tmp_path / "none")
    done = img2img("doctor", "--json")
    assert done.status == 1 and "pip install" in to_do(done, "none")


def test_a_model_of_your_own_that_is_broken_is_named(img2img: Run, measured: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.onnx").write_text("no model")
    done = img2img("doctor", "--json")
    assert done.status == 0
    assert to_do(done, "mine") == "export it again or delete it"


# --- CUDA


def test_a_machine_without_a_card_has_nothing_to_do(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gpu(tmp_path, monkeypatch)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "onnxruntime-gpu" else "1.0")
    done = img2img("doctor", "--json")
    cuda = record(done)["cuda"]
    assert cuda["driver"] is None and cuda["used"] == {"works": False, "why": "this onnxruntime does not support CUDA"}
    assert to_do(done, "used") == ""


def test_a_card_without_the_package_says_what_to_install(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(tmp_path, monkeypatch)
    done = img2img("doctor", "--json")
    cuda = record(done)["cuda"]
    assert cuda["driver"] == "470.10"
    assert cuda["gpu 0"] == {"name": "NVIDIA A2", "driver": "470.10", "memory": "15356 MiB"}
    assert to_do(done, "used") == "run pip install onnxruntime-gpu"
    assert not any("cuda" in key for key in record(done)["speed"])


def test_a_driver_that_is_too_old_is_to_be_updated(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(tmp_path, monkeypatch)
    measured["cuda:0"] = DeviceError(
        "CUDA device 0 does not work: CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    )
    assert to_do(img2img("doctor", "--json"), "used") == "update the NVIDIA driver (this is 470.10)"


def test_the_package_without_a_driver_says_what_is_missing(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gpu(tmp_path, monkeypatch)
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0")
    measured["cuda:0"] = DeviceError("onnxruntime-gpu is installed, but does not support CUDA on this machine")
    assert "driver" in to_do(img2img("doctor", "--json"), "used")


def test_where_cuda_works_it_is_measured_too(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(tmp_path, monkeypatch)
    measured["cuda:0"] = 0.05
    done = img2img("doctor", "--json")
    assert record(done)["cuda"]["used"] == {"works": True, "why": None}
    assert record(done)["speed"]["upscale-x4, cuda:0"]["seconds_per_megapixel"] == 0.05


@pytest.mark.parametrize("says", ["NVIDIA-SMI has failed because it could not communicate", "", "a, b"])
def test_an_nvidia_smi_that_finds_nothing_is_no_card(
    img2img: Run, measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    monkeypatch.setattr(doctor, "_driver_version", lambda: None)
    gpu(tmp_path, monkeypatch, says)
    assert record(img2img("doctor", "--json"))["cuda"]["driver"] is None


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; from img2img.cli import doctor; list(doctor._versions()); list(doctor._machine());"
        "print([name for name in ('torch', 'numpy', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
