"""Translates pictures into another domain."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.files import naming
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.image import blending, hdr
from img2img.runtime.image import colour as colours
from img2img.runtime.image.alpha import bleed, over
from img2img.runtime.image.luminance import with_luminance_of
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import input_size
from img2img.runtime.network.card import Card
from img2img.runtime.network.input_size import Size
from img2img.runtime.network.tiling import AUTO, Progress, Tile, rescaled, run_tiled
from img2img.runtime.tasks.task import Task
from img2img.text import nfc

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


ALL = "all"


@dataclass(frozen=True, kw_only=True)
class TranslateTask(Task):
    """
    Attributes:
        to: a domain of the model, several that can be combined, or "all" for one result per domain.
        size: how the network sees a picture, see `input_size.Size`.
        sheet: make one contact sheet of the picture and its results in all domains.
        background: colour behind transparent pictures, RGB 0..255; None: keep the alpha channel.
        direction: of a run folder that holds several models, what stands between `model.` and `.onnx`.
        wanted: made by `fitted`: what each result is called in file names -> the domains that make it.
    """

    name: ClassVar[str] = "translate"
    doing: ClassVar[str] = "translating"

    to: tuple[str, ...] = ()
    size: Size = "fit"
    sheet: bool = False
    background: tuple[int, int, int] | None = None
    direction: str | None = None
    wanted: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if settings.model is None:
            if self.direction is not None:
                raise UsageError("--direction requires --model RUN, the folder of a run with several models")
            return models.for_task("translate")
        return models.find(settings.model, direction=self.direction)

    def with_card(self, card: Card) -> Self:
        from img2img.runtime.network.grid import Grid

        Grid(card).limit(self.tile)  # tiles for a network that cannot have them: said once, and not for each picture
        if self.sheet and not card.domains:
            raise UsageError(f"--grid shows all domains of a model, and {card.name} has none")
        return dataclasses.replace(self, wanted=_wanted(card, ("all",) if self.sheet and not self.to else self.to))

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        name = naming.safe_name(card.name)
        if self.sheet:
            return [Naming("_grid", settings.output, settings.format, model=card.name, domain="grid")]
        several = len(self.wanted) > 1
        found = []
        for domain in self.wanted:
            output = settings.output
            if several and output is not None and naming.output_folder(output) is not None:
                # The names are kept, so that the folder has to notify them apart.
                output = f"{output.rstrip('/')}/{domain}/"
            found.append(Naming(f"_{domain or name}", output, settings.format, model=card.name, domain=domain))
        return found

    def bind(self, model: Network, job: Job) -> Network:
        label = label_of(model.card, self.wanted[job.domain] if not self.sheet else next(iter(self.wanted.values())))
        return model if label is None else model.with_inputs(domain=label)

    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        def run(to: tuple[str, ...], told: Progress) -> Picture:
            return translate(
                model,
                picture,
                to=to,
                size=self.size,
                tile=self.tile,
                strength=self.strength,
                background=self.background,
                progress=told,
            )

        if self.sheet:
            from img2img.runtime.tasks import contact_sheet

            return contact_sheet.of_domains(picture, self.wanted, run, progress)
        return run(self.wanted[job.domain], progress)


def _wanted(card: Card, to: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The results of each picture: the part of the file name that identifies a result -> its domains."""
    if ALL in to and ALL not in card.domains:
        if len(to) > 1:
            raise UsageError("--to all cannot be combined with other domains")
        if card.domains:
            named: dict[str, tuple[str, ...]] = {naming.safe_name(domain): (domain,) for domain in card.domains}
            if len(named) < len(card.domains):
                raise UsageError("two domains would get the same file name: run them one at a time, with --to and -o")
            return named
    label_of(card, to)
    return {naming.safe_name("_".join(to)) if to else "": to}


Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def translate(
    model: Network,
    picture: Picture,
    *,
    to: str | Sequence[str] = (),
    size: Size = "keep",
    tile: Tile = AUTO,
    strength: float = 1.0,
    background: tuple[int, int, int] | None = None,
    progress: Progress | None = None,
) -> Picture:
    """Translate a picture. The result has the picture's size, whatever the stride and scale of the network.

    A network whose every output pixel depends on the whole picture (context null) sees it in one piece, padded by
    reflection to the sides that it can have; others see tiles. If results keep the luminance of the picture (the card
    says so), the network may see a smaller copy, and only its colours are enlarged. Colour is spread under full
    transparency first, and the alpha channel stays the same.

    Args:
        model: a loaded model that needs no mask.
        picture: of any size from 1x1 on, 8 or 16 bits; its depth, format, EXIF and ICC profile are kept. Grey becomes
            colour.
        to: the target domain, or several if the model's domains can be combined; empty for a model without domains.
        size: what the network sees: a number is the shorter side in pixels (models are best at the size they were
            trained at), from which the result is scaled back; see `input_size.Size`.
        tile: see `tiling.Tile`.
        strength: 0 returns the picture, 1 the network's result; values in between blend the two.
        background: lay a transparent picture over this colour first, RGB 0..255, as training does over white; the
            result is opaque. None: as above.
        progress: receives numbers of finished pixels that add up to the picture's.

    Raises:
        UsageError: the model does not support an option; the message says what works.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    card = model.card
    if card.task == "inpaint":
        raise UsageError(f"{card.name} needs a mask in addition to the picture")
    blending.check_strength(strength)
    input_size.check_size(size)
    label = label_of(card, to)
    runner = model if label is None else model.with_inputs(domain=label)
    run = partial(
        _translated, runner, size=size, tile=tile, strength=strength, background=background, progress=progress
    )
    return hdr.in_working_range(run, picture) if picture.is_pq else run(picture)


def _translated(
    model: Network,
    picture: Picture,
    *,
    size: Size,
    tile: Tile,
    strength: float,
    background: tuple[int, int, int] | None,
    progress: Progress | None,
) -> Picture:
    notes = list(picture.notes)
    if background is not None and picture.alpha is not None:
        picture = dataclasses.replace(picture, colour=over(picture.colour, picture.alpha, background), alpha=None)
    colour, icc = _in_colour(picture, notes)
    if picture.alpha is not None:
        colour = bleed(colour, picture.alpha)
    width, height = picture.size

    def run(seen: tuple[int, int]) -> Pixels:
        report = None if progress is None else rescaled(progress, seen[0] * seen[1], width * height)
        return run_tiled(model, lanczos(colour, seen), tile=tile, progress=report, note=notes.append)

    keeps_luminance = input_size.keeps_luminance(model.card)
    seen = picture.size if isinstance(size, str) else input_size.scaled(picture.size, size / min(picture.size))
    if size == "fit":
        seen = input_size.near_training_size(seen, model.card.side, note=notes.append)
        seen = input_size.at_most(seen, input_size.MOST_PIXELS) if keeps_luminance else seen
    result = input_size.run_until_it_fits(run, seen, shrink=size == "fit", note=notes.append)
    if keeps_luminance and result.shape != colour.shape:
        result = with_luminance_of(colour, result)
    else:
        result = lanczos(result, picture.size)
    result = blending.blend(colour, result, strength)
    return dataclasses.replace(picture, colour=result, icc=icc, notes=tuple(notes))


def label_of(card: Card, to: str | Sequence[str]) -> Floats | None:
    """The input `domain`, float32 [1, K], with a one in each column that `to` names. None if the model has no domains.

    Raises:
        UsageError: `to` is empty although the model has domains, names an unknown domain or several exclusive ones,
            or the model has no domains.
    """
    wanted = [nfc(name) for name in ([to] if isinstance(to, str) else to)]
    domains = [nfc(name) for name in card.domains]
    known = ", ".join(card.domains)
    if not card.domains:
        if wanted:
            raise UsageError(f"{card.name} has one direction and no domains: omit --to {wanted[0]}")
        return None
    if not wanted:
        raise UsageError(f"{card.name} has several domains; choose one with --to: {known}")
    for name in wanted:
        if name not in domains:
            close = difflib.get_close_matches(name, domains, n=1)
            guess = f"did you mean {close[0]!r}? it has" if close else "it has"
            raise UsageError(f"{card.name} has no domain {name!r}; {guess} {known}")
    if card.exclusive and len(set(wanted)) > 1:
        raise UsageError(f"the domains of {card.name} are exclusive: choose one with --to, not {', '.join(wanted)}")
    return np.array([[float(name in wanted) for name in domains]], np.float32)


def _in_colour(picture: Picture, notes: list[str]) -> tuple[Pixels, bytes | None]:
    """Pixels [H, W, 3] and the matching profile."""
    colour, icc = picture.colour, picture.icc
    if colour.shape[2] == 3:
        return colour, icc
    if icc is not None and colours.space(icc) == "GRAY":
        converted = colours.grey_to_srgb(colour[..., 0], icc)
        if converted is not None:
            colour = converted[..., None]
        else:
            notes.append("the ICC profile is for grey; it was left out of the result, which is in colour")
        icc = None
    return colour.repeat(3, axis=2), icc
