"""Find the generators in a weights file, whatever dictionaries and prefixes they are stored under.

Training programs store several networks in one file, each in a dictionary of its own or with its own prefix in the
keys. Both are the same here: a name is the keys of all dictionaries and the key of the tensor, joined by dots.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from img2img.errors import CheckpointError, UsageError
from img2img.exchange.importers import registry
from img2img.exchange.listing import first_names, shortened

WRAPPERS = (
    "g_ema",
    "params_ema",
    "params-ema",
    "model_ema",
    "generator_ema",
    "model_state_dict",
    "state_dict",
    "params",
    "model",
    "net",
    "generator",
    "netG",
    "net_g",
    "G",
    "weights",
)
"""Keys that published files store their weights under. Moving averages come first: the papers show results of those."""

PREFIXES = ("module", "_orig_mod")
"""Prefixes that training wrappers leave: data parallelism and torch.compile. They name no network."""

MAX_DEPTH = 8
"""The most names before the layers of a network."""

MAX_ENTRIES = 400_000
"""The most entries in all dictionaries of a file. Training states of large networks have some ten thousand."""

MAX_KEY = 300
"""The most characters of a key. Entries with longer keys are left out."""

MAX_TENSORS = 50_000
"""The most tensors in a file."""


class SeveralGenerators(UsageError):
    """A file holds several generators. `hint` is right for `img2img import`."""


_AVERAGE = re.compile(r"(?:^|[_-])ema(?=$|[_-])", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """The tensors that are stored under one name.

    Attributes:
        place: the names that lead to them, outermost first; empty: all tensors of the file.
        names: key in the state dict -> name in the file.
    """

    place: tuple[str, ...]
    names: dict[str, str]

    @property
    def wrappers(self) -> tuple[str, ...]:
        """`place` without the prefixes that say nothing."""
        return tuple(one for one in self.place if one not in PREFIXES)

    @property
    def averaged(self) -> bool:
        """Whether the weights are a moving average of other weights, by the names that lead to them."""
        return any(_AVERAGE.search(one) for one in self.place)

    def answers_to(self, wanted: str) -> bool:
        """Whether `wanted` is the name of this part, or one or several names in a row on the way to it."""
        return f".{wanted}." in f".{'.'.join(self.place)}."


def flatten(content: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Name -> value of everything in nested dictionaries and lists, in the order of the file; and their own names.

    Raises:
        CheckpointError: the content contains itself, or there is too much of it.
    """
    leaves: dict[str, Any] = {}
    containers: set[str] = set()
    waiting: list[tuple[Any, tuple[str, ...], tuple[int, ...]]] = [(content, (), ())]
    for _ in range(MAX_ENTRIES):
        if not waiting:
            return leaves, frozenset(containers)
        content, place, around = waiting.pop()
        if id(content) in around:
            raise CheckpointError("is damaged: it contains itself, and holds no state dict")
        if isinstance(content, Mapping):
            items = list(content.items())
        elif isinstance(content, list | tuple):
            items = list(enumerate(content))
        else:
            leaves[".".join(place)] = content
            continue
        if len(around) < MAX_DEPTH and len(items) <= MAX_ENTRIES:
            containers.add(".".join(place))
            around = (*around, id(content))
            named = [(str(key), value) for key, value in reversed(items)]
            waiting += [(value, (*place, key), around) for key, value in named if len(key) <= MAX_KEY]
    raise CheckpointError("is not a weights file: it has too many entries")


def find(shapes: Mapping[str, Sequence[int]]) -> list[Part]:
    """The generators among tensors of these names and shapes. Discriminators and other networks are left out."""
    state = {name: _shaped(shape) for name, shape in shapes.items()}
    found: list[Part] = []
    waiting = [Part((), {name: name for name in state})]
    while waiting:
        part = waiting.pop()
        if registry.is_known({key: state[name] for key, name in part.names.items()}):
            found.append(part)
        elif len(part.place) < MAX_DEPTH:
            waiting += reversed(_below(part))
    return found


def choose(shapes: Mapping[str, Sequence[int]], containers: frozenset[str], wanted: str | None = None) -> Part:
    """The generator to use: the one called `wanted`, or the only one. Moving averages replace their networks.

    If no generator is found, the tensors that a known name leads to, so that the caller can say what they look like.

    Args:
        shapes: name -> shape of every tensor in the file.
        containers: see `flatten`.

    Raises:
        CheckpointError: there are no tensors, or several sets of them and no generator.
        SeveralGenerators: there are several generators.
        UsageError: none is called `wanted`.
    """
    if not shapes:
        raise CheckpointError("holds no state dict of tensors")
    if len(shapes) > MAX_TENSORS:
        raise CheckpointError("is not a weights file: it has too many tensors")
    found = find(shapes)
    fitting = _preferred([part for part in found if wanted is None or part.answers_to(wanted)])
    if len(fitting) == 1:
        return fitting[0]
    names = first_names(_shown(fitting or found))
    if fitting:
        hint = "choose one with --part NAME"
        raise SeveralGenerators(f"holds several generators ({names}): {hint}", hint=hint)
    if wanted is not None:
        instead = f"there are {names}" if found else "there is no generator of a known architecture"
        raise UsageError(f"--part {shortened(wanted)}: the file has no generator of this name; {instead}")
    return _unknown(Part((), {name: name for name in shapes}), containers)


def _shaped(shape: Sequence[int]) -> torch.Tensor:
    try:
        return torch.empty(tuple(shape), device="meta")
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError("holds a tensor of impossible shape") from error


def _below(part: Part) -> list[Part]:
    """The parts one name further."""
    groups: dict[str, dict[str, str]] = {}
    for key, name in part.names.items():
        first, dot, rest = key.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = name
    return [Part((*part.place, first), names) for first, names in groups.items()]


def _preferred(parts: list[Part]) -> list[Part]:
    """`parts` without the networks whose moving average is among them."""
    averages = [part for part in parts if part.averaged]
    others = [part for part in parts if not part.averaged]
    if len(averages) == len(others) == 1:
        return averages
    plain = {tuple(_AVERAGE.sub("", one).strip("_-").lower() for one in part.place) for part in averages}
    kept = [part for part in others if tuple(one.lower() for one in part.place) not in plain]
    return [part for part in parts if part in averages or part in kept]


def _shown(parts: list[Part]) -> list[str]:
    """The names of `parts`, without what is the same in all."""
    places = [list(part.place) for part in parts]
    while len(places) > 1 and all(len(place) > 1 and place[0] == places[0][0] for place in places):
        places = [place[1:] for place in places]
    while len(places) > 1 and all(len(place) > 1 and place[-1] == places[0][-1] for place in places):
        places = [place[:-1] for place in places]
    return [".".join(place) for place in places]


def _unknown(part: Part, containers: frozenset[str]) -> Part:
    """The part of a file without known generators that holds its weights.

    Raises:
        CheckpointError: there are several sets of weights.
    """
    while len(part.place) < MAX_DEPTH:
        below = {one.place[-1]: one for one in _below(part)}
        inside = [name for name, one in below.items() if ".".join(one.place) in containers]
        wrapper = next((name for name in WRAPPERS if name in inside), None)
        if wrapper is None and len(below) == 1 and (inside or next(iter(below)) in (*PREFIXES, "netG")):
            wrapper = next(iter(below))
        if wrapper is None:
            if len(inside) > 1 and len(inside) == len(below):
                raise CheckpointError(f"holds several sets of weights ({first_names(inside)}), and no known generator")
            return part
        part = below[wrapper]
    return part
