"""Weights files are read as data: every official format works, nothing in them is executed, and no claim is trusted."""

import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from img2img.errors import CheckpointError
from img2img.exchange.importers.weights_file import WRAPPERS, read


def net() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network(torch.rand(2, 3, 8, 8))
    return network


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
def test_every_wrapper_in_both_formats(tmp_path: Path, wrapper: str | None, zipped: bool) -> None:
    file, state = tmp_path / "weights.pth", net().state_dict()
    held = {wrapper: state, "epoch": 3} if wrapper else state
    torch.save(held, file, _use_new_zipfile_serialization=zipped)
    weights = read(file)
    assert same(weights.state, state)
    assert weights.wrappers == ((wrapper,) if wrapper else ())


def test_what_training_code_stores_beside_the_weights_is_ignored(tmp_path: Path) -> None:
    network = net()
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, 8, 8)).mean().backward()
    optimiser.step()
    beside = {
        "opt": argparse.Namespace(rate=0.1),
        "figure": np.float64(3.5),
        "numbers": np.arange(3),
        "path": Path("runs"),
        "optimiser": optimiser.state_dict(),
        "names": {"a", "b"},
    }
    torch.save({"state_dict": network.state_dict(), **beside}, tmp_path / "all.ckpt")
    assert same(read(tmp_path / "all.ckpt").state, network.state_dict())


def test_the_moving_average_is_preferred_and_marked_as_one(tmp_path: Path) -> None:
    ours, average = net().state_dict(), net().half().state_dict()
    torch.save({"params": ours, "params_ema": average}, tmp_path / "both.pth")
    weights = read(tmp_path / "both.pth")
    assert weights.wrappers == ("params_ema",) and weights.averaged
    assert same(weights.state, {key: v.float() if v.is_floating_point() else v for key, v in average.items()})


def test_prefixes_views_parameters_and_precisions_are_handled(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    held = {
        "module._orig_mod.turned": base.T,
        "module._orig_mod.part": base[1:3, ::2],
        "module._orig_mod.parameter": nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "module._orig_mod.empty": torch.zeros(0, 3),
        "module._orig_mod.count": torch.tensor(7),
    }
    torch.save(held, tmp_path / "views.pth")
    state = read(tmp_path / "views.pth").state
    assert list(state) == ["turned", "part", "parameter", "empty", "count"]
    assert torch.equal(state["turned"], base.T.float()) and torch.equal(state["part"], base[1:3, ::2].float())
    assert state["parameter"].dtype == torch.float32 and state["empty"].shape == (0, 3)
    assert state["count"].dtype == torch.int64 and state["count"] == 7


def test_safetensors_files_are_recognised_whatever_their_ending(tmp_path: Path) -> None:
    state = net().state_dict()
    save_file({f"netG.{key}": value for key, value in state.items()}, tmp_path / "weights.pth")
    assert same(dict(sorted(read(tmp_path / "weights.pth").state.items())), dict(sorted(state.items())))


TEN_GB = b'{"a":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}'
"""A safetensors header that claims 10 GB."""


class Program:
    """An object that runs a command when it is unpickled, as an attacker would store it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_malicious_file_is_refused_with_its_name_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    file, trace = tmp_path / "evil.pth", tmp_path / "was-here"
    held = {"state_dict": net().state_dict(), "x": Program(f"touch {trace}")}
    torch.save(held, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pth: holds more than weights: the Python object \w+\.system"):
        read(file)
    assert not trace.exists()


def pth(content: object, file: Path, numbers: bytes = b"\0" * 64) -> Path:
    """A zip file in torch's format around any pickle. `Ref(n)` in it is a storage that claims n floats."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", thing.n) if isinstance(thing, Ref) else None

    data = io.BytesIO()
    Pickler(data, 2).dump(content)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
        archive.writestr("archive/data/0", numbers)
    return file


class Ref:
    def __init__(self, n: int) -> None:
        self.n = n


class Claim:
    """A tensor as torch pickles it, with any claimed size."""

    def __init__(self, n: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, *state: Any) -> None:
        self.arguments = (Ref(n), offset, size, stride, False, OrderedDict())
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments, *self.state


def test_files_written_by_these_tests_can_be_read(tmp_path: Path) -> None:
    numbers = np.arange(16, dtype=np.float32)
    state = read(pth({"a": Claim(16, (2, 3), (4, 1), 2)}, tmp_path / "a.pth", numbers.tobytes())).state
    assert np.array_equal(state["a"].numpy(), [[2, 3, 4], [6, 7, 8]])


@pytest.mark.parametrize(
    "claim",
    [
        Claim(2_500_000_000, (2_500_000_000,), (1,)),  # a storage of 10 GB
        Claim(16, (50_000, 50_000), (50_000, 1)),  # a tensor beyond its storage
        Claim(16, (50_000, 50_000), (0, 0)),  # one number, repeated
        Claim(16, (4,), (1,), 13),
        Claim(16, (4,), (-1,), 8),
        Claim(16, (2,), (1, 1)),
        Claim(16, (4,), (1,), 0, {"size": (50_000, 50_000)}),  # changed after it was checked
    ],
)
def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path, claim: Claim) -> None:
    with pytest.raises(CheckpointError, match=r"big\.pth: ") as caught:
        read(pth({"a": claim}, tmp_path / "big.pth"))
    assert len(str(caught.value).splitlines()) == 1


