"""Weights stored with 16 bits: the file is half as large, and everything that reads model files reads it as before."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import onnxruntime as ort
import pytest
import torch
import trials
from onnx import TensorProto, helper, numpy_helper

from img2img import exchange
from img2img.errors import ExportError, ModelError
from img2img.exchange import half_precision, half_storage, model_files, quantise, samples, weight_storage
from img2img.exchange.blending import blend
from img2img.networks.compact import Compact
from img2img.networks.norms import inference_copy
from img2img.runtime.network import card_writing, header, model_file, models, session, verify
from img2img.runtime.network.card import Card
from img2img.training import start

IMAGE = np.random.default_rng(0).random((1, 3, 14, 18), np.float32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    figures = {"Set5": {"psnr_y": 31.5, "command": "x"}}
    return onnx_nets.compact(tmp_path / "tiny.onnx", features=16, convs=4, share=0.3, metrics=figures)


@pytest.fixture
def stored(source: Path, tmp_path: Path) -> Path:
    target = tmp_path / "stored.onnx"
    half_storage.store(source, target)
    return target


def weights(model: onnx.ModelProto) -> dict[str, Any]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def run(file: Path) -> Any:
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["result"], {"image": IMAGE})[0]


def test_the_file_shrinks_and_the_results_stay(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stored.onnx"
    report = half_storage.store(source, target, [trials.photos(tmp_path / "photos", count=3)])
    assert report.psnr >= half_storage.MIN_PSNR and 0 < report.max_difference < 0.004
    assert 0 < np.abs(run(target) - run(source)).max() < 0.004
    types = {len(one.dims): one.data_type for one in onnx.load(target).graph.initializer}
    assert (types[4], types[1]) == (TensorProto.FLOAT16, TensorProto.FLOAT), "kernels, and biases, which are small"
    assert verify.passed(verify.verify(target, device="cpu"))


def test_a_large_network_takes_half_the_space(tmp_path: Path) -> None:
    source = onnx_nets.compact(tmp_path / "large.onnx", features=64, convs=4, share=0.3)
    half_storage.store(source, tmp_path / "stored.onnx")
    assert (tmp_path / "stored.onnx").stat().st_size < 0.55 * source.stat().st_size


def test_the_card_stays_that_of_an_fp32_model_with_its_figures(source: Path, stored: Path) -> None:
    card, before = models.read_card(stored), models.read_card(source)
    assert card is not None and before is not None
    assert (card.precision, card.name, card.parameters) == ("fp32", before.name, before.parameters)
    assert card.metrics["Set5"] == before.metrics["Set5"]
    figures = card.metrics[half_storage.FIGURES]
    assert figures["command"] == "img2img export --storage fp16" and float(figures["psnr_to_fp32"]) >= 60
    assert card.sha256 == card_writing.digest(stored) != card_writing.digest(source)


def test_onnxruntime_converts_the_weights_once_when_it_creates_a_session(stored: Path, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(stored, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    assert "Cast" in {node.op_type for node in onnx.load(stored).graph.node}
    assert "Cast" not in {node.op_type for node in optimised.node}
    assert TensorProto.FLOAT16 not in {one.data_type for one in optimised.initializer}


def test_versions_inputs_and_metadata_are_read_without_onnxruntime(source: Path, stored: Path) -> None:
    assert header.read(stored) == header.read(source)
    assert "img2img" in model_file.metadata(stored)
    model_file.require_safe(stored)
    assert session.load(stored, verify=True).card.name == "tiny"


def test_restoring_gives_the_graph_back_with_rounded_weights(source: Path, stored: Path) -> None:
    before, after = onnx.load(source), model_files.load(stored)
    assert [node.SerializeToString() for node in after.graph.node] == [
        node.SerializeToString() for node in before.graph.node
    ]
    ours, theirs = weights(after), weights(before)
    assert list(ours) == list(theirs) and all(one.dtype == theirs[key].dtype for key, one in ours.items())
    assert all(np.allclose(one, theirs[key], rtol=2**-11, atol=1e-7) for key, one in ours.items())
    assert any(not np.array_equal(one, theirs[key]) for key, one in ours.items())


def test_what_float16_cannot_hold_stays_in_fp32() -> None:
    large = np.full((16, 16), 1e5, np.float32)
    fine = np.ones((16, 16), np.float32)
    model = graph_of({"large": large, "fine": fine, "small": np.ones(8, np.float32)})
    assert weight_storage.shorten(model) == 1
    assert {key: one.dtype for key, one in weights(model).items()} == {
        "large": np.float32,
        "fine_fp16": np.float16,
        "small": np.float32,
    }


def test_only_weights_are_restored() -> None:
    half = np.ones((16, 16), np.float16)
    model = graph_of(
        {"w_fp16": half, "w_fp16_": half}, casts=[("w_fp16", "w"), ("x", "y")], reads=["w", "y", "w_fp16_"]
    )
    assert weight_storage.restore(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Cast", "Sum"]
    assert {key: one.dtype for key, one in weights(model).items()} == {"w": np.float32, "w_fp16_": np.float16}


def test_a_stored_tensor_that_something_else_reads_is_kept() -> None:
    half = np.ones((16, 16), np.float16)
    model = graph_of({"w_fp16": half}, casts=[("w_fp16", "w")], reads=["w", "w_fp16"])
    assert weight_storage.restore(model) == 1
    assert set(weights(model)) == {"w", "w_fp16"}


def graph_of(
    values: dict[str, Any], casts: list[tuple[str, str]] | None = None, reads: list[str] | None = None
) -> onnx.ModelProto:
    """A model that is not meant to run: stored values, casts to float32, and an operator that reads tensors."""
    nodes = [helper.make_node("Cast", [a], [b], to=TensorProto.FLOAT) for a, b in casts or []]
    nodes.append(helper.make_node("Sum", reads or list(values), ["result"]))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(value, name) for name, value in values.items()]
    return helper.make_model(helper.make_graph(nodes, "net", [image], [result], stored))


def test_a_loss_that_can_be_seen_is_refused(tmp_path: Path) -> None:
    """Two paths that cancel: the small difference of large weights does not survive rounding."""
    source = onnx_nets.compact(tmp_path / "tiny.onnx", features=16, convs=4, share=1.0)
    model = onnx.load(source)
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    by_name = {one.name: one for one in model.graph.initializer}
    for conv, gain in ((convs[1], 1e-7), (convs[2], 1e7)):  # 1e-7 is below the smallest normal float16
        weight = by_name[conv.input[1]]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(gain), weight.name))
        bias = by_name[conv.input[2]]
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.float32(1e-7), bias.name))
    onnx.save(model, source)
    with pytest.raises(
        ExportError, match=r"tiny\.onnx: with 16-bit weights, a result has a PSNR of only .* dB"
    ) as error:
        half_storage.store(source, tmp_path / "stored.onnx")
    assert "60 dB is needed; nothing written" in str(error.value)
    assert not (tmp_path / "stored.onnx").exists()


def test_a_file_without_large_weights_and_one_that_is_stored_so_are_refused(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "again.onnx"
    with pytest.raises(ExportError, match=r"stored\.onnx: its weights are stored with 16 bits already"):
        half_storage.store(stored, target)
    small = onnx_nets.compact(tmp_path / "small.onnx", features=2, convs=2)
    with pytest.raises(ExportError, match=r"small\.onnx: it has no weights that 16 bits would make smaller"):
        half_storage.store(small, target)
    assert not target.exists()


def test_such_a_file_is_quantised_halved_and_blended(
    stored: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "seconds_per_megapixel", lambda *args, **more: [2.0, 1.0])
    photos = trials.photos(tmp_path / "photos", count=8, size=96)
    of_stored, of_source = tmp_path / "a.int8.onnx", tmp_path / "b.int8.onnx"
    for file, target in ((stored, of_stored), (source, of_source)):
        quantise.quantise(file, target, [photos], max_drop=9)
    kinds = [[node.op_type for node in onnx.load(file).graph.node] for file in (of_stored, of_source)]
    assert kinds[0] == kinds[1]
    half_precision.convert_to_fp16(stored, tmp_path / "fp16.onnx")
    assert np.abs(run(tmp_path / "fp16.onnx") - run(stored)).max() < 0.02
    blend(stored, source, 0.0, tmp_path / "blend.onnx")
    assert np.allclose(run(tmp_path / "blend.onnx"), run(stored), atol=1e-6)


def test_training_starts_from_such_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Compact(scale=2, features=16, convs=2)
    file, stored = tmp_path / "mine.onnx", tmp_path / "stored.onnx"
    card = Card(name="mine", task="upscale", scale=2)
    exchange.export(inference_copy(network), card, file, context=4)
    half_storage.store(file, stored)
    found, expected = start.read(stored)["generator"], network.state_dict()
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == torch.float32 and torch.allclose(found[key], value, rtol=2**-11, atol=1e-6)


def test_a_weight_that_claims_more_than_it_holds_is_refused(stored: Path) -> None:
    model = onnx.load(stored)
    weight = next(one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT16)
    weight.dims[:] = [50_000, 50_000]
    stored.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"claims 5,000,000,000 bytes but holds"):
        model_files.load(stored)
    weight.dims[:] = [500]  # of 432
    stored.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="cannot be read"):
        model_files.load(stored)


def test_the_file_is_written_whole_or_not_at_all(source: Path) -> None:
    before = source.read_bytes()
    half_storage.store(source, source)  # in place
    assert len(source.read_bytes()) < len(before)
    assert onnx.load(io.BytesIO(source.read_bytes())).graph.node[0].op_type == "Cast"
