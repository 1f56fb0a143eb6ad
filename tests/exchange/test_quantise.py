"""int8 files are as good as promised, and the card contains the measurements. Otherwise they are not written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import onnxruntime as ort
import pytest
import trials
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from img2img.errors import DataError, ExportError, ModelError
from img2img.exchange import activation_ranges, model_files, quantise, samples
from img2img.exchange.outer_convolutions import outer_convolutions
from img2img.runtime.network import models, verify
from img2img.runtime.network.card import Card

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.photos(tmp_path_factory.mktemp("photos"), count=8, size=96)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return onnx_nets.compact(tmp_path / "tiny.onnx", scale=2, features=16, convs=5)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that int8 is faster: tiny networks gain nothing from it, and the machine may be busy."""
    monkeypatch.setattr(samples, "seconds_per_megapixel", lambda *args, **more: [2.0, 1.0])


def kinds(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node]


def run(file: Path, image: Any) -> Any:
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["result"], {"image": image})[0]


def test_results_are_similar_and_the_card_contains_the_loss(
    model: Path, photos: Path, tmp_path: Path, fast: None
) -> None:
    target = tmp_path / "int8.onnx"
    report = quantise.quantise(model, target, [photos], max_drop=0.5)
    assert kinds(target).count("QuantizeLinear") >= report.layers[0] > 0
    card = json.loads(ort.InferenceSession(target).get_modelmeta().custom_metadata_map["img2img"])
    assert card["precision"] == "int8" and card["metrics"]["int8"]["psnr_y_drop"] == round(report.psnr_drop or 0, 4)
    assert card["metrics"]["int8"]["seconds_per_megapixel"] == 1.0
    (sample,) = samples.of_pictures([photos], Card.from_json(json.dumps(card), where="card"), 1)
    ours, theirs = run(target, sample.inputs["image"]), run(model, sample.inputs["image"])
    assert 0 < np.abs(ours - theirs).mean() < 0.02
    assert report.psnr_drop is not None and report.psnr_drop <= 0.5


def test_the_card_lists_the_calibration_data_and_no_metrics_of_fp32(tmp_path: Path, photos: Path, fast: None) -> None:
    facts = {"licence": "Apache-2.0", "trained_on": ["tiles"], "metrics": {"Set5": {"psnr_y": 31.5}}, "name": "my net"}
    source = onnx_nets.compact(tmp_path / "tiny.onnx", features=16, convs=4, **facts)
    more = trials.photos(tmp_path / "tiles", count=2, size=96)
    report = quantise.quantise(source, tmp_path / "int8.onnx", [photos, more], max_drop=9)
    card = models.read_card(tmp_path / "int8.onnx")
    assert card is not None and card.metrics.keys() == {"int8"} and card.metrics["int8"] == report.figures()
    assert (card.name, card.licence) == ("my net", "Apache-2.0")
    assert card.trained_on == ("tiles", f"{photos.name} (ranges of int8)"), "tiles was listed already"
    assert card.metrics["int8"]["calibrated_on"] == f"{photos.name}, tiles"
    command = f"img2img export 'my net' --precision int8 --calibrate {photos.name} --calibrate tiles --max-drop 9"
    assert card.metrics["int8"]["command"] == command
    assert verify.passed(verify.verify(tmp_path / "int8.onnx", device="cpu")), "the digest is that of the new file"


def test_the_first_and_the_last_convolution_stay_in_float(
    model: Path, photos: Path, tmp_path: Path, fast: None
) -> None:
    target = tmp_path / "int8.onnx"
    quantise.quantise(model, target, [photos], max_drop=100)
    graph = onnx.load(target).graph
    floats = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    assert [node.input[1] in floats for node in convs] == [True, False, False, False, True]
    weight = next(node for node in graph.node if node.output[0] == convs[1].input[1])
    scale = next(one for one in graph.initializer if one.name == weight.input[1])
    assert numpy_helper.to_array(scale).shape == (16,), "one scale per output channel"


