"""The Python API: `load` a model and `run` it on a picture, or process a `batch`. Nothing below imports this module."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from img2img.errors import UsageError
from img2img.runtime.batch.event import Event
from img2img.runtime.tasks.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.grid import Tile
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.session import LoadedModel
    from img2img.runtime.tasks.task import Task
    from img2img.types import Floats

__all__ = ["Event", "Model", "batch", "load"]

Name = str | os.PathLike[str]

_OPTIONS_OF_TASK = {
    "upscale": ("scale", "tile"),
    "translate": ("tile", "to", "reference", "latent", "size"),
    "inpaint": ("mask", "to", "size"),
}

_DEFAULTS = {"scale": None, "tile": "auto", "to": (), "reference": None, "latent": None, "mask": None, "size": None}


class Model:
    """A model that is ready to run. Create one with `load`. Several threads may share it.

    Example:
        >>> model = img2img.load("upscale-x4")  # doctest: +SKIP
        >>> model.run("photo.jpg").save("large.png")  # doctest: +SKIP
    """

    def __init__(self, network: LoadedModel) -> None:
        self.network = network
        self._whole: LoadedModel | None = None

    @property
    def card(self) -> Card:
        """The properties of the model: task, scale, domains, licence and more."""
        return self.network.card

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.network.card.name

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.network.path

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N"."""
        return self.network.device

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about the model and the device, one line each."""
        return self.network.notes

    def infer(self, image: Floats, **others: Floats) -> Floats:
        """Run the network on arrays, without padding or tiles, on all cores; see `LoadedModel.infer`."""
        if self._whole is None:
            self._whole = self.network.on_all_cores()
        return self._whole.infer(image, **others)

    def run(
        self,
        picture: Image.Image | Name,
        *,
        scale: float | None = None,
        tile: Tile = "auto",
        to: str | Sequence[str] = (),
        reference: Image.Image | Name | None = None,
        latent: Sequence[float] | Floats | None = None,
        mask: Image.Image | Name | None = None,
        size: Size | None = None,
        strength: float = 1.0,
    ) -> Image.Image:
        """Run the model on a picture. Alpha, grey and sizes are handled as by the command of the model's task.

        Args:
            picture: a Pillow image of any mode, or the path of a picture file.
            scale: upscaling only: enlargement factor; None: the model's own.
            tile: upscaling and translation: "auto", a side in pixels, or None to run the whole picture at once.
            to: translation and inpainting: a domain of the model, or several if they do not exclude each other.
            reference: translation only, required by models that take one: a second picture, for example in the wanted
                style. Grey becomes colour, and transparent pixels lie on white.
            latent: translation only: the latent code of models that take one, as many numbers as the card says. None:
                zeros.
            mask: inpainting only, required: a picture of the same size that is white where to fill, or "alpha" to
                fill what is transparent.
            size: translation and inpainting: "keep", "fit" or a side in pixels; see `translate.translate` and
                `inpaint.inpaint`.
            strength: 0 returns the (resized) picture, 1 the network's result; values in between blend the two.

        Returns:
            A Pillow image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey. Pillow has no 16-bit colour mode, so
            16-bit colour is reduced to 8 bits. EXIF (turned upright), ICC profile and resolution are in `info`, where
            Pillow's `save` finds them.

        Raises:
            PictureError: the picture, the reference or the mask cannot be read, or the mask has another size.
            UsageError: the model needs another argument, or does not support one that was given, or the latent code has
                the wrong length.
            OutOfMemory, BrokenOutput, ModelError: as `infer`.
        """
        from img2img.runtime.image import pictures

        task = self.card.task
        given = {"scale": scale, "tile": tile, "to": to, "reference": reference, "latent": latent, "mask": mask}
        options: dict[str, Any] = self._supported(task, **given, size=size)
        options["strength"] = strength
        source = _opened(picture)
        with self.network.cores.busy():
            return pictures.image_of(self._apply(task, source, mask, options))

    def _apply(self, task: str, source: Picture, mask: Image.Image | Name | None, options: dict[str, Any]) -> Picture:
        if task == "upscale":
            from img2img.runtime.tasks.upscale import upscale

            return upscale(self.network, source, **options)
        if task == "translate":
            from img2img.runtime.tasks import latents, references
            from img2img.runtime.tasks.translate import translate

            if "reference" in options:
                references.check(self.card, is_given=True)
                size = options.get("size", "keep")
                options["reference"] = references.to_input(_opened(options["reference"]), self.card, size)
            if "latent" in options:
                options["latent"] = latents.of_values(options["latent"], self.card)
            return translate(self.network, source, **options)
        from img2img.runtime.tasks import masks
        from img2img.runtime.tasks.inpaint import inpaint

        if mask is None:
            raise UsageError(f"{self.name} needs a mask: a picture that is white where to fill, or 'alpha'")
        by_alpha = mask == "alpha"
        notes: list[str] = []
        given = None if by_alpha else masks.of(_opened(mask), note=notes.append)
        source, options["mask"] = masks.MaskSources(by_alpha).apply(source, given)
        source = dataclasses.replace(source, notes=(*source.notes, *notes))
        return inpaint(self.network, source, **options)

    def _supported(self, task: str, **given: Any) -> dict[str, Any]:
        """The arguments that differ from their defaults. Raises UsageError if the task does not support one."""
        options = {name: value for name, value in given.items() if not _is_default(name, value)}
        unsupported = [name for name in options if name not in _OPTIONS_OF_TASK[task]]
        if unsupported:
            raise UsageError(f"{self.name} is for {task!r} and does not support {', '.join(unsupported)}")
        return options


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS[name]
    return value is default or (isinstance(value, type(default)) and bool(value == default))


def load(
    name_or_path: Name,
    *,
    device: str = "auto",
    threads: int | None = None,
    card: Card | None = None,
    assume: Mapping[str, str] | None = None,
    verify: bool = False,
) -> Model:
    """Load a model by name or path.

    Args:
        name_or_path: a name that `img2img models` lists, the path of an ONNX file, or a run folder.
        device: "auto" (CUDA if it works, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: all that this process may use.
        card: the properties of a file without a card that follows docs/model-file.md otherwise; None: probe it.
        assume: known properties of a file without a card: `scale`, `range` ("1", "255" or "signed": -1..1),
            `channels` ("rgb" or "bgr"), `task` ("upscale" or "translate"), `context`, `multiple` and `offset` in
            pixels.

        verify: refuse a model whose bytes differ from the digest in its card. Otherwise `Model.notes` says so.

    Raises:
        ModelError: the model does not exist, is damaged or unsafe, contradicts its card, or cannot be probed.
        DeviceError: CUDA was requested and does not work.
        UsageError: an argument has no valid value, or `card` or `assume` is given for a file that has a card.
        OutOfMemory: the model does not fit the device.
    """
    from img2img.runtime.network import session

    return Model(session.load(name_or_path, device=device, threads=threads, card=card, assume=assume, verify=verify))


def batch(
    inputs: Name | Iterable[Name],
    *,
    task: Literal["upscale", "restore", "translate", "inpaint"] | None = None,
    model: Name | None = None,
    output: Name | None = None,
    **options: Any,
) -> Generator[Event, None, None]:
    """Process many pictures. Yields one Event per result, in the order in which they finish.

    The call itself checks the arguments, before the first event is requested. If a picture fails, its event has the
    status "failed", an `error` and a `message`, and the others go on. Leaving the loop stops the batch; files are
    complete or absent.

    Args:
        inputs: one or several files, folders or globs.
        task: None: the task of the model, or "upscale" if there is no model either.
        model: a name or an ONNX file; None: the default model of the task.
        output: a file, a folder or a template; None: next to the inputs.
        options: options of the task (`scale`, `tile`; `to`, `reference`, `samples`, `seed`, `size`, ...; `mask`,
            `boxes`, `dilate`, ...: the fields of `UpscaleTask`, `TranslateTask` and `InpaintTask`) and of every batch
            (`recursive`, `existing`, `format`, `quality`, `device`, `strength`, ...: the fields of `Settings`).

    Raises:
        UsageError: the task does not have an option, or a value is out of range.
        ModelError: the model does not exist, or is for another task.
    """
    from img2img.runtime.batch import plan, run

    names = [os.fspath(one) for one in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    if "-" in names:
        raise UsageError("'-' means stdin on the command line only; pass a file, or use Model.run")
    known = set(Settings.__dataclass_fields__)
    settings = Settings(
        output=None if output is None else os.fspath(output),
        model=None if model is None else os.fspath(model),
        **{name: value for name, value in options.items() if name in known},
    )
    task_options = {name: value for name, value in options.items() if name not in known}
    configured = _task(task or _task_of_model(settings), task_options, settings)
    return run.run(plan.prepare(names, configured, settings))


def _task_of_model(settings: Settings) -> str:
    from img2img.runtime.network import models

    if settings.model is None:
        return "upscale"
    card = models.read_card(models.find(settings.model))
    return "upscale" if card is None else card.task


def _task(name: str, options: dict[str, Any], settings: Settings) -> Task:
    from img2img.runtime.tasks import result_size
    from img2img.runtime.tasks.inpaint import InpaintTask
    from img2img.runtime.tasks.restore import RestoreTask
    from img2img.runtime.tasks.translate import TranslateTask
    from img2img.runtime.tasks.upscale import UpscaleTask

    kinds: dict[str, type[UpscaleTask | TranslateTask | InpaintTask]] = {
        "upscale": UpscaleTask,
        "restore": RestoreTask,
        "translate": TranslateTask,
        "inpaint": InpaintTask,
    }
    if name not in kinds:
        raise UsageError(f"unknown task {name!r}; tasks: {', '.join(kinds)}")
    kind = kinds[name]
    known = set(kind.__dataclass_fields__) - {"wanted", "style", "masks", "strength"}
    known -= {"scale", *result_size.FIELDS, "budget"} if kind is RestoreTask else set()
    if unknown := sorted(set(options) - known):
        raise UsageError(f"{name} has no option {unknown[0]!r}; options: {', '.join(sorted(known))}")
    if isinstance(options.get("to"), str):
        options["to"] = (options["to"],)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    for file in ("mask", "reference"):
        if options.get(file) is not None:
            options[file] = os.fspath(options[file])
    if "max_pixels" in known:  # of masks and references, as of the pictures
        options["max_pixels"] = settings.max_pixels
    return kind(strength=settings.strength, **options)


def _opened(picture: Image.Image | Name) -> Picture:
    from PIL import Image

    if isinstance(picture, Image.Image):
        from img2img.runtime.image import from_pillow

        return from_pillow.picture_of(picture)
    from img2img.runtime.image import pictures

    return pictures.read(Path(picture))
