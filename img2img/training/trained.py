"""Loads a trained run or checkpoint: its method, its networks and its models."""

import dataclasses
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from img2img import methods
from img2img.data.cache import CachedData
from img2img.errors import CheckpointError, ConfigError, DataError
from img2img.exchange import running_statistics
from img2img.methods.config import RunConfig
from img2img.methods.method import Method, ModelExport
from img2img.training import start
from img2img.training.run import FACTS, read_facts

NormMode = Literal["paper", "running"]
NORM_MODES: tuple[NormMode, ...] = ("paper", "running")


@dataclass(frozen=True)
class TrainedRun:
    """A run or checkpoint folder.

    Attributes:
        name: name of the run, with that of the checkpoint if one was named.
        method: built without its data. Its `networks` have the trained weights, as moving averages where they exist.
        models: the models to export, in eval mode.
        weights: the state dict of each model, copied, because several models may share a network.
        averaged: whether the weights are moving averages.
        checkpoint: all weights as they were read, by file name, with those of the discriminator.
    """

    name: str
    method: Method
    models: list[ModelExport]
    weights: list[dict[str, Tensor]]
    averaged: bool
    checkpoint: dict[str, dict[str, Tensor]]


def read(place: Path, *, norm_mode: NormMode | None = None) -> TrainedRun:
    """Load the models of the run or checkpoint folder `place`.

    Args:
        place: a run folder, for its best checkpoint, or a checkpoint folder of a run.
        norm_mode: replaces that of the configuration, for methods that have one.

    Raises:
        ConfigError: the folder is not a run, or its configuration cannot be read.
        CheckpointError: nothing can be read there, or the weights are not finite or belong to another network.
        DataError: the method needs its data to build its networks, and the data is missing.
    """
    run = run_folder_of(place)
    if place == run and not (run / "checkpoints").is_dir():
        raise CheckpointError(f"{place}: the run has no checkpoint yet")
    weights = start.read(place)
    method = _method(run / "config.toml", norm_mode)
    networks = method.networks
    for name in method.averaged:
        state = weights.get(f"{name}.ema", weights.get(name))
        if state is None:
            raise CheckpointError(f"{place}: no weights for {name}; it holds {', '.join(weights)}")
        start.load_state(networks[name], state, f"{place}: {name} is not the network of {run / 'config.toml'}")
        if wrong := running_statistics.list_not_finite(dict(networks[name].named_parameters())):
            raise CheckpointError(
                f"{place}: weights of {name} are not finite, in {wrong}: training failed before this checkpoint; "
                "name an earlier one"
            )
    for network in networks.values():
        network.eval()
    name = run.resolve().name if run == place else f"{run.resolve().name} {place.name}"
    averaged = any(f"{one}.ema" in weights for one in method.averaged)
    return _with_models(TrainedRun(name, method, [], [], averaged, weights))


def with_norm_mode(trained: TrainedRun, mode: NormMode) -> TrainedRun:
    """Return `trained` with its models in this norm mode, for methods that have one. This changes its method."""
    _set_norm_mode(trained.method, mode)
    return _with_models(trained)


def check_statistics(trained: TrainedRun, place: Path, note: Callable[[str], None]) -> None:
    """Check the running statistics that the models use. Report doubtful ones through `note`.

    Models in norm mode paper do not use them.

    Raises:
        CheckpointError: they are not finite, so no picture would come out.
    """
    found = running_statistics.examine({one.card.name: one.network for one in trained.models})
    has_paper_mode = has_batch_norm(trained)
    advice = (
        "--norm-mode paper does not need them" if has_paper_mode else "continue training, or name another checkpoint"
    )
    if found.not_finite:
        raise CheckpointError(f"{place}: {found.problem}; {advice}")
    if found.never_updated:
        note(f"warning: {place}: {found.problem}, and the model uses them; {advice}")


def run_folder_of(place: Path) -> Path:
    """Return the run folder that `place` is, or that holds the checkpoint `place`.

    Raises:
        ConfigError: there is none.
    """
    if place.is_file():
        raise ConfigError(f"{place}: a file does not describe its network; name the run folder that it comes from")
    for folder in (place, place.parent.parent):
        if (folder / "config.toml").is_file():
            return folder
    raise ConfigError(f"{place}: neither a run folder nor a checkpoint of a run (there is no config.toml)")


