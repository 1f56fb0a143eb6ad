"""`--raw WxH`: applies a task to the frames of a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from img2img.cli import console, raw
from img2img.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.tasks.settings import Settings
    from img2img.runtime.tasks.task import Task


def stream(
    inputs: Sequence[str] | None,
    size: str,
    task: Task,
    settings: Settings,
    *,
    quiet: bool,
    wrong: Mapping[str, bool],
) -> ExitStatus:
    """Stream frames of `size` ("640x360") from stdin to stdout. `wrong`: options that --raw does not support."""
    from img2img.runtime.batch import plan, sharing
    from img2img.runtime.files.jobs import Job
    from img2img.runtime.tasks.checked import CheckedTask, check_color_fix

    wrong = {
        **wrong,
        "--format": settings.format is not None,
        "--quality": settings.quality is not None,
        "--strip": settings.strip,
        "--keep-times": settings.keep_times,
        "--suffix": settings.suffix is not None,
        "--files-from": settings.files_from is not None,
        "--shard": settings.shard is not None,
        "--check-seams": settings.check_seams,
        "--engine ray": settings.engine != "local",
    }
    if given := [option for option, is_given in wrong.items() if is_given]:
        raise UsageError(f"--raw does not support {', '.join(given)}")
    frame = raw.parse_raw(size, settings.max_pixels)
    raw.check_streams(inputs or ("-",), settings.output)
    notify = None if quiet else console.say
    model_choice = plan.choose_model(task, settings, lambda: None, notify)
    task = task.with_card(model_choice.card)
    if settings.color_fix:
        check_color_fix(model_choice.card)
    namings = task.namings(model_choice.card, settings)
    if len(namings) > 1:
        raise UsageError(f"--raw needs one result per frame, not {len(namings)}: choose one with --to or --samples 1")
    job = Job(None, None, domain=namings[0].domain)

    def apply() -> Callable[[Picture], Picture]:
        fitting = sharing.within_memory(task, model_choice, settings, lambda: [frame])
        careful = CheckedTask(fitting, model_choice, settings.color_fix)
        return lambda picture: careful(job, picture, lambda pixels: None)

    return raw.run(frame, apply, quiet=quiet)
