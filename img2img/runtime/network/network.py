"""The protocol of networks that tiling and the tasks use. `session.LoadedModel` implements it; tests define others."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

from img2img.runtime.network.card import Card
from img2img.threads import Cores
from img2img.types import Floats


class Network(Protocol):
    """A network that turns float pictures into float pictures.

    Attributes:
        path: the model file, for messages.
        card: the properties of the model.
        fixed: height and width of the only input size that the network accepts, in pixels; None: any size.
        is_foreign: the card was derived by probing, so an unknown context does not mean "the whole picture".
        pixels_at_once: input pixels of several tiles that one run may take together; 0: one tile per run.
        cores: the cores that runs at the same time share.
    """

    @property
    def path(self) -> Path: ...
    @property
    def card(self) -> Card: ...
    @property
    def fixed(self) -> tuple[int, int] | None: ...
    @property
    def is_foreign(self) -> bool: ...
    @property
    def pixels_at_once(self) -> int: ...
    @property
    def cores(self) -> Cores: ...

    def infer(self, image: Floats, **others: Floats) -> Floats:
        """Run the network once: float32 [N, 3, H, W] to [N, 3, H * scale, W * scale], RGB 0..1."""
        ...

    def with_inputs(self, **others: Floats) -> Self:
        """The same network with some of its further inputs (see `Card.inputs`) already given."""
        ...

    def with_card(self, card: Card) -> Self:
        """The same network with another card."""
        ...
