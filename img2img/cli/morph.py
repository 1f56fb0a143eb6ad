"""`img2img morph FIRST LAST`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2img.cli import console, options
from img2img.errors import ExitStatus, UsageError

DEFAULT_FPS = 8.0


def morph(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="The picture to begin with.")],
    last: Annotated[str, typer.Argument(metavar="LAST", help="The picture to end with, of the same size.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="RUN|PATH", help="A run of cvae-gan, or its model.morph.onnx."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=1000, metavar="N", help="Number of pictures, with both ends.")] = 8,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="WHERE",
            help="A folder for the pictures (1.png, 2.png ...); .png or .jpg: one sheet; .gif or .webp: an animation.",
        ),
    ] = Path("morph"),
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=100, metavar="N", help="Animations: pictures per second. [default: 8]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, metavar="N", help="CPU threads.")] = None,
    max_pixels: options.MaxPixels = None,
    quiet: options.Quiet = False,
) -> ExitStatus:
    """Morph one picture into another, with a model that encodes pictures (cvae-gan).

    \b
    img2img morph a.png b.png -m RUN --steps 8 -o frames/     writes frames/1.png to frames/8.png
    img2img morph a.png b.png -m RUN -o sheet.png             writes one sheet
    img2img morph a.png b.png -m RUN --steps 24 -o morph.gif  writes an animation

    The model encodes both pictures and draws the pictures between their codes. So the first and the last result are
    what the model remembers of your pictures, not copies of them. If their labels differ, the label changes on the way.
    """
    from img2img.runtime.network import session
    from img2img.runtime.tasks import morph as task

    target = task.Target(output)
    target.check(steps, (first, last), overwrite=overwrite)
    if fps is not None and not target.is_animation:
        raise UsageError(f"--fps is for animations (.gif, .webp), not for -o {output}: omit it")
    path = task.find_model(model)
    a, b = task.read(first, last, max_pixels=max_pixels)
    loaded = session.load(path, device=device, threads=threads)
    if not quiet:
        for note in loaded.notes:
            console.say(note)
    target.write(list(task.morph(loaded, a, b, steps)), fps=fps or DEFAULT_FPS)
    if not quiet:
        console.say(f"wrote {steps} pictures to {output}")
        if older := target.older(steps):
            console.say(f"{output} also holds older pictures: {', '.join(path.name for path in older[:3])}")
    return ExitStatus.OK
