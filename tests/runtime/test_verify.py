"""Faults of model files that `verify` finds, and differences between machines that it accepts."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from img2img.errors import DeviceError, ModelError, UsageError
from img2img.runtime.network import card_writing, models, selftest, verify
from img2img.runtime.network.card import Card
from img2img.runtime.network.inference_errors import BrokenOutput

ALL = ["file", "card", "weights", "digest", "load", "interface", "self-test"]


def stamp(path: Path, **changes: object) -> Path:
    """The file with everything in its card that an export writes."""
    card = dataclasses.replace(models.read_card(path), **changes)
    path.write_bytes(card_writing.with_card_and_selftest(path.read_bytes(), card))
    return path


def change(path: Path, edit) -> Path:
    """The file with another network under the same self-test, and the digest of that network."""
    model = onnx.load(path)
    edit(model)
    path.write_bytes(card_writing.with_card(model.SerializeToString(), models.read_card(path)))
    return path


def statuses(path: Path, **options: str) -> dict[str, str]:
    return {one.name: one.status for one in verify.verify(path, device="cpu", **options)}


def fault(path: Path) -> tuple[str, str]:
    """The last check, which failed, and what it says."""
    checks = verify.verify(path, device="cpu")
    assert not verify.passed(checks) and all(one.status != "failed" for one in checks[:-1])
    assert "\n" not in checks[-1].detail and str(path) not in checks[-1].detail
    return checks[-1].name, checks[-1].detail


def swap_channels(model: onnx.ModelProto) -> None:
    """What an exporter does that takes BGR for RGB."""
    model.graph.node[-1].output[0] = "swapped"
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    model.graph.node.append(helper.make_node("Gather", ["swapped", "order"], ["result"], axis=1))


def round_as_tf32(model: onnx.ModelProto) -> None:
    """Operands of convolutions with the 10 bits of mantissa that TF32 has: those of fp16."""
    nodes = []
    for place, node in enumerate(model.graph.node):
        if node.op_type == "Conv":
            for i in range(2):
                name = f"rounded_{place}_{i}"
                nodes.append(helper.make_node("Cast", [node.input[i]], [f"{name}_half"], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
                node.input[i] = name
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


MAKERS = {
    "upscale": lambda path: onnx_nets.compact(path, scale=4),
    "multiple": lambda path: onnx_nets.blocks(path, multiple=20),
    "whole": lambda path: onnx_nets.instance_norm(path),
    "domains": lambda path: onnx_nets.domains(path, {"red": (1, 0, 0), "blue": (0, 0, 1)}),
    "inpaint": lambda path: onnx_nets.filler(path, (0.9, 0.2, 0.1)),
    "large": lambda path: onnx_nets.pointwise(path, "Sqrt", minimum=300, multiple=100),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_model_of_every_kind_passes(tmp_path, kind):
    path = stamp(MAKERS[kind](tmp_path / "net.onnx"))
    assert statuses(path) == dict.fromkeys(ALL, "ok")
    card = models.read_card(path)
    sides = card.selftest["height"], card.selftest["width"]
    assert all(side % card.multiple == 0 and side >= card.minimum for side in sides)


def test_a_card_of_an_older_version_passes_with_less_to_check(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    assert statuses(path) == dict.fromkeys(ALL, "ok") | {"digest": "skipped"}


def test_a_file_without_a_card_passes_when_it_can_be_probed(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx", with_card=False)
    assert statuses(path) == dict.fromkeys(ALL, "ok") | {"digest": "skipped", "card": "skipped"}


def test_one_flipped_bit_of_a_weight_is_found_and_nothing_is_loaded(tmp_path):
    path = stamp(onnx_nets.compact(tmp_path / "net.onnx"))
    data = bytearray(path.read_bytes())
    weight = onnx.load(path).graph.initializer[1].raw_data
    data[data.index(weight) + len(weight) // 2] ^= 1
    path.write_bytes(data)
    name, detail = fault(path)
    assert name == "digest" and "damaged or changed" in detail


def test_a_file_that_is_none_is_found(tmp_path):
    path = stamp(onnx_nets.compact(tmp_path / "net.onnx"))
    path.write_bytes(path.read_bytes()[:-200])
    assert fault(path)[0] == "file"
    path.write_text("not a model")
    assert fault(path) == ("file", "not an ONNX file, or cut short: it contains an invalid field")


def test_a_card_that_is_wrong_is_found(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    path = onnx_nets.compact(tmp_path / "net.onnx", sha256="abc")
    assert fault(path) == ("card", "card: 'sha256' must be 64 hexadecimal digits, or null, not 'abc'")
    path = onnx_nets.compact(tmp_path / "net.onnx", format=2, created_with="img2img 3.1")
    assert "img2img 3.1 wrote it, so install that version" in fault(path)[1]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "missing.bin"])
def test_weights_outside_the_folder_or_missing_are_found(tmp_path, location):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(5000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = onnx_nets.compact(folder / "net.onnx")
    model = onnx.load(path)
    weight = model.graph.initializer[1]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    name, detail = fault(path)
    assert name == "weights" and ("is missing" if location == "missing.bin" else "outside its folder") in detail


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"task": "inpaint"}, "needs an input named 'mask'"),
        ({"domains": ["a", "b"]}, "needs an input named 'domain'"),
    ],
)
def test_an_interface_unlike_the_card_is_found(tmp_path, card, words):
    name, detail = fault(onnx_nets.compact(tmp_path / "net.onnx", **card))
    assert name == "interface" and words in detail


def fixed_at(height: int, width: int):
    def fix(model):
        sides = model.graph.input[0].type.tensor_type.shape.dim
        sides[2].dim_value, sides[3].dim_value = height, width

    return fix


@pytest.mark.parametrize("with_card", [True, False])
def test_a_model_of_one_size_is_tested_at_that_size(tmp_path, with_card):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    model = onnx.load(path)
    fixed_at(40, 56)(model)
    path.write_bytes(model.SerializeToString())
    if with_card:
        stamp(path)
        assert (models.read_card(path).selftest["height"], models.read_card(path).selftest["width"]) == (40, 56)
    else:
        model.ClearField("metadata_props")
        path.write_bytes(model.SerializeToString())
    assert "failed" not in statuses(path).values() and statuses(path)["self-test"] == "ok"


def test_a_size_that_is_fixed_against_the_card_is_found(tmp_path):
    name, detail = fault(change(stamp(onnx_nets.compact(tmp_path / "net.onnx", multiple=4)), fixed_at(30, 50)))
    assert name == "interface" and "fixed" in detail


def test_another_scale_than_in_the_card_is_found(tmp_path):
    name, detail = fault(onnx_nets.compact(tmp_path / "net.onnx", scale=2) and rescaled(tmp_path / "net.onnx", 3))
    assert name == "self-test" and "promises [1, 3, 96, 144]" in detail


def rescaled(path: Path, scale: int) -> Path:
    path.write_bytes(
        card_writing.with_card(path.read_bytes(), dataclasses.replace(models.read_card(path), scale=scale))
    )
    return path


@pytest.mark.parametrize(
    ("ir", "opset", "words"),
    [(99, 17, "(opset 17, IR version 99)"), (9, 99, "(opset 99, IR version 9)")],
)
def test_a_file_newer_than_onnxruntime_is_told_in_clear_words(tmp_path, ir, opset, words):
    def renew(model):
        model.ir_version = ir
        model.opset_import[0].version = opset

    name, detail = fault(change(onnx_nets.compact(tmp_path / "net.onnx"), renew))
    assert name == "load" and detail.startswith(f"the file {words} is newer than onnxruntime ")
    assert detail.endswith(": run pip install -U onnxruntime")


def test_an_operator_that_onnxruntime_does_not_know_is_named(tmp_path):
    def forget(model):
        model.graph.node[1].op_type = "Frobnicate"

    name, detail = fault(change(onnx_nets.compact(tmp_path / "net.onnx"), forget))
    assert name == "load" and "Frobnicate" in detail


@pytest.mark.parametrize("kind", ["upscale", "multiple", "whole", "domains", "inpaint"])
def test_colours_that_are_swapped_fail_the_self_test(tmp_path, kind):
    path = change(stamp(MAKERS[kind](tmp_path / "net.onnx")), swap_channels)
    name, detail = fault(path)
    assert name == "self-test" and "of 255" in detail


def test_pixels_in_the_wrong_order_fail_the_self_test(tmp_path):
    """What onnxscript's PixelUnshuffle did once: rows and columns of each 4x4 square change places."""

    def transpose(model):
        node = model.graph.node[-1]
        name, node.output[0] = node.output[0], "before"
        model.graph.node.append(helper.make_node("SpaceToDepth", ["before"], ["deep"], blocksize=4))
        order = np.arange(48).reshape(4, 4, 3).transpose(1, 0, 2).ravel()
        model.graph.initializer.append(numpy_helper.from_array(order, "order"))
        model.graph.node.append(helper.make_node("Gather", ["deep", "order"], ["turned"], axis=1))
        model.graph.node.append(helper.make_node("DepthToSpace", ["turned"], [name], blocksize=4))

    assert fault(change(stamp(onnx_nets.compact(tmp_path / "net.onnx", scale=4)), transpose))[0] == "self-test"


