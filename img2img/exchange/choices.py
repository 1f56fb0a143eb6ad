"""Networks that choose patches. Their sums must have 32 bits, so they are only exported as fp32.

The search compares sums of squared differences of 8-bit values (`networks.patch_search`). With fewer bits, other
patches win, and the picture changes.
"""

from pathlib import Path

from torch import nn

from img2img.errors import UsageError
from img2img.exchange import model_files
from img2img.runtime.network import models


def chooses(network: nn.Module) -> bool:
    """Return whether the network or a part of it chooses, so that rounding can change what it copies."""
    return any(getattr(one, "chooses", False) for one in network.modules())


def require_fp32(network: nn.Module, name: str) -> None:
    """Raise UsageError if `network`, called `name`, chooses patches."""
    if chooses(network):
        raise UsageError(_refusal(name))


def require_fp32_file(path: Path) -> None:
    """Raise UsageError if the network in the model file chooses patches. It then reduces pictures itself, or loops.

    Raises:
        ModelError: as `model_files.load`.
    """
    card = models.read_card(path)
    if (card is not None and card.resizes) or _loops(path):
        raise UsageError(_refusal(path.stem if card is None else card.name))


def _loops(path: Path) -> bool:
    model = model_files.load(path)
    parts = (model.graph.node, *(function.node for function in model.functions))
    return any(node.op_type == "Loop" for nodes in parts for node in nodes)


def _refusal(name: str) -> str:
    return f"{name} chooses patches by sums that need 32 bits: export it as fp32"
