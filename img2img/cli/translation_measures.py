"""What `img2img evaluate` measures for models that translate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.cli.evaluate_options import EvaluateOptions, short
from img2img.cli.measures import Measure, further_distances
from img2img.errors import DataError, ModelError
from img2img.text import count_of, nfc

if TYPE_CHECKING:
    from img2img.data.folders import Reading
    from img2img.evaluation.domain_classifier import DomainClassifier
    from img2img.evaluation.fcn_score import FCNScore
    from img2img.evaluation.samples import Translate
    from img2img.evaluation.styles import Styles
    from img2img.evaluation.translation import PairSet
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.session import LoadedModel
    from img2img.types import Floats


def measure_unpaired(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure translations by how close they are to the real pictures of `options.real`.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.evaluation import inception, unpaired

    assert options.real is not None
    real = options.real
    if absent := [
        name for name, model in models.items() if options.to and nfc(options.to) not in map(nfc, model.card.domains)
    ]:
        raise ModelError(f"--against: {absent[0]} has no domain {options.to}")
    published = None
    if options.features:
        weights = None if options.features == "inception" else Path(options.features)
        published = inception.Inception.load(weights)
    data = unpaired.domain_pair(
        folders, real, train=list(options.train), held_out=options.held_out, count=options.count
    )
    known = ", ".join(map(short, options.train or [*folders, real]))
    console.say(f"training a classifier on real pictures of both domains: {known}")
    recogniser = _recogniser(options, data.training, reading)
    comparison = unpaired.Comparison(
        _translations(options, models), data, recogniser, to=options.to, published=published, reading=reading
    )
    return Measure(
        f"{count_of(len(data.inputs), 'result')} compared with {count_of(len(data.real), 'real picture')} of "
        f"{short(real)}: share that a "
        "classifier recognises, KID in its features and sliced Wasserstein distance (lower is better)",
        ("recognised",),
        comparison.cases(),
        f" > {short(real)}{options.held}",
        {
            "features": f"kid_own: a classifier trained on the spot on {known}"
            + ("; kid_inception, fid_inception, inception_score: Inception-v3 of torch-fidelity" if published else ""),
            "recognised_real": round(comparison.accuracy, 4),
            "real": f"{len(data.aside)} training pictures of the target domain that the classifier has not seen",
        },
        comparison.set_figures,
    )


def measure_pairs(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure translations against the other picture of each pair.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.evaluation import translation

    found = translation.pairs(folders, train=list(options.train), held_out=options.held_out, count=options.count)
    ways = _translations(options, models)
    distances = further_distances(options)
    beside: dict[str, float | str] = {}
    score = None
    if not found.training:
        console.say("no training pairs: skipping the nearest neighbour (use --held-out or --train FOLDER)")
    else:
        score = _fcn_score(options, found, reading)
    if score is not None:
        count = len(found.training)
        beside["fcn_score"] = f"by a segmentation network trained on the spot on {count_of(count, 'real photo')}"
    comparison = translation.Comparison(ways, found, reading, score=score, distances=distances)
    return Measure(
        f"L1 (0..1, lower is better) and SSIM of {count_of(len(found.measured), 'pair')}; {found.about}",
        ("l1", "ssim"),
        comparison.cases(),
        options.held,
        beside,
        comparison.set_figures,
    )


def measure_colours(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure the colours that grey photos get.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.evaluation import colorization, domain_classifier

    found = colorization.photos(folders, train=list(options.train), held_out=options.held_out, count=options.count)
    distances = further_distances(options)
    classifier = None
    beside: dict[str, float | str] = {}
    if found.training:
        console.say("training a classifier on the training photos, in colour, in grey and in other hues")
        steps = options.classifier_steps or domain_classifier.STEPS
        classifier = colorization.train_classifier(
            found.training, seed=options.seed, steps=steps, threads=options.threads, reading=reading
        )
        beside["features"] = "kid_own: a classifier trained on the spot on photos in colour, grey and other hues"
    else:
        console.say("no training photos: skipping KID (use --held-out or --train FOLDER)")
    comparison = colorization.Comparison(_translations(options, models), found, classifier, reading, distances)
    return Measure(
        f"chroma L1 (0..1, lower is better) and mean chroma relative to the photo, of "
        f"{count_of(len(found.measured), 'photo')} coloured from grey; copy: the grey photo; {found.about}",
        ("chroma_l1", "chroma_ratio"),
        comparison.cases(),
        options.held,
        beside,
        comparison.set_figures,
    )


def measure_styles(
    options: EvaluateOptions, models: dict[str, LoadedModel], folders: list[Path], reading: Reading
) -> Measure:
    """Measure translations between styles, in every direction.

    Raises:
        DataError: the folders lack the pictures that this needs.
    """
    from img2img.evaluation import styles

    domains = list(models.values())[-1].card.domains
    if any({*map(nfc, model.card.domains)} != {*map(nfc, domains)} for model in models.values()):
        raise ModelError("--against: the models have different domains")
    found = styles.styles(folders, domains, train=list(options.train), held_out=options.held_out, count=options.count)
    ways = _translations(options, models)
    beside: dict[str, float | str] = {}
    distances = further_distances(options)
    recogniser, main = None, ("l1", "ssim")
    if all(found.training.values()):
        console.say(f"training a classifier of {', '.join(domains)} on real drawings")
        recogniser = _recogniser(options, [found.training[name] for name in domains], reading)
        main = ("l1", "recognised")
        beside["recognised_real"] = round(styles.real_accuracy(recogniser, found, reading), 4)
    elif options.classifier_gain:
        raise DataError("--classifier-gain needs training drawings: use --held-out or --train FOLDER")
    else:
        console.say("no training drawings: skipping the classifier (use --held-out or --train FOLDER)")
    return Measure(
        f"L1 to the true drawing (0..1, lower is better), {count_of(len(found.drawn), 'drawing')} per direction",
        main,
        styles.evaluate_styles(ways, found, recogniser, reading, distances),
        options.held,
        beside,
        lambda: _gains(options, ways, found, recogniser, reading),
    )


def _translations(options: EvaluateOptions, models: dict[str, LoadedModel]) -> dict[str, Translate]:
    from img2img.evaluation import translation
    from img2img.runtime.tasks import latents
    from img2img.runtime.tasks.values import parse_size

    size = parse_size(options.size)
    ways = {}
    for name, model in models.items():
        takes_none = options.reference is None or model.card.reference is None  # a rival may take none
        reference = None if takes_none else _reference(options, model.card, size)
        codes: list[Floats | None] = [None]
        if options.samples is not None and model.card.latent is not None:
            length = model.card.latent["length"]
            codes = [latents.draw(length, seed=options.seed, number=number) for number in range(1, options.samples + 1)]
        ways[name] = translation.from_model(model, size, reference, codes)
    return ways


def _reference(options: EvaluateOptions, card: Card, size: Size) -> Floats:
    from img2img.runtime.tasks import references

    return references.read(str(options.reference), card, size, max_pixels=options.max_pixels).values


def _recogniser(options: EvaluateOptions, sides: Sequence[Sequence[Path]], reading: Reading) -> DomainClassifier:
    from img2img.evaluation import domain_classifier

    steps = options.classifier_steps or domain_classifier.STEPS
    return domain_classifier.train(sides, seed=options.seed, steps=steps, threads=options.threads, reading=reading)


def _gains(
    options: EvaluateOptions,
    ways: dict[str, Translate],
    data: Styles,
    recogniser: DomainClassifier | None,
    reading: Reading,
) -> dict[str, dict[str, float]]:
    """With --classifier-gain: how much better the classifier is if it also learns from results of each model."""
    from img2img.evaluation import domain_classifier, labelled_set, styles

    if not options.classifier_gain or recogniser is None:
        return {}
    without = styles.real_accuracy(recogniser, data, reading)
    steps = options.classifier_steps or domain_classifier.STEPS
    gains = {}
    for name, translate in ways.items():
        made = labelled_set.make(translate, data, reading)
        count = sum(map(len, made))
        console.say(f"training a classifier on the real drawings and {count_of(count, 'result')} of {name}")
        trained = labelled_set.train(
            data, made, seed=options.seed, steps=steps, threads=options.threads, reading=reading
        )
        with_results = styles.real_accuracy(trained, data, reading)
        gains[name] = {"recognised_with_results": with_results, "gain": with_results - without}
    return gains


def _fcn_score(options: EvaluateOptions, data: PairSet, reading: Reading) -> FCNScore | None:
    """Train what measures the FCN-score, if the inputs are label maps."""
    from img2img.evaluation import fcn_score, segmentation

    palette = fcn_score.find_palette([*data.training, *data.measured], reading)
    if palette is None:
        return None
    console.say(
        f"training a segmentation network of {len(palette)} classes on "
        f"{count_of(len(data.training), 'real photo')} and their label maps"
    )
    steps = options.classifier_steps or segmentation.STEPS
    return fcn_score.train(
        data.training, palette, seed=options.seed, steps=steps, threads=options.threads, reading=reading
    )
