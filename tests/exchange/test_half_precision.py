"""fp16 files have the same inputs, outputs and results, and nothing overflows. Otherwise they are not written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import onnxruntime as ort
import pytest
import trials
from onnx import TensorProto, helper, numpy_helper

from img2img.errors import ExportError
from img2img.exchange import activation_ranges, flat_pictures, half_precision, model_files, samples
from img2img.exchange.half_precision import convert_to_fp16


def scaled(path: Path, gain: float) -> Path:
    """result = clip(conv(image * gain) / gain): the identity, with values up to `gain` inside."""
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[range(3), range(3)] = 1
    weights = {"gain": np.float32(gain), "back": np.float32(1 / gain), "w": kernel, "0": np.float32(0)}
    weights["1"] = np.float32(1)
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["large"], "enlarge"),
        helper.make_node("Conv", ["large", "w"], ["seen"], "look"),
        helper.make_node("Mul", ["seen", "back"], ["small"], "shrink"),
        helper.make_node("Clip", ["small", "0", "1"], ["result"], "clip"),
    ]
    shape: list[Any] = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"img2img": json.dumps(onnx_nets.card(scale=1, task="translate"))})
    onnx.save(model, str(path))
    return path


def weight_types(file: Path) -> set[int]:
    return {one.data_type for one in onnx.load(file).graph.initializer if len(one.dims) == 4}


def test_weights_become_fp16_and_inputs_and_outputs_stay_float32(tmp_path: Path) -> None:
    source = onnx_nets.compact(tmp_path / "tiny.onnx", scale=2, features=16, convs=2)
    target = tmp_path / "half.onnx"
    report = convert_to_fp16(source, target, [trials.photos(tmp_path / "photos", count=3)])
    assert report.psnr >= half_precision.MIN_PSNR and 0 < report.max_difference < 0.02
    assert weight_types(target) == {TensorProto.FLOAT16}
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert [one.type for one in (*session.get_inputs(), *session.get_outputs())] == ["tensor(float)"] * 2
    card = json.loads(session.get_modelmeta().custom_metadata_map["img2img"])
    assert card["precision"] == "fp16"
    assert card["metrics"]["fp16"]["psnr_to_fp32"] == round(report.psnr, 2)


def test_operators_that_overflow_stay_in_fp32(tmp_path: Path) -> None:
    modest, large = scaled(tmp_path / "modest.onnx", 4.0), scaled(tmp_path / "large.onnx", 3e5)
    report = convert_to_fp16(modest, tmp_path / "modest16.onnx")
    assert report.fp32_operators[0] == 0 and weight_types(tmp_path / "modest16.onnx") == {TensorProto.FLOAT16}
    report = convert_to_fp16(large, tmp_path / "large16.onnx")
    assert report.fp32_operators == (3, 4) and weight_types(tmp_path / "large16.onnx") == {TensorProto.FLOAT}
    card = model_files.float_card(large)
    tried = samples.synthetic(card)
    found = samples.results(samples.session(tmp_path / "large16.onnx"), tried)
    assert samples.psnr_between(found, [one.inputs["image"] for one in tried]) > half_precision.MIN_PSNR


def test_a_file_with_broken_results_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scaled(tmp_path / "large.onnx", 3e5)
    monkeypatch.setattr(activation_ranges, "largest_values", lambda model, names, tried: dict.fromkeys(names, 1.0))
    with pytest.raises(ExportError, match=r"not finite|have a PSNR of only"):
        convert_to_fp16(source, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def save_network(path: Path, nodes: list[onnx.NodeProto], values: dict[str, Any], **card: Any) -> Path:
    """Save a network from `image` to `result` made of these operators."""
    shape: list[Any] = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"img2img": json.dumps(onnx_nets.card(scale=1, task="translate", **card))})
    onnx.save(model, str(path))
    return path


def test_the_nearest_colour_of_a_label_map_is_found_in_fp32(tmp_path: Path) -> None:
    """1 where red is at least as near to 0.30 as to 0.3005. In fp16, many values are equally near to both."""
    values = {"one": np.float32(0.3), "two": np.float32(0.3005), "w": np.ones((3, 3, 1, 1), np.float32) / 3}
    nodes = [
        helper.make_node("Sub", ["image", "one"], ["a"]),
        helper.make_node("Abs", ["a"], ["a_far"]),
        helper.make_node("Sub", ["image", "two"], ["b"]),
        helper.make_node("Abs", ["b"], ["b_far"]),
        helper.make_node("LessOrEqual", ["a_far", "b_far"], ["nearer"]),
        helper.make_node("Cast", ["nearer"], ["class"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["class", "w"], ["result"]),
    ]
    source = save_network(tmp_path / "labels.onnx", nodes, values, context=0)
    report = convert_to_fp16(source, tmp_path / "half.onnx")
    assert report.psnr > 60 and report.fp32_operators == (5, 7)
    assert weight_types(tmp_path / "half.onnx") == {TensorProto.FLOAT16}, "the convolution still becomes fp16"


def test_small_squares_and_epsilons_stay_in_fp32(tmp_path: Path) -> None:
    """fp16 cannot represent the squares of deviations of 1e-4."""
    values = {"small": np.float32(1e-4), "eps": np.float32(1e-10)}
    nodes = [
        helper.make_node("Mul", ["image", "small"], ["little"]),
        helper.make_node("Mul", ["little", "little"], ["square"]),
        helper.make_node("Add", ["square", "eps"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["root"]),
        helper.make_node("Div", ["root", "small"], ["result"]),
    ]
    report = convert_to_fp16(save_network(tmp_path / "norm.onnx", nodes, values, context=0), tmp_path / "half.onnx")
    assert report.psnr > 60


def test_flat_pictures_are_compared_with_the_noise_of_the_fp32_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = convert_to_fp16(onnx_nets.instance_norm(tmp_path / "norm.onnx"), tmp_path / "half.onnx")
    psnr, noise_psnr = report.flat_psnr
    assert min(psnr, noise_psnr) < 120
    assert psnr >= min(half_precision.MIN_PSNR, noise_psnr - flat_pictures.FLAT_MARGIN)
    card = json.loads(ort.InferenceSession(tmp_path / "half.onnx").get_modelmeta().custom_metadata_map["img2img"])
    assert card["metrics"]["fp16"]["psnr_to_fp32_flat"] == round(psnr, 2)
    original = samples.results

    def change_results(how: Any) -> None:
        calls: list[int] = []

        def results(session: Any, given: Any) -> Any:
            found = original(session, given)
            calls.append(len(given))
            # Three results per flat picture: fp16, fp32, fp32 with noise. Only the first is changed.
            return [how(one) for one in found] if len(given) == 1 and calls.count(1) % 3 == 1 else found

        monkeypatch.setattr(samples, "results", results)

    source = onnx_nets.compact(tmp_path / "plain.onnx", scale=2)
    (tmp_path / "half.onnx").unlink()
    for how, message in (
        (lambda one: one * np.float32(0.9), r"RGB 0, 0, 0 is too different .* PSNR of only 3\d\.\d dB"),
        (lambda one: one * np.float32("nan"), "RGB 0, 0, 0 is not finite"),
        (lambda one: np.zeros_like(one), "RGB 0, 0, 0 is blank"),
    ):
        change_results(how)
        with pytest.raises(ExportError, match=message):
            convert_to_fp16(source, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_largest_values_are_over_all_samples(tmp_path: Path) -> None:
    model = onnx.load(scaled(tmp_path / "model.onnx", 100.0))
    tried = samples.synthetic(model_files.float_card(tmp_path / "model.onnx"))
    found = activation_ranges.largest_values(model, ["large", "small"], tried)
    assert found["large"] == pytest.approx(100) and found["small"] == pytest.approx(1)
