"""From a foreign weights file to a model file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import CheckpointError, ExportError, ModelError, UsageError
from img2img.exchange import statistics
from img2img.exchange.foreign import reading, recognising
from img2img.exchange.foreign.family import Options
from img2img.exchange.onnx_file import Proof, export
from img2img.runtime.network.card import Card


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        card: without `created_with`, which the export adds.
        proof: how the file was compared with the network.
        notes: what the person should hear: which weights were taken, how its norms behave.
    """

    card: Card
    proof: Proof
    notes: list[str]


def import_file(path: Path, target: Path, options: Options | None = None) -> Imported:
    """Write the network whose weights `path` holds to the model file `target`, verified.

    Architecture and hyper-parameters are read off the keys and shapes. Nothing in `path` is executed, and on any
    failure nothing is written.

    Raises:
        CheckpointError: `path` is damaged, holds more than weights or weights that are not finite, is of no known
            architecture, or its keys or shapes are not those of the architecture that it looks like; the first five
            are named.
        UsageError: the file cannot tell what has to be known (names of domains).
        ExportError: the network cannot be exported, or the file is not the network.
    """
    options = options or Options()
    weights = reading.read(path)
    try:
        built = recognising.build(weights.state, options)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error
    if wrong := statistics.not_finite(dict(built.network.named_parameters())):
        raise CheckpointError(f"{path}: holds weights that are not finite, in {wrong}: NaN or infinity")
    if options.domains and not built.facts.get("domains"):
        raise UsageError(f"{path}: {built.facts['method'].partition(',')[0]} has no domains to name with --domains")
    try:
        card = Card(name=options.name or path.stem, licence=options.licence, **built.facts)
        proof = export(built.network, card, target, reach=built.reach)
    except (ExportError, ModelError) as error:
        raise type(error)(f"{path}: {error}") from error
    taken = [f"took the weights under {' / '.join(weights.under)}"] if weights.under else []
    if weights.averaged:
        taken[0] += ", a moving average"
    return Imported(dataclasses.replace(card, context=proof.context), proof, [*taken, *built.notes])
