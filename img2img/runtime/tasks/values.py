"""Parses the values of options that are texts: sizes, colours and boxes."""

from __future__ import annotations

import contextlib
import string
from typing import Literal

from img2img.errors import UsageError
from img2img.text import parse_side, show


def parse_size(text: str) -> int | Literal["keep", "fit"]:
    """The value of --size for `translate` and `inpaint`. Raises UsageError."""
    if text == "keep":
        return "keep"
    if text == "fit":
        return "fit"
    return parse_side(text, "--size", "keep, fit")


def parse_colour(text: str, option: str) -> tuple[int, int, int]:
    """The colour given for `option`: a name of CSS or #RRGGBB, also without #. Raises UsageError."""
    from PIL import ImageColor

    is_number = len(text) == 6 and set(text) <= set(string.hexdigits)
    with contextlib.suppress(ValueError):
        colour = ImageColor.getrgb(f"#{text}" if is_number else text)
        if len(colour) == 3:  # four: with an alpha channel
            return colour
    what = "use a name such as white, or #RRGGBB such as '#ff00ff' (in quotes for the shell)"
    raise UsageError(f"{option} {show(text)}: {what}")


def parse_box(text: str) -> tuple[int, int, int, int]:
    """The value of --box: x, y, width and height in pixels. Raises UsageError."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise UsageError(f"--box {show(text)}: use left, top, width and height as whole numbers, such as 40,30,200,80")
    return x, y, width, height
