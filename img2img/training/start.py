"""Initial weights from another run, a checkpoint, a weights file or a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from img2img.errors import CheckpointError, ModelError
from img2img.exchange import model_weights
from img2img.exchange.importers import weights_file
from img2img.exchange.importers.parts import SeveralGenerators
from img2img.methods.method import Method
from img2img.runtime.network import models
from img2img.training.checkpoints import Store, verify

WRAPPER = "generator."
"""Prefix of the keys in models of methods that wrap the network, to add a mask or domains."""


@runtime_checkable
class Adaptable(Protocol):
    """A network that can also start from weights in another layout, such as those of a smaller network."""

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Convert `state` to weights of this network.

        Returns:
            The weights, and what was done in words, or "". None: `state` can be loaded as it is.

        Raises:
            CheckpointError: it cannot be converted. The message says why, but does not name the file.
        """


def load(path: Path, method: Method) -> list[str]:
    """Load the weights at `path` into the networks of `method` that it holds. Return a message for each network.

    A network that can grow (`Adaptable`) can get the weights of a smaller one.

    Args:
        path: a run folder (its best checkpoint, as moving averages where they exist), a checkpoint folder, or a file
            with the weights of the generator: .safetensors, .pth (read without pickle), or an exported model. If there
            is no such file or folder, the name of an installed model.

    Raises:
        CheckpointError: there is nothing to load, or the weights belong to another network. The message names the first
            keys.
        ModelError: a model file is damaged or unsafe.
    """
    path = resolve(path)
    weights = read(path)
    if lacking := [name for name in method.needs_from_start if not {name, f"{name}.ema"} & weights.keys()]:
        raise CheckpointError(
            f"{path}: no weights for {', '.join(lacking)}; it holds {', '.join(weights)}. --start must name a run of "
            "the stage before this one"
        )
    notes = []
    for name, network in method.networks.items():
        state = weights.get(f"{name}.ema" if f"{name}.ema" in weights else name)
        if state is not None:
            notes.append(f"{name} {_start_from(network, state, path, f'{path}: {name} is another network')}")
    if not notes:
        raise CheckpointError(f"{path}: no weights for {', '.join(method.networks)}; it holds {', '.join(weights)}")
    return notes


def resolve(path: Path) -> Path:
    """Return `path` if it exists, or the file of the installed model of that name.

    A name is looked up if `path` is in the current folder, because configurations turn names into absolute paths.

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
    """Return the weights at `path`, by the names that checkpoints use. Those of a single file are the generator's.

    Raises:
        CheckpointError: there is nothing, it cannot be read safely, or its weights are rounded to fewer bits.
        ModelError: a model file is damaged or unsafe, or has no card.
    """
    path = resolve(path)
    if path.is_file():
        if path.suffix.lower() == models.SUFFIX:
            return {"generator": model_weights.read(path)}
        try:
            return {"generator": weights_file.read(path).state}
        except SeveralGenerators as error:
            hint = "import one of them with img2img import --part NAME, and start from the model file"
            raise CheckpointError(f"{path}: {error.reason}: {hint}", path=path, hint=hint) from error
    if (path / "checkpoints").is_dir():
        store = Store(path / "checkpoints", keep=1)
        best = store.best()
        return store.load(best[0] if best else None).weights
    if found := sorted(path.glob("*.safetensors")):
        verify(path)
        return {one.name.removesuffix(".safetensors"): weights_file.read_all(one) for one in found}
    raise CheckpointError(f"{path}: neither a run folder, nor a checkpoint, nor a weights file")


def load_state(network: nn.Module, state: Mapping[str, Tensor], fault: str) -> None:
    """Load `state` into `network`.

    Raises:
        CheckpointError: it does not fit. The message begins with `fault` and names the first keys.
    """
    own = network.state_dict()
    missing, strange = [k for k in own if k not in state], [k for k in state if k not in own]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    for what, keys in (("lacks", missing), ("has unknown", strange), ("has different shapes for", shapes)):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise CheckpointError(f"{fault}: the file {what} {', '.join(keys[:5])}{more}")
    network.load_state_dict(state)


def _start_from(network: nn.Module, state: Mapping[str, Tensor], path: Path, fault: str) -> str:
    """Load `state`, or what `network` converts it to. Return a message."""
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