@pytest.mark.parametrize("kind", ["upscale", "multiple", "whole"])
def test_the_arithmetic_of_a_gpu_passes_the_self_test(tmp_path, kind):
    path = change(stamp(MAKERS[kind](tmp_path / "net.onnx")), round_as_tf32)
    assert statuses(path) == dict.fromkeys(ALL, "ok")


def test_a_result_that_is_no_number_fails_with_and_without_a_self_test(tmp_path):
    path = onnx_nets.pointwise(tmp_path / "net.onnx", "Log")
    assert "NaN or infinity" in fault(path)[1]
    with pytest.raises(BrokenOutput, match="NaN or infinity"):
        stamp(path)
    path = stamp(onnx_nets.pointwise(tmp_path / "net.onnx", "Sqrt"))
    assert "NaN or infinity" in fault(change(path, lambda model: setattr(model.graph.node[0], "op_type", "Log")))[1]


def test_a_self_test_of_a_size_that_the_model_does_not_take_is_found(tmp_path):
    path = stamp(onnx_nets.compact(tmp_path / "net.onnx"))
    card = dataclasses.replace(models.read_card(path), multiple=5)
    path.write_bytes(card_writing.with_card(path.read_bytes(), card))
    assert "48x32 pixels, but its model does not accept this size" in fault(path)[1]


