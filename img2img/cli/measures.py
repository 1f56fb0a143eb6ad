"""What `img2img evaluate` measures: the options, and what they mean for a model of each task."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console, options
from img2img.errors import ModelError, UsageError

if TYPE_CHECKING:
    from img2img.evaluation.domain_classifier import DomainClassifier
    from img2img.evaluation.results import Case
    from img2img.evaluation.translation import Translate
    from img2img.runtime.network.session import LoadedModel

TASK_OF = {
    "no_reference": "upscale",
    "niqe": "upscale",
    "side": "inpaint",
    "train": "translate",
    "real": "translate",
    "to": "translate",
    "features": "translate",
    "size": "translate",
    "seed": "translate",
    "classifier_steps": "translate",
}
"""Options that make sense for one task only."""

TAKEN = (
    *("bicubic", "copy", "nearest", "telea", "navier-stokes", "biharmonic"),
    *("truth", "input", "real", "picture", "data"),
)
"""Names that a model must not have in a table."""


@dataclass(frozen=True)
class Measure:
    """Something to measure on one data set.

    Attributes:
        about: what is measured, for a person.
        main: the figures that matter most, one or two; the first says which of two ways is better.
        suffix: of the data set's name in a card.
        beside: what else is to be said where the figures are shown.
        whole: figures of all cases together, by way, once all have been seen; those of "real" are no way's: what real
            pictures come to.
    """

    about: str
    main: tuple[str, ...]
    cases: Iterable[Case]
    suffix: str = ""
    beside: dict[str, float | str] = field(default_factory=dict)
    whole: Callable[[], dict[str, dict[str, float]]] = dict


@dataclass(frozen=True)
class Asked:
    """The options of the command line, under their names."""

    data: list[Path]
    held_out: bool = False
    count: int | None = None
    no_reference: bool = False
    niqe: Path | None = None
    side: int | None = None
    train: list[Path] = field(default_factory=list)
    real: Path | None = None
    to: str = ""
    features: str = ""
    size: str = "keep"
    seed: int = 0
    classifier_steps: int | None = None
    threads: int | None = None

    def check(self, model: LoadedModel) -> None:
        """Refuse what cannot be done, before anything is computed.

        Raises:
            UsageError: an option does not fit the model's task.
            ModelError: the model cannot be measured.
        """
        task, plain = model.card.task, Asked([])
        for name, where in TASK_OF.items():
            if where != task and getattr(self, name) != getattr(plain, name):
                raise UsageError(f"--{name.replace('_', '-')} is for models to {where}; {model.name} is to {task}")
        if task == "upscale" and model.card.scale < 2:
            raise ModelError(f"{model.path}: an upscaler of scale {model.card.scale} enlarges nothing")
        if self.real is not None:
            self._check_unpaired(model)
        elif given := [f"--{name}" for name in ("to", "features") if getattr(self, name)]:
            raise UsageError(f"{given[0]} goes with --real, the pictures that the results are to be like")
        elif task == "translate" and model.card.domains and not model.card.exclusive:
            raise ModelError(f"{model.path}: its domains do not exclude each other, so no folder holds the truth")
        if task == "inpaint" and model.card.domains:
            raise ModelError(f"{model.path}: it needs a domain beside the mask, which evaluate does not give")
        if self.niqe is not None and not self.no_reference:
            raise UsageError("--niqe goes with --no-reference")

    def _check_unpaired(self, model: LoadedModel) -> None:
        domains = model.card.domains
        if domains and self.to not in domains:
            wrong = f"{model.name} has no domain {self.to}" if self.to else f"{model.name} has several domains"
            raise UsageError(f"{wrong}: say --to with one of {', '.join(domains)}")
        if self.to and not domains:
            raise UsageError(f"--to {self.to}: {model.name} has no domains to choose from")
        if self.held_out and len(self.data) != 1:
            raise UsageError("--held-out with --real: give one folder with --data, that of the inputs' side")
        if len(self.train) != 2 and (self.train or not self.held_out):
            raise UsageError(
                "--real needs --train twice, for a classifier: real training pictures of the inputs' side, then of the "
                "wanted side; or --held-out"
            )

    def sets(self, task: str) -> list[list[Path]]:
        """The data sets: folders that are measured together. What is held out depends on all that is trained on."""
        return [self.data] if task != "upscale" or self.held_out else [[folder] for folder in self.data]

    def measure(self, models: dict[str, LoadedModel], folders: list[Path]) -> Measure:
        """What the last of `models` is measured by, beside the others.

        Raises:
            DataError: the folders do not hold what is needed.
        """
        card = list(models.values())[-1].card
        if card.task == "inpaint":
            return self._inpainting(models, folders)
        if card.task == "upscale":
            return self._upscaling(models, folders, card.scale)
        if self.real is not None:
            return self._unpaired(models, folders, self.real)
        return self._styles(models, folders, card.domains) if card.domains else self._pairs(models, folders)

    def command(self, models: list[str], folders: list[Path]) -> str:
        """The command that measured the last of `models` on a data set, without paths that only one machine has."""
        *rivals, own = models
        words = ["img2img", "evaluate", own]
        for folder in folders:
            words += ["--data", short(folder)]
        words += ["--held-out"] if self.held_out else []
        words += ["--count", str(self.count)] if self.count else []
        words += [word for name in rivals for word in ("--against", name)]
        words += ["--no-reference"] if self.no_reference else []
        words += ["--niqe", self.niqe.name] if self.niqe is not None else []
        words += ["--side", str(self.side)] if self.side is not None else []
        words += [word for folder in self.train for word in ("--train", short(folder))]
        words += ["--real", short(self.real)] if self.real is not None else []
        words += ["--to", self.to] if self.to else []
        words += ["--features", Path(self.features).name] if self.features else []
        words += ["--size", self.size] if self.size != "keep" else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--classifier-steps", str(self.classifier_steps)] if self.classifier_steps else []
        return shlex.join(words)

    @property
    def _held(self) -> str:
        return " held out" if self.held_out else ""

    def _upscaling(self, models: dict[str, LoadedModel], folders: list[Path], scale: int) -> Measure:
        from img2img.evaluation import niqe, upscaling
        from img2img.evaluation.results import spread

        ways = {name: upscaling.from_model(model) for name, model in models.items()}
        if not self.no_reference and not upscaling.has_no_truth(folders):
            found = upscaling.pairs(folders, scale, held_out=self.held_out, count=self.count)
            about = f"PSNR (dB) and SSIM on Y, border {scale}"
            return Measure(about, ("psnr_y", "ssim_y"), upscaling.with_reference(ways, found, scale), self._held)
        statistics = niqe.Statistics.load(self.niqe)
        paths = spread(upscaling.low_resolution_pictures(folders, held_out=self.held_out), self.count)
        return Measure(
            f"NIQE ({statistics.about}) of pictures enlarged {scale} times; lower is better",
            ("niqe",),
            upscaling.without_reference(ways, paths, scale, statistics),
            f"{self._held} as they are",
            {"statistics": f"NIQE, {statistics.about}"},
        )

    def _inpainting(self, models: dict[str, LoadedModel], folders: list[Path]) -> Measure:
        from img2img.data import folders as pictures
        from img2img.evaluation import inpainting
        from img2img.evaluation.results import spread

        rivals = inpainting.baselines()
        if "biharmonic" not in rivals:
            console.say("scikit-image is not installed, so biharmonic inpainting is left out: pip install scikit-image")
        paths = pictures.find(folders)
        paths = spread(pictures.hold_out(paths)[1] if self.held_out else paths, self.count)
        side = inpainting.SIDE if self.side is None else self.side or None
        ways = rivals | {name: inpainting.from_model(model) for name, model in models.items()}
        seen = f"reduced to {side} pixels" if side else "whole"
        return Measure(
            f"PSNR (dB) and SSIM in the hole; {len(paths)} photos, {seen}, with {len(inpainting.HOLES)} holes each",
            ("psnr", "ssim"),
            inpainting.evaluate(ways, inpainting.holes(paths, side=side)),
            self._held,
        )

    def _translations(self, models: dict[str, LoadedModel]) -> dict[str, Translate]:
        from img2img.evaluation import translation

        size = options.parse_size(self.size)
        return {name: translation.from_model(model, size) for name, model in models.items()}

    def _recogniser(self, sides: Sequence[Sequence[Path]]) -> DomainClassifier:
        from img2img.evaluation import domain_classifier

        steps = self.classifier_steps or domain_classifier.STEPS
        return domain_classifier.train(sides, seed=self.seed, steps=steps, threads=self.threads)

    def _unpaired(self, models: dict[str, LoadedModel], folders: list[Path], real: Path) -> Measure:
        from img2img.evaluation import inception, unpaired

        if absent := [name for name, model in models.items() if self.to and self.to not in model.card.domains]:
            raise ModelError(f"--against: {absent[0]} has no domain {self.to}")
        published = None
        if self.features:
            weights = None if self.features == "inception" else Path(self.features)
            published = inception.Inception.load(weights)
        data = unpaired.domain_pair(folders, real, train=self.train, held_out=self.held_out, count=self.count)
        known = ", ".join(map(short, self.train or [*folders, real]))
        console.say(f"training a classifier on real pictures of both sides: {known}")
        recogniser = self._recogniser(data.training)
        comparison = unpaired.Comparison(self._translations(models), data, recogniser, to=self.to, published=published)
        return Measure(
            f"how like {len(data.real)} real pictures of {short(real)} the results of {len(data.inputs)} are: "
            "recognised as such by a classifier, KID in its features and sliced Wasserstein distance (lower is better)",
            ("recognised",),
            comparison.cases(),
            f" > {short(real)}{self._held}",
            {
                "features": f"kid_own: a classifier trained on the spot on {known}"
                + ("; kid_inception, fid_inception: Inception-v3 of torch-fidelity" if published else ""),
                "recognised_real": round(comparison.accuracy, 4),
                "real": f"{len(data.aside)} training pictures of the wanted side that the classifier has not seen",
            },
            comparison.set_figures,
        )

    def _pairs(self, models: dict[str, LoadedModel], folders: list[Path]) -> Measure:
        from img2img.evaluation import translation

        found = translation.pairs(folders, train=self.train, held_out=self.held_out, count=self.count)
        ways = self._translations(models)
        if not found.training:
            console.say("no training pairs, so the nearest of them is left out: say --held-out, or --train FOLDER")
        return Measure(
            f"L1 (0..1, lower is better) and SSIM of {len(found.measured)} pairs; {found.about}",
            ("l1", "ssim"),
            translation.evaluate_pairs(ways, found),
            self._held,
        )

    def _styles(self, models: dict[str, LoadedModel], folders: list[Path], domains: tuple[str, ...]) -> Measure:
        from img2img.evaluation import styles

        if any(set(model.card.domains) != set(domains) for model in models.values()):
            raise ModelError("--against: the models have other domains")
        found = styles.styles(folders, domains, train=self.train, held_out=self.held_out, count=self.count)
        ways = self._translations(models)
        beside: dict[str, float | str] = {}
        recogniser, main = None, ("l1", "ssim")
        if all(found.training.values()):
            console.say(f"training a classifier of {', '.join(domains)} on real drawings")
            recogniser = self._recogniser([found.training[name] for name in domains])
            main = ("l1", "recognised")
            beside["recognised_real"] = round(styles.real_accuracy(recogniser, found), 4)
        else:
            console.say("no training drawings, so no classifier: say --held-out, or --train FOLDER")
        return Measure(
            f"L1 to the true drawing (0..1, lower is better), {len(found.drawn)} drawn things a direction",
            main,
            styles.evaluate_styles(ways, found, recogniser),
            self._held,
            beside,
        )


def short(folder: Path) -> str:
    """The last two parts of a folder's path: the same on every machine, and enough to know a data set by."""
    return "/".join(folder.resolve().parts[-2:])
