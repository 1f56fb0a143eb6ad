"""Paired pictures as a data set: resized, cropped and mirrored alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import jitter, labels, layouts, order
from img2img.data.augment import augmented_pair
from img2img.data.cache import Cache, read_all
from img2img.data.jitter import JitterSection, Window
from img2img.data.pairs import Pair, PairedData, Pairs, find_pairs
from img2img.errors import DataError

Pixels = NDArray[np.uint8]

HELD_MOST = 200
"""Held-out pairs that are kept for validations; of a larger test set these are taken by a hash of the name."""


class Held(NamedTuple):
    """A held-out pair: `input` uint8 `[crop, crop, C]` (for label maps C = 1, the class), `target` likewise."""

    name: str
    input: Pixels
    target: Pixels


class PairedCrops(Dataset[dict[str, Tensor]]):
    """Endless training pairs; item `i` is a pure function of `seed` and `i`. Each pass is a new permutation.

    Args:
        pairs: input and target of each pair, uint8 `[H, W, C]`, in one frame.
        labels: the inputs are classes.

    Items: `{"input": uint8 [C, crop, crop], "target": uint8 [C, crop, crop]}`.
    """

    def __init__(
        self, pairs: Sequence[tuple[Pixels, Pixels]], settings: JitterSection, *, seed: int, labels: bool = False
    ) -> None:
        self.pairs = pairs
        self.labels = labels
        self.settings = settings
        self.seed = seed

    def __len__(self) -> int:
        return order.ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        source, target = self.pairs[order.shuffled(self.seed, index, len(self.pairs))]
        rng = order.generator(self.seed, index)
        window = Window.draw(rng, source, self.settings.crop, flip=self.settings.flip)
        source, target = augmented_pair(self.settings.augment, rng, source, target, labels=self.labels)
        return {"input": jitter.tensor(window.cut(source)), "target": jitter.tensor(window.cut(target))}


@dataclass(frozen=True)
class PairedSet:
    """Paired data, read and checked.

    Attributes:
        dataset: what is trained on.
        held: what validations look at: whole pictures, resized to the crop's size without jitter.
        palette: colours of the classes, uint8 `[K, 3]`, where the input is a label map; otherwise None.
        input_channels: of the network: K for label maps (one-hot), 1 for grey, otherwise 3.
        target_channels: 1 for grey, otherwise 3.
        notes: what a person should hear before the first step.
    """

    dataset: PairedCrops
    held: list[Held]
    palette: Pixels | None
    input_channels: int
    target_channels: int
    notes: list[str]

    @classmethod
    def read(cls, data: PairedData, *, seed: int) -> Self:
        """Find, check and decode the pairs that `data` names.

        Raises:
            DataError: see `find_pairs`; or a picture cannot be read, is smaller than the crop where `load` is 0, or
                is no label map where the settings say so. Files are named.
        """
        pairs = find(data)
        palette = label_palette(pairs, data)
        reader = Reader(data, palette)
        cache = Cache(pairs.train, reader.loaded, limit_mb=data.cache_mb)
        test = layouts.at_most(pairs.test, [pair.name for pair in pairs.test], HELD_MOST)
        held = [Held(p.name, *both) for p, both in zip(test, read_all(test, reader.whole), strict=True)]
        kept = f"{len(pairs.test)} held out"
        kept += f", {len(test)} of them used in validations" if len(test) < len(pairs.test) else ""
        notes = [f"{len(pairs.train)} pairs to train on, {kept}", pairs.layout, *pairs.notes, said(data, palette)]
        return cls(
            dataset=PairedCrops(cache, data, seed=seed, labels=palette is not None),
            held=held,
            palette=palette,
            input_channels=reader.input_channels if palette is None else len(palette),
            target_channels=reader.target_channels,
            notes=[*notes, *filter(None, [cache.note])],
        )

    def shown(self, source: Pixels) -> Pixels:
        """An input as a person sees it: RGB `[H, W, 3]`; the classes of a label map have their colours."""
        if self.palette is not None:
            return labels.paint(source, self.palette)
        return source if source.shape[2] == 3 else np.repeat(source, 3, axis=2)


class Reader:
    """Reads pairs at the size that crops are cut from, as colours, grey or classes."""

    def __init__(self, data: PairedData, palette: Pixels | None) -> None:
        self.data = data
        self.palette = palette
        self.input_channels = 1 if palette is not None or data.input == "grey" else 3
        self.target_channels = 1 if data.target == "grey" else 3

    def loaded(self, pair: Pair) -> tuple[Pixels, Pixels]:
        source, target = pair.read()
        return self._both(pair, source, target, jitter.frame(source, self.data, name=pair.input.path))

    def whole(self, pair: Pair) -> tuple[Pixels, Pixels]:
        source, target = pair.read()
        frame = jitter.whole_frame(source, self.data, name=pair.input.path)
        source, target = self._both(pair, source, target, frame)
        return jitter.middle(source, self.data.crop), jitter.middle(target, self.data.crop)

    def _both(self, pair: Pair, source: Pixels, target: Pixels, frame: tuple[int, int]) -> tuple[Pixels, Pixels]:
        if self.palette is not None:
            classes = labels.index(source, self.palette, name=str(pair.input.path))
            source = jitter.resize(classes, *frame, labels=True)
        else:
            source = jitter.resize(jitter.channels(source, self.input_channels), *frame)
        # Resizing may hand back a view of the whole side-by-side picture, which would stay in memory with it.
        target = jitter.resize(jitter.channels(target, self.target_channels), *frame)
        return np.ascontiguousarray(source), np.ascontiguousarray(target)


def find(data: PairedData) -> Pairs:
    """The pairs that the settings `data` name."""
    return find_pairs(
        data.folders,
        direction=data.direction,
        layout=data.layout,
        missing=data.missing,
        validation=data.validation,
    )


def label_palette(pairs: Pairs, data: PairedData) -> Pixels | None:
    """The classes of the inputs, where they are label maps: uint8 `[K, 3]`; None where they are pictures.

    With `input = "auto"`, inputs are label maps when all of them together have at most `labels.USUAL` colours and
    these fill areas. The in-between colours of an antialiased drawing do not, though it may be a palette PNG too.

    Raises:
        DataError: `input = "labels"`, and there are more than `labels.MOST` colours.
    """
    if data.input not in ("auto", "labels"):
        return None
    most = labels.USUAL if data.input == "auto" else labels.MOST
    inputs = [*pairs.train, *pairs.test]
    found = labels.colours(len(inputs), lambda place: inputs[place].read_input(), most=most)
    if data.input == "auto":
        return found.palette if found.flat else None
    if found.too_many:
        raise DataError(f"{data.folders[0]}: more than {most} colours in the inputs, which are no label maps, then")
    return found.palette


def said(data: PairedData, palette: Pixels | None) -> str:
    """What becomes of the pictures, for a person."""
    if palette is not None:
        kind = f"label maps of {len(palette)} classes, taken one-hot"
        kind += " (recognised: few colours, in areas; data.input = picture if they are not)"
        kind = kind if data.input == "auto" else f"label maps of {len(palette)} classes, taken one-hot"
    else:
        kind = "grey pictures" if data.input == "grey" else "colour pictures"
    return f"inputs are {kind}; targets are {'grey' if data.target == 'grey' else 'colour'} pictures"
