"""Networks whose face is not that of contract 1: what is known or said of them, and the adapter that stands between.

Everything here is arithmetic on arrays; what a file cannot say of itself `probing` finds out by running it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError, UsageError

Floats = npt.NDArray[np.float32]
Fixed = tuple[int, int]
"""Height and width in pixels, where a network takes no other."""

RANGES = ("1", "255", "signed")
"""Ranges of values: 0..1, 0..255 and -1..1."""

_ORDERS = ("rgb", "bgr")
_TASKS = ("upscale", "translate")  # filling holes takes a mask, of which no probe knows how it is meant
_TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(uint8)": np.dtype(np.uint8),
}
# ITU-R BT.601, as the super-resolution papers have it: networks of one channel are trained on this Y.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
CHROMA_CONTEXT = 2  # input pixels on each side that bicubic enlarging reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What a person says of a network without a card; None: it is to be found out."""

    scale: int | None = None
    range: str | None = None
    channels: str | None = None
    task: str | None = None
    context: int | None = None
    multiple: int | None = None

    @classmethod
    def of(cls, assume: Mapping[str, str]) -> "Assumed":
        """From the texts of `--assume KEY=VALUE`.

        Raises:
            UsageError: an unknown key or a value that the key cannot have; the message lists the known ones.
        """
        values: dict[str, Any] = {}
        for key, text in assume.items():
            if key not in _KNOWN:
                known = ", ".join(f"{name} ({what})" for name, what in _KNOWN.items())
                raise UsageError(f"--assume knows no {key!r}: it takes {known}")
            if key in _CHOICES:
                is_good = text in _CHOICES[key]
            else:
                low, high = _NUMBERS[key]
                is_good = text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high
            if not is_good:
                raise UsageError(f"--assume {key} takes {_KNOWN[key]}, not {text!r}")
            values[key] = int(text) if key in _NUMBERS else text
        return cls(**values)


_CHOICES = {"range": RANGES, "channels": _ORDERS, "task": _TASKS}
_NUMBERS = {"scale": (1, 64), "context": (0, 65536), "multiple": (1, 65536)}
_KNOWN = {
    key: ", ".join(_CHOICES[key]) if key in _CHOICES else "an integer from {} to {}".format(*_NUMBERS[key])
    for key in ("scale", "range", "channels", "task", "context", "multiple")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Turns float32 [N, 3, H, W], RGB in 0..1 into what a network reads, and what it writes back into that.

    A network of one channel gets the luminance Y; the colours beside it (R-Y, G-Y, B-Y) are enlarged bicubically, as
    the super-resolution papers do it. Grey stays grey so, and the network runs once instead of three times.
    """

    image: str  # name of the input
    result: str  # name of the output
    channels: int  # 1 or 3
    type: np.dtype[Any]  # of what it reads; uint8 has the range 255, whatever `reads` says
    reads: str = "1"  # one of RANGES
    writes: str = "1"
    is_bgr: bool = False
    reads_last: bool = False  # [N, H, W, C] instead of [N, C, H, W]
    writes_last: bool = False

    def read(self, image: Floats) -> npt.NDArray[Any]:
        """What the network reads for this picture."""
        planes = image[:, ::-1] if self.is_bgr else image
        if self.channels == 1:
            planes = luminance(image)
        if self.type == np.uint8:
            planes = np.rint(np.clip(planes, 0, 1) * np.float32(255))
        elif self.reads != "1":
            planes = planes * np.float32(255) if self.reads == "255" else planes * np.float32(2) - np.float32(1)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1) if self.reads_last else planes, dtype=self.type)

    def planes(self, result: npt.NDArray[Any]) -> Floats:
        """What the network wrote, as float32 [N, C, h, w] in 0..1, RGB where C is 3."""
        if self.writes_last and result.ndim == 4:
            result = result.transpose(0, 3, 1, 2)
        planes = result.astype(np.float32, copy=False)
        if self.writes == "255" or result.dtype == np.uint8:
            planes = planes / np.float32(255)
        elif self.writes == "signed":
            planes = (planes + np.float32(1)) / np.float32(2)
        return planes[:, ::-1] if self.is_bgr and self.channels == 3 else planes

    def coloured(self, planes: Floats, image: Floats) -> Floats:
        """`planes` with the colours of `image`, where the network had none: float32 [N, 3, h, w]."""
        if self.channels == 3:
            return np.ascontiguousarray(planes)
        difference = image - luminance(image)
        height, width = planes.shape[2:]
        if (height, width) != image.shape[2:]:
            from PIL import Image  # late: loading a model that has a card needs none

            size = (width, height)
            enlarged = [
                [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in picture]
                for picture in difference
            ]
            difference = np.array([[np.asarray(plane) for plane in picture] for picture in enlarged], np.float32)
        coloured: Floats = planes + difference
        return coloured


def luminance(image: Floats) -> Floats:
    """float32 [N, 1, H, W] of float32 [N, 3, H, W]."""
    planes: Floats = np.einsum("c,nchw->nhw", _LUMINANCE, image)[:, None]
    return planes


def described(session: Any, path: Path) -> tuple[Adapter, Fixed | None]:
    """As much of the adapter as the declared inputs and outputs say, and the sides if they are fixed.

    Raises:
        ModelError: no network that takes one picture and gives one; the message says what it has instead.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path}: it has no img2img card, and {len(inputs)} inputs and {len(outputs)} outputs where one each"
            " would say what to do; export it with img2img"
        )
    for one in (inputs[0], outputs[0]):
        if one.type not in _TYPES:
            raise ModelError(
                f"{path}: {one.name!r} must be float32, float16 or uint8 to be a picture, it is {one.type}"
            )
        if one.shape and len(one.shape) != 4:
            raise ModelError(f"{path}: {one.name!r} must have 4 dimensions, it has {len(one.shape)}")
    image = inputs[0]
    n, *axes = image.shape or ["N", None, None, None]
    if isinstance(n, int) and n != 1:
        raise ModelError(f"{path}: {image.name!r} takes {n} pictures at a time only: export it with dynamic N")
    is_last = axes[0] not in (1, 3) and axes[2] in (1, 3)  # [N, H, W, C], as exported from TensorFlow
    channels = axes.pop(2 if is_last else 0)
    if isinstance(channels, int) and channels not in (1, 3):
        raise ModelError(
            f"{path}: {image.name!r} must have 1 or 3 channels, its shape is {shown(image.shape)}; a network that"
            " takes anything else beside a colour picture cannot be run"
        )
    adapter = Adapter(
        image=image.name,
        result=outputs[0].name,
        channels=channels if isinstance(channels, int) else 3,
        type=_TYPES[image.type],
        reads_last=is_last,
    )
    return adapter, fixed_sides(axes, image.name, path)


def fixed_sides(sides: list[Any], name: str, path: Path) -> Fixed | None:
    """Height and width as an ONNX shape declares them; None where both may vary.

    Raises:
        ModelError: only one of them is fixed.
    """
    fixed = [side for side in sides if isinstance(side, int)]
    if len(fixed) == 1:
        raise ModelError(f"{path}: {name!r} has one fixed side ({fixed[0]}): export it with dynamic H and W")
    return (fixed[0], fixed[1]) if fixed else None


def shown(shape: Any) -> str:
    return "x".join(map(str, shape))
