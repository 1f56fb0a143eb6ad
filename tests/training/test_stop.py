"""Ctrl-C in the middle of a step, of its backward pass, of a validation and of the loading of data.

The run stops there, and continues exactly as if it had not been stopped.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trials

from img2img.errors import Interrupted
from img2img.methods.cyclegan import Config, CycleGAN
from img2img.training import loop
from img2img.training.engine import Engine
from img2img.training.listener import SilentListener
from img2img.training.stop import Stopped, signals_during_backward, stop_signals


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("sides"), ("A", "B"))


def config(sides: Path) -> Config:
    values = {
        "data": {"folders": [str(sides)], "load": 32, "crop": 32},
        "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1, "dropout": True}},
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "instance"}},
        "pool": 3,
        "steps": 5,
        "log_every": 1,
        "validate_every": 2,
        "checkpoint_every": 4,
    }
    return Config.parse(Config.with_defaults(values), where="test")


@pytest.fixture(scope="module")
def whole(sides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    trials.train_to_end(CycleGAN, config(sides), run)
    return run


def interrupt_call(patch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> None:
    """Send Ctrl-C at the start of call `number` of the function `name`."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = []

    def counted(*args: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return original(*args, **named)

    patch.setattr(owner, name, counted)


# A step of CycleGAN updates the generators, then the discriminators: update 6 is the second one of step 3.
@pytest.mark.parametrize(
    ("owner", "name", "number", "saved"),
    [(Engine, "_update", 6, 2), (CycleGAN, "validate", 1, 2), (CycleGAN, "validate", 3, 5), (Engine, "_update", 2, 0)],
    ids=["step 3", "first validation", "last validation", "step 1"],
)
def test_a_run_stops_in_the_middle_and_continues_exactly(
    owner: Any, name: str, number: int, saved: int, sides: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    message = f"stopped after step {saved} of 5, which is saved" if saved else "nothing is saved"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SLOW_STEP", 0.0)
        patch.setattr(loop, "COPY_SHARE", 1000.0)
        interrupt_call(patch, owner, name, number)
        with pytest.raises(Interrupted, match=message):
            loop.train(CycleGAN, config(sides), run, SilentListener(), device="cpu")
    validated = [entry["step"] for entry in trials.log(run) if "validation" in entry]
    assert validated == [step for step in (2, 4) if step < saved or (step == saved and name != "validate")]
    trials.train_to_end(CycleGAN, config(sides), run)
    assert trials.log(run) == trials.log(whole)
    ours, theirs = trials.weights(run), trials.weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_short_steps_are_finished(sides: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted, match="stopped after step 3 of 5"):
        patch.setattr(loop, "SLOW_STEP", 1000.0)
        interrupt_call(patch, Engine, "_update", 5)
        loop.train(CycleGAN, config(sides), tmp_path / "run", SilentListener(), device="cpu")


def test_a_backward_pass_stops_between_two_layers() -> None:
    layers = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(5)))
    with stop_signals() as stop, signals_during_backward():
        result = layers(torch.ones(1, 3))
        result.register_hook(lambda gradient: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Stopped), stop.at_once():
            result.sum().backward()
    assert layers[0].weight.grad is None


def test_a_second_request_interrupts_whatever_happens() -> None:
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set
        with pytest.raises(Stopped), stop.at_once():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
