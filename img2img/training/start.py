"""Weights to begin with: another run's, a checkpoint's, or a weights file's."""

from pathlib import Path

from torch import Tensor, nn

from img2img.errors import CheckpointError
from img2img.exchange.foreign import reading
from img2img.methods.method import Method
from img2img.training.checkpoints import Store


def load(path: Path, method: Method) -> list[str]:
    """Fill those networks of `method` that `path` has weights for; returns what was done, a sentence each.

    Args:
        path: a run folder (its best checkpoint, moving averages where it has them), a checkpoint folder, or a file
            with the generator's weights (.safetensors, or .pth read without pickle).

    Raises:
        CheckpointError: nothing to load there, or the weights are another network's; the first keys are named.
    """
    weights = read(path)
    notes = []
    for name, network in method.networks.items():
        state = weights.get(f"{name}.ema" if f"{name}.ema" in weights else name)
        if state is not None:
            fill(network, state, f"{path}: {name} is another network")
            notes.append(f"{name} starts from {path}")
    if not notes:
        raise CheckpointError(f"{path}: no weights for {', '.join(method.networks)}; it holds {', '.join(weights)}")
    return notes


def read(path: Path) -> dict[str, dict[str, Tensor]]:
    """The weights at `path`, by the names that checkpoints use; a single file's are the generator's.

    Raises:
        CheckpointError: there is nothing, or it cannot be read safely.
    """
    if path.is_file():
        return {"generator": reading.read(path).state}
    if (path / "checkpoints").is_dir():
        store = Store(path / "checkpoints", keep=1)
        best = store.best()
        return store.load(best[0] if best and best[0] in store.steps() else None).weights
    if found := sorted(path.glob("*.safetensors")):
        return {one.name.removesuffix(".safetensors"): reading.read(one).state for one in found}
    raise CheckpointError(f"{path}: neither a run folder, nor a checkpoint, nor a weights file")


def fill(network: nn.Module, state: dict[str, Tensor], fault: str) -> None:
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
