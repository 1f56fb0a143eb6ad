"""Dropout that stays on in an exported file, as pix2pix uses it at test time (Isola et al. 2017, section 3.1)."""

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from img2img.errors import ExportError

_RANDOM = "RandomUniformLike"


class LiveDropout(nn.Module):
    """Dropout in eval mode too: every value is 0 with probability `p`, else divided by 1 - `p`.

    Attributes:
        still: nothing is dropped, the rest stays the same: what an export can be compared in.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.still = False

    def forward(self, hidden: Tensor) -> Tensor:
        noise = torch.ones_like(hidden) if self.still else torch.rand_like(hidden)
        return hidden * (noise >= self.p).to(hidden.dtype) / (1 - self.p)


def awaken(network: nn.Module) -> int:
    """Put a `LiveDropout` in the place of every dropout layer of `network`, in place; returns how many there were."""
    count = 0
    for name, child in network.named_children():
        if isinstance(child, nn.Dropout):
            if 0 < child.p < 1:
                setattr(network, name, LiveDropout(child.p))
                count += 1
        else:
            count += awaken(child)
    return count


def set_still(network: nn.Module, still: bool) -> bool:
    """Set `still` on all live dropout of `network`; returns whether there is any."""
    live = [module for module in network.modules() if isinstance(module, LiveDropout)]
    for module in live:
        module.still = still
    return bool(live)


def stilled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with 1 in the place of every random number: the file of a network that is `still`.

    Raises:
        ExportError: there are no random numbers, so the exporter has dropped the dropout.
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
        raise ExportError("the exported file has lost the live dropout")
    del copied.graph.node[:]
    copied.graph.node.extend(nodes)
    return copied
