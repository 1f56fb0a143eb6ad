"""fp16 files: the same face, the same pictures, nothing that overflows; or not written."""

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
from img2img.exchange import half, model_files, ranges, samples
from img2img.exchange.half import halve


def gained(path: Path, gain: float) -> Path:
    """result = clip(conv(image * gain) / gain): the identity, with large values inside where `gain` is."""
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
        "gained",
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


def test_weights_are_halved_and_the_face_is_not(tmp_path: Path) -> None:
    source = onnx_nets.compact(tmp_path / "tiny.onnx", scale=2, features=16, convs=2)
    target = tmp_path / "half.onnx"
    outcome = halve(source, target, [trials.photos(tmp_path / "photos", count=3)])
    assert outcome.likeness >= half.LIKENESS and 0 < outcome.largest < 0.02
    assert weight_types(target) == {TensorProto.FLOAT16}
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert [one.type for one in (*session.get_inputs(), *session.get_outputs())] == ["tensor(float)"] * 2
    card = json.loads(session.get_modelmeta().custom_metadata_map["img2img"])
    assert card["precision"] == "fp16"
    assert card["metrics"]["fp16"]["psnr_to_fp32"] == round(outcome.likeness, 2)


def test_what_overflows_stays_in_32_bits(tmp_path: Path) -> None:
    modest, large = gained(tmp_path / "modest.onnx", 4.0), gained(tmp_path / "large.onnx", 3e5)
    outcome = halve(modest, tmp_path / "modest16.onnx")
    assert outcome.kept[0] == 0 and weight_types(tmp_path / "modest16.onnx") == {TensorProto.FLOAT16}
    outcome = halve(large, tmp_path / "large16.onnx")
    assert outcome.kept == (3, 4) and weight_types(tmp_path / "large16.onnx") == {TensorProto.FLOAT}
    card = model_files.float_card(large)
    tried = samples.synthetic(card)
    found = samples.results(samples.session(tmp_path / "large16.onnx"), tried)
    assert samples.likeness(found, [one.inputs["image"] for one in tried]) > half.LIKENESS


def test_a_black_or_broken_result_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = gained(tmp_path / "large.onnx", 3e5)
    monkeypatch.setattr(ranges, "largest", lambda model, names, tried: dict.fromkeys(names, 1.0))
    with pytest.raises(ExportError, match=r"not finite|like those in fp32 to"):
        halve(source, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def written(path: Path, nodes: list[onnx.NodeProto], values: dict[str, Any], **card: Any) -> Path:
    """A network `image` to `result` of these operators."""
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


def test_the_nearest_colour_of_a_label_map_is_found_in_32_bits(tmp_path: Path) -> None:
    """1 where red is at least as near to 0.30 as to 0.3005: in fp16 both are as near for many values."""
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
    source = written(tmp_path / "labels.onnx", nodes, values, context=0)
    outcome = halve(source, tmp_path / "half.onnx")
    assert outcome.likeness > 60 and outcome.kept == (5, 7)
    assert weight_types(tmp_path / "half.onnx") == {TensorProto.FLOAT16}, "the convolution gains by it"


def test_squares_and_epsilons_keep_their_digits(tmp_path: Path) -> None:
    """Deviations of 1e-4 have squares that fp16 has no numbers for."""
    values = {"small": np.float32(1e-4), "eps": np.float32(1e-10)}
    nodes = [
        helper.make_node("Mul", ["image", "small"], ["little"]),
        helper.make_node("Mul", ["little", "little"], ["square"]),
        helper.make_node("Add", ["square", "eps"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["root"]),
        helper.make_node("Div", ["root", "small"], ["result"]),
    ]
    outcome = halve(written(tmp_path / "norm.onnx", nodes, values, context=0), tmp_path / "half.onnx")
    assert outcome.likeness > 60


def test_flat_pictures_are_held_against_what_fp32_makes_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = halve(onnx_nets.instance_norm(tmp_path / "norm.onnx"), tmp_path / "half.onnx")
    assert min(outcome.flat) < 120 and outcome.flat[0] >= min(half.LIKENESS, outcome.flat[1] - half.SLACK)
    card = json.loads(ort.InferenceSession(tmp_path / "half.onnx").get_modelmeta().custom_metadata_map["img2img"])
    assert card["metrics"]["fp16"]["psnr_to_fp32_flat"] == round(outcome.flat[0], 2)
    honest = samples.results

    def spoil(how: Any) -> None:
        calls: list[int] = []

        def results(session: Any, given: Any) -> Any:
            found = honest(session, given)
            calls.append(len(given))
            # Per flat picture: ours, that in fp32, that of the stirred one.
            return [how(one) for one in found] if len(given) == 1 and calls.count(1) % 3 == 1 else found

        monkeypatch.setattr(samples, "results", results)

    source = onnx_nets.compact(tmp_path / "plain.onnx", scale=2)
    (tmp_path / "half.onnx").unlink()
    for how, message in (
        (lambda one: one * np.float32(0.9), r"all RGB 0, 0, 0 is like that in fp32 to 3\d\.\d dB only"),
        (lambda one: one * np.float32("nan"), "all RGB 0, 0, 0 is not finite"),
        (lambda one: np.zeros_like(one), "all RGB 0, 0, 0 is blank"),
    ):
        spoil(how)
        with pytest.raises(ExportError, match=message):
            halve(source, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_the_largest_values_are_those_of_all_pictures(tmp_path: Path) -> None:
    model = onnx.load(gained(tmp_path / "model.onnx", 100.0))
    tried = samples.synthetic(model_files.float_card(tmp_path / "model.onnx"))
    found = ranges.largest(model, ["large", "small"], tried)
    assert found["large"] == pytest.approx(100) and found["small"] == pytest.approx(1)
