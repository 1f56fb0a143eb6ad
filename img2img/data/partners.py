"""Which pictures of a multi-domain set show the same thing: those of one name in several of its domains."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Partners:
    """The places of the pictures that show what a picture shows, in all domains of its data set.

    Its own place is among them: asked for the style that a picture is drawn in, a generator is to leave it alone, and
    learns that nowhere else.

    Args:
        keys: of each picture what it shows, such as its data set's number and its name.
        domains: the domain of each picture, or -1 where its data set has attributes and no domains; those have no
            partners.
    """

    def __init__(self, keys: Sequence[object], domains: Sequence[int]) -> None:
        groups: dict[object, list[int]] = {}
        for place, (key, domain) in enumerate(zip(keys, domains, strict=True)):
            if domain >= 0:
                groups.setdefault(key, []).append(place)
        self._of: dict[int, NDArray[np.int64]] = {}
        for places in groups.values():
            for place in places:
                others = [one for one in places if domains[one] != domains[place]]
                if others:
                    self._of[place] = np.array([place, *others], np.int64)

    def __len__(self) -> int:
        """How many pictures have a partner."""
        return len(self._of)

    def draw(self, place: int, rng: np.random.Generator) -> int | None:
        """One of the partners of the picture at `place`, or itself, at random; None where it has no partner."""
        places = self._of.get(place)
        return None if places is None else int(places[rng.integers(len(places))])
