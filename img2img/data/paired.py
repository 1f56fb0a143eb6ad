"""The data set for paired pictures. Both pictures of a pair are resized, cropped and mirrored alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import folders, jitter, labels, layouts, order, orientation
from img2img.data.augment import augment_pair
from img2img.data.cache import Cache, read_all
from img2img.data.folders import Reading
from img2img.data.instances import find_instances, with_instances
from img2img.data.jitter import Window
from img2img.data.pairs import Pair, PairedData, Pairs, find_pairs
from img2img.data.photos import window_side
from img2img.errors import DataError
from img2img.text import count_of

Pixels = NDArray[np.uint8]

MAX_HELD_OUT = 200
"""Number of held-out pairs kept for validation at most. From more, they are chosen by a hash of their names."""


class HeldOutPair(NamedTuple):
    """A held-out pair: `input` and `target`, uint8 `[S, S, C]`. S is `crop`, or `load` if inputs are made from targets.

    For label maps, `input` has one channel, the class, or with instance maps three, see `PairedSet.instances`.
    """

    name: str
    input: Pixels
    target: Pixels


class PairedCrops(Dataset[dict[str, Tensor]]):
    """Endless training pairs. Item `i` is a pure function of `seed` and `i`; each pass is a new permutation.

    Args:
        pairs: input and target of each pair, uint8 `[H, W, C]`, of one height and width.
        labels: whether the inputs are classes.
        palette: their colours, for people who look at the pictures.

    Items: `{"input": uint8 [C, crop, crop], "target": uint8 [C, crop, crop]}`.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Pixels, Pixels]],
        settings: PairedData,
        *,
        seed: int,
        labels: bool = False,
        palette: Pixels | None = None,
    ) -> None:
        self.pairs = pairs
        self.labels = labels
        self.palette = palette
        self.settings = settings
        self.seed = seed

    def __len__(self) -> int:
        return order.ENDLESS

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """See `seen.Sourced`."""
        return [(self.pairs, order.shuffled_index(self.seed, index, len(self.pairs)))]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        source, target = self.pairs[order.shuffled_index(self.seed, index, len(self.pairs))]
        rng = order.generator(self.seed, index)
        side = self.settings.crop
        # Without shrinking, draws no extra random number, so that the crops of older runs do not change.
        if self.settings.shrink != (1.0, 1.0):
            side = window_side(source, side, rng.uniform(*self.settings.shrink))
        window = Window.draw(rng, source, side, flip=self.settings.flip)
        source, target = augment_pair(self.settings.augment, rng, source, target, labels=self.labels)
        crop = self.settings.crop
        return {
            "input": jitter.to_tensor(jitter.resize(window.cut(source), crop, crop, labels=self.labels)),
            "target": jitter.to_tensor(jitter.resize(window.cut(target), crop, crop)),
        }


@dataclass(frozen=True)
class PairedSet:
    """Paired data, read and checked.

    Attributes:
        dataset: the training data.
        held_out: validation data: whole pictures, resized to the size of the crop without jitter.
        palette: colours of the classes, uint8 `[K, 3]`, if the input is a label map; otherwise None.
        input_channels: input channels of the network: K for label maps (one-hot), 1 for grey, otherwise 3.
        target_channels: 1 for grey, otherwise 3.
        instances: whether inputs have instance maps. Then they have three channels: the class, and the high and the low
            byte of the instance.
        notes: sentences for the user before the first step.
    """

    dataset: PairedCrops
    held_out: list[HeldOutPair]
    palette: Pixels | None
    input_channels: int
    target_channels: int
    instances: bool
    notes: list[str]

    @classmethod
    def read(cls, data: PairedData, *, seed: int, held_out: int = MAX_HELD_OUT) -> Self:
        """Find, check and decode the pairs of `data`, with at most `held_out` held-out pairs.

        Raises:
            DataError: see `find_pairs` and `find_instances`; or a picture cannot be read, is smaller than the crop with
                `load` 0, or is not a label map although `data` says so; or an instance map has another size than its
                label map, or belongs to an input that is none. Messages name the files.
        """
        pairs = find(data)
        palette = label_palette(pairs, data)
        instances = find_instances(data, pairs)
        if instances is not None and palette is None:
            raise DataError("instance maps need label maps, but the inputs are pictures: set data.instances = none")
        reader = Reader(data, palette, instances)
        cache = Cache(pairs.train, reader.load, limit_mb=data.cache_mb)
        test = layouts.at_most(pairs.test, [pair.name for pair in pairs.test], min(held_out, MAX_HELD_OUT))
        held = [HeldOutPair(p.name, *both) for p, both in zip(test, read_all(test, reader.load_whole), strict=True)]
        counts = f"{count_of(len(pairs.train), 'training pair')}, {len(pairs.test)} held out"
        if len(test) < len(pairs.test):
            counts += f" ({len(test)} of them used for validation)"
        notes = [counts, pairs.layout, *pairs.notes, describe(data, palette)]
        notes += ["with instance maps"] if instances is not None else []
        notes += folders.dark_note(
            [part.path for pair in pairs.train for part in (pair.input, pair.target)], Reading.of(data)
        )
        if turned := orientation.turned_apart(pairs.train + pairs.test):
            notes.append(f"warning: {orientation.explain(len(turned))}: {layouts.list_first(turned)}")
        return cls(
            dataset=PairedCrops(cache, data, seed=seed, labels=palette is not None, palette=palette),
            held_out=held,
            palette=palette,
            input_channels=reader.input_channels if palette is None else len(palette),
            target_channels=reader.target_channels,
            instances=instances is not None,
            notes=[*notes, *filter(None, [cache.note])],
        )

    def input_as_rgb(self, source: Pixels) -> Pixels:
        """Return an input as RGB `[H, W, 3]` for display. The classes of a label map get their colours."""
        if self.palette is not None:
            return labels.paint(source, self.palette)
        return source if source.shape[2] == 3 else np.repeat(source, 3, axis=2)


