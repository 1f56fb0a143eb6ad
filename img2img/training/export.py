"""Export of a run, a checkpoint or a model file. A file is written only after all of its checks have passed."""

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
from img2img.exchange import (
    choices,
    dropout,
    half_precision,
    half_storage,
    official_weights,
    quantise,
    running_statistics,
    samples,
)
from img2img.exchange.half_precision import Fp16Report
from img2img.exchange.half_storage import StorageReport
from img2img.exchange.quantise import QuantisationReport
from img2img.methods.method import ModelExport
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.training import trained
from img2img.training.trained import NormMode, TrainedRun

Precision = Literal["fp32", "fp16", "int8"]
Storage = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        norm_mode: None: the one of paper and running with the better figure on the run's held-out pictures.
        live_dropout: keep dropout on.
        pictures: folders to calibrate int8 and to test fp16 and 16-bit weights on. Empty: the run's own, if they suit
            the model.
        max_drop: see `quantise.quantise`.
        max_pixels: refuse pictures with more; None: the limit of the run, or the usual one.
        name: name in the card. Several models of a run get their suffixes too.
        storage: how an fp32 file stores its weights.
    """

    precision: Precision = "fp32"
    norm_mode: NormMode | None = None
    live_dropout: bool = False
    pictures: tuple[Path, ...] = ()
    max_drop: float = quantise.MAX_DROP
    name: str | None = None
    storage: Storage = "fp32"
    max_pixels: int | None = None

    @property
    def is_plain(self) -> bool:
        """Nothing is converted after the export: fp32 throughout."""
        return self.precision == "fp32" and self.storage == "fp32"


@dataclass(frozen=True)
class ExportedFile:
    """A file and the results of its checks.

    `seconds` are CPU seconds per megapixel of input, on one thread of this machine.
    """

    path: Path
    card: Card
    proof: exchange.Verification | None = None
    seconds: float | None = None
    reduced: QuantisationReport | Fp16Report | StorageReport | None = None


def from_run(place: Path, target: Path, options: ExportOptions, note: Callable[[str], None]) -> list[ExportedFile]:
    """Write the models of the run or checkpoint folder `place`: all of them, or none if one fails its checks.

    Args:
        target: .onnx file. Methods with several models add a suffix before the extension.
        note: called with messages for the user.

    Raises:
        ConfigError, CheckpointError: as `trained.read`, or `options` do not fit the run.
        DataError: there are no pictures to calibrate on.
        UsageError: a model cannot have the precision (`choices`).
        ExportError: a model fails its checks.
    """
    found = trained.read(place, norm_mode=options.norm_mode)
    if options.precision != "fp32":
        for one in found.models:
            choices.require_fp32(one.network, one.card.name)
    found = _completed(found, place, options.norm_mode, note, options.max_pixels)
    pending: list[tuple[Path, ExportedFile]] = []
    with tempfile.TemporaryDirectory() as folder:
        for one in found.models:
            if options.live_dropout and not dropout.make_live(one.network):
                raise ConfigError(f"{place}: its network has no dropout; omit --dropout")
            card = _card(one, found, options)
            final = target.with_name(f"{target.stem}{one.suffix}{target.suffix}")
            exported = Path(folder) / f"model{one.suffix}.onnx"
            proof = exchange.export(one.network, card, exported)
            written = ExportedFile(final, card, proof)
            if options.precision == "fp32":
                (seconds,) = samples.seconds_per_megapixel([samples.session(exported)], card)
                written = dataclasses.replace(written, seconds=seconds)
            if not options.is_plain:
                folders = options.pictures or _own_pictures(place, found, card, options.precision)
                written = dataclasses.replace(written, reduced=_convert(exported, exported, folders, options))
            pending.append((exported, written))
        for exported, written in pending:
            with atomic(written.path) as file, exported.open("rb") as source:
                shutil.copyfileobj(source, file)
    return [dataclasses.replace(one, card=_read_card(one.path)) for _, one in pending]


def from_model(source: Path, target: Path, options: ExportOptions) -> ExportedFile:
    """Write the fp32 model file `source` in another precision, or with 16-bit weights.

    `options` for norm mode and dropout do not apply.

    Raises:
        UsageError: nothing would change, int8 has no pictures, or the model cannot have the precision (`choices`).
        ModelError, DataError, ExportError: as `quantise.quantise`, `half_precision.convert_to_fp16` and
            `half_storage.store`.
    """
    if options.is_plain:
        raise UsageError(
            f"{source} is a model file already; convert it with --precision int8 or fp16, or --storage fp16"
        )
    if options.precision != "fp32":
        choices.require_fp32_file(source)
    if options.precision == "int8" and not options.pictures:
        raise UsageError("int8 needs pictures like those that the model is for: --calibrate FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        reduced = _convert(source, exported, options.pictures, options)
        if options.name:
            exchange.update_card(exported, name=options.name)
        with atomic(target) as file:
            file.write(exported.read_bytes())
    return ExportedFile(target, _read_card(target), reduced=reduced)


def weights(place: Path, target: Path) -> list[Path]:
    """Write the generators of the run or checkpoint folder `place` in the official layout (`official_weights.save`).

    Raises:
        ConfigError, CheckpointError, DataError: as `trained.read`; or there is no official layout.
    """
    found = trained.read(place)
    if not found.method.official_layout or len(found.models) != len(found.method.averaged):
        raise ConfigError(f"{place}: its models have several networks, for which there is no official layout")
    written = []
    # Encoders are in no official file. A generator that makes several models comes first.
    generators = [name for name in found.method.averaged if name.startswith("generator")]
    for name, one in zip(generators, found.models, strict=False):
        path = target.with_name(f"{target.stem}{one.suffix}{target.suffix}")
        state = official_weights.official_state_dict(found.method.networks[name])
        official_weights.save(state, path, task=one.card.task, averaged=found.averaged)
        written.append(path)
    return written


def read(
    place: Path, norm_mode: NormMode | None, note: Callable[[str], None], *, max_pixels: int | None = None
) -> TrainedRun:
    """Load a run as `trained.read` does. If batch norm leaves a choice and `norm_mode` is None, use the better mode.

    Raises:
        CheckpointError: as `trained.read`, or running statistics that a model uses are not finite.
    """
    return _completed(trained.read(place, norm_mode=norm_mode), place, norm_mode, note, max_pixels)


def _completed(
    found: TrainedRun, place: Path, norm_mode: NormMode | None, note: Callable[[str], None], max_pixels: int | None
) -> TrainedRun:
    """What `read` does after loading."""
    if norm_mode is None and trained.has_batch_norm(found):
        found = trained.with_norm_mode(found, _better_norm_mode(found, place, note, max_pixels))
    trained.check_statistics(found, place, note)
    return found


def _better_norm_mode(found: TrainedRun, place: Path, note: Callable[[str], None], max_pixels: int | None) -> NormMode:
    """Return the norm mode with the better figure on the held-out pictures, or paper if they cannot be compared."""
    gathered = running_statistics.examine({name: found.method.networks[name] for name in found.method.averaged})
    if gathered.problem:
        note(f"norm mode paper: {gathered.problem}")
        return "paper"
    try:
        figures = trained.norm_figures(found, place, max_pixels=max_pixels)
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
    """Return the run's data folders, if all of their pictures are like the inputs of the model."""
    folders = tuple(one for one in trained.data_folders(found) if one.is_dir())
    if card.task == "translate" and not card.domains:
        folders = ()  # half of them are targets
    if not folders and precision == "int8":
        raise ConfigError(f"{place}: name pictures to calibrate int8 on: --calibrate FOLDER")
    return folders


def _convert(
    source: Path, target: Path, folders: tuple[Path, ...], options: ExportOptions
) -> QuantisationReport | Fp16Report | StorageReport:
    if options.precision == "int8":
        return quantise.quantise(source, target, folders, max_drop=options.max_drop, max_pixels=options.max_pixels)
    if options.precision == "fp32":
        return half_storage.store(source, target, folders, max_pixels=options.max_pixels)
    return half_precision.convert_to_fp16(source, target, folders, max_pixels=options.max_pixels)


def _read_card(path: Path) -> Card:
    card = models.read_card(path)
    assert card is not None
    return card