def test_a_model_of_chance_has_no_self_test_and_passes(tmp_path):
    def noise(model):
        node = model.graph.node[-1]
        node.output[0] = "before"
        model.graph.node.append(helper.make_node("RandomUniformLike", ["before"], ["noise"]))
        model.graph.node.append(helper.make_node("Mul", ["before", "noise"], ["result"]))

    path = stamp(change(onnx_nets.compact(tmp_path / "net.onnx"), noise))
    assert models.read_card(path).selftest is None
    assert statuses(path) == dict.fromkeys(ALL, "ok")


def test_a_model_for_large_pictures_only_is_not_run(tmp_path):
    path = stamp(onnx_nets.pointwise(tmp_path / "net.onnx", "Sqrt", minimum=2000))
    assert models.read_card(path).selftest is None
    assert verify.verify(path, device="cpu")[-1].detail == "not run: the model only takes large pictures"


def test_a_bundled_model_without_licence_data_or_figures_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "bundled_folder", lambda: tmp_path)
    path = stamp(onnx_nets.compact(tmp_path / "net.onnx"), licence="")
    checks = {one.name: one for one in verify.verify(path, device="cpu")}
    assert checks["origin"].status == "failed" and checks["self-test"].status == "ok"
    assert checks["origin"].detail == "the card of a bundled model must have licence, trained_on, metrics"
    stamp(path, licence="MIT", trained_on=("mine",), metrics={"Set5": {"psnr_y": 30.0}})
    assert statuses(path) == dict.fromkeys(["origin", *ALL], "ok")


