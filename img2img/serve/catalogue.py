"""The models that the server offers. Clients name them; only the person who starts the server gives paths."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img.errors import ModelError
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.text import show


class NoSuchModel(ModelError):
    """A client asks for a model that the server does not offer."""


@dataclass(frozen=True)
class Offer:
    """A model that clients may name.

    Attributes:
        path: an ONNX file or a run folder.
        given: whether the server was started with it; otherwise it is an installed one.
        directions: of a run folder with several models, the values of `direction`.
    """

    name: str
    path: Path
    card: Card | None
    given: bool = False
    directions: tuple[str, ...] = ()

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the operations that can use it."""
        if self.card is None:  # its task is unknown: probing finds no mask
            return ("upscale", "translate")
        if self.card.task == "upscale":
            return ("restore", "upscale") if self.card.scale == 1 else ("upscale",)
        return () if self.card.morphs else (self.card.task,)


class Catalogue:
    """Installed models, and those that the server was started with. Threads may share it.

    Args:
        given: names, ONNX files or run folders. They come first, and each is the default of its operation if it is the
            only one for it.

    Raises:
        ModelError: one of `given` does not exist or cannot be read.
    """

    def __init__(self, given: Sequence[str] = ()) -> None:
        self._given = {offer.name: offer for offer in map(_of_path, given)}
        self._cards: dict[Path, tuple[tuple[int, int], Card | None]] = {}
        self._lock = threading.Lock()

    def offers(self) -> list[Offer]:
        """All models that work, sorted by name, the given ones first. The folders are read again each time."""
        found = dict(self._given)
        for name, path in sorted(models.files().items()):
            if name in found:
                continue
            try:
                card = self._card(path)
            except (ModelError, OSError):  # `img2img models` shows it
                continue
            found[name] = Offer(name, path, card)
        return [one for one in found.values() if one.operations]

    def find(self, name: str) -> Offer:
        """The model of this name. Raises NoSuchModel; the message lists the known names."""
        offers = {one.name: one for one in self.offers()}
        if name in offers:
            return offers[name]
        close = difflib.get_close_matches(name, offers, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ";"
        raise NoSuchModel(f"there is no model named {show(name[:100])!r}{guess} models: {', '.join(offers)}")

    def default(self, operation: str) -> Offer | None:
        """The only given model for an operation; None: the operation has its usual default."""
        fitting = [one for one in self._given.values() if one.operations and one.operations[0] == operation]
        return fitting[0] if len(fitting) == 1 else None

    def _card(self, path: Path) -> Card | None:
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size)
        with self._lock:
            known = self._cards.get(path)
        if known is not None and known[0] == version:
            return known[1]
        card = models.read_card(path)
        with self._lock:
            self._cards[path] = version, card
        return card


def facts(offer: Offer, *, default_of: Sequence[str] = ()) -> dict[str, Any]:
    """The main facts of a model as JSON."""
    card = offer.card
    about: dict[str, Any] = {
        "name": offer.name,
        "operations": list(offer.operations),
        "default_of": list(default_of),
        "directions": list(offer.directions),
    }
    if card is None:
        return about
    return about | {
        "task": card.task,
        "method": card.method,
        "scale": card.scale,
        "domains": list(card.domains),
        "exclusive": card.exclusive,
        "reference": card.reference,
        "latent": card.latent,
        "side": card.side,
        "input_quality": card.input_quality,
        "precision": card.precision,
        "parameters": card.parameters,
        "licence": card.licence,
        "trained_on": list(card.trained_on),
        "metrics": card.metrics,
    }


def _of_path(name: str) -> Offer:
    folder = Path(name).expanduser()
    if not folder.is_dir() or name in models.files():
        path = models.find(name)
        card = models.read_card(path)
        return Offer(path.stem if card is None or path.stem != "model" else card.name, path, card, given=True)
    stems = [path.stem.removeprefix("model").removeprefix(".") for path in sorted(folder.glob("model*.onnx"))]
    if not stems:
        models.find(folder)  # raises the error for it
    directions = [] if "" in stems or len(stems) == 1 else [one for one in stems if one.rpartition(".")[0] not in stems]
    first = models.find(folder, direction=directions[0] if directions else None)
    resolved = folder.resolve()
    return Offer(resolved.name, resolved, models.read_card(first), given=True, directions=tuple(directions))
