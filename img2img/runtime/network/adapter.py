"""Adapts networks whose interface differs from docs/model-file.md: other value ranges, layouts, channels or types.

Everything here is arithmetic on arrays and declared shapes. `probe` runs the network to find out the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError, UsageError

Floats = npt.NDArray[np.float32]
FixedSize = tuple[int, int]
"""Height and width in pixels of the only input size that a network accepts."""

RANGES = ("1", "255", "signed")
"""Ranges of values: 0..1, 0..255 and -1..1."""

_ORDERS = ("rgb", "bgr")
_TASKS = ("upscale", "translate")  # not inpaint: probing cannot tell what a network expects as its mask
_TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(uint8)": np.dtype(np.uint8),
}
# ITU-R BT.601, as in the super-resolution papers: networks with one channel are trained on this Y.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
FURTHER_INPUTS = ("reference", "latent")
"""Inputs that a network without a card may have besides the picture; see docs/model-file.md."""
CHROMA_CONTEXT = 2  # input pixels on each side that the bicubic resize of the colours reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Properties of a network without a card that the user has given; None: to be probed."""

    scale: int | None = None
    range: str | None = None
    channels: str | None = None
    task: str | None = None
    context: int | None = None
    multiple: int | None = None
    offset: int | None = None

    @classmethod
    def parse(cls, assume: Mapping[str, str]) -> "Assumptions":
        """Parse the values of `--assume KEY=VALUE`.

        Raises:
            UsageError: a key is unknown or a value is invalid; the message lists the valid ones.
        """
        values: dict[str, Any] = {}
        for key, text in assume.items():
            if key not in _KNOWN:
                known = ", ".join(f"{name} ({what})" for name, what in _KNOWN.items())
                raise UsageError(f"--assume: unknown key {key!r}; keys: {known}")
            if key in _CHOICES:
                is_valid = text in _CHOICES[key]
            else:
                low, high = _NUMBERS[key]
                is_valid = text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high
            if not is_valid:
                raise UsageError(f"--assume {key} takes {_KNOWN[key]}, not {text!r}")
            values[key] = int(text) if key in _NUMBERS else text
        return cls(**values)


