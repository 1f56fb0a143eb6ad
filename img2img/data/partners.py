"""Finds the pictures of a multi-domain set that show the same thing: those with the same name in several domains."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Partners:
    """For each picture, the pictures in all domains of its data set that show the same thing.

    These include the picture itself. This is the only way for a generator to learn that it must not change a picture
    that already has the requested style.

    Args:
        keys: what each picture shows, such as the number of its data set and its name.
        domains: the domain of each picture, or -1 if its data set has attributes instead of domains. Those pictures
            have no partners.
    """

    def __init__(self, keys: Sequence[object], domains: Sequence[int]) -> None:
        groups: dict[object, list[int]] = {}
        for place, (key, domain) in enumerate(zip(keys, domains, strict=True)):
            if domain >= 0:
                groups.setdefault(key, []).append(place)
        self._of: dict[int, NDArray[np.int64]] = {}
        for places in groups.values():
            for place in places:
                others = [other for other in places if domains[other] != domains[place]]
                if others:
                    self._of[place] = np.array([place, *others], np.int64)

    def __len__(self) -> int:
        """Return the number of pictures with a partner."""
        return len(self._of)

    def draw(self, place: int, rng: np.random.Generator) -> int | None:
        """Return a random partner of the picture at `place`, or the picture itself; None if it has no partner."""
        places = self._of.get(place)
        return None if places is None else int(places[rng.integers(len(places))])
