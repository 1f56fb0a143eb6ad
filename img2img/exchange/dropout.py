"""Dropout that stays active in an exported file, as pix2pix uses it at test time (Isola et al. 2017, section 3.1)."""

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from img2img.errors import ExportError

_RANDOM = "RandomUniformLike"


class LiveDropout(nn.Module):
    """Dropout that is active in eval mode too: sets each value to 0 with probability `p`, divides the rest by 1 - `p`.

    Attributes:
        disabled: drop nothing, but scale as before. The export compares the network with its file in this state.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.disabled = False

    def forward(self, hidden: Tensor) -> Tensor:
        noise = torch.ones_like(hidden) if self.disabled else torch.rand_like(hidden)
        return hidden * (noise >= self.p).to(hidden.dtype) / (1 - self.p)


def make_live(network: nn.Module) -> int:
    """Replace every dropout layer of `network` with a `LiveDropout`, in place. Returns how many there were."""
    count = 0
    for name, child in network.named_children():
        if isinstance(child, nn.Dropout):
            if 0 < child.p < 1:
                setattr(network, name, LiveDropout(child.p))
                count += 1
        else:
            count += make_live(child)
    return count


def set_disabled(network: nn.Module, disabled: bool) -> bool:
    """Set `disabled` on every `LiveDropout` of `network`. Returns whether there are any."""
    layers = [module for module in network.modules() if isinstance(module, LiveDropout)]
    for layer in layers:
        layer.disabled = disabled
    return bool(layers)


def without_dropout(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` in which every random number is 1: equals the network with its dropout `disabled`.

    Raises:
        ExportError: the model has no random numbers, so the exporter has removed the dropout.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in copied.graph.node:
        if node.op_type != _RANDOM:
            nodes.append(node)
            continue
        shape = f"{node.output[0]}_shape"
        one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        nodes.append(helper.make_node("Shape", [node.input[0]], [shape]))
        nodes.append(helper.make_node("ConstantOfShape", [shape], [node.output[0]], value=one))
    if len(nodes) == len(copied.graph.node):
        raise ExportError("the exported file has lost its live dropout")
    del copied.graph.node[:]
    copied.graph.node.extend(nodes)
    return copied
