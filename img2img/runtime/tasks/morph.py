"""Morphs one picture into another: a row of pictures that begins like the first and ends like the last."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from img2img.atomic import atomic
from img2img.errors import PictureError, UsageError
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.depth import to_8_bits
from img2img.runtime.network import models
from img2img.runtime.network.card import Card
from img2img.runtime.tasks import contact_sheet, references
from img2img.runtime.tasks.translate import translate
from img2img.text import show

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.network import Network

PART = "morph"
"""What the file in a run folder is called: model.morph.onnx."""

ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
SHEETS = (".png", ".jpg", ".jpeg")

MOST_STEPS = 1000
WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the pictures go: a folder of frames, an animation or one sheet.

    Raises:
        UsageError: the suffix of the name is none of those. A name without one is a folder.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_dir() != self.is_folder and self.path.exists():
            what = "a folder" if self.path.is_dir() else "a file, not a folder"
            raise UsageError(f"-o {show(self.path)}: this is {what}; choose another name")
        if not self.is_folder and self.suffix not in (*ANIMATIONS, *SHEETS):
            known = ", ".join((*ANIMATIONS, *SHEETS))
            raise UsageError(f"-o {show(self.path)}: unknown suffix {self.suffix}; use a folder, or one of {known}")

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def is_folder(self) -> bool:
        return not self.suffix

    def files(self, steps: int) -> list[Path]:
        """The files to write."""
        if not self.is_folder:
            return [self.path]
        digits = len(str(steps))
        return [self.path / f"{number:0{digits}}.png" for number in range(1, steps + 1)]

    @property
    def is_animation(self) -> bool:
        return self.suffix in ANIMATIONS

    def older(self, steps: int) -> list[Path]:
        """The numbered pictures in the folder that are not among the files to write."""
        if not self.is_folder:
            return []
        own = set(self.files(steps))
        return [path for path in sorted(self.path.glob("*.png")) if path.stem.isdecimal() and path not in own]

    def check(self, steps: int, inputs: Sequence[str], *, overwrite: bool) -> None:
        """Raise UsageError if a file exists and may not be replaced, or is one of `inputs`."""
        for file in self.files(steps):
            if file.exists() and any(Path(one).exists() and file.samefile(one) for one in inputs):
                raise UsageError(f"{show(file)} would be replaced by the result: choose another -o")
            if file.exists() and not overwrite:
                raise UsageError(f"{show(file)} exists: add --overwrite, or choose another -o")

    def write(self, frames: Sequence[Picture], *, fps: float) -> None:
        """Write the pictures. Each file appears whole or not at all.

        Raises:
            PictureError: a file cannot be written.
        """
        if self.is_folder:
            for file, frame in zip(self.files(len(frames)), frames, strict=True):
                writing.write(frame, file)
        elif self.suffix in ANIMATIONS:
            data = animation(frames, ANIMATIONS[self.suffix], fps=fps)
            with atomic(self.path) as stream:
                stream.write(data)
        else:
            writing.write(sheet(frames), self.path)


def check_card(card: Card) -> None:
    """Raise UsageError if a model cannot morph."""
    if not can_morph(card):
        raise UsageError(
            f"{card.name} cannot morph: use the model.{PART}.onnx of a run of cvae-gan, or its folder (--model RUN)"
        )


def can_morph(card: Card) -> bool:
    """Whether a model makes pictures between `image` and `reference`."""
    return card.reference is not None and card.morphs


def find_model(name: str | None) -> Path:
    """The model file for `name`, a name, a path or a run folder.

    Raises:
        UsageError: there is no name, or the model cannot morph.
        ModelError: there is no such model.
    """
    if name is None:
        raise UsageError("name the model of a cvae-gan run: --model RUN")
    path = models.find(name, part=PART)
    card = models.read_card(path)
    if card is None:
        raise UsageError(f"{show(path)} cannot morph: it has no img2img card")
    if not can_morph(card) and Path(name).is_dir():
        raise UsageError(
            f"{show(name)} has no model.{PART}.onnx. Runs of cvae-gan have one; if this is such a run, repeat its "
            "train command to complete it"
        )
    check_card(card)
    return path


def read(first: str, last: str, *, max_pixels: int | None = None) -> tuple[Picture, Picture]:
    """Read the two pictures.

    Raises:
        UsageError: one cannot be read, or their sizes differ.
    """
    found = []
    for name in (first, last):
        try:
            limit = max_pixels or pictures.DEFAULT_MAX_PIXELS
            found.append(pictures.read(Path(name), max_pixels=limit, first_frame=True))
        except PictureError as error:
            raise UsageError(str(error)) from error
    check_sizes(first, found[0], last, found[1])
    return found[0], found[1]


def check_sizes(first: str, a: Picture, last: str, b: Picture) -> None:
    """Raise UsageError unless both pictures have the same size."""
    if a.size != b.size:
        sizes = [f"{show(name)} has {one.size[0]}x{one.size[1]} pixels" for name, one in ((first, a), (last, b))]
        raise UsageError(f"{sizes[0]} and {sizes[1]}: resize one: both pictures of a morph must have the same size")


def morph(
    model: Network,
    first: Picture,
    last: Picture,
    steps: int,
    *,
    finished: Callable[[], None] = lambda: None,
) -> Iterator[Picture]:
    """Yield `steps` pictures from `first` to `last`, RGB, opaque and without metadata.

    All of them come from the network: the first and the last are its reconstructions. Transparent pixels lie on white,
    as in training.

    Args:
        finished: called after each picture.

    Raises:
        UsageError: the model cannot morph, the pictures differ in size, or `steps` is below 2.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    check_card(model.card)
    check_sizes("the first picture", first, "the last picture", last)
    if not 2 <= steps <= MOST_STEPS:
        raise UsageError(f"--steps {steps}: use a number from 2 to {MOST_STEPS}")
    reference = references.to_input(last, model.card, "fit")
    for position in np.linspace(0, 1, steps, dtype=np.float32):
        latent = position.reshape(1, 1)
        result = translate(model, first, reference=reference, latent=latent, size="fit", background=WHITE)
        colour = to_8_bits(result.colour) if result.colour.dtype != np.uint8 else result.colour
        yield pictures.Picture(colour=colour, icc=result.icc)
        finished()


def sheet(frames: Sequence[Picture]) -> Picture:
    """Arrange the pictures on one white sheet, numbered."""
    cells = [(str(number), frame.colour) for number, frame in enumerate(frames, start=1)]
    return pictures.Picture(colour=contact_sheet.laid_out(cells), icc=frames[0].icc)


def animation(frames: Sequence[Picture], format: str, *, fps: float) -> bytes:
    """Encode the pictures as an animation that repeats without end.

    Args:
        format: "GIF" (256 colours for each picture) or "WEBP".
        fps: pictures per second.
    """
    images = [Image.fromarray(frame.colour) for frame in frames]
    stream = io.BytesIO()
    options = {} if format == "GIF" else {"quality": writing.WEBP_QUALITY}
    images[0].save(
        stream, format, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0, **options
    )
    return stream.getvalue()
