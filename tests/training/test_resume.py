"""A run that stops and continues equals a run that never stopped."""

import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trials import StopAfter, log, weights

from img2img.errors import CheckpointError, ConfigError, DataError, Interrupted, TrainingError
from img2img.methods.esrgan import ESRGAN, Config
from img2img.methods.method import Batch, Networks, Step
from img2img.runtime.network import session
from img2img.runtime.network.tiling import run_tiled
from img2img.training import limits
from img2img.training import start as start_weights
from img2img.training.checkpoints import DIGESTS
from img2img.training.listener import SilentListener
from img2img.training.loop import train


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def config(photos: Path, **changes: object) -> Config:
    values = {
        "scale": 2,
        "data": {"folders": [str(photos)], "crop": 16},
        "generator": {"name": "collapsible-compact", "options": {"features": 8, "convs": 1, "expand": 8}},
        "steps": 12,
        "batch": 2,
        "schedule": {"warmup": 3},
        "log_every": 4,
        "validate_every": 6,
        "checkpoint_every": 5,
    }
    return Config.parse({**values, **changes}, where="test")


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(ESRGAN, config(photos), run, SilentListener(), device="cpu")
    return run


@pytest.mark.parametrize("stop", [1, 6, 7, 11])
def test_losses_and_weights_equal_those_of_an_uninterrupted_run(
    stop: int, photos: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match=f"after step {stop} of 12"):
        train(ESRGAN, config(photos), run, StopAfter(stop), device="cpu")
    assert not (run / "model.onnx").exists()
    train(ESRGAN, config(photos), run, SilentListener(), device="cpu")
    assert log(run) == log(whole)
    ours, theirs = weights(run), weights(whole)
    assert ours.keys() == theirs.keys() and any(key.startswith("generator.ema/") for key in ours)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


class Notes(SilentListener):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_run_whose_data_has_moved_continues_exactly(photos: Path, whole: Path, tmp_path: Path) -> None:
    run, moved, notes = tmp_path / "run", tmp_path / "elsewhere", Notes()
    with pytest.raises(Interrupted):
        train(ESRGAN, config(photos), run, StopAfter(7), device="cpu")
    shutil.copytree(photos, moved)
    train(ESRGAN, config(moved), run, notes, device="cpu")
    assert log(run) == log(whole)
    ours, theirs = weights(run), weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not [text for text in notes.texts if "differ" in text]
    assert str(moved) in (run / "config.toml").read_text()


def test_a_run_says_which_pictures_have_changed_and_refuses_other_data(photos: Path, tmp_path: Path) -> None:
    run, notes = tmp_path / "run", Notes()
    with pytest.raises(Interrupted):
        train(ESRGAN, config(photos), run, StopAfter(1), device="cpu")
    moved = Path(shutil.copytree(photos, tmp_path / "elsewhere"))
    (moved / "0.png").rename(moved / "new.png")
    Image.new("RGB", (48, 48)).save(moved / "1.png")
    with pytest.raises(Interrupted):
        notes.stepped = StopAfter(2).stepped  # type: ignore[method-assign]
        train(ESRGAN, config(moved), run, notes, device="cpu")
    (said,) = [text for text in notes.texts if "differ" in text]
    assert "1 added (new.png), 1 missing (0.png), 1 of another size (1.png)" in said
    for number, path in enumerate(moved.iterdir()):
        Image.new("RGB", (64, 64 + number)).save(path)
    with pytest.raises(ConfigError, match="none of the 4 pictures of this run is in"):
        train(ESRGAN, config(moved), run, SilentListener(), device="cpu")


def test_a_batch_that_fills_the_memory_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"batch = 65536 needs more than .*G of memory"):
        train(
            ESRGAN,
            config(photos, batch=65536, data={"folders": [str(photos)], "crop": 1024}),
            tmp_path / "run",
            SilentListener(),
            device="cpu",
        )
    assert not (tmp_path / "run").exists()
    left = iter([2**40, 2**40])  # before the first step and after its first layer
    monkeypatch.setattr(limits, "_left", lambda: next(left, 0))
    monkeypatch.setattr("img2img.runtime.network.memory.resident", lambda usage=iter(range(10**6)): next(usage))
    with pytest.raises(ConfigError, match="batch = 2 fills the memory"):
        train(ESRGAN, config(photos), tmp_path / "run", SilentListener(), device="cpu")


