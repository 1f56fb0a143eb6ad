"""Store the weights of a model file with 16 bits. The network still computes in fp32, see `weight_storage`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import flat_pictures, model_files, samples, weight_storage

MIN_PSNR = 60.0
"""Smallest allowed PSNR in dB of each result to that of the file with 32-bit weights: a quarter of an 8-bit step."""

PICTURES = 12
"""Number of pictures to compare on, in addition to the synthetic samples."""

FIGURES = "16-bit weights"
"""Name of the figures in the card's metrics."""


@dataclass(frozen=True)
class StorageReport:
    """How the file compares with the one with 32-bit weights.

    Attributes:
        psnr: for the worst picture, PSNR in dB to the result of the file with 32-bit weights.
        max_difference: largest difference from its results, values 0..1.
        weights: number of tensors that are stored with 16 bits, and number of all stored tensors.
    """

    psnr: float
    max_difference: float
    weights: tuple[int, int]

    def figures(self) -> dict[str, float | str]:
        """The figures for the card."""
        return {
            "psnr_to_fp32": round(self.psnr, 2),
            "largest": round(self.max_difference, 6),
            "stored_with_16_bits": f"{self.weights[0]} of {self.weights[1]}",
            "command": "img2img export --storage fp16",
        }


def store(source: Path, target: Path, folders: Sequence[Path] = (), *, max_pixels: int | None = None) -> StorageReport:
    """Write the fp32 model file `source` to `target` with 16-bit weights. Its card keeps its metrics.

    Args:
        folders: pictures to compare on, in addition to synthetic samples.
        max_pixels: see `samples.of_pictures`.

    Raises:
        ModelError: `source` cannot be used.
        DataError: `folders` have no usable pictures.
        ExportError: the weights have 16 bits already or are too small to store so, or a result has a PSNR below
            `MIN_PSNR`; nothing is written. Flat pictures have a limit of their own (`flat_pictures.compare`).
    """
    card = model_files.float_card(source)
    model = model_files.load(source, restored=False)
    if weight_storage.restore(model):
        raise ExportError(f"{source}: its weights are stored with 16 bits already", path=source)
    count = weight_storage.shorten(model)
    if not count:
        raise ExportError(f"{source}: it has no weights that 16 bits would make smaller", path=source)
    tried = samples.to_compare(card, folders, PICTURES, max_pixels=max_pixels)
    session, fp32_session = samples.session(model.SerializeToString()), samples.session(source)
    found, expected = samples.results(session, tried), samples.results(fp32_session, tried)
    psnr = min(samples.psnr_between([ours], [theirs]) for ours, theirs in zip(found, expected, strict=True))
    if not psnr >= MIN_PSNR:
        raise ExportError(
            f"{source}: with 16-bit weights, a result has a PSNR of only {psnr:.1f} dB to that with 32-bit weights,"
            f" {MIN_PSNR:g} dB is needed; nothing written, keep the file as it is",
            path=source,
        )
    flat_pictures.compare(session, fp32_session, samples.flat(card), MIN_PSNR, source=source, how="with 16-bit weights")
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    report = StorageReport(psnr, difference, (count, len(model.graph.initializer)))
    card = dataclasses.replace(card, metrics={**card.metrics, FIGURES: report.figures()})
    data = model_files.serialise(model, card)
    with atomic(target) as file:
        file.write(data)
    return report
