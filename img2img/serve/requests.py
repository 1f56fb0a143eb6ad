"""A request of the API as the commands see it: the settings and the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from img2img.errors import UsageError
from img2img.runtime.tasks import result_size
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task
from img2img.runtime.tasks.values import parse_box, parse_colour, parse_size

MOST_SIDE = 8192
"""Largest value of `size`: the memory of a network grows with it."""

MOST_SAMPLES = 64
"""Most results of a picture. All of them are in memory together."""

_OF_SETTINGS = ("format", "quality", "strip", "first_frame", "color_fix", "check_seams", "strength")

_OF_UPSCALE = ("scale", *result_size.FIELDS, "wrap", "budget")


@dataclass(frozen=True)
class Request:
    """What a client wants.

    Attributes:
        operation: a key of `operations.OPERATIONS`.
        image, mask, reference: contents of files.
        name: what the client calls the image, without folders; printable.
        values: the other fields, as `operations.parse` returns them.
    """

    operation: str
    image: bytes = field(repr=False)
    name: str
    values: dict[str, Any]
    mask: bytes | None = field(default=None, repr=False)
    reference: bytes | None = field(default=None, repr=False)

    @property
    def model(self) -> str | None:
        """Name of the wanted model; None: the usual one."""
        name: str | None = self.values.get("model")
        return name

    def settings(self, model: str | None, *, max_pixels: int, device: str, threads: int | None) -> Settings:
        """The options that all operations share. `model`: path of the wanted model. Raises UsageError."""
        given = {name: self.values[name] for name in _OF_SETTINGS if name in self.values}
        return Settings(model=model, max_pixels=max_pixels, device=device, threads=threads, journal=False, **given)

    def task(self, settings: Settings, tile: Any) -> Task:
        """The task. Raises UsageError if a value is out of range, or values contradict each other."""
        values, shared = self.values, {"strength": settings.strength, "tile": tile}
        if self.operation == "upscale":
            from img2img.runtime.tasks.upscale import UpscaleTask

            own = {name: values[name] for name in _OF_UPSCALE if name in values}
            return UpscaleTask(ensemble=values.get("tta", False), **own, **shared)
        if self.operation == "restore":
            from img2img.runtime.tasks.restore import RestoreTask

            return RestoreTask(**shared)
        size = None if "size" not in values else parse_size(values["size"])
        if isinstance(size, int) and size > MOST_SIDE:
            raise UsageError(f"--size {size}: this server allows sides of up to {MOST_SIDE} pixels")
        shared |= {"max_pixels": settings.max_pixels}
        return self._translate(size, shared) if self.operation == "translate" else self._inpaint(size, shared)

    def _translate(self, size: Any, shared: dict[str, Any]) -> Task:
        from img2img.runtime.tasks.translate import TranslateTask

        values = self.values
        if (values.get("samples") or 0) > MOST_SAMPLES:
            raise UsageError(f"--samples {values['samples']}: this server makes up to {MOST_SAMPLES}")
        if values.get("grid") and values.get("color_fix"):
            raise UsageError("--color-fix does not work with --grid: omit one of them")
        background = values.get("background")
        return TranslateTask(
            to=values.get("to", ()),
            reference=self.reference,
            samples=values.get("samples"),
            seed=values.get("seed", 0),
            truncation=values.get("truncation"),
            sheet=values.get("grid", False),
            direction=values.get("direction"),
            size=size or "fit",
            background=None if background is None else parse_colour(background, "--background"),
            **shared,
        )

    def _inpaint(self, size: Any, shared: dict[str, Any]) -> Task:
        from img2img.runtime.tasks.inpaint import DEFAULT_FEATHER, InpaintTask

        values = self.values
        colour, to = values.get("mask_color"), values.get("to")
        return InpaintTask(
            mask=self.mask if self.mask is not None else values.get("mask"),
            key=None if colour is None else parse_colour(colour, "--mask-color"),
            tolerance=values.get("tolerance", 16),
            boxes=tuple(parse_box(text) for text in values.get("box", ())),
            dilate=values.get("dilate", 0),
            feather=values.get("feather", DEFAULT_FEATHER),
            size=size,
            to=() if to is None else (to,),
            **shared,
        )
