"""Translates pictures into another domain."""

from __future__ import annotations

import dataclasses
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
from img2img.runtime.tasks import latents, references, results
from img2img.runtime.tasks.results import Result
from img2img.runtime.tasks.task import Task

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.references import Reference
    from img2img.runtime.tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class TranslateTask(Task):
    """
    Attributes:
        to: a domain of the model, several that can be combined, or "all" for one result per domain.
        size: how the network sees a picture, see `input_size.Size`.
        sheet: make one contact sheet of the picture and its results in all domains, or of its samples.
        background: colour behind transparent pictures, RGB 0..255; None: keep the alpha channel.
        direction: of a run folder that holds several models, what stands between `model.` and `.onnx`.
        reference: for models that take one, a second picture: a path, a URI, or the content of a file.
        samples: number of results of each picture, each with a latent code of its own; None: one, with zeros.
        seed, truncation: see `latents.draw`.
        max_pixels: limit for the reference.
        style: the reference, read by `with_card`.
        wanted: made by `with_card`: what each result is called in file names -> what makes it.

    Raises:
        UsageError: `samples`, `seed` or `truncation` is out of range.
    """

    name: ClassVar[str] = "translate"
    doing: ClassVar[str] = "translating"

    to: tuple[str, ...] = ()
    size: Size = "fit"
    sheet: bool = False
    background: tuple[int, int, int] | None = None
    direction: str | None = None
    reference: str | bytes | None = dataclasses.field(default=None, repr=False)
    samples: int | None = None
    seed: int = 0
    truncation: float | None = None
    max_pixels: int | None = None
    style: Reference | None = dataclasses.field(default=None, repr=False)
    wanted: dict[str, Result] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        latents.check(self.samples, self.seed, self.truncation)

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if settings.model is None:
            if self.direction is not None:
                raise UsageError("--direction requires --model RUN, the folder of a run with several models")
            return models.for_task("translate")
        part = "reference" if self.reference is not None else "samples" if self.samples is not None else None
        return models.find(settings.model, direction=self.direction, part=part)

    def with_card(self, card: Card) -> Self:
        from img2img.runtime.network.grid import Grid

        Grid(card).limit(self.tile)  # tiles for a network that cannot have them: said once, and not for each picture
        if card.morphs:
            raise UsageError(f"{card.name} makes the pictures between two others: use img2img morph FIRST LAST")
        if self.samples is not None and card.latent is None:
            raise UsageError(f"{card.name} takes no latent code, so its results do not vary: omit --samples")
        if self.sheet and self.samples is None and not card.domains:
            if card.latent is not None:
                raise UsageError(f"--grid shows samples of {card.name}: say how many with --samples N")
            raise UsageError(f"--grid shows the domains or samples of a model, and {card.name} has none")
        style = None
        if self.reference is None:
            references.check(card, is_given=False)
        else:
            style = references.read(self.reference, card, self.size, max_pixels=self.max_pixels)
        all_domains = self.sheet and bool(card.domains) and not self.to
        wanted = results.of_picture(card, (results.ALL,) if all_domains else self.to, self.samples)
        return dataclasses.replace(self, wanted=wanted, style=style)

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        name = naming.safe_name(card.name)
        if self.sheet:
            return [Naming("_grid", settings.output, settings.format, model=card.name, domain="grid")]
        several = len(self.wanted) > 1
        found = []
        for domain, result in self.wanted.items():
            output = settings.output
            if several and output is not None and naming.output_folder(output) is not None:
                # The names are kept, so that the folder has to notify them apart.
                output = f"{output.rstrip('/')}/{domain}/"
            suffix = domain if result.to else "_".join(filter(None, (name, domain)))
            found.append(Naming(f"_{suffix}", output, settings.format, model=card.name, domain=domain))
        return found

    def bind(self, model: Network, job: Job) -> Network:
        result = next(iter(self.wanted.values())) if self.sheet else self.wanted[job.domain]
        return _bound(model, result.to, self._reference, self._latent(model.card, result))

    @property
    def _reference(self) -> Floats | None:
        return None if self.style is None else self.style.values

    @property
    def pixels_beside(self) -> int:
        return 0 if self.style is None else self.style.pixels

    def _latent(self, card: Card, result: Result) -> Floats | None:
        if result.sample is None or card.latent is None:
            return None
        length = card.latent["length"]
        return latents.draw(length, seed=self.seed, number=result.sample, truncation=self.truncation)

    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        def run(result: Result, told: Progress) -> Picture:
            return translate(
                model,
                picture,
                to=result.to,
                reference=self._reference,
                latent=self._latent(model.card, result),
                size=self.size,
                tile=self.tile,
                strength=self.strength,
                background=self.background,
                progress=told,
            )

        if self.sheet:
            from img2img.runtime.tasks import contact_sheet

            return contact_sheet.of_results(picture, self.wanted, run, progress)
        return run(self.wanted[job.domain], progress)

    def journal_key(self, job: Job) -> dict[str, Any]:
        facts = super().journal_key(job)
        for name in ("reference", "samples", "seed", "truncation", "max_pixels", "style"):
            del facts[name]
        # Older journals do not know references and samples, so these are left out where there are none.
        facts["wanted"] = {name: result.to for name, result in self.wanted.items()}
        if self.style is not None:
            facts["reference"] = self.style.sha256
        if self.samples is not None:
            facts |= {"seed": self.seed, "truncation": self.truncation}
            if not self.sheet:  # a sample does not depend on how many there are
                facts["wanted"] = self.wanted[job.domain]
        return facts


Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def translate(
    model: Network,
    picture: Picture,
    *,
    to: str | Sequence[str] = (),
    reference: Floats | None = None,
    latent: Floats | None = None,
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
        reference: the reference picture as `references.to_input` makes it, float32 [1, 3, h, w], 0..1; required by
            models that take one. None for others.
        latent: a latent code, float32 [1, L], for models that take one. None: zeros.
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
    runner = _bound(model, to, reference, latent)
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


def _bound(model: Network, to: str | Sequence[str], reference: Floats | None, latent: Floats | None) -> Network:
    """The model with its further inputs. Raises UsageError if they do not fit it."""
    card = model.card
    references.check(card, is_given=reference is not None)
    given = {"domain": results.label_of(card, to), "reference": reference}
    if latent is not None:
        given["latent"] = latents.of_values(latent, card)
    inputs = {name: values for name, values in given.items() if values is not None}
    return model.with_inputs(**inputs) if inputs else model


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