class Reader:
    """Reads pairs at the size from which crops are cut, as colours, grey or classes, perhaps with instances."""

    def __init__(self, data: PairedData, palette: Pixels | None, instances: Mapping[Pair, Path] | None = None) -> None:
        self.data = data
        self.palette = palette
        self.instances = instances
        self.input_channels = 1 if palette is not None or data.input == "grey" else 3
        self.target_channels = 1 if data.target == "grey" else 3

    def load(self, pair: Pair) -> tuple[Pixels, Pixels]:
        source, target = pair.read(Reading.of(self.data))
        return self._both(pair, source, target, jitter.frame_size(source, self.data, name=pair.input.path))

    def load_whole(self, pair: Pair) -> tuple[Pixels, Pixels]:
        source, target = pair.read(Reading.of(self.data))
        frame = jitter.whole_frame_size(source, self.data, name=pair.input.path)
        side = self.data.crop
        if self.data.derived and self.data.load:
            # Crops are parts of photos, and networks that colour see whole photos later: show them at the larger size.
            frame, side = jitter.frame_size(source, self.data, name=pair.input.path), self.data.load
        source, target = self._both(pair, source, target, frame)
        return jitter.crop_centre(source, side), jitter.crop_centre(target, side)

    def _both(self, pair: Pair, source: Pixels, target: Pixels, frame: tuple[int, int]) -> tuple[Pixels, Pixels]:
        if self.palette is not None:
            classes = labels.to_classes(source, self.palette, name=str(pair.input.path))
            if self.instances is not None:
                file, reading = self.instances[pair], Reading.of(self.data)
                classes = with_instances(classes, file, reading, name=pair.input.path)
            source = jitter.resize(classes, *frame, labels=True)
        else:
            source = jitter.resize(jitter.to_channels(source, self.input_channels), *frame)
        # Resizing may return a view of the whole side-by-side picture, which would keep all of it in memory.
        target = jitter.resize(jitter.to_channels(target, self.target_channels), *frame)
        return np.ascontiguousarray(source), np.ascontiguousarray(target)


def find(data: PairedData) -> Pairs:
    """Find the pairs that `data` configures."""
    return find_pairs(
        data.folders,
        direction=data.direction,
        layout=data.layout,
        missing=data.missing,
        validation=data.validation,
    )


def label_palette(pairs: Pairs, data: PairedData) -> Pixels | None:
    """Return the classes of the inputs, uint8 `[K, 3]`, if they are label maps; None if they are pictures.

    With `input = "auto"`, inputs are label maps if all of them together have at most `labels.MAX_COLOURS` colours and
    these colours fill areas. The in-between colours of an antialiased drawing do not fill areas, even in a palette PNG.

    Raises:
        DataError: `input = "labels"`, and there are more than `labels.MAX_CLASSES` colours.
    """
    if data.input not in ("auto", "labels"):
        return None
    most = labels.MAX_COLOURS if data.input == "auto" else labels.MAX_CLASSES
    inputs = [*pairs.train, *pairs.test]
    found = labels.count_colours(len(inputs), lambda place: inputs[place].read_input(Reading.of(data)), most=most)
    if data.input == "auto":
        return found.palette if found.flat else None
    if found.too_many:
        raise DataError(f"{data.folders[0]}: the inputs have more than {most} colours, so they are not label maps")
    return found.palette


def describe(data: PairedData, palette: Pixels | None) -> str:
    """Summarise how the pictures are used, for the user."""
    if data.derived:
        return "inputs are the photos in grey; targets are the photos"
    if palette is not None:
        kind = f"label maps of {len(palette)} classes, encoded one-hot"
        if data.input == "auto":
            kind += " (recognised by their few colours in areas; set data.input = picture if they are not)"
    else:
        kind = "grey pictures" if data.input == "grey" else "colour pictures"
    return f"inputs are {kind}; targets are {'grey' if data.target == 'grey' else 'colour'} pictures"
