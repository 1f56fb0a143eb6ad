"""`img2img evaluate MODEL --data FOLDER`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import console, figures, trainer
from img2img.cli.measures import TAKEN, Asked, Measure, short
from img2img.errors import ModelError, UsageError

if TYPE_CHECKING:
    from img2img.evaluation.results import Case
    from img2img.evaluation.sheet_rows import SheetRows
    from img2img.runtime.network.session import LoadedModel

UPSCALE, INPAINT, TRANSLATE = "Upscaling", "Inpainting", "Translation"


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or path of a model.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", "-d", metavar="FOLDER", help="Pictures to measure with; repeat it for further folders."),
    ],
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only the pictures that a training on these folders holds out.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N pictures (pairs, drawn things) of a data set, evenly spread."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Another model for the same task, measured beside it; may be repeated."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a picture: input, rivals, result, truth, in up to 24 rows."),
    ] = None,
    no_reference: Annotated[
        bool,
        typer.Option(
            "--no-reference",
            help="Enlarge the pictures as they are and measure how natural that looks (NIQE, lower is better).",
            rich_help_panel=UPSCALE,
        ),
    ] = False,
    niqe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="NIQE's statistics of good photos (.npz), such as the published ones. Default: fitted on free photos.",
            rich_help_panel=UPSCALE,
        ),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="The middle square of a photo is reduced to this side; 0: whole photos. Default: 256.",
            rich_help_panel=INPAINT,
        ),
    ] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="The training data: of pairs, for the nearest neighbour; of styles, for the classifier; with --real "
            "twice, of the inputs' side and of the wanted one. Default: what --held-out leaves.",
            rich_help_panel=TRANSLATE,
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="There are no pairs: measure how like these real pictures of the wanted side the results are.",
            rich_help_panel=TRANSLATE,
        ),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="DOMAIN",
            help="With --real: the domain of the model to bring the pictures to.",
            show_default=False,
            rich_help_panel=TRANSLATE,
        ),
    ] = "",
    features: Annotated[
        str,
        typer.Option(
            metavar="inception|FILE",
            help="With --real: also KID and FID in features of Inception-v3, by torchmetrics and torch-fidelity, which "
            "downloads its weights (95 MB) unless FILE has them.",
            show_default=False,
            rich_help_panel=TRANSLATE,
        ),
    ] = "",
    size: Annotated[
        str,
        typer.Option(
            metavar="keep|fit|N",
            help="At which size the network sees pictures, as in translate.",
            rich_help_panel=TRANSLATE,
        ),
    ] = "keep",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the classifier.", rich_help_panel=TRANSLATE)] = 0,
    classifier_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of its training. Default: 1400, about two minutes on one CPU core.",
            show_default=False,
            rich_help_panel=TRANSLATE,
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads. Default: all cores.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the means into the model's card, with this command.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a picture, and one for the mean.")] = False,
) -> None:
    """Measure a model on pictures that it has not seen, beside what can be had without it.

    \b
    upscaling     PSNR and SSIM on Y (ITU-R BT.601), the border cropped by the scale, against bicubic, as the papers
                  do. Low-resolution pictures are the folder's (NAME_LR beside NAME_HR), or made of its photos by
                  MATLAB's antialiased bicubic. With --no-reference (or where all are NAME_LR): NIQE.
    inpainting    PSNR, SSIM and L1 in holes of 10 to 40 % (brush strokes and boxes, the same ones every time),
                  and how visible their border is, against OpenCV's and scikit-image's methods.
    translation   of pairs (laid out as for pix2pix): L1, PSNR, SSIM and sharpness, against copying the input and
                  the nearest training pair. Of styles (a folder a style, one name = one thing): the same against
                  the true drawing for every direction, and whether a classifier that learns from the real training
                  drawings, on the spot, recognises the style. Without pairs (--real): whether such a classifier
                  takes the results for the wanted side, KID (not times 100 or 1000) in its features, not those of
                  Inception, and sliced Wasserstein distance, beside copying the input and beside real pictures.

    Parts of the truth: sharpness (below 1 blurred, above 1 noisy) and border (far above 1: the rim shows).
    """
    trainer.need_training_packages()
    from img2img.evaluation.sheet_rows import SheetRows, format_of

    if sheet is not None and format_of(sheet.suffix) is None:
        raise UsageError(f"--sheet {sheet}: say a name that ends in .png, .jpg or .webp")
    loaded = _load([*(against or []), model], device, threads)
    own, subject = list(loaded.items())[-1]
    asked = Asked(
        data,
        held_out,
        count,
        no_reference=no_reference,
        niqe=niqe,
        side=side,
        train=train or [],
        real=real,
        to=to,
        features=features,
        size=size,
        seed=seed,
        classifier_steps=classifier_steps,
        threads=threads,
    )
    asked.check(subject)
    gallery = SheetRows(details=subject.card.task == "upscale") if sheet is not None else None
    measured: dict[str, dict[str, float | str]] = {}
    for folders in asked.sets(subject.card.task):
        measure = asked.measure(loaded, folders)
        shown = ", ".join(map(str, folders))
        console.say(f"{own} on {shown}: {measure.about}")
        found, further = _print(measure, own, shown, gallery, json=json)
        rivals = [way for way in found if way != own]
        name = "+".join(map(short, folders)) + measure.suffix
        measured[name] = {one: figures.rounded(one, number) for one, number in found[own].items()}
        compared = [measure.main[0], *(one for one in found[own] if one.startswith(figures.DISTANCES))]
        measured[name] |= {
            f"{one} ({way})": figures.rounded(one, found[way][one]) for one in compared for way in rivals
        }
        measured[name] |= {
            **further,
            "command": asked.command([_called(one) for one in loaded.values()], folders),
        }
    if gallery is not None and sheet is not None:
        _write(gallery, sheet)
    if record:
        from img2img import exchange

        exchange.update_card(subject.path, metrics={**subject.card.metrics, **measured})


def _print(
    measure: Measure, own: str, data: str, gallery: SheetRows | None, *, json: bool
) -> tuple[dict[str, dict[str, float]], dict[str, float | str]]:
    """Print the cases as they come, what they come to together, and in how many the model is better.

    Returns the figures of all cases together, by way, and what is to be said beside them.
    """
    from dataclasses import replace

    from img2img.evaluation.results import means

    printer: figures.Printer | None = None
    cases: list[Case] = []
    for case in gallery.watch(measure.cases) if gallery is not None else measure.cases:
        if printer is None:
            printer = figures.Printer(list(case.figures), measure.main, data, json=json)
            printer.head()
        printer.case(case)
        cases.append(replace(case, pictures={}))
    assert printer is not None  # every measure refuses data without pictures
    whole = measure.whole()
    found = {way: one | whole.pop(way, {}) for way, one in means(cases).items()}
    further = measure.beside | {f"{name}_real": figures.rounded(name, n) for name, n in whole.get("real", {}).items()}
    first = measure.main[0]
    wins = {way: figures.better(cases, way, own, first) for way in printer.ways if way != own}
    printer.mean(found | whole, {**further, "cases": len(cases), "better_than": wins})
    won = ", ".join(f"than {way} in {number}" for way, number in wins.items())
    console.say(f"of {len(cases)}, {own} is better {won} ({first})")
    for name, text in further.items():
        console.say(f"{name}: {text}")
    return found, {**further, "cases": len(cases)}


def _called(model: LoadedModel) -> str:
    """A name that a person can call it by: NAME.int8 has the card's name NAME."""
    stem = model.path.stem
    return stem if stem.startswith(f"{model.name}.") else model.name


