"""The options of `img2img evaluate`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.errors import ModelError, UsageError
from img2img.runtime.tasks.latents import MOST_SAMPLES
from img2img.runtime.tasks.settings import MAX_PIXELS, option
from img2img.text import nfc

if TYPE_CHECKING:
    from img2img.runtime.network.session import LoadedModel

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


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of `img2img evaluate`."""

    data: tuple[Path, ...] = option(
        (),
        "-d",
        metavar="FOLDER",
        help="Pictures to measure with. Repeatable. Several runs without it: the figures of their last validations.",
    )
    held_out: bool = option(False, help="Only use the pictures that training on these folders holds out.")
    count: int | None = option(
        None, min=1, metavar="N", help="Use at most N items per data set, evenly spread (pictures, pairs, or objects)."
    )
    against: tuple[str, ...] = option((), metavar="MODEL", help="Another model for the same task. Repeatable.")
    sheet: Path | None = option(
        None,
        metavar="FILE",
        help="Also write a contact sheet: input, rivals, result, truth and nearest training picture, up to 24 rows.",
    )
    perceptual: tuple[str, ...] = option(
        (),
        metavar="lpips|dists",
        help="Also compute the perceptual distance to the truth (torchmetrics; lower is better). Repeatable. Downloads "
        "the weights of AlexNet (233 MB) or VGG16 (528 MB).",
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
        help="Training data. Pairs: for the nearest neighbour, the novelty and the FCN-score. Styles and colours: for "
        "the classifier. With --real, give it twice: source domain, then target domain. Default: all that --held-out "
        "does not hold out.",
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
        help="The reference picture of all results, for models that take one.",
    )
    samples: int | None = option(
        None,
        panel=TRANSLATION,
        min=2,
        max=MOST_SAMPLES,
        metavar="N",
        help="For models with a latent code: draw N results per picture and measure the best one (best of N), all on "
        "average, and how far apart they are. Default: one result, for a code of zeros.",
    )
    features: str = option(
        "",
        panel=TRANSLATION,
        metavar="inception|FILE",
        help="With --real: also compute KID, FID and the Inception score with Inception-v3 (torchmetrics, "
        "torch-fidelity). Downloads its weights (95 MB) unless FILE has them.",
    )
    size: str = option(
        "keep", panel=TRANSLATION, metavar="keep|fit|N", help="Size at which the network sees pictures; see translate."
    )
    seed: int = option(
        0,
        panel=TRANSLATION,
        min=0,
        metavar="N",
        help="Random seed of the classifier or segmentation network, and of --samples.",
    )
    classifier_gain: bool = option(
        False,
        panel=TRANSLATION,
        help="Styles: also train a classifier on the real drawings together with a labelled set of results, and report "
        "how many more of the real drawings it recognises (the protocol of CVAE-GAN).",
    )
    classifier_steps: int | None = option(
        None,
        panel=TRANSLATION,
        min=1,
        metavar="N",
        help="Training steps of the classifier or the segmentation network. Default: 1400 or 600, two or three minutes "
        "on one CPU core.",
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
        if self.classifier_gain and (not model.card.domains or self.real is not None):
            raise UsageError(
                "--classifier-gain is for models with domains, and for data with one folder per domain, without --real"
            )
        if self.perceptual and (self.real is not None or self.no_reference):
            other = "--real" if self.real is not None else "--no-reference"
            raise UsageError(f"--perceptual compares results with their truth, which {other} does not have")
        if self.samples is not None and model.card.latent is None:
            raise UsageError(f"{model.name} takes no latent code, so its results do not vary: omit --samples")
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
    def held(self) -> str:
        return " held out" if self.held_out else ""


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
        return [word for one in value for word in (flag, short(one) if isinstance(one, Path) else str(one))]
    if isinstance(value, Path):
        return [flag, value.name if value.suffix else short(value)]
    return [flag, Path(value).name if flag == "--features" else str(value)]  # type: ignore[arg-type]
