"""Convert a third-party weights file into a model file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import CheckpointError, ExportError, ModelError, UsageError
from img2img.exchange import running_statistics
from img2img.exchange.importers import registry, unpadded, weights_file
from img2img.exchange.importers.family import Options
from img2img.exchange.onnx_file import Verification, export
from img2img.runtime.network.card import Card


@dataclass(frozen=True)
class ImportResult:
    """A model file that was written.

    Attributes:
        card: without `created_with`, which the export adds.
        verification: how the file compares with the network.
        notes: messages for the user: which weights were used, how the norm layers behave.
    """

    card: Card
    verification: Verification
    notes: list[str]


def import_file(path: Path, target: Path, options: Options | None = None) -> ImportResult:
    """Write the network with the weights in `path` to the model file `target`, and verify it.

    The architecture and its hyper-parameters are read from the keys and shapes. Nothing in `path` is executed. If
    anything fails, nothing is written.

    Raises:
        CheckpointError: `path` is damaged, holds more than weights, or holds weights that are not finite. Or its
            architecture is unknown, or its keys or shapes differ from the architecture that it looks like; the
            message lists the first five.
        UsageError: the file does not tell everything (names of domains).
        ExportError: the network cannot be exported, or the file does not equal the network.
    """
    options = options or Options()
    weights = weights_file.read(path, options.part)
    try:
        built = registry.build(weights.state, options)
        if options.offset:
            built = unpadded.extend(built, options.offset)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{path}: {error}", path=path, hint=error.hint) from error
    if keys := running_statistics.list_not_finite(dict(built.network.named_parameters())):
        raise CheckpointError(f"{path}: holds weights that are NaN or infinite, in {keys}", path=path)
    if options.domains and not built.facts.get("domains"):
        raise UsageError(f"{path}: {built.architecture} has no domains to name with --domains", path=path)
    try:
        card = Card(name=options.name or path.stem, licence=options.licence, **built.facts)
        verification = export(built.network, card, target, context=built.context)
    except (ExportError, ModelError) as error:
        raise type(error)(f"{path}: {error}", path=path, hint=error.hint) from error
    notes = list(built.notes)
    if weights.wrappers:
        average = ", a moving average" if weights.averaged else ""
        notes.insert(0, f"used the weights under {' / '.join(weights.wrappers)}{average}")
    return ImportResult(dataclasses.replace(card, context=verification.context), verification, notes)
