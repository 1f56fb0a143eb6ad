"""Weights files are read as data: every official format works, nothing in them is executed, and no claim is trusted."""

import argparse
import io
import os
import pickle
import struct
import tracemalloc
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

from img2img.errors import CheckpointError, UsageError
from img2img.exchange.importers import safe_pickle
from img2img.exchange.importers.parts import WRAPPERS
from img2img.exchange.importers.pth_file import MAGIC
from img2img.exchange.importers.weights_file import read


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


NESTED = b")" + b"2\x86" * 100
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\n"
LISTED = b"]q\0(" + b"N" * 100_000 + b"e"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    "steps",
    [
        b"\x96" + struct.pack("<Q", 6_800_000_000) + b"x",  # a bytearray of 6.8 GB
        b"\x8e" + struct.pack("<Q", 6_800_000_000) + b"x",  # bytes
        b"\x95" + struct.pack("<Q", 2**60) + b"}",  # a frame
        b"}" + NESTED + b"K\x01s",  # nested tuples as keys, in every step that adds entries
        b"}(" + NESTED + b"K\x01u",
        b"(" + NESTED + b"K\x01d",
        b"ccollections\nOrderedDict\n]" + NESTED + b"K\x01\x86a\x85R",
        b"\x8f(" + NESTED + b"\x90",
        b"(" + NESTED + b"\x91",
        STORAGE + NESTED + b"X\x03\0\0\0cpuK\x10tQ",  # as the key of a storage
        STORAGE + b"X\x01\0\0\x000X\x03\0\0\0cpu" + NESTED + b"tQ",  # as the length of a storage
        b"ctorch\nSize\n" + NESTED + b"\x85R",
        b"}" * 300_000,  # more steps than this test allows
        LISTED + b"cargparse\nNamespace\nh\0\x85R0" * 100_000,  # a list that is passed again and again
        b"}\x8a\xff" + b"\x7f" * 255 + b"Ns",  # an integer of 2000 bits as a key
    ],
)
def test_a_small_file_cannot_take_much_time_or_memory(
    tmp_path: Path, steps: bytes, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_pickle, "MAX_STEPS", 200_000)
    header = b"".join(pickle.dumps(one, 2) for one in (MAGIC, 1001, {"little_endian": True}))
    program = b"\x80\x04" + steps + b"."
    (tmp_path / "hostile.pth").write_bytes(header + program)
    if zipped:
        with zipfile.ZipFile(tmp_path / "hostile.pth", "w") as archive:
            archive.writestr("archive/data.pkl", program)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"hostile\.pth: ") as caught:
            read(tmp_path / "hostile.pth")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 400 and len(str(caught.value).splitlines()) == 1


def test_entries_that_are_shared_by_many_dictionaries_are_not_followed_forever(tmp_path: Path) -> None:
    held: dict[str, Any] = {"a": Claim(16, (4,), (1,))}
    for _ in range(7):
        held = {name: held for name in "abcdefghij"}
    with pytest.raises(CheckpointError, match="too many entries"):
        read(pth(held, tmp_path / "shared.pth"))


def test_blocks_that_overlap_are_not_read_again_and_again(tmp_path: Path) -> None:
    many = {f"k{i}": Claim(16, (4,), (1,)) for i in range(3)}
    weights = read(pth(many, tmp_path / "shared.pth", np.arange(2**20, dtype=np.float32).tobytes()))
    assert all(torch.equal(value, torch.arange(4.0)) for value in weights.state.values())
    assert weights.state["k0"].untyped_storage().nbytes() == 64, "only the claimed numbers of a block are read"


simple = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
trees = st.recursive(
    st.one_of(simple, st.just(Claim(16, (4,), (1,)))),
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.floats()), inner),
    ),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=trees)
def test_any_content_gives_weights_or_an_error(tmp_path: Path, content: object) -> None:
    try:
        state = read(pth(content, tmp_path / "any.pth")).state
    except (CheckpointError, UsageError) as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert state and all(torch.equal(value, torch.zeros(4)) for value in state.values())


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.binary(max_size=60))
def test_any_program_ends_in_an_error(tmp_path: Path, program: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "any.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04" + program)
    with pytest.raises(CheckpointError):
        read(tmp_path / "any.pth")


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "pipe.pth"):
        with pytest.raises(CheckpointError, match="is no file of weights"):
            read(path)
