"""List names in a message."""

from collections.abc import Sequence

from img2img.text import show

MAX_NAMES = 5
MAX_LENGTH = 80
"""The most characters of a name from a file."""


def shortened(text: str) -> str:
    """A text from a file, fit for a message of one line."""
    return show(text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…")


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are: "a, b, c, d, e and 3 more"."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(shortened(name) for name in names[:MAX_NAMES]) + more
