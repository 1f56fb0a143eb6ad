"""Read the weights of an exported model file, to start a training from them."""

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

Values = Mapping[str, NDArray[np.floating]]

PREFIX = "network."
"""Prefix of every weight in a model file: the export wraps the network in `onnx_file.ClampedNetwork`."""


def read(path: Path) -> dict[str, Tensor]:
    """The weights in the exported model file at `path`, under the keys they had before the export.

    Raises:
        CheckpointError: the weights are rounded to fewer bits.
        ModelError: the file is damaged or unsafe, or has no card.
    """
    card = models.read_card(path)
    if card is not None and card.precision != "fp32":
        original = models.full_precision(path) or "the fp32 file it was made from"
        raise CheckpointError(f"{path}: weights are rounded to {card.precision}; start from {original}", path=path)
    model_files.float_card(path)
    graph = model_files.load(path).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    named = {key: value for key, value in values.items() if key.startswith(PREFIX)} | _prelu_slopes(graph, values)
    return {key.removeprefix(PREFIX): torch.from_numpy(value.copy()) for key, value in named.items()}


def _prelu_slopes(graph: onnx.GraphProto, values: Values) -> dict[str, NDArray[np.floating]]:
    """The slopes `[C]` of the PReLUs, by their keys.

    The file does not keep these keys. A PReLU directly follows a numbered layer, so its key has the next number.
    Finds both PRelu operators and the operators that `prelu.split_prelu` replaces them with.
    """
    producers = {name: node for node in graph.node for name in node.output}
    slopes: dict[str, NDArray[np.floating]] = {}
    for node in graph.node:
        slope = None
        if node.op_type == "PRelu":
            slope = values.get(node.input[1])
        elif node.op_type == "Add":
            slope = _split_prelu_slope(node, producers, values)
        layer = producers.get(node.input[0]) if node.input else None
        if slope is None or layer is None or len(layer.input) < 2:
            continue
        if key := re.fullmatch(r"(.*\.)(\d+)\.weight", layer.input[1]):
            slopes[f"{key[1]}{int(key[2]) + 1}.weight"] = slope.reshape(-1)
    return slopes


def _split_prelu_slope(
    add: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], values: Values
) -> NDArray[np.floating] | None:
    """The slope if `add` is the last operator of x + (slope - 1) * min(x, 0); otherwise None."""
    product = producers.get(add.input[1])
    if product is None or product.op_type != "Mul":
        return None
    minimum = producers.get(product.input[0])
    if minimum is None or minimum.op_type != "Min" or minimum.input[0] != add.input[0]:
        return None
    slope_minus_1 = values.get(product.input[1])
    return None if slope_minus_1 is None else slope_minus_1 + slope_minus_1.dtype.type(1)
