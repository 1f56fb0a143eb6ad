"""Weights to begin with: another run's, a checkpoint's, a weights file's, or a model's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from img2img.errors import CheckpointError, ModelError
from img2img.exchange import model_weights
from img2img.exchange.importers import weights_file
from img2img.methods.method import Method
from img2img.runtime.network import models
from img2img.training.checkpoints import Store

WRAPPER = "generator."
"""Before the keys in models of methods that put the network into another one, which knows of masks or domains."""


@runtime_checkable
class Adaptable(Protocol):
    """A network that can also begin with weights that are not in its own layout, such as a smaller one's."""

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Weights to load in place of `state`, and what became of it, in words, or ""; None: `state` itself is loaded.

        Raises:
            CheckpointError: it cannot begin with them; the message says why, not which file.
        """


def load(path: Path, method: Method) -> list[str]:
    """Fill those networks of `method` that `path` has weights for; returns what was done, a sentence each.

    A network that can grow (`Adaptable`) may get the weights of a smaller one.

    Args:
        path: a run folder (its best checkpoint, moving averages where it has them), a checkpoint folder, or a file
            with the generator's weights: .safetensors, .pth read without pickle, or an exported model. Where there is
            no such file or folder, the name of an installed model.

    Raises:
        CheckpointError: nothing to load there, or the weights are another network's; the first keys are named.
        ModelError: a model file is damaged or unsafe.
    """
    path = resolve(path)
    weights = read(path)
    notes = []
    for name, network in method.networks.items():
        state = weights.get(f"{name}.ema" if f"{name}.ema" in weights else name)
        if state is not None:
            notes.append(f"{name} {_start_from(network, state, path, f'{path}: {name} is another network')}")
    if not notes:
        raise CheckpointError(f"{path}: no weights for {', '.join(method.networks)}; it holds {', '.join(weights)}")
    return notes


def resolve(path: Path) -> Path:
    """`path` where there is such a file or folder; else the file of the installed model that is called so.

    Names are looked up where `path` is in the current folder: configurations make paths of them, and these absolute.

    Raises:
        CheckpointError: there is neither.
    """
    if path.exists():
        return path
    if path.absolute().parent != Path.cwd() or path.suffix.lower() == models.SUFFIX:
        raise CheckpointError(f"{path}: there is no such run folder, checkpoint, weights file or model file")
    try:
        return models.find(path.name)
    except ModelError as error:
        raise CheckpointError(
            f"{path.name}: there is no such run folder, checkpoint or weights file, and {error}"
        ) from error


def read(path: Path) -> dict[str, dict[str, Tensor]]:
    """The weights at `path`, by the names that checkpoints use; a single file's are the generator's.

    Raises:
        CheckpointError: there is nothing, or it cannot be read safely, or its weights are rounded to fewer bits.
        ModelError: a model file is damaged or unsafe, or has no card.
    """
    path = resolve(path)
    if path.is_file():
        is_model = path.suffix.lower() == models.SUFFIX
        return {"generator": model_weights.read(path) if is_model else weights_file.read(path).state}
    if (path / "checkpoints").is_dir():
        store = Store(path / "checkpoints", keep=1)
        best = store.best()
        return store.load(best[0] if best and best[0] in store.steps() else None).weights
    if found := sorted(path.glob("*.safetensors")):
        return {one.name.removesuffix(".safetensors"): weights_file.read(one).state for one in found}
    raise CheckpointError(f"{path}: neither a run folder, nor a checkpoint, nor a weights file")


def load_state(network: nn.Module, state: Mapping[str, Tensor], fault: str) -> None:
    """Load `state` into `network`.

    Raises:
        CheckpointError: they do not fit; the message begins with `fault` and names the first keys.
    """
    own = network.state_dict()
    missing, strange = [k for k in own if k not in state], [k for k in state if k not in own]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    for what, keys in (("lacks", missing), ("has unknown", strange), ("has other shapes for", shapes)):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise CheckpointError(f"{fault}: the file {what} {', '.join(keys[:5])}{more}")
    network.load_state_dict(state)


def _start_from(network: nn.Module, state: Mapping[str, Tensor], path: Path, fault: str) -> str:
    """Load `state`, or what `network` makes of it; says what was done."""
    own = network.state_dict()
    while state and all(key.startswith(WRAPPER) for key in state) and not state.keys() & own.keys():
        state = {key.removeprefix(WRAPPER): value for key, value in state.items()}
    how = ""
    if isinstance(network, Adaptable):
        try:
            adapted = network.initial_state_from(state)
        except CheckpointError as error:
            raise CheckpointError(f"{fault}: {error}") from error
        if adapted is not None:
            state, how = adapted
    load_state(network, state, fault)
    return f"{how}, starting from {path}" if how else f"starts from {path}"
