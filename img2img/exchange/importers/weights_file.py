"""Read third-party weights files (.pth, .pt, .ckpt, .safetensors) into state dicts, without executing anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from img2img.errors import CheckpointError
from img2img.exchange.importers import safe_pickle

AVERAGED = ("g_ema", "params_ema", "params-ema", "model_ema", "generator_ema")
WRAPPERS = (
    *AVERAGED,
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

PREFIXES = ("module.", "_orig_mod.", "netG.")
"""Prefixes that training wrappers leave: data parallelism, torch.compile, a Lightning module."""

MAX_DEPTH = 4
"""The most nested wrappers that are removed. A file may contain itself."""


@dataclass(frozen=True)
class Weights:
    """A state dict; its floating-point tensors are float32.

    Attributes:
        wrappers: the keys that the state dict was stored under, outermost first.
    """

    state: dict[str, Tensor]
    wrappers: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether the weights are a moving average of other weights, by the key they were stored under."""
        return any(key in AVERAGED for key in self.wrappers)


def read(path: Path) -> Weights:
    """The weights in a torch file (zip or the older format) or a safetensors file, whatever its ending.

    Removes wrappers and common prefixes, and converts half and double precision to float32.

    Raises:
        CheckpointError: the file does not exist, is damaged, claims more numbers than it has bytes for, holds more
            than weights (nothing of it is executed), or holds no state dict.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})", path=path) from error
    try:
        return _read_safetensors(path) if start[8:9] == b"{" else _read_torch(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}", path=path) from error


def _read_safetensors(path: Path) -> Weights:
    try:  # the library compares the header with the size of the file before it reads a tensor
        with safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"is damaged or cut short ({error})") from error
    return Weights(_as_float32(_without_prefixes(state)))


def _read_torch(path: Path) -> Weights:
    wrappers: list[str] = []

    def choose(content: Any) -> dict[str, safe_pickle.TensorDescription]:
        state, keys = _unwrap(content)
        wrappers.extend(keys)
        return state

    return Weights(_as_float32(_without_prefixes(safe_pickle.load(path, choose))), tuple(wrappers))


def _unwrap(content: Any) -> tuple[dict[str, safe_pickle.TensorDescription], tuple[str, ...]]:
    """The state dict in `content`, and the keys that lead to it."""
    wrappers: list[str] = []
    while isinstance(content, Mapping) and len(wrappers) < MAX_DEPTH:
        inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
        tensors = {key: value for key, value in content.items() if isinstance(value, safe_pickle.TensorDescription)}
        wrapper = next((key for key in WRAPPERS if key in inner and _has_tensors(inner[key])), None)
        if wrapper is None and tensors:
            return {str(key): value for key, value in tensors.items()}, tuple(wrappers)
        if wrapper is None:
            candidates = [key for key, value in inner.items() if _has_tensors(value)]
            if not candidates:
                raise CheckpointError("holds no state dict")
            if len(candidates) > 1:
                names = ", ".join(map(str, candidates[:5]))
                raise CheckpointError(f"holds several sets of weights ({names}) instead of one")
            wrapper = candidates[0]
        wrappers.append(str(wrapper))
        content = content[wrapper]
    raise CheckpointError(f"holds no state dict of tensors, but {type(content).__name__}")


def _has_tensors(value: Any, depth: int = 2) -> bool:
    if isinstance(value, safe_pickle.TensorDescription):
        return True
    return depth > 0 and isinstance(value, Mapping) and any(_has_tensors(one, depth - 1) for one in value.values())


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while state and (prefix := next((one for one in PREFIXES if all(key.startswith(one) for key in state)), None)):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _as_float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if complex_keys := [key for key, value in state.items() if value.is_complex()]:
        raise CheckpointError(f"has complex numbers in {', '.join(complex_keys[:5])}")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