def test_tensors_that_together_claim_more_than_the_file_holds_are_refused(tmp_path: Path) -> None:
    many = {f"k{i}": Claim(2**16, (2**16,), (1,)) for i in range(2000)}
    with pytest.raises(CheckpointError, match="claims tensors of 524288000 bytes"):
        read(pth(many, tmp_path / "many.pth", b"\0" * 4 * 2**16))


def test_a_file_that_contains_itself_is_refused(tmp_path: Path) -> None:
    held: dict[str, Any] = {}
    held["model"] = {"net": held, "a": Claim(16, (4,), (1,))}
    with pytest.raises(CheckpointError, match=r"holds no state dict"):
        read(pth(held, tmp_path / "loop.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"some other thing", "neither a torch file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (pickle.dumps({"a": 1}), "not from torch"),
        (b"PK\x03\x04 and no more", "damaged or cut short"),
        (b"\xff" * 8 + b"{" + b"x" * 50, "damaged or cut short"),
        (len(TEN_GB).to_bytes(8, "little") + TEN_GB, "damaged or cut short"),
    ],
)
def test_files_that_are_not_weights_are_identified(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read(tmp_path / "x.pth")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore")
def test_pickled_networks_and_torchscript_programs_are_refused(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"Sequential.*state_dict\(\)"):
        read(tmp_path / "whole.pth")
    torch.jit.save(torch.jit.script(net()), tmp_path / "script.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read(tmp_path / "script.pt")
    torch.save({"a": {"x": torch.ones(1)}, "b": {"x": torch.ones(1)}}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"several sets of weights \(a, b\)"):
        read(tmp_path / "two.pth")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="No such file"):
        read(tmp_path / "missing.pth")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("files")
    torch.save(net().state_dict(), folder / "zip.pth")
    torch.save(net().state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(net().state_dict(), folder / "safe.pth")
    return [(folder / f"{name}.pth").read_bytes() for name in ("zip", "old", "safe")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), share=st.floats(0, 0.999))
def test_a_file_cut_short_anywhere_raises_a_checkpoint_error(
    files: list[bytes], tmp_path: Path, which: int, share: float
) -> None:
    (tmp_path / "cut.pth").write_bytes(files[which][: int(share * len(files[which]))])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        read(tmp_path / "cut.pth")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_gives_weights_or_a_checkpoint_error(
    files: list[bytes], tmp_path: Path, which: int, place: float, value: int
) -> None:
    data = bytearray(files[which])
    data[int(place * len(data))] = value
    (tmp_path / "flipped.pth").write_bytes(data)
    try:
        state = read(tmp_path / "flipped.pth").state
    except CheckpointError:
        return
    assert sum(one.numel() for one in state.values()) < 10_000