def test_an_interrupt_while_the_model_is_written_says_that_the_steps_are_saved(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("img2img.exchange.export", interrupted)
        with pytest.raises(Interrupted, match=r"after step 2 of 2, which is saved; run the same command to write"):
            train(ESRGAN, config(photos, steps=2), tmp_path / "run", SilentListener(), device="cpu")
    notes = Notes()
    train(ESRGAN, config(photos, steps=2), tmp_path / "run", notes, device="cpu")
    assert (tmp_path / "run" / "model.onnx").exists()
    assert "this run is finished: all 2 steps are done. To train on, raise --steps" in notes.texts
    train(ESRGAN, config(photos, steps=1), tmp_path / "run", notes, device="cpu")
    assert "this run has taken 2 steps already, more than 1. To train on, set --steps above 2" in notes.texts


def test_ctrl_c_during_the_last_validation_is_not_lost(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopInValidation(SilentListener):
        def validated(self, step: int, figures: object, *, best: bool) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="after step 2 of 2, which is saved"):
        train(ESRGAN, config(photos, steps=2), tmp_path / "run", StopInValidation(), device="cpu")
    assert not (tmp_path / "run" / "model.onnx").exists()


def test_a_killed_run_continues_from_its_last_checkpoint(photos: Path, whole: Path, tmp_path: Path) -> None:
    class Killed(SilentListener):
        def stepped(self, step: int, figures: object) -> None:
            if step == 9:
                raise SystemExit  # not an orderly stop, so the log is ahead of the checkpoint of step 6

    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        train(ESRGAN, config(photos), run, Killed(), device="cpu")
    with (run / "log.jsonl").open("ab") as file:
        file.write('{"step": 1, "warning": "ü'.encode()[:-1])
    train(ESRGAN, config(photos), run, SilentListener(), device="cpu")
    assert log(run) == log(whole)


@pytest.mark.parametrize("change", [{}, {"extra": 7}, {"slowdown": None, "averaged": 3}, {"optimisers": [1]}])
def test_a_state_with_other_content_is_an_error_that_names_it(
    change: dict[str, object], photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(ESRGAN, config(photos), run, StopAfter(1), device="cpu")
    file = run / "checkpoints" / "step-00000001" / "state.pt"
    (file.parent / DIGESTS).unlink()
    state = torch.load(file, weights_only=True) | change if change else {"step": 1}
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"state\.pt of step 1|checkpoint of step 1"):
        train(ESRGAN, config(photos), run, SilentListener(), device="cpu")


def test_the_run_folder_holds_every_promised_file(whole: Path) -> None:
    assert (whole / "model.onnx").exists()
    assert sorted(path.name for path in (whole / "samples").iterdir()) == ["step-00000006.png", "step-00000012.png"]
    assert list((whole / "events").glob("events.out.tfevents.*"))
    assert Config.load(whole / "config.toml").steps == 12
    assert [entry["step"] for entry in log(whole)] == [4, 6, 8, 12, 12]


def test_a_finished_run_only_rewrites_its_model(photos: Path, whole: Path) -> None:
    before = weights(whole)
    outcome = train(ESRGAN, config(photos), whole, SilentListener(), device="cpu")
    assert outcome.step == 12 and list(outcome.models) == [whole / "model.onnx"]
    assert all(torch.equal(value, before[key]) for key, value in weights(whole).items())


def test_max_minutes_leaves_a_run_that_can_continue(photos: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = train(ESRGAN, config(photos), run, SilentListener(), device="cpu", max_minutes=0)
    assert outcome.step == 1 and (run / "model.onnx").exists()
    train(ESRGAN, config(photos), run, SilentListener(), device="cpu")
    ours, theirs = weights(run), weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_another_configuration_is_refused_and_its_keys_are_named(photos: Path, whole: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"another configuration \(seed, scale\)|another configuration \(scale, seed\)"
    ):
        train(ESRGAN, config(photos, seed=3, scale=4), whole, SilentListener(), device="cpu")


def test_a_folder_that_is_not_a_run_is_left_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        train(ESRGAN, config(photos), tmp_path, SilentListener(), device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_bad_data_leaves_no_run_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.png", "b.png"):
        (data / name).write_text("text")
    with pytest.raises(DataError, match=r"a\.png"):
        train(ESRGAN, config(data), tmp_path / "run", SilentListener(), device="cpu")
    assert not (tmp_path / "run").exists()


class Explosive(ESRGAN):
    """Its loss is not a number from step 7 on, `times` times."""

    times = 1
    taken = 0

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures = yield from super().step(networks, batches)
        self.taken += 1
        if self.taken >= 7 and self.times:
            type(self).times -= 1
            return {name: value * float("nan") for name, value in figures.items()}
        return figures


def test_after_a_loss_that_is_not_finite_the_run_returns_to_a_checkpoint_at_half_the_rate(
    photos: Path, tmp_path: Path
) -> None:
    notes = Notes()
    Explosive.times = 1
    outcome = train(Explosive, config(photos), tmp_path / "run", notes, device="cpu")
    assert outcome.step == 12
    assert any("not finite at step 8: returning to step 6 with 0.5" in text for text in notes.texts)
    entries = log(tmp_path / "run")
    assert [entry["step"] for entry in entries if "loss" in entry] == [4, 8, 12]
    assert all(np.isfinite(entry["loss"]) for entry in entries if "loss" in entry)
    whole_rate = [entry["rate"] for entry in entries if "rate" in entry]
    assert whole_rate[1] < 0.6 * whole_rate[0]


def test_a_loss_that_stays_not_finite_ends_the_run_and_is_not_saved(photos: Path, tmp_path: Path) -> None:
    Explosive.times = 10**6
    with pytest.raises(
        TrainingError, match=r"step 8, after 3 returns to a checkpoint; the checkpoint of step 6 .* lower"
    ):
        train(Explosive, config(photos), tmp_path / "run", SilentListener(), device="cpu")
    assert not (tmp_path / "run" / "checkpoints" / "step-00000008").exists()


def test_a_fault_before_the_first_checkpoint_restarts_the_run(photos: Path, tmp_path: Path) -> None:
    notes = Notes()
    Explosive.times = 1
    train(Explosive, config(photos, checkpoint_every=50, validate_every=50), tmp_path / "run", notes, device="cpu")
    assert any("returning to step 0" in text for text in notes.texts)


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_split_into_parts_trains_the_same(parts: int, photos: Path, tmp_path: Path) -> None:
    for name, count in (("whole", 1), ("parts", parts)):
        train(
            ESRGAN,
            config(photos, batch=4, accumulate=count, precision="fp32"),
            tmp_path / name,
            SilentListener(),
            device="cpu",
        )
    ours, theirs = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    # Adam amplifies the rounding of gradients near 0, so single weights may differ more than the mean.
    assert all((ours[key] - theirs[key]).abs().mean() < 1e-5 for key in ours)
    losses = [[entry["loss"] for entry in log(tmp_path / run) if "loss" in entry] for run in ("parts", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_starts_from_another_runs_weights(photos: Path, whole: Path, tmp_path: Path) -> None:
    for start in (whole, whole / "checkpoints" / "step-00000012"):
        method = ESRGAN(config(photos))
        start_weights.load(start, method)
        ours, theirs = method.networks["generator"].state_dict(), weights(whole)
        assert all(torch.equal(value, theirs[f"generator.ema/{key}"]) for key, value in ours.items())
    torch.save({"params_ema": {f"module.{k}": v for k, v in ours.items()}}, tmp_path / "g.pth")
    assert start_weights.load(tmp_path / "g.pth", method) == [f"generator starts from {tmp_path / 'g.pth'}"]
    other = ESRGAN(config(photos, generator={"name": "srresnet", "options": {"features": 4, "blocks": 1}}))
    with pytest.raises(CheckpointError, match=r"another network: the file lacks conv_first\.weight.* and \d+ more"):
        start_weights.load(whole, other)
    (tmp_path / "evil.pth").write_bytes(b"cos\nsystem\n(S'echo pwned'\ntR.")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        start_weights.load(tmp_path / "evil.pth", method)


def test_training_works_outside_the_main_thread(photos: Path, tmp_path: Path) -> None:
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(
            train(ESRGAN, config(photos, steps=2), tmp_path / "r", SilentListener(), device="cpu")
        )
    )
    thread.start()
    thread.join()
    assert outcomes[0].step == 2


def test_the_network_learns(photos: Path, tmp_path: Path) -> None:
    settings = config(photos, steps=60, optimiser={"rate": 2e-3}, log_every=20, validate_every=60, ema=0.9)
    train(ESRGAN, settings, tmp_path / "run", SilentListener(), device="cpu")
    losses = [entry["loss"] for entry in log(tmp_path / "run") if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("scale", [1, 2])
def test_a_network_that_needs_multiples_trains_and_exports(scale: int, photos: Path, tmp_path: Path) -> None:
    small = {"name": "rrdb", "options": {"features": 4, "blocks": 1, "growth": 2}}
    settings = config(photos, scale=scale, generator=small, steps=1)
    train(ESRGAN, settings, tmp_path / "run", SilentListener(), device="cpu")
    model = session.load(tmp_path / "run" / "model.onnx")
    assert model.card.multiple == 4 // scale
    assert run_tiled(model, np.zeros((13, 7, 3), np.uint8)).shape == (13 * scale, 7 * scale, 3)
    with pytest.raises(ConfigError, match="rrdb needs a multiple of 4"):
        ESRGAN(config(photos, scale=scale, generator=small, data={"folders": ["x"], "crop": 18}))


def test_a_full_disk_is_reported_and_costs_no_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    class Full(SilentListener):
        def stepped(self, step: int, figures: object) -> None:
            if step == 7:
                monkeypatch.setattr("img2img.training.run.Run.log", full)

    with pytest.raises(TrainingError, match=r"No space left on device\); the last good checkpoint is step 6"):
        train(ESRGAN, config(photos), tmp_path / "run", Full(), device="cpu")


def test_a_picture_that_breaks_during_the_run_is_named_even_by_a_worker(photos: Path, tmp_path: Path) -> None:
    import shutil

    import trials

    from img2img.methods.pix2pix import Config as PairedConfig
    from img2img.methods.pix2pix import Pix2Pix

    pairs = trials.paired(tmp_path / "pairs", 4)
    values = {
        "data": {"folders": [str(pairs)], "load": 36, "crop": 32, "cache_mb": 0},
        "generator": {"name": "unet", "options": {"features": 4, "downs": 2}},
        "discriminator": {"name": "pixelgan", "options": {"features": 4}},
        "workers": 1,
        "steps": 500,
    }

    class Breaks(SilentListener):
        def stepped(self, step: int, figures: object) -> None:
            if step == 2:
                shutil.rmtree(pairs / "B")

    with pytest.raises(DataError, match=r"B.00\d\.png.*it was readable when the run started$") as caught:
        settings = PairedConfig.parse(PairedConfig.with_defaults(values), where="test")
        train(Pix2Pix, settings, tmp_path / "run", Breaks(), device="cpu")
    assert len(str(caught.value).splitlines()) == 1


def test_half_precision_on_a_cpu_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        train(ESRGAN, config(photos, precision="fp16"), tmp_path / "run", SilentListener(), device="cpu")


def test_bf16_trains(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(ESRGAN, config(photos, precision="bf16", log_every=1), tmp_path / "run", StopAfter(2), device="cpu")
    assert all(np.isfinite(line["loss"]) for line in log(tmp_path / "run"))
