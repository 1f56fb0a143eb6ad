"""The interface of an importable architecture, and loading a third-party state dict into one of our networks."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from img2img import networks
from img2img.errors import CheckpointError, ConfigError
from img2img.exchange import running_statistics
from img2img.exchange.listing import first_names
from img2img.networks.norms import inference_copy

State = dict[str, Tensor]
NormMode = Literal["paper", "running"]

LAYER_COUNTS = ("blocks", "convs", "downs")
"""Arguments of networks that count layers. Each of these layers has a tensor in the file."""

MAX_WIDTH = 2**16
"""The most channels of a layer, and the largest side of a picture."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says about a weights file. Everything else is read from its keys and shapes.

    Attributes:
        name: name in the card; None: the file name without its ending.
        norm_mode: what batch norm does, see `networks.norms.inference_copy`; None: as in the official test code.
        domains: names of the columns of the domain vector, in the order of training.
        exclusive: a picture belongs to exactly one domain.
        licence: licence of the weights.
        part: the generator to import, if the file holds several; see `parts.choose`.
        offset: the network has convolutions without padding, and its picture is extended by this number of pixels on
            each side; see `unpadded.Extended`.
    """

    name: str | None = None
    norm_mode: NormMode | None = None
    domains: tuple[str, ...] = ()
    exclusive: bool = False
    licence: str = ""
    part: str | None = None
    offset: int | None = None


@dataclass(frozen=True, kw_only=True)
class BuiltNetwork:
    """A network that `exchange.export` can write as a model file.

    Attributes:
        network: has the inputs and the output of a model file (docs/model-file.md).
        architecture: its name, for messages.
        facts: entries of the card: task, method, scale, multiple, minimum, domains, exclusive, parameters.
        context: the context in the card, if it is known from the layers. "measured": the export measures it. None: the
            whole picture.
        notes: messages for the user.
    """

    network: nn.Module
    architecture: str
    facts: dict[str, Any]
    context: int | Literal["measured"] | None = "measured"
    notes: list[str] = field(default_factory=list)


class Family(Protocol):
    """An architecture with a published layout of its state dict."""

    name: str

    def fits(self, state: State) -> bool:
        """Whether `state` belongs to this family, judging by key names and numbers of dimensions. Never raises."""

    def build(self, state: State, options: Options) -> BuiltNetwork:
        """The network, with its hyper-parameters read from `state`.

        Raises:
            CheckpointError: there are missing or additional keys or other shapes, or the network cannot become a
                model file.
            UsageError: `options` must say more.
        """


def build_network(name: str, state: State, *, optional: tuple[str, ...] = (), **hyper: Any) -> nn.Module:
    """The network `name` of `img2img.networks` with the weights `state`, in eval mode.

    Args:
        optional: endings of keys that files may omit. Omitted variances become ones, all other values zeros.
        hyper: arguments of the constructor.

    Raises:
        CheckpointError: keys or shapes differ; the message lists the first five.
    """
    for option, value in hyper.items():
        largest = len(state) if option in LAYER_COUNTS else MAX_WIDTH
        if isinstance(value, int) and not 0 <= value <= largest:
            raise CheckpointError(f"looks like {name}, but cannot have {option} {value} with {len(state)} tensors")
    try:
        with torch.device("meta"):  # neither initialises weights nor allocates memory: `state` replaces them
            network = networks.build(name, **hyper)
    except ConfigError as error:
        raise CheckpointError(f"looks like {name}, but cannot be one: {error}") from error
    own = network.state_dict()
    for key, value in own.items():
        if key not in state and optional and key.endswith(optional):
            make = torch.ones if key.endswith("running_var") else torch.zeros
            state = state | {key: make(value.shape, dtype=value.dtype)}
    return load(network, state, f"looks like {name} ({', '.join(f'{k} {v}' for k, v in hyper.items())})")


def load(network: nn.Module, state: State, looks_like: str) -> nn.Module:
    """`network` with the weights `state`, in eval mode.

    Raises:
        CheckpointError: keys or shapes differ. The message begins with `looks_like` and lists the first five keys.
    """
    own = network.state_dict()
    shapes = [
        f"{key} {list(state[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    for problem, keys in (
        ("lacks", [key for key in own if key not in state]),
        ("also has", [key for key in state if key not in own]),
        ("has other shapes:", shapes),
    ):
        if keys:
            raise CheckpointError(f"{looks_like}, but {problem} {first_names(keys)}")
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def parameter_count(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def in_norm_mode(
    network: nn.Module, default: NormMode, options: Options
) -> tuple[nn.Module, NormMode | None, list[str]]:
    """`network` in the norm mode of `options`, this mode (None: it has no batch norm), and notes for the user.

    Args:
        default: the norm mode of the official test code.

    Raises:
        CheckpointError: the mode is "running", and the running statistics are not finite.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        notes = ["it has no batch norm: --norm-mode has no effect"] if options.norm_mode is not None else []
        return network, None, notes
    mode: NormMode = options.norm_mode or default
    statistics = running_statistics.examine({"": network})
    if mode == "running" and statistics.not_finite:
        raise CheckpointError(f"{statistics.problem}; --norm-mode paper does not need them")
    if mode == "running" and statistics.never_updated:
        note = f"warning: {statistics.problem}, but norm mode running uses them; --norm-mode paper does not"
    elif mode == default:
        other = "running" if mode == "paper" else "paper"
        source = "of each picture, as in the official test" if mode == "paper" else "from training"
        note = f"its batch norm uses the statistics {source}; --norm-mode {other} gives other results"
    else:
        note = f"its batch norm runs in norm mode {mode}; the official test uses norm mode {default}"
    return inference_copy(network, mode), mode, [note]
