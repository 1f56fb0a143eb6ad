"""A model file teaches a super-resolution network: its loss, its errors, exact resume, and what is recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
import torch
import trials
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.methods.esrgan import ESRGAN
from img2img.methods.real_esrgan import RealESRGAN
from img2img.methods.srgan import SRGAN
from img2img.methods.super_resolution import SuperResolution
from img2img.methods.teacher import Teacher
from img2img.runtime.network import card_writing, session
from img2img.runtime.network.models import read_card
from img2img.training import export
from img2img.training.listener import SilentListener
from img2img.training.loop import train

SMALL: dict[str, Any] = {
    "scale": 2,
    "generator": {"name": "compact", "options": {"features": 4, "convs": 1}},
    "batch": 2,
    "steps": 6,
    "log_every": 3,
    "validate_every": 6,
    "checkpoint_every": 3,
}
ADVERSARIAL: dict[str, Any] = {
    "stage": "adversarial",
    "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1}},
    "perceptual": {"weight": 0.0},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return onnx_nets.compact(tmp_path / "big.onnx", scale=2, features=12)


def config(method: type[SuperResolution], photos: Path, teacher: Path | str, **changes: Any) -> Any:
    values = {**SMALL, "data": {"folders": [str(photos)], "crop": 32}, "teacher": str(teacher), **changes}
    return method.recipe.parse(method.recipe.with_defaults(values), where="test")


def loaded(method: type[SuperResolution], settings: Any) -> tuple[SuperResolution, dict[str, torch.Tensor]]:
    made = method(settings)
    data = made.load()
    items = [data[i] for i in range(2)]
    return made, {name: torch.stack([item[name] for item in items]) for name in items[0]}


def test_the_loss_is_l1_to_what_the_teacher_gives_for_the_same_pictures(photos: Path, teacher: Path) -> None:
    method, batch = loaded(ESRGAN, config(ESRGAN, photos, teacher, objectives={}, teacher_weight=3.0))
    _, loss = next(method.step(method.networks, [batch]))
    low = batch["low"].float() / 255
    expected = session.load(teacher).infer(low.numpy())
    result = method.networks["generator"](low)
    assert loss.item() == pytest.approx(3 * F.l1_loss(result, torch.from_numpy(expected)).item(), rel=1e-5)


def test_the_gradient_reaches_the_student_and_adds_to_that_of_the_truth(photos: Path, teacher: Path) -> None:
    gradients = []
    for weights in ({"l1": 1.0}, {}, {"l1": 1.0}):
        with_teacher = len(gradients) > 0
        torch.manual_seed(0)
        settings = config(ESRGAN, photos, teacher if with_teacher else "none", objectives=weights)
        method, batch = loaded(ESRGAN, settings)
        next(method.step(method.networks, [batch]))[1].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in method.networks["generator"].parameters()]))
    truth, taught, both = gradients
    assert taught.abs().max() > 0
    torch.testing.assert_close(both, truth + taught, atol=1e-6, rtol=1e-4)


def test_the_student_comes_closer_to_the_teacher_which_stays_the_same(
    photos: Path, teacher: Path, tmp_path: Path
) -> None:
    before = teacher.read_bytes()
    settings = config(ESRGAN, photos, teacher, objectives={}, steps=60, log_every=10, optimiser={"rate": 3e-3})
    losses = [line["loss"] for line in trials.train_steps(ESRGAN, settings, tmp_path / "run", 59) if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    assert teacher.read_bytes() == before
    method, batch = loaded(ESRGAN, settings)
    assert method.teacher is not None and not method.teacher(batch["low"].float() / 255).requires_grad
    assert list(method.networks) == ["generator"]


@pytest.mark.parametrize("method", [SRGAN, ESRGAN, RealESRGAN])
@pytest.mark.parametrize("stage", [{}, ADVERSARIAL], ids=["fidelity", "adversarial"])
def test_every_super_resolution_method_can_have_a_teacher(
    method: type[SuperResolution], stage: dict[str, Any], photos: Path, teacher: Path, tmp_path: Path
) -> None:
    lines = trials.train_steps(method, config(method, photos, teacher, log_every=1, **stage), tmp_path / "run", 1)
    assert lines[0]["teacher"] > 0 and np.isfinite(lines[0]["loss"])


def test_a_taught_run_continues_exactly(photos: Path, teacher: Path, tmp_path: Path) -> None:
    trials.check_resume(ESRGAN, config(ESRGAN, photos, teacher, **ADVERSARIAL), tmp_path, stop=4)


def test_run_and_model_name_their_teacher(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = config(ESRGAN, photos, teacher, steps=1)
    train(ESRGAN, settings, run, SilentListener(), device="cpu")
    digest = card_writing.digest(teacher)
    assert json.loads((run / "facts.json").read_text()) == {"teacher": {"name": "big", "sha256": digest}}
    assert f'teacher = "{teacher}"' in (run / "config.toml").read_text()
    teacher.unlink()  # an export does not need it
    written = export.from_run(run, tmp_path / "out.onnx", export.ExportOptions(), print)[0].card
    for card in (read_card(run / "model.onnx"), written):
        assert card is not None and card.method == f"esrgan, fidelity stage, taught by big (sha256 {digest[:12]})"
        assert card.extra["teacher"] == {"name": "big", "sha256": digest}


def test_a_run_continues_with_the_same_teacher_in_another_place_only(
    photos: Path, teacher: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trials.train_steps(ESRGAN, config(ESRGAN, photos, teacher), run)
    moved = teacher.rename(tmp_path / "moved.onnx")
    trials.train_steps(ESRGAN, config(ESRGAN, photos, moved), run, steps=3)
    other = onnx_nets.compact(tmp_path / "other.onnx", scale=2, features=12, seed=1)
    for name, message in ((other, r"what it learns from has changed .* \(teacher\)"), ("none", r"\(teacher\)")):
        with pytest.raises(ConfigError, match=message):
            train(ESRGAN, config(ESRGAN, photos, name), run, SilentListener(), device="cpu")


def test_the_teacher_is_announced(photos: Path, teacher: Path) -> None:
    method, _ = loaded(ESRGAN, config(ESRGAN, photos, teacher, teacher_weight=0.5))
    (note,) = [one for one in method.notes if one.startswith("teacher")]
    assert note.startswith("teacher: big (sha256 ") and note.endswith("on cpu, weight 0.5")


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def refused(path: Path | str, message: str, side: int = 16) -> None:
        with pytest.raises(ConfigError, match=message):
            Teacher(str(path), scale=2, side=side)

    folder = tmp_path
    refused(onnx_nets.compact(folder / "x4.onnx", scale=4), r"x4\.onnx: it enlarges 4 times, but scale = 2; name a")
    refused(onnx_nets.filler(folder / "filler.onnx"), "filler is a model for 'inpaint', but the student is one for 'up")
    painted = onnx_nets.domains(folder / "styles.onnx", {"red": (1, 0, 0), "blue": (0, 0, 1)})
    refused(painted, "styles is a model for 'translate', but the student is one for 'upscale'")
    refused("colorize", "teacher = colorize: colorize is a model for 'translate'")
    even = onnx_nets.compact(folder / "even.onnx", scale=2, multiple=4)
    refused(even, r"sides of multiples of 4, at least 1, but data\.crop / scale is 18", side=18)
    refused(folder / "none.onnx", "teacher = .*: .* no such model file")
    refused("no-such-name", "teacher = no-such-name: there is no model named 'no-such-name'")
    (folder / "broken.onnx").write_bytes(b"no model")
    refused(folder / "broken.onnx", r"teacher = .*broken\.onnx")


def test_a_teacher_without_a_card_is_probed(tmp_path: Path) -> None:
    path = onnx_nets.compact(tmp_path / "bare.onnx", scale=2, with_card=False)
    teacher = Teacher(str(path), scale=2, side=16)
    low = torch.rand(2, 3, 16, 16)
    known = onnx_nets.compact(tmp_path / "known.onnx", scale=2)
    torch.testing.assert_close(teacher(low), Teacher(str(known), scale=2, side=16)(low), atol=1e-5, rtol=1e-5)


def test_paths_become_absolute_and_names_stay(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config(ESRGAN, photos, "big.onnx").teacher == str(teacher)
    assert config(ESRGAN, photos, "upscale-x2").teacher == "upscale-x2"
    (tmp_path / "mine").mkdir()
    assert config(ESRGAN, photos, "mine").teacher == str(tmp_path / "mine")
