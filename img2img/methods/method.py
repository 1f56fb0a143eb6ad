"""The interface between the training loop and a method."""

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
"""What a method must know about its data to build its networks, such as channels and domain names. Plain values,
because the run folder keeps them as JSON.
"""

Step = Generator[tuple[str, Tensor], None, dict[str, Tensor]]
"""One training step, which reads like the algorithm box of a paper.

`yield "discriminator", loss` minimises the loss with the optimiser of that name. The code after it sees the updated
networks. The step returns the scalars to log.

A step yields its losses and does not call the optimiser, because the loop owns precision, distribution and gradient
clipping. The loop can also split a large batch into parts and still minimise the loss of the whole batch, update by
update.
"""


class OptimiserSpec(NamedTuple):
    """The networks that one optimiser updates, by their names in `Method.networks`, and its settings.

    `bound` clips every weight to [-bound, bound] after each step (Arjovsky et al. 2017, algorithm 1), except those of
    the parts in `unbounded`, such as "discriminator.classifier".
    """

    networks: tuple[str, ...]
    config: OptimiserConfig
    bound: float | None = None
    unbounded: tuple[str, ...] = ()


class Stateful(Protocol):
    """State of a method besides its networks, such as a replay pool. Checkpoints save and restore it.

    The state dict holds only tensors and plain values, because it is loaded without pickle.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class Validation:
    """The result of a validation.

    Attributes:
        figures: name to value. `Method.headline` is one of them. `training.health` watches `diversity` and
            `label_effect`.
        columns: captions of the contact sheet.
        rows: uint8 RGB pictures `[H, W, 3]`, one per column. All pictures of a row have the same size.
    """

    figures: dict[str, float]
    columns: Sequence[str]
    rows: Sequence[Sequence[NDArray[np.uint8]]]


@dataclass(frozen=True)
class ModelExport:
    """A model that a run writes. `network` maps 0..1 to 0..1. Export measures `card.context`."""

    network: nn.Module
    card: Card
    suffix: str = ""


class Method(ABC):
    """A published method: its data and one training step.

    A method names its networks and the networks that each optimiser updates. It reads its data and takes one step. The
    training loop owns precision, devices, distribution, moving averages, schedules, checkpoints and logging. It wraps
    the networks as needed and passes them to every call.

    Args:
        config: an instance of `recipe`.
        facts: the facts of an earlier `Method(config)`. With them, a method builds the same networks without reading
            its data, for example for export. None: a method that needs facts reads its data.

    Attributes:
        facts: see `Facts`. Empty if the configuration alone determines the networks.
        networks: the networks to train, by name. Checkpoints use the same names.
        optimisers: optimiser name to `OptimiserSpec`. The loop logs the learning rate of "generator".
        averaged: names of the networks that have a moving average. The average is validated and exported.
        batches: number of batches that `step` gets. Above 1, each discriminator update has its own batch.
        state: other state that a resume needs, by name.
        step_number: the step that `step` takes, counted from 0. The loop sets it.
        needs_from_start: names of the networks that the weights at `start` must hold. Others may be missing there.
        notes: messages to show before the first step.
    """

    recipe: ClassVar[type[RunConfig]]
    """The class of the configuration. Its defaults are those of the method."""

    headline: str
    """The validation figure that decides which checkpoint is the best. Higher is better."""

    official_layout: ClassVar[bool] = True
    """Whether each model is one of the averaged networks, so that its weights can be written for other programs."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, OptimiserSpec]
    averaged: tuple[str, ...]
    batches: int = 1
    state: Mapping[str, Stateful] = MappingProxyType({})
    step_number: int = 0
    needs_from_start: tuple[str, ...] = ()
    notes: list[str]
    facts: Facts = MappingProxyType({})

    @abstractmethod
    def __init__(self, config: Any, facts: Facts | None = None) -> None: ...

    @abstractmethod
    def load(self) -> Dataset[Batch]:
        """Read and check the data. The loop calls this once, before the first step. Each item depends only on its
        index.

        Raises:
            DataError: the data cannot be used for training.
        """

    @abstractmethod
    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        """Take one training step on `batches`: `self.batches` batches, already on the device. See `Step`."""

    @abstractmethod
    def validate(self, networks: Networks) -> Validation:
        """Measure `networks` on the held-out data. They are in eval mode, as moving averages where those exist."""

    @abstractmethod
    def models(self, networks: Networks) -> list[ModelExport]:
        """Return the models that a run writes at its end."""
