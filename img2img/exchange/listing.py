"""List names in a message."""

from collections.abc import Sequence

MAX_NAMES = 5


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are: "a, b, c, d, e and 3 more"."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
