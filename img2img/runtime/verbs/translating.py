"""Turning pictures into another domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from img2img.errors import UsageError
from img2img.runtime.listing import targets
from img2img.runtime.listing.targets import Job, Naming
from img2img.runtime.verbs.verb import Verb

if TYPE_CHECKING:
    from img2img.runtime.batches.settings import Settings
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.counting import Progress
    from img2img.runtime.network.session import Model
    from img2img.runtime.network.sizing import Size

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Translating(Verb):
    """
    Attributes:
        to: domains of the model: one, or several that go together, or "all": one result for each.
        size: how the network sees a picture, see `sizing.Size`.
        sheet: the picture and its results in all domains as one contact sheet.
        background: colour that transparent pictures are laid over first, RGB 0..255; None: their alpha is kept.
        direction: of a run folder that holds several models, what stands between `model.` and `.onnx`.
        wanted: made by `fitted`: what each result is called in file names -> the domains that make it.
    """

    task: ClassVar[str] = "translate"

    to: tuple[str, ...] = ()
    size: Size = "fit"
    sheet: bool = False
    background: tuple[int, int, int] | None = None
    direction: str | None = None
    wanted: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def find(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if settings.model is None:
            if self.direction is not None:
                raise UsageError("--direction goes with --model RUN, the folder of a run that made several models")
            return models.for_task("translate")
        return models.find(settings.model, direction=self.direction)

    def fitted(self, card: Card) -> Self:
        from img2img.runtime.network.grid import Grid

        Grid(card).limit(self.tile)  # tiles for a network that cannot have them: said once, and not for each picture
        if self.sheet and not card.domains:
            raise UsageError(f"--grid shows all domains of a model, and {card.name} has none")
        return dataclasses.replace(self, wanted=_wanted(card, ("all",) if self.sheet and not self.to else self.to))

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        name = targets.as_part(card.name)
        if self.sheet:
            return [Naming("_grid", settings.output, settings.format, model=name, domain="grid")]
        several = len(self.wanted) > 1
        found = []
        for domain in self.wanted:
            output = settings.output
            if several and output is not None and targets.output_folder(output) is not None:
                # The names are kept, so that the folder has to tell them apart.
                output = f"{output.rstrip('/')}/{domain}/"
            found.append(Naming(f"_{domain or name}", output, settings.format, model=name, domain=domain))
        return found

    def bound(self, model: Model, job: Job) -> Model:
        from img2img.runtime.verbs.translate import label_of

        label = label_of(model.card, self.wanted[job.domain] if not self.sheet else next(iter(self.wanted.values())))
        return model if label is None else model.bound(domain=label)

    def apply(self, model: Model, job: Job, picture: Picture, progress: Progress) -> Picture:
        from img2img.runtime.verbs.translate import translate

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
            from img2img.runtime.image import sheet

            return sheet.of_domains(picture, self.wanted, run, progress)
        return run(self.wanted[job.domain], progress)


def _wanted(card: Card, to: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The results wanted of each picture: what each is called in file names, and the domains that make it."""
    from img2img.runtime.verbs.translate import label_of

    if ALL in to and ALL not in card.domains:
        if len(to) > 1:
            raise UsageError("--to all stands alone")
        if card.domains:
            named: dict[str, tuple[str, ...]] = {targets.as_part(domain): (domain,) for domain in card.domains}
            if len(named) < len(card.domains):
                raise UsageError("two domains would have one name as files: say one after the other with --to and -o")
            return named
    label_of(card, to)
    return {targets.as_part("_".join(to)) if to else "": to}
