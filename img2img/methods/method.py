"""What the training loop knows of a method."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img.methods.config import OptimiserConfig, RunConfig
from img2img.runtime.network.card import Card

Networks = Mapping[str, nn.Module]
Batch = dict[str, Tensor]
Facts = Mapping[str, Any]
"""What networks owe to the data (channels, names of domains): plain values, kept in the run folder as JSON."""

Step = Generator[tuple[str, Tensor], None, dict[str, Tensor]]
"""One training step, written as it stands in the paper: `yield "discriminator", loss` descends that loss with the
optimiser of that name, and what follows sees the moved networks. The scalars to log are returned.

The loop owns how (precision, distribution, clipping). A step that hands up its losses, and not one that calls the
optimiser, lets the loop take a large batch in parts and still descend the loss of the whole batch, update by update.
"""


class OptimiserSpec(NamedTuple):
    """What one optimiser moves, by the names in `Method.networks`, and how.

    `bound` keeps every weight within plus or minus that value after each step (Arjovsky et al. 2017, algorithm 1).
    """

    networks: tuple[str, ...]
    config: OptimiserConfig
    bound: float | None = None


class Stateful(Protocol):
    """State of a method that is no network (replay pool, moving averages of an objective): saved and restored.

    The state dict holds tensors and plain values only, for it is read back without pickle.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class Validation:
    """What a validation gives.

    Attributes:
        figures: name to value; `Method.headline` is among them. The names that `training.health` knows (`diversity`,
            `label_effect`) are watched.
        columns: captions of the contact sheet.
        rows: uint8 RGB pictures `[H, W, 3]`, one a column, all of one size in a row.
    """

    figures: dict[str, float]
    columns: Sequence[str]
    rows: Sequence[Sequence[NDArray[np.uint8]]]


@dataclass(frozen=True)
class ModelExport:
    """One model that a run leaves: `network` takes and returns pictures 0..1; `card.context` is measured at export."""

    network: nn.Module
    card: Card
    suffix: str = ""


class Method(ABC):
    """A published method: data plus one step.

    A method names its networks and which of them each optimiser moves, reads its data, and takes one step. The
    training loop owns precision, devices, distribution, moving averages, schedules, checkpoints and logging, and
    hands the networks, wrapped as it needs them, to every call.

    Args:
        config: of the class `recipe`.
        facts: those of an earlier `Method(config)`, to make the same networks without the data, for export. None: a
            method that needs them reads its data.

    Attributes:
        facts: see `Facts`; empty where the configuration alone says how the networks are made.
        networks: what is trained, by name; checkpoints hold them under these names.
        optimised: optimiser name to what it moves and how. "generator" is the one whose rate is logged.
        averaged: names of the networks of which a moving average is kept, validated and exported.
        batches: how many batches `step` is given (discriminator updates on batches of their own).
        state: what else a resume needs, by name.
        notes: what the person should hear before the first step.
    """

    recipe: ClassVar[type[RunConfig]]
    """The configuration with the method's defaults."""

    headline: str
    """The validation figure that decides which checkpoint is the best; higher is better."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, OptimiserSpec]
    averaged: tuple[str, ...]
    batches: int = 1
    state: Mapping[str, Stateful] = MappingProxyType({})
    notes: list[str]
    facts: Facts = MappingProxyType({})

    @abstractmethod
    def __init__(self, config: Any, facts: Facts | None = None) -> None: ...

    @abstractmethod
    def load(self) -> Dataset[Batch]:
        """Read and check the data; called once, before the first step. Items are a pure function of their index.

        Raises:
            DataError: the data cannot be trained on.
        """

    @abstractmethod
    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        """One training step on `batches`, `self.batches` of them, already on the device. See `Step`."""

    @abstractmethod
    def validate(self, networks: Networks) -> Validation:
        """Measure `networks` (moving averages where they exist, in eval mode) on the held-out data."""

    @abstractmethod
    def models(self, networks: Networks) -> list[ModelExport]:
        """The models that a run ends with."""
