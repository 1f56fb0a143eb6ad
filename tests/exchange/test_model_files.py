"""Errors about unusable source files are one clear line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_nets
import pytest
from onnx import TensorProto, numpy_helper

from img2img.errors import ExportError, ModelError
from img2img.exchange import model_files
from img2img.runtime.network import models


def newer_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def newer_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def ten_gigabytes(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].dims[:] = [50_000, 50_000]


def ten_gigabytes_of_numbers(model: onnx.ModelProto) -> None:
    value = model.graph.initializer[1]
    numbers = numpy_helper.to_array(value).ravel().tolist()
    value.ClearField("raw_data")
    value.float_data.extend(numbers)
    value.dims[:] = [50_000, 50_000]


def outside(model: onnx.ModelProto) -> None:
    value = model.graph.initializer[1]
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    entry = value.external_data.add()
    entry.key, entry.value = "location", "../secret"


def not_a_number(model: onnx.ModelProto) -> None:
    value = model.graph.initializer[1]
    value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value) * np.float32("nan"), value.name))


def another_scale(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"scale": 2', '"scale": 4')


def half_precision(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace("fp32", "fp16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (newer_opset, r"\(opset 99, IR version 9\) is newer than onnxruntime"),
        (newer_ir, r"\(opset 17, IR version 99\) is newer than onnxruntime"),
        (ten_gigabytes, "w1 claims 10,000,000,000 bytes but holds 864"),
        (ten_gigabytes_of_numbers, "w1 claims 2,500,000,000 numbers but holds 216"),
        (outside, r"weights point outside its folder \('../secret'\)"),
        (not_a_number, "contains NaN or infinity"),
        (another_scale, r"its card \(scale 4\) promises"),
        (half_precision, "is already fp16; use the fp32 file, please"),
    ],
)
def test_errors_about_broken_models_are_one_line(
    change: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path
) -> None:
    model = onnx.load(onnx_nets.compact(tmp_path / "net.onnx"))
    change(model)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=rf"net\.onnx: .*{message}") as caught:
        model_files.float_card(tmp_path / "net.onnx", ", please")
    assert len(str(caught.value).splitlines()) == 1


def test_errors_about_files_that_are_not_models_are_one_line(tmp_path: Path) -> None:
    whole = onnx_nets.compact(tmp_path / "net.onnx").read_bytes()
    for data, message in (
        (whole[: len(whole) // 2], "cut short"),
        (b"<html>", "not an ONNX file"),
        (b"", "empty"),
        (onnx_nets.compact(tmp_path / "bare.onnx", with_card=False).read_bytes(), "has no card"),
    ):
        (tmp_path / "bad.onnx").write_bytes(data)
        with pytest.raises(ModelError, match=rf"bad\.onnx: .*{message}"):
            model_files.float_card(tmp_path / "bad.onnx")
    assert model_files.float_card(tmp_path / "net.onnx").name == "net"


def test_a_serialised_model_has_its_own_digest_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    source = onnx_nets.compact(tmp_path / "net.onnx")
    card = model_files.float_card(source)
    (tmp_path / "made.onnx").write_bytes(model_files.serialise(onnx.load(source), card))
    stored = models.read_card(tmp_path / "made.onnx")
    assert card.sha256 is None and stored is not None and stored.sha256 and stored.selftest
    broken = onnx.load(source)
    not_a_number(broken)
    with pytest.raises(ExportError, match=r"the new file does not work: .* contains NaN or infinity; nothing written"):
        model_files.serialise(broken, card)
