"""`img2img upscale PHOTO...`"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import console, options
from img2img.errors import ExitStatus, ModelError, UsageError
from img2img.runtime import files, targets
from img2img.runtime.targets import Existing

if TYPE_CHECKING:
    from img2img.runtime.session import Model

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

    from img2img.cli.process import Apply, Manner, process
    from img2img.runtime import models

    path = models.for_scale(scale) if model is None and scale is not None else models.find(model or DEFAULT_MODEL)
    card = models.read_card(path)
    loaded: list[Model] = []

    def load() -> Model:
        from img2img.runtime import session

        if not loaded:
            loaded.append(session.load(path, device=device, threads=threads))
            for note in loaded[0].notes if console.is_terminal() and not (json or quiet) else ():
                console.say(note)
        return loaded[0]

    if card is None:  # only the network itself can tell its scale
        card = load().card
    if card.task != "upscale":
        raise ModelError(f"{path}: this model is for {card.task!r}, not for upscaling: img2img {card.task} takes it")
    factor = scale or card.scale
    naming = targets.Naming(f"_x{factor:g}", output, format, card.name.replace("/", "_"), f"{factor:g}")
    jobs = targets.plan(sources, naming, existing=existing)

    def apply() -> Apply:
        from img2img.runtime.upscale import upscale as run

        return partial(run, load(), scale=scale, tile=side)

    manner = Manner(first_frame, max_pixels, quality, json, quiet)
    return process(jobs, apply, manner, area=factor * factor)
