"""`img2img degrade PHOTO...`: preview the pictures that a network will be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console, options, trainer
from img2img.errors import ConfigError, DataError, PictureError, UsageError
from img2img.runtime.files import find
from img2img.text import count_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from img2img.data.folders import Reading
    from img2img.training.preview import PreviewConfig

READ = ("scale", "data.crop", "data.degradation", "data.masks")  # the training settings that a preview uses


def degrade(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Files, folders (searched recursively) or globs.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="SHEET", help="Contact sheet to write; replaces an existing file.")
    ] = Path("degraded.png"),
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", min=1, help="Upscaling factor of the network. [default: 4]")
    ] = None,
    crop: Annotated[
        int | None, typer.Option("--crop", min=8, help="Side of the crops, in pixels. [default: 256]")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of rows, one random photo each.")] = 8,
    versions: Annotated[int, typer.Option("--versions", min=1, help="Number of degraded versions of each crop.")] = 4,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Use the settings of a run, such as RUN/config.toml."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, such as --set data.degradation.first.jpeg=[10,60]."
        ),
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Show inpainting holes (data.masks) instead.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the crops and versions.")] = 0,
    max_pixels: options.MaxPixels = None,
) -> None:
    """Show how training degrades your photos, on a contact sheet.

    \b
    img2img degrade photos/                    Real-ESRGAN's second-order degradation
    img2img degrade photos/ --scale 1          JPEG artefacts and noise, for networks that keep the size
    img2img degrade photos/ --set data.degradation.kind=bicubic
    img2img degrade photos/ --config runs/mine/config.toml -o mine.png
    img2img degrade photos/ --masks --set data.masks.share=[0.2,0.5]

    Each row holds a crop, the sharpened crop that pixel objectives learn towards, and low-resolution versions of it,
    enlarged without smoothing.
    """
    trainer.need_training_packages()
    from img2img.data.folders import Reading

    reading = Reading(max_pixels=max_pixels)
    kind = _format(output)
    settings = _settings(config, assignments or [], scale=scale, crop=crop, seed=seed)
    chosen = _choose(photos, count, settings.data.crop, seed, reading)

    from img2img.atomic import atomic
    from img2img.runtime.image import pillow
    from img2img.training import preview

    if masks:
        sheet = preview.mask_sheet(chosen, settings, versions=versions, reading=reading)
    else:
        sheet = preview.degradation_sheet(chosen, settings, versions=versions)
    with atomic(output) as stream:
        pillow.save(sheet, stream, kind)
    crops = f"{count_of(len(chosen), 'crop')} of {settings.data.crop} pixels"
    console.say(f"wrote {output}: {crops}, {count_of(versions, 'version')} of each")


def _settings(
    config: Path | None, assignments: list[str], *, scale: int | None, crop: int | None, seed: int
) -> PreviewConfig:
    from img2img.methods.config import assign
    from img2img.training.preview import PreviewConfig

    values: dict[str, Any] = {}
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if not any(key == read or key.startswith(f"{read}.") for read in READ):
            raise ConfigError(f"--set {assignment}: degrade only uses {', '.join(READ)}")
    if config is None:
        values["data"] = {}
    else:
        trained = trainer.read_settings(config)
        values = {key: trained[key] for key in ("scale",) if key in trained}
        data = trained.get("data", {})
        values["data"] = {key: data[key] for key in ("crop", "degradation", "masks") if key in data}
    if scale is not None:
        values["scale"] = scale
    if crop is not None:
        values["data"]["crop"] = crop
    values["seed"] = seed
    assign(values, assignments)
    if config is None:
        usual = "jpeg-noise" if values.get("scale") == 1 else "real"
        values["data"].setdefault("degradation", {}).setdefault("kind", usual)
    return PreviewConfig.parse(values, where="settings")


def _choose(inputs: list[str], count: int, smallest: int, seed: int, reading: Reading) -> list[NDArray[np.uint8]]:
    """Return up to `count` photos that are at least `smallest` pixels wide and high. Decode only as many as needed."""
    import numpy as np

    from img2img.data.folders import read_rgb

    sources = find.collect(inputs, recursive=True)
    order = range(len(sources)) if len(sources) <= count else np.random.default_rng(seed).permutation(len(sources))
    chosen: list[NDArray[np.uint8]] = []
    small = 0
    for place in order:
        source = sources[place]
        try:
            if source.problem is not None:
                raise source.problem
            if not isinstance(source.path, Path):
                raise UsageError("a preview reads photos from files on this machine, not from stdin or URIs")
            photo = read_rgb(source.path, reading)
        except PictureError as error:
            console.say(f"warning: {error}")
            continue
        if min(photo.shape[:2]) < smallest:
            small += 1
            continue
        chosen.append(photo)
        if len(chosen) == count:
            break
    if small:
        console.say(f"skipped photos smaller than the {smallest} px crop: {small}")
    if not chosen:
        raise DataError(f"no photo is at least {smallest} pixels wide and high: choose a smaller --crop")
    return chosen


def _format(output: Path) -> str:
    """Return Pillow's name of the format for the extension of `output`."""
    from PIL import Image

    known = Image.registered_extensions()
    name = known.get(output.suffix.lower())
    if name not in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        raise UsageError(f"--output {output}: use a name that ends in .png, .jpg, .webp, .tif or .bmp")
    return str(name)
