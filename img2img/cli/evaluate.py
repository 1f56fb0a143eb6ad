"""`img2img evaluate MODEL --data FOLDER`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console, figures, measures, options, runs, trainer, translation_measures
from img2img.cli.evaluate_options import RESERVED_NAMES, EvaluateOptions, short
from img2img.cli.measures import Measure
from img2img.errors import ExitStatus, ModelError, UsageError
from img2img.text import count_of

if TYPE_CHECKING:
    from img2img.evaluation.results import Case
    from img2img.evaluation.sheet_rows import SheetRows
    from img2img.runtime.network.session import LoadedModel


@options.with_options(EvaluateOptions)
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Name or path of a model, or a run folder. Several: runs of one recipe. Adds mean and standard "
            "deviation over them, and counts those that have no model (without --data: no log) as failed.",
            show_default=False,
        ),
    ],
    **given: Any,
) -> ExitStatus:
    """Compare a model, or several runs of one recipe, with simple baselines on pictures that they were not trained on.

    \b
    upscaling     PSNR and SSIM on Y (ITU-R BT.601) with the border cropped by the scale, as in the papers, against
                  bicubic. Uses the folder's low-resolution pictures (NAME_LR next to NAME_HR), or reduces its photos
                  with MATLAB's antialiased bicubic. NIQE with --no-reference, or if all pictures are NAME_LR.
    restoration   Models of scale 1: PSNR on Y of photos with JPEG artefacts (quality 10, 20, 40 and 95) and with
                  Gaussian noise (15 on a scale of 255), against the input. Or your own NAME_LR and NAME_HR.
    inpainting    PSNR, SSIM and L1 in holes of 10 to 40 % (strokes and boxes, the same every time), and the
                  visibility of their borders, against the methods of OpenCV and scikit-image.
    translation   Pairs (laid out as for pix2pix): L1, PSNR, SSIM and sharpness, against a copy of the input and the
                  nearest training pair. If the inputs are label maps, also the FCN-score: the accuracy and mean IoU
                  with which a segmentation network finds them in the results; it is trained first, on the real photos.
                  Styles (one folder per style, same name = same object): the figures of pairs for every direction,
                  and the share of results whose style a classifier recognises; the classifier is trained first, on
                  the real drawings. Unpaired pictures (--real): the share that such a classifier assigns to the
                  target domain, KID in its features (not scaled by 100 or 1000), precision, recall, density and
                  coverage in them, and sliced Wasserstein distance, against a copy of the input and real pictures.
                  Colours (models trained with data.layout = photos): chroma L1, mean chroma and PSNR of photos
                  coloured from grey, the share of pixels whose luminance has changed, and KID in the features of a
                  classifier that is trained first, against the grey photos.

    Sharpness and border are relative to the truth. Sharpness below 1 is blurred, above 1 noisy; a border far above 1
    is visible. Novelty is the distance of results to the most similar training picture, relative to that of real
    pictures; a model with a novelty far below 1 has memorised its training pictures.
    """
    trainer.need_training_packages()
    from img2img.evaluation.sheet_rows import SheetRows, format_of

    settings = options.gathered(EvaluateOptions, given)
    sheet = settings.sheet
    if sheet is not None and format_of(sheet.suffix) is None:
        raise UsageError(f"--sheet {sheet}: the name must end in .png, .jpg or .webp")
    if len(models) > 1 and settings.record:
        raise UsageError("--record takes one MODEL: the card of each model holds its own figures only")
    if not settings.data:
        return runs.report_validations(models, json=settings.json)
    loaded, failed = _load(settings.against, models, settings.device, settings.threads)
    own, subject = list(loaded.items())[-1]
    settings.check(subject)
    if subject.card.morphs:
        raise UsageError(f"{own} makes the pictures between two others: no truth to compare them with")
    gallery = SheetRows(details=subject.card.task == "upscale") if sheet is not None else None
    measured: dict[str, dict[str, float | str]] = {}
    for folders in settings.sets(subject.card.task):
        measure = _measure(settings, loaded, folders)
        shown = ", ".join(map(str, folders))
        console.say(f"{own} on {shown}: {measure.about}")
        found, further = _print(measure, own, shown, gallery, json=settings.json)
        if len(models) > 1:
            measured_runs = {name: found[name] for name in list(loaded)[len(settings.against) :]}
            runs.report(measured_runs, failed, shown, json=settings.json)
        rivals = [way for way in found if way != own]
        name = "+".join(map(short, folders)) + measure.suffix
        measured[name] = {one: figures.rounded(one, number) for one, number in found[own].items()}
        compared = [measure.main[0], *(one for one in found[own] if one.startswith((*figures.OF_SETS, "psnr_y_")))]
        measured[name] |= {
            f"{one} ({way})": figures.rounded(one, found[way][one])
            for one in compared
            for way in rivals
            if one in found[way]
        }
        measured[name] |= {
            **further,
            "command": settings.command([_called(one) for one in loaded.values()], folders),
        }
    if gallery is not None and sheet is not None:
        _write(gallery, sheet)
    if settings.record:
        from img2img import exchange

        exchange.update_card(subject.path, metrics={**subject.card.metrics, **measured})
    return ExitStatus.SOME_FAILED if failed else ExitStatus.OK


def _measure(settings: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path]) -> Measure:
    """How to measure the last of `models`, next to the others.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.data.folders import Reading

    card = list(models.values())[-1].card
    if card.task == "upscale":
        measure = measures.measure_upscaling
    elif card.task == "inpaint":
        measure = measures.measure_inpainting
    elif settings.real is not None:
        measure = translation_measures.measure_unpaired
    elif card.domains:
        measure = translation_measures.measure_styles
    elif card.extra.get("input") == "grey":
        measure = translation_measures.measure_colours
    else:
        measure = translation_measures.measure_pairs
    return measure(settings, models, folders, Reading(card.extra.get("white"), settings.max_pixels))  # as in training


