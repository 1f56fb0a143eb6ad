"""Two-alternative forced choice: which two sides each choice shows, and on which side of the page.

The page must be able to say later what was A and what was B, but a participant must not read it there. So names are
sealed: not secret from somebody who has this file, but nothing that one sees by looking at the page.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from img2img.errors import DataError
from img2img.evaluation.comparison.sides import INPUT
from img2img.pages.blind import Trial

_PADDED = 256
"""Sealed texts are padded to a multiple of it: their length tells no name."""
_CHECK = 8
"""Bytes of the digest that shows whether a key is intact."""


@dataclass(frozen=True)
class Shown:
    """A picture with the numbers of its results and its input in the store of a page."""

    name: str
    size: tuple[int, int]
    numbers: Mapping[str, int]


@dataclass(frozen=True)
class Study:
    """The choices of a page. `salt` identifies the page and unseals the keys."""

    salt: str
    trials: list[Trial]


class Pair(NamedTuple):
    """What a choice showed: the picture, and the sides that were A and B."""

    picture: str
    a: str
    b: str


def shuffled(names: Sequence[str], seed: int, picture: str) -> list[str]:
    """The sides in the order in which the page holds their pictures."""
    found = sorted(names)
    random.Random(f"{seed} {picture}").shuffle(found)
    return found


def study(cases: Sequence[Shown], names: Sequence[str], seed: int) -> Study:
    """Every pair of sides for every picture, in random order. Sides without a result for a picture are left out."""
    listed = json.dumps([seed, list(names), [case.name for case in cases]])
    salt = hashlib.sha256(listed.encode()).hexdigest()[:16]
    order = random.Random(salt)
    pairs = []
    for case in cases:
        present = [name for name in names if name in case.numbers]
        for two in itertools.combinations(present, 2):
            a, b = order.sample(two, 2)
            pairs.append((case, a, b))
    order.shuffle(pairs)
    trials = [
        Trial(
            case.numbers[a], case.numbers[b], case.numbers[INPUT], case.size, seal(Pair(case.name, a, b), salt, place)
        )
        for place, (case, a, b) in enumerate(pairs)
    ]
    return Study(salt, trials)


def seal(pair: Pair, salt: str, place: int) -> str:
    """What choice number `place` shows, as a key that does not look like it."""
    text = json.dumps(list(pair)).encode()
    text += b" " * (-(len(text) + _CHECK) % _PADDED)
    data = hashlib.sha256(text).digest()[:_CHECK] + text
    return base64.b64encode(_mixed(data, salt, place)).decode("ascii")


def unseal(key: str, salt: str, place: int) -> Pair:
    """What `seal` was given.

    Raises:
        DataError: the key is damaged, or belongs to another page.
    """
    try:
        data = _mixed(base64.b64decode(key, validate=True), salt, place)
        check, text = data[:_CHECK], data[_CHECK:]
        if hashlib.sha256(text).digest()[:_CHECK] != check:
            raise ValueError("wrong digest")
        picture, a, b = json.loads(text)
        return Pair(str(picture), str(a), str(b))
    except ValueError as error:
        raise DataError(f"the key of choice {place + 1} is damaged") from error


def _mixed(data: bytes, salt: str, place: int) -> bytes:
    """The bytes combined with a stream that the salt and the place give. Twice: the bytes themselves."""
    blocks = range(len(data) // hashlib.sha256().digest_size + 1)
    stream = b"".join(hashlib.sha256(f"img2img {salt} {place} {block}".encode()).digest() for block in blocks)
    return bytes(one ^ other for one, other in zip(data, stream, strict=False))
