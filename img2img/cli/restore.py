"""`img2img restore PHOTO...`"""

from __future__ import annotations

from typing import Any

from img2img.cli import options
from img2img.errors import ExitStatus
from img2img.runtime.tasks.settings import Settings


@options.with_options(Settings)
def restore(
    photos: options.Photos = None,
    tile: options.Tile = "auto",
    raw: options.Raw = None,
    watch: options.Watch = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    **given: Any,
) -> ExitStatus:
    """Remove JPEG artefacts and noise from photos. Sizes stay as they are.

    \b
    img2img restore photo.jpg                     writes photo_restore.jpg
    img2img restore photos/ -r                    writes the same tree to photos_restore/
    img2img restore photo.jpg --strength 0.5      keeps half of the faults, and of the grain

    Uses the model `restore`, or the model of scale 1 that --model names.
    """
    from img2img.cli.process import process
    from img2img.runtime.network.grid import parse_tile
    from img2img.runtime.tasks.restore import RestoreTask

    settings = Settings(**given)
    task = RestoreTask(tile=parse_tile(tile), strength=settings.strength)
    if raw is not None:
        from img2img.cli.video import stream

        return stream(
            photos, raw, task, settings, quiet=quiet, wrong={"--json": json, "--dry-run": dry_run, "--watch": watch}
        )
    return process(photos, task, settings, dry_run=dry_run, json=json, quiet=quiet, watch=watch)
