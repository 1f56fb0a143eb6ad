"""What an importable family of networks is, and how a foreign state dict gets into a network of ours."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from img2img import networks
from img2img.errors import CheckpointError, ConfigError
from img2img.exchange import statistics
from img2img.networks.norms import inference_copy

State = dict[str, Tensor]
NormMode = Literal["paper", "running"]

NAMED = 5
"""Keys that a message names."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may say about a weights file; the rest is read off its keys and shapes.

    Attributes:
        name: in the card; None: the file's, without its ending.
        norm_mode: what batch norm does, see `networks.norms.inference_copy`; None: what the family's official test does
        domains: names of the columns of the domain vector, in the order of training.
        exclusive: a picture is in exactly one of them.
        licence: of the weights.
    """

    name: str | None = None
    norm_mode: NormMode | None = None
    domains: tuple[str, ...] = ()
    exclusive: bool = False
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A network with the face of contract 1.

    Attributes:
        network: as `exchange.export` takes it.
        facts: what the card says of it: task, method, scale, multiple, minimum, domains, exclusive, parameters.
        reach: the context where the layers tell it.
        notes: what the person should hear.
    """

    network: nn.Module
    facts: dict[str, Any]
    reach: int | Literal["measured"] | None = "measured"
    notes: list[str] = field(default_factory=list)


class Family(Protocol):
    """One published layout of state dicts."""

    name: str
    looks_for: str
    """The keys by which it is told, for the message that nothing fits."""

    def fits(self, state: State) -> bool:
        """Whether `state` is of this family, to judge by names and numbers of dimensions. Never raises."""

    def build(self, state: State, options: Options) -> Built:
        """The network, its hyper-parameters read off `state`.

        Raises:
            CheckpointError: keys are missing, too many or of other shapes, or contract 1 cannot be met.
            UsageError: something has to be said in `options`.
        """


def fill(name: str, state: State, *, absent: tuple[str, ...] = (), **hyper: Any) -> nn.Module:
    """The network `name` of `img2img.networks` with the weights `state`, in eval mode.

    Args:
        absent: endings of keys that files may lack; these are zeros then, and ones where they are variances.
        hyper: arguments of the constructor.

    Raises:
        CheckpointError: the keys or shapes differ; the message names the first five.
    """
    try:
        with torch.device("meta"):  # the weights are given: none have to be drawn, nor to be held twice
            network = networks.build(name, **hyper)
    except ConfigError as error:
        raise CheckpointError(f"looks like {name}, but cannot be one: {error}") from error
    own = network.state_dict()
    for key, value in own.items():
        if key not in state and absent and key.endswith(absent):
            make = torch.ones if key.endswith("running_var") else torch.zeros
            state = state | {key: make(value.shape, dtype=value.dtype)}
    compare(own, state, f"looks like {name} ({', '.join(f'{k} {v}' for k, v in hyper.items())})")
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def compare(own: State, state: State, what: str) -> None:
    """Refuse a `state` that is not for a network with the state dict `own`.

    Raises:
        CheckpointError: begins with `what`, and names the first five keys.
    """
    shapes = [
        f"{key} {list(state[key].shape)} in place of {list(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    for problem, keys in (
        ("lacks", [key for key in own if key not in state]),
        ("also has", [key for key in state if key not in own]),
        ("has other shapes:", shapes),
    ):
        if keys:
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            raise CheckpointError(f"{what}, but {problem} {', '.join(keys[:NAMED])}{more}")


def parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def tested(network: nn.Module, default: NormMode, options: Options) -> tuple[nn.Module, NormMode | None, list[str]]:
    """`network` as its batch norm is to behave, which way that is (None: it has none), and what is to be said of it.

    Raises:
        CheckpointError: its running statistics are to be used, and are not finite.
    """
    batch = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    if not batch:
        said = options.norm_mode is not None
        return network, None, ["it has no batch norm: --norm-mode changes nothing"] if said else []
    mode: NormMode = options.norm_mode or default
    gathered = statistics.examine({"": network})
    if mode == "running" and gathered.broken:
        raise CheckpointError(f"{gathered.fault}; --norm-mode paper does without them")
    if mode == "running" and gathered.idle:
        note = f"warning: {gathered.fault}, and norm mode running uses them; --norm-mode paper does without"
    elif mode == default:
        other = "running" if mode == "paper" else "paper"
        whose = "of each picture, as in the official test" if mode == "paper" else "gathered in training"
        note = f"its batch norm takes the statistics {whose}; --norm-mode {other} gives other pictures"
    else:
        note = f"its batch norm is used in mode '{mode}'; the official test is in mode '{default}'"
    return inference_copy(network, mode), mode, [note]
