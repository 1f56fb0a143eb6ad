"""Results of a network after export to ONNX, for tests of single networks and layers."""

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor, nn


def session_of(network: nn.Module, example: tuple[Tensor, ...], *, multiple: int = 1) -> ort.InferenceSession:
    """Export `network` with dynamic sizes: N of all inputs, and H and W of the first, multiples of `multiple`."""
    n, h, w = (torch.export.Dim(name) for name in ("n", "h", "w"))
    dynamic: list[Any] = [{0: n, 2: multiple * h, 3: multiple * w}, *({0: n} for _ in example[1:])]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(), example, dynamo=True, opset_version=18, dynamic_shapes=tuple(dynamic), verbose=False
        )
    assert program is not None
    return ort.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


@torch.no_grad()
def largest_difference(network: nn.Module, session: ort.InferenceSession, given: Sequence[Tensor]) -> float:
    """The largest difference between torch and ONNX Runtime for one set of inputs."""
    names = [one.name for one in session.get_inputs()]
    (theirs,) = session.run(None, {name: one.numpy() for name, one in zip(names, given, strict=True)})
    ours = network.eval()(*given)
    assert ours.shape == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max())
