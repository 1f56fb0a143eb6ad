"""`img2img upscale PHOTO...`"""

from __future__ import annotations

from typing import Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus
from img2img.runtime.tasks.settings import Settings


@options.with_settings
def upscale(
    photos: options.Photos = None,
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
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="60s",
            help="Take the best bundled model that does all inputs in this time on this machine (90, 60s, 5min, 2h).",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    tile: options.Tile = "auto",
    raw: options.Raw = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    *,
    settings: Settings,
) -> ExitStatus:
    """Enlarge photos.

    \b
    img2img upscale photo.jpg                  beside it: photo_x4.jpg
    img2img upscale photos/ -r                 the tree again below photos_x4/
    img2img upscale *.png -o large/ --scale 2
    curl -s URL | img2img upscale - > large.png

    A picture that cannot be read is reported and the others are done. Results are written whole or not at all.
    """
    from img2img.cli.process import process
    from img2img.runtime.tasks.upscale import UpscaleTask

    task = UpscaleTask(scale=scale, budget=budget, tile=options.parse_tile(tile), strength=settings.strength)
    if raw is not None:
        from img2img.cli.video import stream

        return stream(photos, raw, task, settings, quiet=quiet, wrong={"--json": json, "--dry-run": dry_run})
    return process(photos, task, settings, dry_run=dry_run, json=json, quiet=quiet)
