"""A trained run or checkpoint, put together again: its method, its networks, and the models that they make."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from img2img import methods
from img2img.errors import CheckpointError, ConfigError, DataError
from img2img.methods.config import RunConfig
from img2img.methods.method import Exportable, Method
from img2img.training import start
from img2img.training.run import read_facts

NormMode = Literal["paper", "running"]
NORM_MODES: tuple[NormMode, ...] = ("paper", "running")


@dataclass(frozen=True)
class Trained:
    """What a run or checkpoint folder holds.

    Attributes:
        name: of the run, and of the checkpoint where one was named.
        method: without its data; its `networks` have the trained weights, moving averages where there are any.
        models: what it would be exported as, in eval mode.
        weights: the state dict of each model, copied, because several models may share a network.
        averaged: whether the weights are moving averages.
    """

    name: str
    method: Method
    models: list[Exportable]
    weights: list[dict[str, Tensor]]
    averaged: bool


def read(place: Path, *, norm_mode: NormMode | None = None) -> Trained:
    """The models of the run or checkpoint folder `place`, as its own method makes them.

    Args:
        place: a run folder, of which the best checkpoint is taken, or a checkpoint folder in one.
        norm_mode: in place of the configuration's, where the method has one.

    Raises:
        ConfigError: the folder is no run's, or its configuration cannot be read.
        CheckpointError: nothing can be read there, or the weights are another network's.
        DataError: a method cannot make its networks without its data, and that is gone.
    """
    run = run_of(place)
    weights = start.read(place)
    method = _method(run / "config.toml", norm_mode)
    networks = method.networks
    for name in method.averaged:
        state = weights.get(f"{name}.ema", weights.get(name))
        if state is None:
            raise CheckpointError(f"{place}: no weights for {name}; it holds {', '.join(weights)}")
        start.fill(networks[name], state, f"{place}: {name} is not the network of {run / 'config.toml'}")
    for network in networks.values():
        network.eval()
    models = method.models(networks)
    states = [{key: value.detach().clone() for key, value in one.network.state_dict().items()} for one in models]
    name = run.resolve().name if run == place else f"{run.resolve().name} {place.name}"
    return Trained(name, method, models, states, averaged=any(f"{one}.ema" in weights for one in method.averaged))


def run_of(place: Path) -> Path:
    """The run folder that `place` is, or that the checkpoint `place` lies in.

    Raises:
        ConfigError: there is none.
    """
    if place.is_file():
        raise ConfigError(f"{place}: a file does not say how its network is made; name the run folder it comes from")
    for folder in (place, place.parent.parent):
        if (folder / "config.toml").is_file():
            return folder
    raise ConfigError(f"{place}: neither a run folder nor a checkpoint in one (there is no config.toml)")


def has_batch_norm(trained: Trained) -> bool:
    """Whether `norm_mode` makes a difference: the method knows it, and a network that runs has batch norm."""
    return hasattr(_config(trained.method), "norm_mode") and any(
        isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)
        for name in trained.method.averaged
        for module in trained.method.networks[name].modules()
    )


def norm_mode(trained: Trained) -> NormMode:
    """The norm mode of its models."""
    mode: NormMode = getattr(_config(trained.method), "norm_mode", "paper")
    return mode


def data_folders(trained: Trained) -> tuple[Path, ...]:
    """Where the run's pictures are."""
    folders: tuple[Path, ...] = getattr(getattr(_config(trained.method), "data", None), "folders", ())
    return folders


def norm_figures(trained: Trained, place: Path) -> dict[NormMode, float]:
    """The headline figure on the held-out pictures in each norm mode; higher is better. Reads the run's data.

    Raises:
        DataError, ConfigError: the data are gone, or others.
    """
    file = run_of(place) / "config.toml"
    found, config = _configuration(file)
    weights = start.read(place)  # of the discriminator too, whose judgement may be among the figures
    with torch.random.fork_rng(devices=[]):
        method = found(config)
        method.load()
    for name, network in method.networks.items():
        state = weights.get(f"{name}.ema", weights.get(name)) if name in method.averaged else weights.get(name)
        if state is not None:
            network.load_state_dict(state)
        network.eval()
    figures: dict[NormMode, float] = {}
    for mode in NORM_MODES:
        _set_norm_mode(method, mode)
        figures[mode] = method.validate(method.networks).figures[method.headline]
    return figures


def _configuration(file: Path) -> tuple[type[Method], RunConfig]:
    try:
        word = tomllib.loads(file.read_text(encoding="utf-8")).get("method")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as a configuration: {error}") from error
    if not isinstance(word, str):
        raise ConfigError(f"{file}: does not say which method it is of")
    found = methods.find(word)
    return found, found.recipe.load(file)


def _method(file: Path, norm_mode: NormMode | None) -> Method:
    found, config = _configuration(file)
    # What the networks start with does not matter, and the caller's random numbers are not to change.
    with torch.random.fork_rng(devices=[]):
        try:
            method = found(config, read_facts(file.parent))
        except DataError as error:
            raise DataError(
                f"{file}: {config.method} makes its networks to fit its data, which must be where the run found it: "
                f"{error}"
            ) from error
    if norm_mode is not None:
        if not hasattr(config, "norm_mode"):
            raise ConfigError(f"{config.method} has no norm mode: leave --norm-mode out")
        _set_norm_mode(method, norm_mode)
    return method


def _config(method: Any) -> RunConfig:
    config: RunConfig = method.config
    return config


def _set_norm_mode(method: Any, mode: NormMode) -> None:
    method.config = method.config.model_copy(update={"norm_mode": mode})
