"""`img2img translate PICTURE...`"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import options
from img2img.errors import ExitStatus, UsageError
from img2img.runtime import files, targets
from img2img.runtime.targets import Existing, Job, Naming

if TYPE_CHECKING:
    from img2img.runtime.card import Card
    from img2img.runtime.pictures import Picture

ALL = "all"


def translate(
    pictures: options.Pictures,
    output: options.Output = None,
    model: options.ModelName = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="DOMAIN",
            help="What to turn the pictures into: a domain of the model (a call without --to lists them); may be "
            "repeated where domains go together (blond and male); all makes one result for each.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="keep|fit|N",
            help="How the network sees a picture: keep as it is; fit as it is, but smaller where memory runs out; N "
            "with a shorter side of N pixels (models are best at the size they were trained at). The result has the "
            "picture's own size whatever this says.",
            rich_help_panel="Model",
        ),
    ] = "keep",
    strength: options.Strength = 1.0,
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
    """Turn pictures into another domain: horses into zebras, outlines into colour, one style into another.

    \b
    img2img translate photo.jpg -m RUN/model.onnx           beside it: photo_MODEL.jpg
    img2img translate faces/ -m faces.onnx --to blond       their results in faces_blond/
    img2img translate a.png -m styles.onnx --to all -o out/ out/DOMAIN/a.png for each domain
    img2img translate big.jpg -m RUN/model.onnx --size 256  as the network was trained

    Results have the size of their pictures; transparency, 16 bits, EXIF and ICC profiles are kept; grey becomes colour.
    """
    side, seen = options.parse_tile(tile), options.parse_size(size)
    sources = files.collect(pictures, recursive=recursive, exclude=targets.output_folder(output))

    from img2img.cli.chosen import Chosen
    from img2img.cli.process import Apply, Manner, process
    from img2img.runtime import models
    from img2img.runtime.grid import Grid

    path = models.find(model) if model is not None else models.for_task("translate")
    chosen = Chosen(path, "translate", device=device, threads=threads, quiet=json or quiet)
    Grid(chosen.card).limit(side)  # tiles for a network that cannot have them: said once, and not for each picture
    wanted = _wanted(chosen.card, to or [])
    namings = [_naming(chosen.card, domain, output, format, several=len(wanted) > 1) for domain in wanted]
    jobs = targets.plan(sources, namings, existing=existing)

    def apply() -> Apply:
        from img2img.runtime.translate import translate as run

        network = chosen.load()

        def work(job: Job, picture: Picture, *, progress: Callable[[int], None]) -> Picture:
            return run(
                network, picture, to=wanted[job.domain], size=seen, tile=side, strength=strength, progress=progress
            )

        return work

    manner = Manner(first_frame, max_pixels, quality, json, quiet)
    return process(jobs, apply, manner, area=1)


def _wanted(card: Card, to: list[str]) -> dict[str, list[str]]:
    """The results wanted of each picture: what each is called in file names, and the domains that make it."""
    from img2img.runtime.translate import label_of

    if ALL in to and ALL not in card.domains:
        if len(to) > 1:
            raise UsageError("--to all stands alone")
        if card.domains:
            named = {targets.as_part(domain): [domain] for domain in card.domains}
            if len(named) < len(card.domains):
                raise UsageError("two domains would have one name as files: say one after the other with --to and -o")
            return named
    label_of(card, to)
    return {targets.as_part("_".join(to)) if to else "": to}


def _naming(card: Card, domain: str, output: str | None, format: str | None, *, several: bool) -> Naming:
    name = targets.as_part(card.name)
    if several and output is not None and targets.output_folder(output) is not None:
        output = f"{output.rstrip('/')}/{domain}/"  # the names are kept, so that the folder has to tell them apart
    return Naming(f"_{domain or name}", output, format, model=name, domain=domain)