_CHOICES = {"range": RANGES, "channels": _ORDERS, "task": _TASKS}
_NUMBERS = {"scale": (1, 64), "context": (0, 65536), "multiple": (1, 65536), "offset": (0, 1024)}
_KNOWN = {
    key: ", ".join(_CHOICES[key]) if key in _CHOICES else "an integer from {} to {}".format(*_NUMBERS[key])
    for key in ("scale", "range", "channels", "task", "context", "multiple", "offset")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Converts pictures, float32 [N, 3, H, W], RGB in 0..1, into the input of a network, and its output back.

    A network with one channel gets the luminance Y. The colour differences (R-Y, G-Y, B-Y) are enlarged bicubically,
    as in the super-resolution papers. This keeps grey pictures grey and runs the network once instead of three times.
    """

    input_name: str
    output_name: str
    channels: int  # 1 or 3
    input_type: np.dtype[Any]  # uint8 implies the range 255, whatever `input_range` says
    input_range: str = "1"  # one of RANGES
    output_range: str = "1"
    is_bgr: bool = False
    input_channels_last: bool = False  # [N, H, W, C] instead of [N, C, H, W]
    output_channels_last: bool = False
    offset: int = 0  # pixels by which the picture is extended on each side, for convolutions without padding

    def to_network(self, image: Floats) -> npt.NDArray[Any]:
        """Convert a picture into the network's input."""
        if self.offset:
            image = np.pad(image, ((0, 0), (0, 0), (self.offset,) * 2, (self.offset,) * 2), mode="reflect")
        planes = image[:, ::-1] if self.is_bgr else image
        if self.channels == 1:
            planes = luminance(image)
        if self.input_type == np.uint8:
            planes = np.rint(np.clip(planes, 0, 1) * np.float32(255))
        elif self.input_range == "255":
            planes = planes * np.float32(255)
        elif self.input_range == "signed":
            planes = planes * np.float32(2) - np.float32(1)
        planes = planes.transpose(0, 2, 3, 1) if self.input_channels_last else planes
        return np.ascontiguousarray(planes, dtype=self.input_type)

    def from_network(self, result: npt.NDArray[Any], size: tuple[int, int]) -> Floats:
        """Convert the network's output to float32 [N, C, h, w] in 0..1, RGB if C is 3.

        size: height and width of the picture's own part of the result, which is in its centre if there is an offset.
        """
        if self.output_channels_last and result.ndim == 4:
            result = result.transpose(0, 3, 1, 2)
        if self.offset:
            top, left = (max(0, has - wanted) // 2 for has, wanted in zip(result.shape[2:], size, strict=True))
            result = result[:, :, top : top + size[0], left : left + size[1]]
        planes = result.astype(np.float32, copy=False)
        if self.output_range == "255" or result.dtype == np.uint8:
            planes = planes / np.float32(255)
        elif self.output_range == "signed":
            planes = (planes + np.float32(1)) / np.float32(2)
        return planes[:, ::-1] if self.is_bgr and self.channels == 3 else planes

    def with_colours(self, planes: Floats, image: Floats) -> Floats:
        """Add the colours of `image` to the output of a one-channel network: float32 [N, 3, h, w]."""
        if self.channels == 3:
            return np.ascontiguousarray(planes)
        difference = image - luminance(image)
        height, width = planes.shape[2:]
        if (height, width) != image.shape[2:]:
            from PIL import Image  # imported late: models with a card do not need it

            size = (width, height)
            enlarged = [
                [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in picture]
                for picture in difference
            ]
            difference = np.array([[np.asarray(plane) for plane in picture] for picture in enlarged], np.float32)
        coloured: Floats = planes + difference
        return coloured


def luminance(image: Floats) -> Floats:
    """The luminance of float32 [N, 3, H, W], as float32 [N, 1, H, W]."""
    planes: Floats = np.einsum("c,nchw->nhw", _LUMINANCE, image)[:, None]
    return planes


def declared_adapter(session: Any, path: Path) -> tuple[Adapter, FixedSize | None]:
    """Build an adapter from the declared inputs and outputs, and return the input size if it is fixed.

    Ranges, the order of channels and the layout of the output keep their defaults.

    Raises:
        ModelError: the network does not map one picture to one picture; the message says what it has instead.
    """
    further = {one.name: one for one in session.get_inputs() if one.name in FURTHER_INPUTS}
    inputs = [one for one in session.get_inputs() if one.name not in further]
    outputs = session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path}: a model without an img2img card needs exactly one input and one output; it has {len(inputs)} and"
            f" {len(outputs)} (besides {' and '.join(FURTHER_INPUTS)}); export it with img2img"
        )
    for one in (inputs[0], outputs[0]):
        if one.type not in _TYPES:
            raise ModelError(f"{path}: {one.name!r} must be float32, float16, float64 or uint8, not {one.type}")
        if one.shape and len(one.shape) != 4:
            raise ModelError(f"{path}: {one.name!r} must have 4 dimensions, not {len(one.shape)}")
    image = inputs[0]
    n, *axes = image.shape or ["N", None, None, None]
    if isinstance(n, int) and n != 1:
        raise ModelError(f"{path}: {image.name!r} only takes {n} pictures at a time: export it with dynamic N")
    channels_last = axes[0] not in (1, 3) and axes[2] in (1, 3)  # [N, H, W, C], as in exports from TensorFlow
    channels = axes.pop(2 if channels_last else 0)
    if isinstance(channels, int) and channels not in (1, 3):
        raise ModelError(
            f"{path}: {image.name!r} must have 1 or 3 channels, its shape is {show_shape(image.shape)}; networks that"
            " take more than a picture are not supported"
        )
    _check_further(further, image, path)
    adapter = Adapter(
        input_name=image.name,
        output_name=outputs[0].name,
        channels=channels if isinstance(channels, int) else 3,
        input_type=_TYPES[image.type],
        input_channels_last=channels_last,
    )
    return adapter, fixed_size(axes, image.name, path)


def _check_further(further: Mapping[str, Any], image: Any, path: Path) -> None:
    """Check a `reference`, which must be like the picture but for its size, and a `latent`, which must be [N, L]."""
    reference, latent = (further.get(name) for name in FURTHER_INPUTS)
    if reference is not None:
        sides = [side for side in reference.shape or [] if isinstance(side, int) and side not in (1, 3)]
        if reference.type != image.type or len(reference.shape or ()) != len(image.shape or ()) or sides:
            raise ModelError(f"{path}: 'reference' must be like {image.name!r}, with dynamic height and width")
    if latent is not None:
        is_row = len(latent.shape or ()) == 2 and isinstance(latent.shape[1], int)
        if latent.type != "tensor(float)" or not is_row:
            raise ModelError(f"{path}: 'latent' must be float32 with a fixed length, not {show_shape(latent.shape)}")


def fixed_size(sides: list[Any], name: str, path: Path) -> FixedSize | None:
    """Height and width if an ONNX shape declares them as fixed; None if both may vary.

    Raises:
        ModelError: only one of them is fixed.
    """
    fixed = [side for side in sides if isinstance(side, int)]
    if len(fixed) == 1:
        raise ModelError(f"{path}: {name!r} has one fixed side ({fixed[0]}): export it with dynamic H and W")
    return (fixed[0], fixed[1]) if fixed else None


def show_shape(shape: Any) -> str:
    return "x".join(map(str, shape))
