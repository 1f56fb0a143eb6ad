"""Reads inputs, outputs and versions of an ONNX file without onnxruntime, which may reject the file."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from img2img.runtime.network import model_file

# TensorProto.DataType
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network.

    Attributes:
        shape: one entry per dimension: a number, the name of a variable dimension, or None; None: not declared.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class Header:
    """The declarations in an ONNX file.

    Attributes:
        opsets: operator set domain -> version; "" is ONNX's own domain.
    """

    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def versions(self) -> str:
        """The versions as a phrase: "opset 18, IR version 10"."""
        opsets = [f"opset {version}" + (f" of {domain}" if domain else "") for domain, version in self.opsets.items()]
        return ", ".join([*opsets, f"IR version {self.ir_version}"])


def read(path: Path) -> Header:
    """Read the header of the ONNX file at `path`. Weights are skipped, not read.

    Raises:
        ModelError: see `model_file.metadata`.
    """
    model_file.metadata(path)  # rejects other files
    with model_file.opened(path, model_file.MAX_FIELDS_OF_GRAPH) as (file, size):
        version, opsets = 0, {}
        weights: set[str] = set()
        tensors: dict[int, list[Tensor]] = {11: [], 12: []}
        for number, start, stop, value in model_file.fields(file, 0, size):
            if number == 1:
                version = value
            elif number == 8 and start is not None:
                domain, opset = _opset(file, start, stop)
                opsets[domain] = opset
            elif number == 7 and start is not None:
                for part in model_file.fields(file, start, stop):
                    if part.start is None:
                        continue
                    if part.number in tensors:
                        tensors[part.number].append(_tensor(file, part.start, part.stop))
                    elif part.number == 5:
                        weights.add(_text(file, part.start, part.stop, 8))
        # Before IR version 4, weights were listed as inputs, too.
        inputs = tuple(one for one in tensors[11] if one.name not in weights)
        return Header(version, opsets, inputs, tuple(tensors[12]))


def _opset(file: BinaryIO, start: int, stop: int) -> tuple[str, int]:
    version = next((one.value for one in model_file.fields(file, start, stop) if one.number == 2), 0)
    return _text(file, start, stop, 1), version


def _tensor(file: BinaryIO, start: int, stop: int) -> Tensor:
    """Read a ValueInfoProto: name, type.tensor_type.elem_type, type.tensor_type.shape.dim[].{dim_value, dim_param}."""
    name = _text(file, start, stop, 1)
    kind = _part(file, _part(file, (start, stop), 2), 1)
    if kind is None:
        return Tensor(name, "no tensor", None)
    number = next((one.value for one in model_file.fields(file, *kind) if one.number == 1), 0)
    type_name = _TYPES.get(number, f"type {number}")
    place = _part(file, kind, 2)
    if place is None:
        return Tensor(name, type_name, None)
    sides = [
        _side(file, one.start, one.stop)
        for one in model_file.fields(file, *place)
        if one.number == 1 and one.start is not None
    ]
    return Tensor(name, type_name, tuple(sides))


def _side(file: BinaryIO, start: int, stop: int) -> int | str | None:
    for number, first, last, value in model_file.fields(file, start, stop):
        if number == 1:
            return value
        if number == 2 and first is not None:
            return model_file.text(file, first, last) or None
    return None


def _part(file: BinaryIO, place: tuple[int, int] | None, wanted: int) -> tuple[int, int] | None:
    """The position of the field `wanted` in the message at `place`; None if there is none."""
    if place is None:
        return None
    for number, start, stop, _ in model_file.fields(file, *place):
        if number == wanted and start is not None:
            return start, stop
    return None


def _text(file: BinaryIO, start: int, stop: int, wanted: int) -> str:
    place = _part(file, (start, stop), wanted)
    return "" if place is None else model_file.text(file, *place)
