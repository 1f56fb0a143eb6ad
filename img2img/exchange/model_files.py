"""Read model files that other model files are made from, and serialise the results."""

import math
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from img2img.errors import ExportError, ModelError
from img2img.exchange import weight_storage
from img2img.runtime.network import card_writing, inference_errors, model_file, models, verify
from img2img.runtime.network.card import Card


def float_card(path: Path, advice: str = "") -> Card:
    """The card of an fp32 model file that is complete, safe, and works on this machine.

    Args:
        advice: ends the message about a file of another precision, after the advice to use the fp32 file.

    Raises:
        ModelError: the file cannot be read, is unsafe or damaged, is too new for the installed onnxruntime, has no
            card, is not fp32, or does not do what its card says.
    """
    model_file.require_safe(path)
    card = models.read_card(path)
    if card is None:
        raise ModelError(f"{path}: has no card; export or import the network with img2img", path=path)
    if card.precision != "fp32":
        raise ModelError(f"{path}: is already {card.precision}; use the fp32 file{advice}", path=path)
    load(path)  # checks it
    for check in verify.verify(path, device="cpu"):
        if check.status == "failed" and check.name != "origin":
            raise ModelError(f"{path}: {check.detail}", path=path)
    return card


def load(path: Path, *, restored: bool = True) -> onnx.ModelProto:
    """The model in the file at `path`, including weights in files beside it.

    Args:
        restored: turn weights that are stored with 16 bits back into fp32.

    Raises:
        ModelError: the file is unsafe, cannot be read, or is not an ONNX file; or a weight holds fewer numbers than it
            claims.
    """
    model_file.require_safe(path)
    try:
        model = onnx.load(path)
        _check_sizes(model, path)
        if restored:
            weight_storage.restore(model)
        return model
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: not an ONNX file, or cut short: {inference_errors.first_line(error)}", path=path
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {inference_errors.first_line(error)}", path=path) from error


def serialise(model: onnx.ModelProto, card: Card) -> bytes:
    """`model` as the bytes of a model file with this card. Fills in the card's digest and self-test.

    Any other metadata of `model` is removed.

    Raises:
        ExportError: onnxruntime refuses the model, or its result is not a picture.
    """
    model.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    try:
        return card_writing.with_card_and_selftest(model.SerializeToString(), card)
    except (ModelError, inference_errors.BrokenOutput) as error:
        raise ExportError(f"the new file does not work: {error}; nothing written") from error


def _check_sizes(model: onnx.ModelProto, path: Path) -> None:
    """Refuse tensors whose shape claims more numbers than they hold: an operator may allocate memory for the claim."""
    for value in model.graph.initializer:
        count = math.prod(value.dims)
        if value.data_type == TensorProto.STRING or count < 0:
            continue  # strings are not weights; for a negative size, onnxruntime has its own message
        if value.HasField("raw_data"):
            item = np.dtype(helper.tensor_dtype_to_np_dtype(value.data_type)).itemsize
            claimed, held, unit = count * item, len(value.raw_data), "bytes"
        else:
            fields = (value.float_data, value.int32_data, value.int64_data, value.double_data, value.uint64_data)
            claimed, held, unit = count, max(map(len, fields)), "numbers"
        if claimed > 2 * held:  # a byte can hold two 4-bit numbers
            raise ModelError(f"{path}: {value.name} claims {claimed:,} {unit} but holds {held:,}", path=path)
