"""`img2img upscale PHOTO...`"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.runtime import files, targets
from img2img.runtime.targets import Existing, Job

if TYPE_CHECKING:
    from img2img.runtime.pictures import Picture

DEFAULT_MODEL = "upscale-x4"


def upscale(
    photos: options.Photos,
    output: options.Output = None,
    model: options.ModelName = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            help="How many times larger: chooses the model that fits; what its own scale lacks or has too much, a "
            "Lanczos resize makes up. Default: the model's own.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    device: options.Device = "auto",
    strength: options.Strength = 1.0,
    tile: options.Tile = "auto",
    threads: options.Threads = None,
    format: options.Format = None,
    quality: options.Quality = None,
    existing: options.WhenExisting = Existing.SKIP,
    recursive: options.Recursive = False,
    first_frame: options.FirstFrame = False,
    max_pixels: options.MaxPixels = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> ExitStatus:
    """Enlarge photos.

    \b
    img2img upscale photo.jpg                  beside it: photo_x4.jpg
    img2img upscale photos/ -r                 the tree again below photos_x4/
    img2img upscale *.png -o large/ --scale 2
    curl -s URL | img2img upscale - > large.png

    A picture that cannot be read is reported and the others are done. Results are written whole or not at all.
    """
    if scale is not None and not 0 < scale < float("inf"):
        raise UsageError(f"--scale {scale:g}: say a number above 0")
    side = options.parse_tile(tile)
    sources = files.collect(photos, recursive=recursive, exclude=targets.output_folder(output))

    from img2img.cli.chosen import Chosen
    from img2img.cli.process import Apply, Manner, process
    from img2img.runtime import models

    path = models.for_scale(scale) if model is None and scale is not None else models.find(model or DEFAULT_MODEL)
    chosen = Chosen(path, "upscale", device=device, threads=threads, quiet=json or quiet)
    factor = scale or chosen.card.scale
    naming = targets.Naming(f"_x{factor:g}", output, format, targets.as_part(chosen.card.name), f"{factor:g}")
    jobs = targets.plan(sources, naming, existing=existing)

    def apply() -> Apply:
        from img2img.runtime.upscale import upscale as run

        network = chosen.load()

        def work(job: Job, picture: Picture, *, progress: Callable[[int], None]) -> Picture:
            return run(network, picture, scale=scale, tile=side, strength=strength, progress=progress)

        return work

    manner = Manner(first_frame, max_pixels, quality, json, quiet)
    return process(jobs, apply, manner, area=factor * factor)
