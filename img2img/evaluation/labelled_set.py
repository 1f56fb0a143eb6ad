"""A labelled set made by a model: does a classifier that also learns from it recognise more real pictures?

The protocol of CVAE-GAN (Bao et al. 2017, on data augmentation), for any model with domains that exclude each
other. Results help only if they show their domain rightly, and show more of it than the real pictures do.
"""

from collections.abc import Sequence

from img2img.data.folders import Reading, read_rgb
from img2img.data.layouts import at_most
from img2img.evaluation import domain_classifier
from img2img.evaluation.domain_classifier import SIDE, DomainClassifier
from img2img.evaluation.results import Picture, spread
from img2img.evaluation.samples import Translate
from img2img.evaluation.small_pictures import resized
from img2img.evaluation.styles import Styles
from img2img.text import nfc


def make(translate: Translate, data: Styles, reading: Reading = Reading()) -> list[list[Picture]]:
    """Translate training drawings to every style, so that the target style is the label of the result.

    Returns:
        For each of `data.names`, results at the size that the classifier sees: as many as there are real training
        drawings of the style, or that many times the number of samples. Their sources are training drawings of the
        other styles, evenly spread.

    Raises:
        PictureError, DataError: a picture cannot be read.
    """
    made: list[list[Picture]] = []
    for style in data.names:
        sources = [path for other in data.names if other != style for path in data.training[other]]
        chosen = spread(sources, min(len(data.training[style]), domain_classifier.MAX_PICTURES))
        results = [translate(read_rgb(path, reading), style) for path in chosen]
        made.append([resized(one, SIDE) for samples in results for one in samples])
    return made


def train(
    data: Styles,
    made: Sequence[Sequence[Picture]],
    *,
    seed: int = 0,
    steps: int = domain_classifier.STEPS,
    threads: int | None = None,
    reading: Reading = Reading(),
) -> DomainClassifier:
    """Train a classifier on the real training drawings and on the results `made`.

    With the same seed and number of steps, it differs from one that `domain_classifier.train` trains on the real
    drawings in its pictures only.

    Raises:
        PictureError: a file cannot be read.
    """
    pictures = []
    for style, results in zip(data.names, made, strict=True):
        paths = data.training[style]
        real = at_most(paths, [nfc(path.stem) for path in paths], domain_classifier.MAX_PICTURES)
        pictures.append([*(resized(read_rgb(path, reading), SIDE) for path in real), *results])
    return domain_classifier.fit(pictures, seed=seed, steps=steps, threads=threads)
