"""The results of one picture that is translated: their domains, the numbers of their samples, and their names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from img2img.errors import UsageError
from img2img.runtime.files import naming
from img2img.runtime.network.card import Card
from img2img.text import nfc
from img2img.types import Floats

ALL = "all"


class Result(NamedTuple):
    """One result of a picture: its target domains, and the number of its sample, from 1 on. None: no sample."""

    to: tuple[str, ...]
    sample: int | None = None


def of_picture(card: Card, to: tuple[str, ...], samples: int | None) -> dict[str, Result]:
    """The part of the file name that identifies a result -> what makes the result.

    Args:
        to: domains that are combined, or "all" for one result per domain.
        samples: number of samples in each domain; None: no samples.

    Raises:
        UsageError: see `label_of`.
    """
    domains = _domains(card, to)
    if samples is None:
        return {name: Result(domain) for name, domain in domains.items()}
    return {
        "_".join(filter(None, (name, str(number)))): Result(domain, number)
        for name, domain in domains.items()
        for number in range(1, samples + 1)
    }


def _domains(card: Card, to: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The part of the file name for each target -> its domains."""
    if ALL in to and ALL not in card.domains:
        if len(to) > 1:
            raise UsageError("--to all cannot be combined with other domains")
        if card.domains:
            named: dict[str, tuple[str, ...]] = {naming.safe_name(domain): (domain,) for domain in card.domains}
            if len(named) < len(card.domains):
                raise UsageError("two domains would get the same file name: run them one at a time, with --to and -o")
            return named
    label_of(card, to)
    return {naming.safe_name("_".join(to)) if to else "": to}


def label_of(card: Card, to: str | Sequence[str]) -> Floats | None:
    """The input `domain`, float32 [1, K], with a one in each column that `to` names. None if the model has no domains.

    Raises:
        UsageError: `to` is empty although the model has domains, names an unknown domain or several exclusive ones,
            or the model has no domains.
    """
    wanted = [nfc(name) for name in ([to] if isinstance(to, str) else to)]
    domains = [nfc(name) for name in card.domains]
    known = ", ".join(card.domains)
    if not card.domains:
        if wanted:
            raise UsageError(f"{card.name} has one direction and no domains: omit --to {wanted[0]}")
        return None
    if not wanted:
        raise UsageError(f"{card.name} has several domains; choose one with --to: {known}")
    for name in wanted:
        if name not in domains:
            close = difflib.get_close_matches(name, domains, n=1)
            guess = f"did you mean {close[0]!r}? it has" if close else "it has"
            raise UsageError(f"{card.name} has no domain {name!r}; {guess} {known}")
    if card.exclusive and len(set(wanted)) > 1:
        raise UsageError(f"the domains of {card.name} are exclusive: choose one with --to, not {', '.join(wanted)}")
    return np.array([[float(name in wanted) for name in domains]], np.float32)