def test_layers_go_back_to_float_until_the_loss_is_small(
    model: Path, photos: Path, tmp_path: Path, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quantise.quantise(model, tmp_path / "whole.onnx", [photos], max_drop=100)
    bound = whole.psnr + 1
    monkeypatch.setattr(samples, "mean_psnr_y", lambda found, held, scale: samples.psnr_between(found, wanted))
    session = samples.session(model)
    card = model_files.float_card(model)
    drawn = samples.of_pictures([photos], card, quantise.CALIBRATION_SAMPLES + quantise.TEST_SAMPLES)
    wanted = samples.results(session, drawn[:: max(len(drawn) // quantise.TEST_SAMPLES, 2)][: quantise.TEST_SAMPLES])
    part = quantise.quantise(model, tmp_path / "part.onnx", [photos], max_drop=120 - bound)
    assert part.psnr >= bound > whole.psnr
    assert 0 < part.layers[0] < whole.layers[0] == 3


def test_a_file_that_is_not_faster_or_loses_too_much_is_not_written(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "int8.onnx"
    monkeypatch.setattr(samples, "mean_psnr_y", lambda found, held, scale: -float(np.std([one.std() for one in found])))
    monkeypatch.setattr(samples, "seconds_per_megapixel", lambda *args, **more: [1.0, 1.1])
    with pytest.raises(ExportError, match=r"not faster on this machine \(1\.1 CPU-s per megapixel, fp32 1\)"):
        quantise.quantise(model, target, [photos], max_drop=100)
    falling = iter(range(100, 0, -1))
    monkeypatch.setattr(samples, "mean_psnr_y", lambda found, held, scale: float(next(falling)))
    with pytest.raises(ExportError, match=r"loses \d.* dB \(--max-drop 0\.1 is allowed\), whichever layers"):
        quantise.quantise(model, target, [photos])
    assert not target.exists()


def test_files_that_cannot_be_quantised_are_refused_with_the_reason(model: Path, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    bare = onnx_nets.compact(tmp_path / "bare.onnx", scale=2, features=4, convs=2)
    with pytest.raises(ExportError, match="no convolutions to quantise between the first and the last"):
        quantise.quantise(bare, target, [photos])
    with pytest.raises(DataError, match="smaller than 64 pixels"):
        quantise.quantise(model, target, [trials.photos(tmp_path / "small", count=2, size=40)])
    half = onnx_nets.compact(tmp_path / "half.onnx", scale=2)
    from img2img.exchange import update_card

    update_card(half, precision="fp16")
    with pytest.raises(ModelError, match="is already fp16"):
        quantise.quantise(half, target, [photos])
    assert not target.exists()


def test_outer_convolutions_are_found_in_graphs_with_skips_and_branches() -> None:
    def node(kind: str, name: str, *inputs: str) -> onnx.NodeProto:
        return helper.make_node(kind, list(inputs), [name], name)

    nodes = [
        node("Mul", "signed", "image", "two"),
        node("Conv", "first", "signed", "w"),
        node("Conv", "beside", "signed", "w"),
        node("Conv", "inner", "first", "w"),
        node("Concat", "both", "inner", "beside"),
        node("Conv", "middle", "both", "w"),
        node("Conv", "last", "middle", "w"),
        node("Add", "result", "last", "image"),
    ]
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("image", "result")]
    assert outer_convolutions(helper.make_graph(nodes, "g", tensors[:1], tensors[1:])) == {"first", "beside", "last"}


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40))
def test_a_range_contains_zero_and_does_not_exceed_the_values(values: list[float]) -> None:
    low, high = activation_ranges.best(np.array(values, np.float32))
    assert low <= 0 <= high and low < high
    assert low >= min(*values, 0) - 1e-3 and high <= max(*values, 1)


def test_a_range_excludes_rare_values() -> None:
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    low, high = activation_ranges.best(np.append(values, np.float32(5.5)))
    assert -5 < low < -3 and 3 < high < 5


def test_samples_for_upscalers_are_reduced_pictures(photos: Path) -> None:
    card = Card(name="x", task="upscale", scale=3, multiple=2)
    drawn = samples.of_pictures([photos], card, 11)
    assert len(drawn) == 11
    for sample in drawn:
        height, width = sample.inputs["image"].shape[2:]
        assert height % 2 == width % 2 == 0 and sample.truth is not None
        assert sample.truth.shape == (3 * height, 3 * width, 3)
        assert abs(sample.truth.mean() / 255 - sample.inputs["image"].mean()) < 0.01
    filling = samples.of_pictures([photos], Card(name="x", task="inpaint", scale=1, minimum=120), 2)
    assert filling[0].inputs["mask"].any() and filling[0].truth is None
    assert filling[0].inputs["image"].shape[2:] >= (120, 120)


def test_a_bundled_model_keeps_its_quality_in_int8(tmp_path: Path, fast: None) -> None:
    target = tmp_path / "int8.onnx"
    source = ROOT / "weights" / "upscale-x2.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "CALIBRATION_SAMPLES", 12)
        patch.setattr(quantise, "TEST_SAMPLES", 4)
        report = quantise.quantise(source, target, [ROOT / "examples"], max_drop=0.3)
    assert report.layers[0] >= 6 and report.psnr > 40
    assert target.stat().st_size < 0.7 * source.stat().st_size