def has_batch_norm(trained: TrainedRun) -> bool:
    """Return whether `norm_mode` matters: the method has it, and a network that runs has batch norm."""
    return hasattr(_config(trained.method), "norm_mode") and any(
        isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)
        for name in trained.method.averaged
        for module in trained.method.networks[name].modules()
    )


def norm_mode(trained: TrainedRun) -> NormMode:
    """Return the norm mode of the models."""
    mode: NormMode = getattr(_config(trained.method), "norm_mode", "paper")
    return mode


def data_folders(trained: TrainedRun) -> tuple[Path, ...]:
    """Return the folders of the run's pictures."""
    folders: tuple[Path, ...] = getattr(getattr(_config(trained.method), "data", None), "folders", ())
    return folders


def norm_figures(trained: TrainedRun, place: Path, *, max_pixels: int | None = None) -> dict[NormMode, float]:
    """Return the headline figure on the held-out pictures for each norm mode. Higher is better; minus infinity: none.

    This reads the run's data. `max_pixels` replaces the limit of the run.

    Raises:
        DataError, ConfigError: the data is missing, or has changed.
    """
    file = run_folder_of(place) / "config.toml"
    found, config = _configuration(file)
    if max_pixels is not None:
        data = getattr(config, "data", None)
        if isinstance(data, CachedData):
            config = config.model_copy(update={"data": data.model_copy(update={"max_pixels": max_pixels})})
    weights = trained.checkpoint
    with torch.random.fork_rng(devices=[]):
        method = found(config)
        method.load()
    for name, network in method.networks.items():  # figures may depend on the discriminator
        state = weights.get(f"{name}.ema", weights.get(name)) if name in method.averaged else weights.get(name)
        if state is not None:
            network.load_state_dict(state)
        network.eval()
    figures: dict[NormMode, float] = {}
    for mode in NORM_MODES:
        _set_norm_mode(method, mode)
        figure = method.validate(method.networks).figures[method.headline]
        figures[mode] = -math.inf if math.isnan(figure) else figure
    return figures


def _with_models(trained: TrainedRun) -> TrainedRun:
    """Return `trained` with the models that its method makes now."""
    models = trained.method.models(trained.method.networks)
    if not models:
        raise CheckpointError(
            f"{trained.name}: this stage writes no model; train the next one, with --start and this run"
        )
    states = [{key: value.detach().clone() for key, value in one.network.state_dict().items()} for one in models]
    return dataclasses.replace(trained, models=models, weights=states)


def _configuration(file: Path) -> tuple[type[Method], RunConfig]:
    try:
        word = tomllib.loads(file.read_text(encoding="utf-8")).get("method")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a configuration: {error}") from error
    if not isinstance(word, str):
        raise ConfigError(f"{file}: does not name its method")
    found = methods.find(word)
    return found, found.recipe.load(file)


def _method(file: Path, norm_mode: NormMode | None) -> Method:
    found, config = _configuration(file)
    facts = read_facts(file.parent)
    # The initial weights do not matter, and the caller's random state must not change.
    with torch.random.fork_rng(devices=[]):
        try:
            method = found(config, facts)
        except DataError as error:
            raise DataError(
                f"{file}: {config.method} needs its data to build its networks, in the place where the run found it: "
                f"{error}"
            ) from error
        except (LookupError, TypeError, ValueError) as error:
            if facts is None:
                raise
            what = f"does not hold what {config.method} must know about its data ({type(error).__name__}: {error})"
            raise ConfigError(f"{file.parent / FACTS}: {what}; delete it to read the data again") from error
    if norm_mode is not None:
        if not hasattr(config, "norm_mode"):
            raise ConfigError(f"{config.method} has no norm mode: omit --norm-mode")
        _set_norm_mode(method, norm_mode)
    return method


def _config(method: Any) -> RunConfig:
    config: RunConfig = method.config
    return config


def _set_norm_mode(method: Any, mode: NormMode) -> None:
    method.config = method.config.model_copy(update={"norm_mode": mode})
