"""`--raw WxH`: a verb applied to the frames of a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from img2img.cli import console, raw
from img2img.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from img2img.runtime.batches.settings import Settings
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.verbs.verb import Verb


def stream(
    inputs: Sequence[str] | None,
    size: str,
    verb: Verb,
    settings: Settings,
    *,
    quiet: bool,
    wrong: Mapping[str, bool],
) -> ExitStatus:
    """Frames of `size` ("640x360") from stdin, their results to stdout. `wrong`: options that do not go with that."""
    from img2img.runtime.batches import planned
    from img2img.runtime.batches.careful import Careful
    from img2img.runtime.listing.targets import Job

    wrong = {
        **wrong,
        "--format": settings.format is not None,
        "--quality": settings.quality is not None,
        "--files-from": settings.files_from is not None,
        "--shard": settings.shard is not None,
        "--check-seams": settings.check_seams,
        "--engine ray": settings.engine != "local",
    }
    if given := [option for option, is_given in wrong.items() if is_given]:
        raise UsageError(f"--raw is for a stream of frames and goes without {', '.join(given)}")
    frame = raw.parse_raw(size, settings.max_pixels)
    raw.check_streams(inputs or ("-",), settings.output)
    tell = console.say if console.is_terminal() and not quiet else None
    chosen = planned.choose(verb, settings, lambda: None, tell)
    verb = verb.fitted(chosen.card)
    namings = verb.namings(chosen.card, settings)
    if len(namings) > 1:
        raise UsageError(f"--raw makes one frame of each, not {len(namings)}: say one --to")
    job = Job(None, None, domain=namings[0].domain)

    def apply() -> Callable[[Picture], Picture]:
        fitting = planned.within_memory(verb, chosen, settings, lambda: [frame])
        careful = Careful(fitting, chosen, settings.color_fix)
        return lambda picture: careful(job, picture, lambda pixels: None)

    return raw.run(frame, apply, quiet=quiet)
