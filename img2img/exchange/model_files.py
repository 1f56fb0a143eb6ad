"""Model files that other ones are made of: read with care, and written with all that their cards promise."""

import math
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from img2img.errors import ExportError, ModelError
from img2img.runtime.network import failures, model_file, models, verify
from img2img.runtime.network.card import Card


def float_card(path: Path, use: str = "") -> Card:
    """The card of an fp32 model file, which is whole, safe, and works here.

    Args:
        use: what to do about a file of another precision, beside naming the fp32 file.

    Raises:
        ModelError: it cannot be read, is unsafe or damaged, is newer than onnxruntime, has no card, is not fp32, or
            does not do what its card says.
    """
    model_file.require_safe(path)
    card = models.read_card(path)
    if card is None:
        raise ModelError(f"{path}: it has no card that says what it is for; export or import the network with img2img")
    if card.precision != "fp32":
        raise ModelError(f"{path}: it is in {card.precision} already; name the fp32 file{use}")
    _check_claims(load(path), path)
    for check in verify.verify(path, device="cpu"):
        if check.status == "failed" and check.name != "origin":
            raise ModelError(f"{path}: {check.detail}")
    return card


def load(path: Path) -> onnx.ModelProto:
    """The model in the file at `path`, with weights that lie beside it.

    Raises:
        ModelError: it is unsafe, cannot be read, or is no ONNX file.
    """
    model_file.require_safe(path)
    try:
        return onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path}: not an ONNX file, or cut short: {failures.short(error)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {failures.short(error)}") from error


def finished(model: onnx.ModelProto, card: Card) -> bytes:
    """`model` as the bytes of a file with this card, its digest and self-test filled in, and no other metadata.

    Raises:
        ExportError: onnxruntime refuses it, or its result is no picture.
    """
    model.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    try:
        return model_file.stamped(model.SerializeToString(), card)
    except (ModelError, failures.BrokenOutput) as error:
        raise ExportError(f"the file made does not work: {error}; nothing written") from error


def _check_claims(model: onnx.ModelProto, path: Path) -> None:
    """Refuse tensors that claim other numbers than they hold: an operator may take memory for all that is claimed."""
    for value in model.graph.initializer:
        count = math.prod(value.dims)
        if value.data_type == TensorProto.STRING or count < 0:
            continue  # neither is a weight, and onnxruntime knows what to say of the other
        if value.HasField("raw_data"):
            item = np.dtype(helper.tensor_dtype_to_np_dtype(value.data_type)).itemsize
            claimed, held, what = count * item, len(value.raw_data), "bytes"
        else:
            fields = (value.float_data, value.int32_data, value.int64_data, value.double_data, value.uint64_data)
            claimed, held, what = count, max(map(len, fields)), "numbers"
        if claimed > 2 * held:  # 4-bit numbers lie two in a byte
            raise ModelError(f"{path}: {value.name} claims {claimed:,} {what} and holds {held:,}")
