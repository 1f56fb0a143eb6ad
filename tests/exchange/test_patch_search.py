"""The ONNX form of the search of patches gives the result of the original."""

import onnx
import onnx.inliner
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from img2img.exchange import patch_search as translated
from img2img.networks import patch_search as original
from tests.networks.levels import levels_of, picture_with_hole

INPUTS = {"image": 3, "hole": 1, "guide": 3}


def session_of(name: str, iterations: int) -> ort.InferenceSession:
    """A session for one call of the translated function `name`."""
    call = helper.make_node(name, [*INPUTS, "coarser"], ["sources"], domain="img2img", iterations=iterations)
    given = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", channels, "s", "s"])
        for key, channels in INPUTS.items()
    ]
    given.append(helper.make_tensor_value_info("coarser", TensorProto.INT64, ["n", "half", "half"]))
    result = helper.make_tensor_value_info("sources", TensorProto.INT64, ["n", "s", "s"])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("img2img", 1)]
    model = helper.make_model(helper.make_graph([call], "search", given, [result]), opset_imports=opsets, ir_version=9)
    data = translated.with_functions_inlined(model).SerializeToString()
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["search_everywhere", "propagate"])
def test_both_forms_choose_the_same_patches(name: str) -> None:
    pairs = [picture_with_hole(seed=1), picture_with_hole(seed=2, top=10)]
    coarse, _, level = levels_of(*(torch.cat(one) for one in zip(*pairs, strict=True)))
    half = original.search([coarse])
    coarser = half.repeat_interleave(2, 1).repeat_interleave(2, 2)  # any valid indices will do
    expected = getattr(original, name)(level.image, level.hole, level.guide, coarser, 2)
    tensors = {"image": level.image, "hole": level.hole, "guide": level.guide, "coarser": coarser}
    (found,) = session_of(name, 2).run(None, {key: value.numpy() for key, value in tensors.items()})
    assert torch.equal(torch.from_numpy(found), expected)
    assert not torch.equal(expected, torch.arange(64 * 64).reshape(1, 64, 64).expand(2, -1, -1))


def test_models_without_a_search_stay_as_they_are() -> None:
    model = onnx.ModelProto(ir_version=9, opset_import=[helper.make_opsetid("", 18)])
    assert translated.with_functions_inlined(model) is model
