"""The votes of a user study: which side people prefer, with a confidence interval."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from img2img.errors import DataError
from img2img.evaluation.comparison.blind import Pair, unseal
from img2img.pages.blind import FORMAT
from img2img.text import show

Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
A, B, TIE = "A", "B", "tie"
_NOT_OURS = "no file of votes: use one that a page of compare --blind has saved"
_SAVE_AGAIN = "so save the votes again from the page"


class Vote(NamedTuple):
    """One answer: what was shown, and which was better: A, B or TIE."""

    pair: Pair
    choice: str


@dataclass(frozen=True)
class Ballot:
    """The votes of one session of one person.

    Attributes:
        salt: identifies the page.
        session: identifies the person's visit to it.
    """

    path: Path
    salt: str
    session: str
    votes: list[Vote]


@dataclass(frozen=True)
class Preference:
    """How often a side won.

    Attributes:
        share: wins / (wins + losses); NaN without either.
        low, high: its 95 % confidence interval (Wilson).
    """

    wins: int
    losses: int
    ties: int

    @property
    def share(self) -> float:
        count = self.wins + self.losses
        return self.wins / count if count else math.nan

    @property
    def low(self) -> float:
        return wilson(self.wins, self.wins + self.losses)[0]

    @property
    def high(self) -> float:
        return wilson(self.wins, self.wins + self.losses)[1]


@dataclass(frozen=True)
class Tally:
    """All votes together.

    Attributes:
        sides: name -> how it did against all others.
        pairs: two names -> how the first did against the second.
        first: how often A, the picture on the left, won. Far from one half, people chose by place.
        count: number of votes.
    """

    sides: dict[str, Preference]
    pairs: dict[tuple[str, str], Preference]
    first: Preference
    count: int


def wilson(wins: int, count: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), by default with 95 % confidence. Without votes: 0 to 1."""
    if not count:
        return 0.0, 1.0
    share = wins / count
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def read(path: Path) -> Ballot:
    """Read a file that a page of `img2img compare --blind` has saved.

    Raises:
        DataError: it cannot be read, or is no such file, or is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{show(path)}: {error.strerror or error}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{show(path)}: {_NOT_OURS}", path=path) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{show(path)}: {_NOT_OURS}", path=path)
    version = found.get("version")
    if version != 1:
        newer = isinstance(version, int) and version > 1
        what = f"its version is {version}: install a newer img2img" if newer else f"damaged, {_SAVE_AGAIN}"
        raise DataError(f"{show(path)}: {what}", path=path)
    salt, session, votes = (found.get(key) for key in ("salt", "session", "votes"))
    if not (isinstance(salt, str) and isinstance(session, str) and isinstance(votes, list)):
        raise DataError(f"{show(path)}: damaged (salt, session or votes are missing), {_SAVE_AGAIN}", path=path)
    if not votes:
        raise DataError(f"{show(path)}: it holds no votes yet", path=path)
    try:
        return Ballot(path, salt, session, list({place: vote for place, vote in _votes(votes, salt)}.values()))
    except DataError as error:
        raise DataError(f"{show(path)}: {error}", path=path) from error


def _votes(votes: Sequence[Any], salt: str) -> Iterable[tuple[int, Vote]]:
    for one in votes:
        place, key, choice = (one.get(name) if isinstance(one, dict) else None for name in ("trial", "key", "vote"))
        if not isinstance(place, int) or not isinstance(key, str) or choice not in (A, B, TIE):
            raise DataError(f"damaged (an entry is no vote for {A}, {B} or {TIE}), {_SAVE_AGAIN}")
        yield place, Vote(unseal(key, salt, place), choice)


def without_repeats(ballots: Sequence[Ballot]) -> tuple[list[Ballot], list[str]]:
    """Each session once, with its most complete file. And the reason why others do not count."""
    kept: dict[tuple[str, str], Ballot] = {}
    reasons = []
    for one in sorted(ballots, key=lambda ballot: -len(ballot.votes)):
        key = (one.salt, one.session)
        if key in kept:
            reasons.append(f"{show(one.path)}: the same session as {show(kept[key].path)}; counted once")
        else:
            kept[key] = one
    counted = {id(one) for one in kept.values()}
    return [one for one in ballots if id(one) in counted], reasons


def tally(votes: Sequence[Vote]) -> Tally:
    """Count the votes."""
    names = sorted({name for vote in votes for name in vote.pair[1:]})
    pairs = {two: _count(votes, *two) for two in itertools.combinations(names, 2)}
    pairs = {two: one for two, one in pairs.items() if one.wins + one.losses + one.ties}
    sides = {}
    for name in names:
        own = [one if two[0] == name else _reversed(one) for two, one in pairs.items() if name in two]
        sides[name] = Preference(sum(o.wins for o in own), sum(o.losses for o in own), sum(o.ties for o in own))
    choices = [vote.choice for vote in votes]
    first = Preference(choices.count(A), choices.count(B), choices.count(TIE))
    return Tally(sides, pairs, first, len(votes))


def _count(votes: Sequence[Vote], one: str, other: str) -> Preference:
    wins = losses = ties = 0
    for pair, choice in votes:
        if {pair.a, pair.b} != {one, other}:
            continue
        winner = {A: pair.a, B: pair.b}.get(choice)
        wins += winner == one
        losses += winner == other
        ties += winner is None
    return Preference(wins, losses, ties)


def _reversed(one: Preference) -> Preference:
    return Preference(one.losses, one.wins, one.ties)
