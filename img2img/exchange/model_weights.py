"""The weights in an exported model file, for a training that begins with them."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from img2img.errors import CheckpointError
from img2img.exchange import model_files
from img2img.runtime.network import models

FACE = "network."
"""Before every key of a network in a model file: `onnx_file.Face` is around it."""


def read(path: Path) -> dict[str, Tensor]:
    """The weights in the exported model file at `path`, by the keys that they had when it was exported.

    Raises:
        CheckpointError: they are rounded to fewer bits.
        ModelError: the file is damaged or unsafe, or has no card.
    """
    card = models.read_card(path)
    if card is not None and card.precision != "fp32":
        twin = models.full_precision(path)
        raise CheckpointError(
            f"{path}: its weights are rounded to {card.precision}; start from {twin or 'the fp32 file it was made of'}"
        )
    model_files.float_card(path)
    graph = model_files.load(path).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    named = {key: value for key, value in values.items() if key.startswith(FACE)} | _slopes(graph, values)
    return {key.removeprefix(FACE): torch.from_numpy(value.copy()) for key, value in named.items()}


def _slopes(graph: onnx.GraphProto, values: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    """Slopes of PReLUs `[C]` by their keys, which are lost in the file: numbered layers come one after the other.

    Both as PRelu and as what `exchange.prelu.split_prelu` makes of it, x + (slope - 1) * min(x, 0).
    """
    makers = {name: node for node in graph.node for name in node.output}
    slopes: dict[str, NDArray[np.floating]] = {}
    for node in graph.node:
        hidden, slope = node.input[0] if node.input else "", None
        if node.op_type == "PRelu":
            slope = values.get(node.input[1])
        elif node.op_type == "Add":
            bent = makers.get(node.input[1])
            below = makers.get(bent.input[0]) if bent is not None and bent.op_type == "Mul" else None
            if bent is not None and below is not None and below.op_type == "Min" and below.input[0] == hidden:
                less = values.get(bent.input[1])
                slope = None if less is None else less + less.dtype.type(1)
        layer = makers.get(hidden)
        if slope is None or layer is None or len(layer.input) < 2:
            continue
        if key := re.fullmatch(r"(.*\.)(\d+)\.weight", layer.input[1]):
            slopes[f"{key[1]}{int(key[2]) + 1}.weight"] = slope.reshape(-1)
    return slopes
