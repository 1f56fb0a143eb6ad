"""Weights files of others: from .pth, .pt, .ckpt or .safetensors to one state dict, without running what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from img2img.errors import CheckpointError
from img2img.exchange.foreign import pickled

AVERAGED = ("g_ema", "params_ema", "params-ema", "model_ema", "generator_ema")
WRAPPERS = (
    *AVERAGED,
    *("model_state_dict", "state_dict", "params", "model", "net", "generator", "netG", "net_g", "G", "weights"),
)
"""Keys under which published files hold their weights, moving averages first: those are what the papers show."""

PREFIXES = ("module.", "_orig_mod.", "netG.")
"""Left by wrappers of training: data parallelism, torch.compile, a Lightning module."""


DEEPEST = 4
"""Wrappers within wrappers that are taken off; a file may hold itself."""


@dataclass(frozen=True)
class Weights:
    """A state dict; floating-point tensors are float32.

    Attributes:
        under: the keys it was found under, outermost first.
    """

    state: dict[str, Tensor]
    under: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """The file also has, or had, other weights: these are a moving average of them."""
        return any(key in AVERAGED for key in self.under)


def read(path: Path) -> Weights:
    """The weights in a file of torch (zip or older) or of safetensors, whatever its name ends in.

    Wrappers and common prefixes are taken off, half and double precision become float32.

    Raises:
        CheckpointError: there is no such file; it is damaged, or claims more numbers than it has bytes for; it holds
            more than weights (nothing of it is executed then); or no state dict is found in it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return _safetensors(path) if start[8:9] == b"{" else _torch(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _safetensors(path: Path) -> Weights:
    try:  # the library compares the header with the file's size before it reads a tensor
        with safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"is damaged or cut short ({error})") from error
    return Weights(_float32(_plain(state)))


def _torch(path: Path) -> Weights:
    under: list[str] = []

    def choose(content: Any) -> dict[str, pickled.Described]:
        state, keys = _unwrapped(content)
        under.extend(keys)
        return state

    return Weights(_float32(_plain(pickled.load(path, choose))), tuple(under))


def _unwrapped(content: Any) -> tuple[dict[str, pickled.Described], tuple[str, ...]]:
    """The state dict in `content` and the keys that lead to it."""
    under: list[str] = []
    while isinstance(content, Mapping) and len(under) < DEEPEST:
        inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
        tensors = {key: value for key, value in content.items() if isinstance(value, pickled.Described)}
        wrapper = next((key for key in WRAPPERS if key in inner and _holds_tensors(inner[key])), None)
        if wrapper is None and tensors:
            return {str(key): value for key, value in tensors.items()}, tuple(under)
        if wrapper is None:
            candidates = [key for key, value in inner.items() if _holds_tensors(value)]
            if len(candidates) != 1:
                several = f"several sets of weights ({', '.join(map(str, candidates[:5]))})" if candidates else "none"
                raise CheckpointError(f"has to hold one state dict, and holds {several}")
            wrapper = candidates[0]
        under.append(str(wrapper))
        content = content[wrapper]
    raise CheckpointError(f"holds no state dict of tensors, but {type(content).__name__}")


def _holds_tensors(value: Any, depth: int = 2) -> bool:
    if isinstance(value, pickled.Described):
        return True
    return depth > 0 and isinstance(value, Mapping) and any(_holds_tensors(one, depth - 1) for one in value.values())


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while state and (prefix := next((one for one in PREFIXES if all(key.startswith(one) for key in state)), None)):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if strange := [key for key, value in state.items() if value.is_complex()]:
        raise CheckpointError(f"has complex numbers in {', '.join(strange[:5])}")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
