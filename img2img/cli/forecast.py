"""Estimates the time and memory of a batch on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2img.runtime.batch.run_job import Batch


SAMPLE = 500
"""Number of pictures whose headers are read; a hundred thousand would take half a minute."""


def forecast(batch: Batch) -> str:
    """One line, based on a short measurement of the model (kept in the user's cache)."""
    from img2img.runtime.batch import sharing
    from img2img.runtime.network import estimate

    settings, model_choice = batch.settings, batch.model_choice
    sizes = batch.sizes(SAMPLE)
    if not sizes:
        return "no estimate: the sizes of the pictures are unknown"
    speed = model_choice.speed()
    shared = sharing.share(batch.task, model_choice, settings, len(batch.to_do), lambda: sizes)
    share = min(len(batch.to_do), SAMPLE) / len(batch.to_do)
    beside = batch.task.pixels_beside
    pixels = sum(estimate.network_pixels(model_choice.card, size, shared.tile, beside=beside) for size in sizes) / share
    seconds = estimate.seconds(speed, pixels, side_by_side=not shared.one_by_one)
    largest = max(sizes, key=lambda size: size[0] * size[1])
    scale = batch.task.area_factor(model_choice.card) ** 0.5
    memory = estimate.peak_memory(
        speed,
        model_choice.card,
        largest,
        shared.tile,
        scale=scale,
        pictures=shared.pictures,
        runs=shared.runs,
        beside=beside,
    )
    megapixels = sum(width * height for width, height in sizes) / share / 1e6
    return (
        f"about {estimate.show_duration(seconds)} on {speed.device} and {estimate.show_memory(memory)} of memory for"
        f" {megapixels:.1f} megapixels of input with {model_choice.card.name}"
    )
