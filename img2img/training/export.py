"""From a run, a checkpoint or a model file to the file that is asked for; written only when all is proven."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from img2img import exchange
from img2img.atomic import atomic
from img2img.errors import ConfigError, DataError, UsageError
from img2img.exchange import dropout, half_precision, official_weights, quantise, running_statistics, samples
from img2img.exchange.half_precision import Fp16Report
from img2img.exchange.quantise import QuantisationReport
from img2img.methods.method import ModelExport
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.training import trained
from img2img.training.trained import NormMode, TrainedRun

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        norm_mode: None: of paper and running the one that has the better figure on the run's held-out pictures.
        live_dropout: dropout stays on.
        pictures: folders that int8 is calibrated on and fp16 tried on; empty: the run's own, where it may be those.
        max_drop: see `quantise.quantise`.
        name: in the card; of several models what tells them apart is put behind it.
    """

    precision: Precision = "fp32"
    norm_mode: NormMode | None = None
    live_dropout: bool = False
    pictures: tuple[Path, ...] = ()
    max_drop: float = quantise.MAX_DROP
    name: str | None = None


@dataclass(frozen=True)
class ExportedFile:
    """A file, and how it was proven; `seconds` are CPU seconds for a megapixel of input, one thread, this machine."""

    path: Path
    card: Card
    proof: exchange.Verification | None = None
    seconds: float | None = None
    reduced: QuantisationReport | Fp16Report | None = None


def from_run(place: Path, target: Path, options: ExportOptions, note: Callable[[str], None]) -> list[ExportedFile]:
    """Write the models of the run or checkpoint folder `place`; all, or none where one cannot be proven.

    Args:
        target: .onnx file; methods that leave several models put what tells them apart before the ending.
        note: is told what a person should know.

    Raises:
        ConfigError, CheckpointError: as of `trained.read`; or `options` does not fit the run.
        DataError: no pictures to calibrate on.
        ExportError: a model is not what it should be.
    """
    found = read(place, options.norm_mode, note)
    pending: list[tuple[Path, ExportedFile]] = []
    with tempfile.TemporaryDirectory() as folder:
        for one in found.models:
            if options.live_dropout and not dropout.make_live(one.network):
                raise ConfigError(f"{place}: its network has no dropout; leave --dropout out")
            card = _card(one, found, options)
            final = target.with_name(f"{target.stem}{one.suffix}{target.suffix}")
            made = Path(folder) / f"model{one.suffix}.onnx"
            proof = exchange.export(one.network, card, made)
            written = ExportedFile(final, card, proof)
            if options.precision == "fp32":
                (seconds,) = samples.seconds_per_megapixel([samples.session(made)], card)
                written = dataclasses.replace(written, seconds=seconds)
            else:
                folders = options.pictures or _own_pictures(place, found, card, options.precision)
                written = dataclasses.replace(written, reduced=_convert(made, made, folders, options))
            pending.append((made, written))
        for made, written in pending:
            with atomic(written.path) as file, made.open("rb") as source:
                shutil.copyfileobj(source, file)
    return [dataclasses.replace(one, card=_read_card(one.path)) for _, one in pending]


def from_model(source: Path, target: Path, options: ExportOptions) -> ExportedFile:
    """Write the fp32 model file `source` in another precision; `options` says nothing of norm and dropout.

    Raises:
        UsageError: nothing would change, or int8 has no pictures.
        ModelError, DataError, ExportError: as of `quantise.quantise` and `half_precision.convert_to_fp16`.
    """
    if options.precision == "fp32":
        raise UsageError(f"{source}: is a model file already; --precision int8 or fp16 makes another of it")
    if options.precision == "int8" and not options.pictures:
        raise UsageError("int8 needs pictures of the kind that the model is for: --calibrate FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        reduced = _convert(source, made, options.pictures, options)
        if options.name:
            exchange.update_card(made, name=options.name)
        with atomic(target) as file:
            file.write(made.read_bytes())
    return ExportedFile(target, _read_card(target), reduced=reduced)


def weights(place: Path, target: Path) -> list[Path]:
    """Write the generators of the run or checkpoint folder `place` in the official layout (`official_weights.save`).

    Raises:
        ConfigError, CheckpointError, DataError: as of `trained.read`.
    """
    found = trained.read(place)
    written = []
    for name, one in zip(found.method.averaged, found.models, strict=True):
        path = target.with_name(f"{target.stem}{one.suffix}{target.suffix}")
        state = official_weights.official_state_dict(found.method.networks[name])
        official_weights.save(state, path, task=one.card.task, averaged=found.averaged)
        written.append(path)
    return written


def read(place: Path, norm_mode: NormMode | None, note: Callable[[str], None]) -> TrainedRun:
    """As `trained.read`; where batch norm leaves a choice and nobody has made it, what is better is taken.

    Raises:
        CheckpointError: also where running statistics that a model uses are not finite.
    """
    found = trained.read(place, norm_mode=norm_mode)
    if norm_mode is None and trained.has_batch_norm(found):
        found = trained.with_norm_mode(found, _better(found, place, note))
    trained.check_statistics(found, place, note)
    return found


def _better(found: TrainedRun, place: Path, note: Callable[[str], None]) -> NormMode:
    """The norm mode with the better figure on the held-out pictures, or that of the paper where none can be had."""
    gathered = running_statistics.examine({name: found.method.networks[name] for name in found.method.averaged})
    if gathered.problem:
        note(f"norm mode paper: {gathered.problem}")
        return "paper"
    try:
        figures = trained.norm_figures(found, place)
    except (DataError, ConfigError) as error:
        note(f"norm mode paper: the held-out pictures cannot be read to compare ({error})")
        return "paper"
    best = max(trained.NORM_MODES, key=lambda mode: figures[mode])
    shown = ", ".join(f"{mode} {figures[mode]:.4g}" for mode in trained.NORM_MODES)
    note(f"norm mode {best}: {found.method.headline} on the held-out pictures is {shown}")
    return best


def _card(one: ModelExport, found: TrainedRun, options: ExportOptions) -> Card:
    method = one.card.method
    if trained.has_batch_norm(found) and "norm mode" not in method:
        method += f", norm mode {trained.norm_mode(found)}"
    if options.live_dropout:
        method += ", live dropout"
    name = options.name + one.suffix.replace(".", "-") if options.name else one.card.name
    return dataclasses.replace(one.card, name=name, method=method)


def _own_pictures(place: Path, found: TrainedRun, card: Card, precision: Precision) -> tuple[Path, ...]:
    """The run's data, where all of its pictures are of the kind that the model is given."""
    folders = tuple(one for one in trained.data_folders(found) if one.is_dir())
    if card.task == "translate" and not card.domains:
        folders = ()  # half of them are what the model gives
    if not folders and precision == "int8":
        raise ConfigError(f"{place}: say which pictures int8 is to be calibrated on: --calibrate FOLDER")
    return folders


def _convert(
    source: Path, target: Path, folders: tuple[Path, ...], options: ExportOptions
) -> QuantisationReport | Fp16Report:
    if options.precision == "int8":
        return quantise.quantise(source, target, folders, max_drop=options.max_drop)
    return half_precision.convert_to_fp16(source, target, folders)


def _read_card(path: Path) -> Card:
    card = models.read_card(path)
    assert card is not None
    return card
