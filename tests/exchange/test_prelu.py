"""PReLU split into other operators is the same function."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from img2img.exchange.prelu import split_prelu

SLOPE = np.array([0.2, -0.5, 1.7], np.float32).reshape(3, 1, 1)


def network(values: dict[str, Any]) -> onnx.ModelProto:
    tensors = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "result")
    ]
    inputs = [tensors[0]]
    if "slope" not in values:
        inputs.append(helper.make_tensor_value_info("slope", onnx.TensorProto.FLOAT, [3, 1, 1]))
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["image", "slope"], ["result"])],
        "prelu",
        inputs,
        tensors[1:],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, **given: Any) -> Any:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["result"], given)[0]


def test_prelu_is_split_into_the_same_function() -> None:
    split = split_prelu(network({"slope": SLOPE}))
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    assert np.allclose(run(split, image=image), np.where(image > 0, image, image * SLOPE), atol=1e-6)
    assert [node.op_type for node in split.graph.node] == ["Min", "Mul", "Add"]
    assert "slope" not in {one.name for one in split.graph.initializer}
    onnx.checker.check_model(split)


def test_a_prelu_whose_slope_is_an_input_stays() -> None:
    split = split_prelu(network({}))
    assert [node.op_type for node in split.graph.node] == ["PRelu"]
    image = np.full((1, 3, 8, 8), -1, np.float32)
    assert np.array_equal(run(split, image=image, slope=SLOPE), image * SLOPE)