def _load(names: list[str], device: str, threads: int | None) -> dict[str, LoadedModel]:
    """The models by names that are unlike each other; the last is the one to measure.

    Raises:
        ModelError: they are not for the same thing.
        UsageError: one is named twice.
    """
    from img2img.runtime.network import session

    loaded = [session.load(name, device=device, threads=threads) for name in names]
    paths = [one.path.resolve() for one in loaded]
    if len(set(paths)) < len(paths):
        raise UsageError(f"one model is named twice: {', '.join(names)}")
    subject = loaded[-1]
    for rival in loaded:
        both = (rival.card, subject.card)
        if len({(card.task, card.scale, bool(card.domains)) for card in both}) > 1:
            raise ModelError(
                f"{rival.path} is to {rival.card.task} at scale {rival.card.scale}, {subject.path} to "
                f"{subject.card.task} at scale {subject.card.scale}: they cannot be compared"
            )
    plain = [f"{one.name} (model)" if one.name in TAKEN else one.name for one in loaded]
    for unlike in (plain, [f"{path.parent.name}/{path.stem}" for path in paths], list(map(str, paths))):
        if len(set(unlike)) == len(unlike):
            break
    return dict(zip(unlike, loaded, strict=True))


def _write(gallery: SheetRows, file: Path) -> None:
    from img2img.atomic import atomic
    from img2img.evaluation.sheet_rows import format_of
    from img2img.training.sheets import contact_sheet

    rows = gallery.rows
    with atomic(file) as stream:
        contact_sheet(gallery.columns, rows).save(stream, format_of(file.suffix))
    console.say(f"wrote {file}: {len(rows)} rows")
