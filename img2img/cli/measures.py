"""The options of `img2img evaluate`, and what they measure for a model of each task."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console, options
from img2img.errors import ModelError, UsageError
from img2img.runtime.tasks.settings import MAX_PIXELS, option
from img2img.text import count_of, nfc

if TYPE_CHECKING:
    from img2img.data.folders import Reading
    from img2img.evaluation.domain_classifier import DomainClassifier
    from img2img.evaluation.results import Case
    from img2img.evaluation.translation import Translate
    from img2img.evaluation.upscaling import Upscale
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.session import LoadedModel
    from img2img.types import Floats

UPSCALING, INPAINTING, TRANSLATION = "Upscaling", "Inpainting", "Translation"

TASK_OF_PANEL = {UPSCALING: "upscale", INPAINTING: "inpaint", TRANSLATION: "translate"}
"""The only task for which the options of a panel are valid."""

RESERVED_NAMES = (
    *("bicubic", "copy", "nearest", "telea", "navier-stokes", "biharmonic"),
    *("truth", "input", "real", "picture", "data"),
)
"""Names in a table that a model cannot have."""

_NOT_IN_COMMAND = ("data", "against", "sheet", "device", "threads", "record", "json")
"""Options that `command` writes itself or that do not affect the figures."""


@dataclass(frozen=True)
class Measure:
    """One measurement on one data set.

    Attributes:
        about: description of the measurement.
        main: the one or two most important figures; the first decides which of two methods is better.
        suffix: appended to the name of the data set in a card.
        beside: further facts to print with the figures.
        whole: figures of the whole set by method, available after all cases; "real" holds those of real pictures.
    """

    about: str
    main: tuple[str, ...]
    cases: Iterable[Case]
    suffix: str = ""
    beside: dict[str, float | str] = field(default_factory=dict)
    whole: Callable[[], dict[str, dict[str, float]]] = dict


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of `img2img evaluate`."""

    data: tuple[Path, ...] = option(
        (), "-d", required=True, metavar="FOLDER", help="Pictures to measure with. Repeatable."
    )
    held_out: bool = option(False, help="Only use the pictures that training on these folders holds out.")
    count: int | None = option(
        None, min=1, metavar="N", help="Use at most N items per data set, evenly spread (pictures, pairs, or objects)."
    )
    against: tuple[str, ...] = option((), metavar="MODEL", help="Another model for the same task. Repeatable.")
    sheet: Path | None = option(
        None, metavar="FILE", help="Also write a contact sheet: input, rivals, result and truth in up to 24 rows."
    )
    device: str = option("auto", metavar="auto|cpu|cuda[:N]", help="Where the network runs.")
    threads: int | None = option(None, min=1, metavar="N", help="CPU threads. Default: all cores.")
    max_pixels: int | None = option(None, min=1, metavar="N", help=MAX_PIXELS)
    record: bool = option(False, help="Write the means and this command into the model's card.")
    json: bool = option(False, help="Print one JSON line per picture and one for the mean.")
    no_reference: bool = option(
        False,
        panel=UPSCALING,
        help="Enlarge the pictures themselves and measure how natural the results look (NIQE; lower is better).",
    )
    niqe: Path | None = option(
        None,
        panel=UPSCALING,
        metavar="FILE",
        help="NIQE's statistics of good photos (.npz), such as the published ones. Default: fitted on free photos.",
    )
    side: int | None = option(
        None,
        panel=INPAINTING,
        min=0,
        metavar="PIXELS",
        help="Crop each photo to its central square and reduce it to this side; 0 uses whole photos. Default: 256.",
    )
    train: tuple[Path, ...] = option(
        (),
        panel=TRANSLATION,
        metavar="FOLDER",
        help="Training data. Pairs: for the nearest neighbour. Styles and colours: for the classifier. With --real, "
        "give it twice: source domain, then target domain. Default: all that --held-out does not hold out.",
    )
    real: Path | None = option(
        None,
        panel=TRANSLATION,
        metavar="FOLDER",
        help="For unpaired data: real pictures of the target domain to compare the results with.",
    )
    to: str = option("", panel=TRANSLATION, metavar="DOMAIN", help="With --real: the target domain of the model.")
    reference: Path | None = option(
        None,
        panel=TRANSLATION,
        metavar="FILE",
        help="The reference picture of all results, for models that take one. A latent code is zeros.",
    )
    features: str = option(
        "",
        panel=TRANSLATION,
        metavar="inception|FILE",
        help="With --real: also compute KID and FID in the features of Inception-v3 (torchmetrics, torch-fidelity). "
        "Downloads its weights (95 MB) unless FILE has them.",
    )
    size: str = option(
        "keep", panel=TRANSLATION, metavar="keep|fit|N", help="Size at which the network sees pictures; see translate."
    )
    seed: int = option(0, panel=TRANSLATION, min=0, metavar="N", help="Random seed of the classifier.")
    classifier_steps: int | None = option(
        None,
        panel=TRANSLATION,
        min=1,
        metavar="N",
        help="Training steps of the classifier. Default: 1400, about two minutes on one CPU core.",
    )

    def check(self, model: LoadedModel) -> None:
        """Check the options before anything is computed.

        Raises:
            UsageError: an option does not fit the model's task.
            ModelError: the model cannot be measured.
        """
        task = model.card.task
        for one in fields(self):
            valid_for = TASK_OF_PANEL.get(one.metadata["panel"], task)
            if valid_for != task and getattr(self, one.name) != one.default:
                raise UsageError(f"{_flag(one.name)} is for models that {valid_for}; {model.name} is for {task!r}")
        if self.real is not None:
            self._check_unpaired(model)
        elif given := [f"--{name}" for name in ("to", "features") if getattr(self, name)]:
            raise UsageError(f"{given[0]} requires --real, real pictures of the target domain")
        elif task == "translate" and model.card.domains and not model.card.exclusive:
            raise ModelError(f"{model.path}: its domains are not exclusive, so no folder has the true pictures")
        if task != "translate" and model.card.reference is not None:
            raise ModelError(f"{model.path}: evaluate supports references only for models that translate")
        if task == "translate":
            from img2img.runtime.tasks import references

            references.check(model.card, is_given=self.reference is not None)
        if task == "inpaint" and model.card.domains:
            raise ModelError(f"{model.path}: evaluate does not support a mask and a domain together")
        if self.niqe is not None and not self.no_reference:
            raise UsageError("--niqe requires --no-reference")

    def _check_unpaired(self, model: LoadedModel) -> None:
        domains = model.card.domains
        if domains and nfc(self.to) not in map(nfc, domains):
            wrong = f"{model.name} has no domain {self.to}" if self.to else f"{model.name} has several domains"
            raise UsageError(f"{wrong}; use --to with one of {', '.join(domains)}")
        if self.to and not domains:
            raise UsageError(f"--to {self.to}: {model.name} has no domains to choose from")
        if self.held_out and len(self.data) != 1:
            raise UsageError("--held-out with --real: use --data once, with the folder of the source domain")
        if len(self.train) != 2 and (self.train or not self.held_out):
            raise UsageError(
                "--real trains a classifier: use --train twice (source domain, then target domain), or --held-out"
            )

    def sets(self, task: str) -> list[list[Path]]:
        """The data sets: groups of folders to measure together. The held-out part depends on all training folders."""
        return [list(self.data)] if task != "upscale" or self.held_out else [[folder] for folder in self.data]

    def measure(self, models: dict[str, LoadedModel], folders: list[Path]) -> Measure:
        """How to measure the last of `models`, next to the others.

        Raises:
            DataError: the folders lack the pictures that this needs.
        """
        from img2img.data.folders import Reading

        card = list(models.values())[-1].card
        reading = Reading(card.extra.get("white"), self.max_pixels)  # as in training
        if card.task == "inpaint":
            return self._inpainting(models, folders, reading)
        if card.task == "upscale":
            return self._upscaling(models, folders, reading, card.scale)
        if self.real is not None:
            return self._unpaired(models, folders, reading, self.real)
        if card.domains:
            return self._styles(models, folders, reading, card.domains)
        measure = self._colours if card.extra.get("input") == "grey" else self._pairs
        return measure(models, folders, reading)

    def command(self, models: list[str], folders: list[Path]) -> str:
        """The command that measured the last of `models` on a data set, without machine-specific paths."""
        *rivals, own = models
        words = ["img2img", "evaluate", own]
        for folder in folders:
            words += ["--data", short(folder)]
        for rival in rivals:
            words += ["--against", rival]
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _NOT_IN_COMMAND or value == one.default:
                continue
            words += _words(_flag(one.name), value)
        return shlex.join(words)

    @property
    def _held(self) -> str:
        return " held out" if self.held_out else ""

    def _upscaling(self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading, scale: int) -> Measure:
        from img2img.evaluation import niqe, upscaling
        from img2img.evaluation.results import spread

        ways = {name: upscaling.from_model(model) for name, model in models.items()}
        if scale == 1 and not self.no_reference and not upscaling.is_benchmark(folders):
            return self._restoration(ways, folders, reading)
        if not self.no_reference and not upscaling.has_no_truth(folders):
            found = upscaling.pairs(folders, scale, held_out=self.held_out, count=self.count, reading=reading)
            about = f"PSNR (dB) and SSIM on Y, border {scale}"
            return Measure(about, ("psnr_y", "ssim_y"), upscaling.with_reference(ways, found, scale), self._held)
        statistics = niqe.Statistics.load(self.niqe)
        seen = "restored pictures" if scale == 1 else f"pictures enlarged {scale} times"
        paths = spread(upscaling.low_resolution_pictures(folders, held_out=self.held_out), self.count)
        return Measure(
            f"NIQE ({statistics.about}) of {seen}; lower is better",
            ("niqe",),
            upscaling.without_reference(ways, paths, scale, statistics, reading),
            f"{self._held} as they are",
            {"statistics": f"NIQE, {statistics.about}"},
        )

    def _restoration(self, ways: dict[str, Upscale], folders: list[Path], reading: Reading) -> Measure:
        from img2img.data.jpeg_noise import STANDARD
        from img2img.evaluation import restoration

        paths = restoration.photos(folders, held_out=self.held_out, count=self.count)
        return Measure(
            f"PSNR (dB) on Y, border {restoration.BORDER}, mean over {', '.join(STANDARD)}; "
            f"{count_of(len(paths), 'photo')}",
            ("psnr_y",),
            restoration.evaluate(ways, paths, reading),
            self._held,
        )

    def _inpainting(self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading) -> Measure:
        from img2img.data import folders as pictures
        from img2img.evaluation import inpainting
        from img2img.evaluation.results import spread

        rivals = inpainting.baselines()
        if "biharmonic" not in rivals:
            console.say("biharmonic inpainting is skipped: it needs scikit-image (pip install scikit-image)")
        paths = pictures.find(folders)
        paths = spread(pictures.hold_out(paths)[1] if self.held_out else paths, self.count)
        side = inpainting.SIDE if self.side is None else self.side or None
        ways = rivals | {name: inpainting.from_model(model) for name, model in models.items()}
        seen = f"{count_of(len(paths), 'photo')}, {f'reduced to {side} pixels' if side else 'whole'}"
        comparison = inpainting.Comparison(ways, inpainting.holes(paths, side=side, reading=reading))
        return Measure(
            "PSNR (dB) and SSIM in the hole, and sliced Wasserstein distance of all results (lower is better); "
            f"{seen}, with {len(inpainting.HOLES)} holes each",
            ("psnr", "ssim"),
            comparison.cases(),
            self._held,
            whole=comparison.set_figures,
        )

    def _translations(self, models: dict[str, LoadedModel]) -> dict[str, Translate]:
        from img2img.evaluation import translation

        size = options.parse_size(self.size)
        ways = {}
        for name, model in models.items():
            takes_none = self.reference is None or model.card.reference is None  # a rival may take none
            reference = None if takes_none else self._reference(model.card, size)
            ways[name] = translation.from_model(model, size, reference)
        return ways

    def _reference(self, card: Card, size: Size) -> Floats:
        from img2img.runtime.tasks import references

        return references.read(str(self.reference), card, size, max_pixels=self.max_pixels).values

    def _recogniser(self, sides: Sequence[Sequence[Path]], reading: Reading) -> DomainClassifier:
        from img2img.evaluation import domain_classifier

        steps = self.classifier_steps or domain_classifier.STEPS
        return domain_classifier.train(sides, seed=self.seed, steps=steps, threads=self.threads, reading=reading)

    def _unpaired(self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading, real: Path) -> Measure:
        from img2img.evaluation import inception, unpaired

        if absent := [
            name for name, model in models.items() if self.to and nfc(self.to) not in map(nfc, model.card.domains)
        ]:
            raise ModelError(f"--against: {absent[0]} has no domain {self.to}")
        published = None
        if self.features:
            weights = None if self.features == "inception" else Path(self.features)
            published = inception.Inception.load(weights)
        data = unpaired.domain_pair(folders, real, train=list(self.train), held_out=self.held_out, count=self.count)
        known = ", ".join(map(short, self.train or [*folders, real]))
        console.say(f"training a classifier on real pictures of both domains: {known}")
        recogniser = self._recogniser(data.training, reading)
        comparison = unpaired.Comparison(
            self._translations(models), data, recogniser, to=self.to, published=published, reading=reading
        )
        return Measure(
            f"{count_of(len(data.inputs), 'result')} compared with {count_of(len(data.real), 'real picture')} of "
            f"{short(real)}: share that a "
            "classifier recognises, KID in its features and sliced Wasserstein distance (lower is better)",
            ("recognised",),
            comparison.cases(),
            f" > {short(real)}{self._held}",
            {
                "features": f"kid_own: a classifier trained on the spot on {known}"
                + ("; kid_inception, fid_inception: Inception-v3 of torch-fidelity" if published else ""),
                "recognised_real": round(comparison.accuracy, 4),
                "real": f"{len(data.aside)} training pictures of the target domain that the classifier has not seen",
            },
            comparison.set_figures,
        )

    def _pairs(self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading) -> Measure:
        from img2img.evaluation import translation

        found = translation.pairs(folders, train=list(self.train), held_out=self.held_out, count=self.count)
        ways = self._translations(models)
        if not found.training:
            console.say("no training pairs: skipping the nearest neighbour (use --held-out or --train FOLDER)")
        return Measure(
            f"L1 (0..1, lower is better) and SSIM of {count_of(len(found.measured), 'pair')}; {found.about}",
            ("l1", "ssim"),
            translation.evaluate_pairs(ways, found, reading),
            self._held,
        )

    def _colours(self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading) -> Measure:
        from img2img.evaluation import colorization, domain_classifier

        found = colorization.photos(folders, train=list(self.train), held_out=self.held_out, count=self.count)
        classifier = None
        beside: dict[str, float | str] = {}
        if found.training:
            console.say("training a classifier on the training photos, in colour, in grey and in other hues")
            steps = self.classifier_steps or domain_classifier.STEPS
            classifier = colorization.train_classifier(
                found.training, seed=self.seed, steps=steps, threads=self.threads, reading=reading
            )
            beside["features"] = "kid_own: a classifier trained on the spot on photos in colour, grey and other hues"
        else:
            console.say("no training photos: skipping KID (use --held-out or --train FOLDER)")
        comparison = colorization.Comparison(self._translations(models), found, classifier, reading)
        return Measure(
            f"chroma L1 (0..1, lower is better) and mean chroma relative to the photo, of "
            f"{count_of(len(found.measured), 'photo')} coloured from grey; copy: the grey photo; {found.about}",
            ("chroma_l1", "chroma_ratio"),
            comparison.cases(),
            self._held,
            beside,
            comparison.set_figures,
        )

    def _styles(
        self, models: dict[str, LoadedModel], folders: list[Path], reading: Reading, domains: tuple[str, ...]
    ) -> Measure:
        from img2img.evaluation import styles

        if any({*map(nfc, model.card.domains)} != {*map(nfc, domains)} for model in models.values()):
            raise ModelError("--against: the models have different domains")
        found = styles.styles(folders, domains, train=list(self.train), held_out=self.held_out, count=self.count)
        ways = self._translations(models)
        beside: dict[str, float | str] = {}
        recogniser, main = None, ("l1", "ssim")
        if all(found.training.values()):
            console.say(f"training a classifier of {', '.join(domains)} on real drawings")
            recogniser = self._recogniser([found.training[name] for name in domains], reading)
            main = ("l1", "recognised")
            beside["recognised_real"] = round(styles.real_accuracy(recogniser, found, reading), 4)
        else:
            console.say("no training drawings: skipping the classifier (use --held-out or --train FOLDER)")
        return Measure(
            f"L1 to the true drawing (0..1, lower is better), {count_of(len(found.drawn), 'drawing')} per direction",
            main,
            styles.evaluate_styles(ways, found, recogniser, reading),
            self._held,
            beside,
        )


def short(folder: Path) -> str:
    """The last two parts of a folder's path, which identify a data set on every machine."""
    return "/".join(folder.resolve().parts[-2:])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(flag: str, value: object) -> list[str]:
    """An option as words of a command. Folders are shortened, files keep their names only."""
    if value is True:
        return [flag]
    if isinstance(value, tuple):
        return [word for folder in value for word in (flag, short(folder))]
    if isinstance(value, Path):
        return [flag, value.name if value.suffix else short(value)]
    return [flag, Path(value).name if flag == "--features" else str(value)]  # type: ignore[arg-type]
