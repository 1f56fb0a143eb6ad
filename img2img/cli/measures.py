"""What `img2img evaluate` measures for models that upscale, restore or inpaint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.cli.evaluate_options import EvaluateOptions
from img2img.errors import UsageError
from img2img.text import count_of

if TYPE_CHECKING:
    from img2img.data.folders import Reading
    from img2img.evaluation.results import Case, Distances
    from img2img.evaluation.upscaling import Upscale
    from img2img.runtime.network.session import LoadedModel


@dataclass(frozen=True)
class Measure:
    """One measurement on one data set.

    Attributes:
        about: description of the measurement.
        main: the one or two most important figures; the first decides which of two methods is better.
        suffix: appended to the name of the data set in a card.
        beside: further facts to print with the figures.
        whole: figures of the whole set by method, available after all cases; "real" holds those of real pictures.
    """

    about: str
    main: tuple[str, ...]
    cases: Iterable[Case]
    suffix: str = ""
    beside: dict[str, float | str] = field(default_factory=dict)
    whole: Callable[[], dict[str, dict[str, float]]] = dict


def further_distances(options: EvaluateOptions) -> Distances:
    """The measures of --perceptual, loaded.

    Raises:
        ConfigError, ModelError: as `PerceptualDistance.load`.
    """
    if not options.perceptual:
        from img2img.evaluation.results import no_distances

        return no_distances
    from img2img.evaluation.perceptual_distance import PerceptualDistance

    return PerceptualDistance.load(options.perceptual)


def measure_upscaling(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure enlarged pictures against their truth, or by how natural they look; photos that a model of scale 1
    restores, by the faults that it removes.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.evaluation import niqe, upscaling
    from img2img.evaluation.results import spread

    scale = next(iter(models.values())).card.scale
    ways = {name: upscaling.from_model(model) for name, model in models.items()}
    if scale == 1 and not options.no_reference and not upscaling.is_benchmark(folders):
        if options.perceptual:
            raise UsageError("--perceptual for models of scale 1 needs your own pictures NAME_LR and NAME_HR")
        return _measure_restoration(options, ways, folders, reading)
    if not options.no_reference and not upscaling.has_no_truth(folders):
        distances = further_distances(options)
        found = upscaling.pairs(folders, scale, held_out=options.held_out, count=options.count, reading=reading)
        about = f"PSNR (dB) and SSIM on Y, border {scale}"
        return Measure(
            about, ("psnr_y", "ssim_y"), upscaling.with_reference(ways, found, scale, distances), options.held
        )
    statistics = niqe.Statistics.load(options.niqe)
    seen = "restored pictures" if scale == 1 else f"pictures enlarged {scale} times"
    paths = spread(upscaling.low_resolution_pictures(folders, held_out=options.held_out), options.count)
    return Measure(
        f"NIQE ({statistics.about}) of {seen}; lower is better",
        ("niqe",),
        upscaling.without_reference(ways, paths, scale, statistics, reading),
        f"{options.held} as they are",
        {"statistics": f"NIQE, {statistics.about}"},
    )


def _measure_restoration(
    options: EvaluateOptions, ways: dict[str, Upscale], folders: list[Path], reading: Reading
) -> Measure:
    from img2img.data.jpeg_noise import STANDARD
    from img2img.evaluation import restoration

    paths = restoration.photos(folders, held_out=options.held_out, count=options.count)
    return Measure(
        f"PSNR (dB) on Y, border {restoration.BORDER}, mean over {', '.join(STANDARD)}; "
        f"{count_of(len(paths), 'photo')}",
        ("psnr_y",),
        restoration.evaluate(ways, paths, reading),
        options.held,
    )


def measure_inpainting(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure filled holes.

    Raises:
        DataError: the folders have no pictures.
    """
    from img2img.data import folders as pictures
    from img2img.evaluation import inpainting
    from img2img.evaluation.results import spread

    distances = further_distances(options)
    rivals = inpainting.baselines()
    if "biharmonic" not in rivals:
        console.say("biharmonic inpainting is skipped: it needs scikit-image (pip install scikit-image)")
    paths = pictures.find(folders)
    paths = spread(pictures.hold_out(paths)[1] if options.held_out else paths, options.count)
    side = inpainting.SIDE if options.side is None else options.side or None
    ways = rivals | {name: inpainting.from_model(model) for name, model in models.items()}
    seen = f"{count_of(len(paths), 'photo')}, {f'reduced to {side} pixels' if side else 'whole'}"
    comparison = inpainting.Comparison(ways, inpainting.holes(paths, side=side, reading=reading), distances)
    return Measure(
        "PSNR (dB) and SSIM in the hole, and sliced Wasserstein distance of all results (lower is better); "
        f"{seen}, with {len(inpainting.HOLES)} holes each",
        ("psnr", "ssim"),
        comparison.cases(),
        options.held,
        whole=comparison.set_figures,
    )