def test_a_device_that_is_none_says_nothing_about_the_model(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        verify.verify(path, device="gpu")
    with pytest.raises(DeviceError):
        verify.verify(path, device="cuda:77")


@pytest.mark.parametrize(("height", "width"), [(32, 48), (40, 60)])
def test_the_picture_is_what_the_schema_says_in_words(height, width):
    found = selftest.picture(height, width)
    assert found.shape == (1, 3, height, width) and found.dtype == np.float32
    for c in range(3):
        for y in range(height):
            for x in range(width):
                t = ((2 + c) * (256 * x // width) + (4 - c) * (256 * y // height) + 85 * c) % 512
                u = min(t, 511 - t)
                e = 255 if (x // 8 + y // 5) % 2 else 0
                v = (5 * u + 2 * e + (3 * x * x + 5 * y * y + 7 * x * y) % 256) // 8
                assert found[0, c, y, x] == np.float32(v / 255)


def test_the_fingerprint_is_what_the_schema_says_in_words():
    result = np.random.default_rng(0).random((1, 3, 34, 49), np.float32)
    found = iter(bytes.fromhex(selftest.fingerprint(result)))
    for i in range(4):
        for j in range(4):
            for c in range(3):
                rows, columns = slice(i * 34 // 4, (i + 1) * 34 // 4), slice(j * 49 // 4, (j + 1) * 49 // 4)
                block = result[0, c, rows, columns].astype(float) * 255
                assert next(found) == round(block.mean())
                assert next(found) == round(np.abs(block[:, 1:] - block[:, :-1]).mean())
    assert next(found, None) is None


@given(
    multiple=st.integers(1, 1200), minimum=st.integers(1, 1200), scale=st.integers(1, 64), is_exclusive=st.booleans()
)
def test_the_picture_has_a_size_that_the_model_takes(multiple, minimum, scale, is_exclusive):
    card = Card(name="n", task="translate", scale=scale, multiple=multiple, minimum=minimum, exclusive=is_exclusive)
    sides = selftest.size(card)
    if sides is None:
        assert max(multiple, minimum) > 512
        return
    assert all(32 <= side <= 1024 and side % multiple == 0 and side >= minimum for side in sides)
    fitting = dataclasses.replace(card, selftest={"height": sides[0], "width": sides[1], "result": "00" * 96})
    assert selftest.fits(fitting)


@given(shift=st.floats(-3.4, 3.4))
def test_a_few_steps_are_allowed_and_more_are_not(shift):
    image = selftest.picture(32, 48) * 0.5 + 0.25
    one = selftest.fingerprint(image)
    assert selftest.difference(one, selftest.fingerprint(image + np.float32(shift / 255))) <= selftest.TOLERANCE
    assert selftest.difference(one, selftest.fingerprint(image + np.float32(6 / 255))) > selftest.TOLERANCE


def test_amending_a_card_keeps_the_self_test_and_refuses_a_damaged_file(tmp_path):
    pytest.importorskip("torch", reason="exchange needs the training packages")
    from img2img.exchange.card_update import update_card

    path = onnx_nets.compact(tmp_path / "net.onnx")
    before = onnx.load(path)
    first = update_card(path, licence="MIT")
    assert first.sha256 == card_writing.digest(path) and first.selftest is not None
    marked = dict(first.selftest, result="07" * 96)
    second = update_card(path, selftest=marked)
    assert update_card(path, licence="CC0-1.0").selftest == marked == second.selftest
    assert [one.raw_data for one in onnx.load(path).graph.initializer] == [
        one.raw_data for one in before.graph.initializer
    ]
    data = bytearray(path.read_bytes())
    data[data.index(before.graph.initializer[1].raw_data)] ^= 4
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        update_card(path, licence="MIT")
    assert path.read_bytes() == data


def test_stamping_needs_no_torch_and_no_onnx(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    code = (
        "import sys, json; from pathlib import Path; from img2img.runtime.network import card_writing, models, verify;"
        "p = Path(sys.argv[1]); card = models.read_card(p);"
        "p.write_bytes(card_writing.with_card_and_selftest(p.read_bytes(), card));"
        "print(json.dumps([verify.passed(verify.verify(p, device='cpu')), 'torch' in sys.modules,"
        " 'onnx' in sys.modules]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).resolve().parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(done.stdout) == [True, False, False]
