"""The size of an enlarged picture, given as something other than a factor: a width, a box to fit, megapixels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from img2img.errors import UsageError

FIELDS = ("width", "height", "long_side", "megapixels", "fit")
"""Names of the options that give a size, in Python."""

MAX_SIDE = 1 << 20
"""Largest side in pixels that may be asked for."""

MAX_MEGAPIXELS = 1 << 14

_BOX = re.compile(r"(\d+)\s*[xX×]\s*(\d+)")


@dataclass(frozen=True)
class ResultSize:
    """A wanted size. The proportions of the picture stay.

    Attributes:
        kind: "width", "height", "long-side", "megapixels" or "fit".
        value: pixels, or megapixels; of "fit" the width of the box.
        height: of "fit" the height of the box.
    """

    kind: str
    value: float
    height: float = 0.0

    @property
    def label(self) -> str:
        """The size as part of a file name, such as `w1920` or `fit3840x2160`."""
        value = f"{self.value:g}" if self.kind == "megapixels" else f"{self.value:.0f}"
        box = f"{value}x{self.height:.0f}"
        return {"width": f"w{value}", "height": f"h{value}", "long-side": f"l{value}", "fit": f"fit{box}"}.get(
            self.kind, f"{value}mp"
        )

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result for a picture of `width` x `height` pixels. A wanted side is exact."""
        factor = {
            "width": self.value / width,
            "height": self.value / height,
            "long-side": self.value / max(width, height),
            "fit": min(self.value / width, self.height / height),
        }.get(self.kind, math.sqrt(self.value * 1e6 / (width * height)))
        return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


def parse(given: Mapping[str, object]) -> ResultSize | None:
    """Return the wanted size; None if there is none.

    Args:
        given: values by kind, None where not given: whole numbers of pixels, `megapixels` a number, `fit` a text such
            as 3840x2160; and `scale`, which excludes them all.

    Raises:
        UsageError: there are several, or a value is out of range.
    """
    wanted = {kind: value for kind, value in given.items() if value is not None}
    if len(wanted) > 1:
        names = " and ".join(f"--{kind}" for kind in wanted)
        hint = "; to fit a width and a height, use --fit WxH" if {"width", "height"} <= set(wanted) else ""
        raise UsageError(f"{names} exclude each other: use one of them{hint}")
    if not wanted or "scale" in wanted:
        return None
    ((kind, value),) = wanted.items()
    if kind == "fit":
        box = _BOX.fullmatch(str(value).strip())
        if box is None:
            raise UsageError(f"--fit {value}: use WIDTHxHEIGHT, such as 3840x2160")
        sides = [_checked("fit", float(side), MAX_SIDE) for side in box.groups()]
        return ResultSize(kind, *sides)
    return ResultSize(kind, _checked(kind, value, MAX_MEGAPIXELS if kind == "megapixels" else MAX_SIDE))


def _checked(kind: str, value: object, most: int) -> float:
    if not isinstance(value, int | float) or not 0 < value <= most:
        shown = f"{value:g}" if isinstance(value, int | float) else value
        raise UsageError(f"--{kind} {shown}: use a number above 0 and up to {most}")
    return float(value)