def _print(
    measure: Measure, own: str, data: str, gallery: SheetRows | None, *, json: bool
) -> tuple[dict[str, dict[str, float]], dict[str, float | str]]:
    """Print the cases as they come, their means, and the number of cases in which the model is better.

    Returns the figures of the whole set by method, and further facts about them.
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
    assert printer is not None  # every measurement refuses data without pictures
    whole = measure.whole()
    found = {way: one | whole.pop(way, {}) for way, one in means(cases).items()}
    further = measure.beside | {f"{name}_real": figures.rounded(name, n) for name, n in whole.get("real", {}).items()}
    first = measure.main[0]
    wins = {way: figures.better(cases, way, own, first) for way in printer.ways if way != own}
    printer.mean(found | whole, {**further, "cases": len(cases), "better_than": wins})
    won = ", ".join(f"than {way} in {number}" for way, number in wins.items())
    console.say(f"{own} is better {won} of {len(cases)} ({first})")
    for name, text in further.items():
        console.say(f"{name}: {text}")
    return found, {**further, "cases": len(cases)}


def _called(model: LoadedModel) -> str:
    """The name to use on the command line: NAME.int8 has the name NAME on its card."""
    stem = model.path.stem
    return stem if stem.startswith(f"{model.name}.") else model.name


def _load(
    rivals: Sequence[str], models: Sequence[str], device: str, threads: int | None
) -> tuple[dict[str, LoadedModel], list[str]]:
    """Load the rivals and the models, by distinct names. The last is the one to measure.

    Returns:
        The models, and what is wrong with those that cannot be loaded. Of several, at least one is loaded.

    Raises:
        ModelError: they differ in task, scale or domains; or a rival, or every model, cannot be loaded.
        UsageError: one is given twice.
    """
    from img2img.runtime.network import session

    loaded = [session.load(name, device=device, threads=threads) for name in rivals]
    failed: list[str] = []
    for name in models:
        try:
            loaded.append(session.load(name, device=device, threads=threads))
        except ModelError as error:
            failed.append(str(error))
            if len(failed) == len(models):
                raise
    paths = [one.path.resolve() for one in loaded]
    if len(set(paths)) < len(paths):
        raise UsageError(f"the same model is given twice: {', '.join((*rivals, *models))}")
    subject = loaded[-1]
    for rival in loaded:
        both = (rival.card, subject.card)
        if len({(card.task, card.scale, bool(card.domains)) for card in both}) > 1:
            raise ModelError(
                f"cannot compare {rival.path} ({rival.card.task}, scale {rival.card.scale}) with {subject.path} "
                f"({subject.card.task}, scale {subject.card.scale})"
            )
    plain = [f"{one.name} (model)" if one.name in RESERVED_NAMES else one.name for one in loaded]
    for unlike in (plain, [f"{path.parent.name}/{path.stem}" for path in paths], list(map(str, paths))):
        if len(set(unlike)) == len(unlike):
            break
    return dict(zip(unlike, loaded, strict=True)), failed


def _write(gallery: SheetRows, file: Path) -> None:
    from img2img.atomic import atomic
    from img2img.evaluation.sheet_rows import save
    from img2img.training.sheets import contact_sheet

    rows = gallery.rows
    with atomic(file) as stream:
        save(contact_sheet(gallery.columns, rows), stream, file)
    console.say(f"wrote {file}: {count_of(len(rows), 'row')}")
