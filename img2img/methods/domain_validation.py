"""Held-out pictures that a translation between domains brings into every one of them, and what comes of it."""

from functools import cached_property
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from img2img.data.labelled import DomainSet, Held
from img2img.errors import DataError
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.methods.figures import Picture, distances, diversity, label_effect, spread
from img2img.methods.labels import ClassificationLoss

SHEET_ROWS = 8
"""Rows of the contact sheet."""

MAX_HELD_OUT = 24
"""Held-out pictures of a domain, or of a table of attributes, that a validation translates, each into every domain."""

TRANSLATIONS = 300
"""Of a validation, about: with many domains it takes fewer pictures of each."""


class DomainValidation:
    """What a validation translates, asks and measures.

    Args:
        data: the domains, and held-out pictures of them.
        classify: says which domain logits are right.

    Attributes:
        sources: the held-out pictures that are translated, evenly chosen, domains in turn.

    Raises:
        DataError: no domain has held-out pictures both of it and of others.
    """

    def __init__(self, data: DomainSet, classify: ClassificationLoss) -> None:
        self.data = data
        self.classify = classify
        self.columns = len(data.domains)
        self.sources = self._sources()
        self._measured = [column for column in range(self.columns) if self._into(column) and self._reals(column)]
        if not self._measured:
            raise DataError(
                f"no domain of {', '.join(data.domains)} has held-out pictures both of it and of others: "
                "set data.validation"
            )

    def target_labels(self, held: Held) -> tuple[Tensor, Tensor]:
        """The labels `[K, K]` that a held-out picture is translated to, one for each column, and their data sets `[K]`;
        of attributes a last one that changes nothing."""
        sets = [self._set(column) for column in range(self.columns)]
        labels = np.eye(self.columns, dtype=np.float32)
        if not self.data.set_exclusive[held.set]:
            for column in range(self.columns):
                if sets[column] == held.set:
                    labels[column] = held.label
                    labels[column, column] = 1 - held.label[column]
            labels, sets = np.vstack((labels, held.label)), [*sets, held.set]
        return torch.from_numpy(labels), torch.tensor(sets)

    def measure(self, made: list[list[Picture]], said: list[Tensor]) -> dict[str, float]:
        """The figures of `StarGAN.validate`.

        Args:
            made: of each source its pictures for the labels of `asked`.
            said: of each source the domain logits `[K or K + 1, K]` that the discriminator gives these.
        """
        shares, spreads = [], []
        for column in self._measured:
            places = self._into(column)
            found = self.classify.recognised(torch.stack([said[i][column] for i in places]), column)
            shares.append(float(found.float().mean()))
            spreads.append(diversity([made[i][column] for i in places], self._reals(column)))
        own = [self.data.blocks[held.set] for held in self.sources]
        effect = label_effect([row[block] + row[self.columns :] for row, block in zip(made, own, strict=True)])
        figures = self._distances(made)
        return {
            "closeness": -figures["swd"],
            **figures,
            **{f"{name}_input": value for name, value in self._untouched.items()},
            "recognised": float(np.mean(shares)),
            "label_effect": effect,
            "diversity": min(spreads),
        }

    def sheet(self, made: list[list[Picture]]) -> tuple[list[str], list[list[Picture]]]:
        """Captions and rows of the contact sheet; `made` as for `measured`."""
        captions = [
            name if self.data.set_exclusive[self._set(column)] else f"turn {name}"
            for column, name in enumerate(self.data.domains)
        ]
        rows = [[self.sources[i].picture, *made[i][: self.columns]] for i in self._shown()]
        return ["input", *captions], rows

    def _set(self, column: int) -> int:
        return next(number for number, block in enumerate(self.data.blocks) if column < block.stop)

    def _sources(self) -> list[Held]:
        """The held-out pictures that are translated, evenly chosen, domains in turn."""
        groups = self._groups()
        most = min(MAX_HELD_OUT, max(TRANSLATIONS // (self.columns * len(groups)), 2))
        turns = zip_longest(*(spread(group, most) for group in groups))
        return [held for turn in turns for held in turn if held is not None]

    def _shown(self) -> list[int]:
        """The sources of the contact sheet, by place: another thing of another domain in each row."""
        count = len(self._groups())
        turns = max(len(self.sources) // count, 1)
        rows = min(SHEET_ROWS, len(self.sources))
        return sorted({min(row * turns // rows * count + row % count, len(self.sources) - 1) for row in range(rows)})

    def _groups(self) -> list[list[Held]]:
        """The held-out pictures of each domain; those of a table of attributes are one group."""
        groups: list[list[Held]] = []
        for number, (block, exclusive) in enumerate(zip(self.data.blocks, self.data.set_exclusive, strict=True)):
            own = [held for held in self.data.held if held.set == number]
            groups += [[h for h in own if h.label[c]] for c in range(block.start, block.stop)] if exclusive else [own]
        return groups

    def _into(self, column: int) -> list[int]:
        """The sources, by place, that can be translated into `column`: of its data set, and not of it already."""
        number = self._set(column)
        return [i for i, held in enumerate(self.sources) if held.set == number and not held.label[column]]

    def _reals(self, column: int) -> list[Picture]:
        return [held.picture for held in self.data.held if held.label[column]]

    @cached_property
    def _untouched(self) -> dict[str, float]:
        return self._distances([[held.picture] * self.columns for held in self.sources])

    def _distances(self, made: list[list[Picture]]) -> dict[str, float]:
        """How far `made`, of each source its picture in every domain, is from real pictures of these domains."""
        swd, results, truths = [], [], []
        for column in self._measured:
            places = self._into(column)
            swd.append(sliced_wasserstein([made[i][column] for i in places], spread(self._reals(column), len(places))))
            if not self.data.set_exclusive[self._set(column)]:
                continue
            for i in places:
                truth = self.data.truth(self.sources[i].name, column)
                if truth is not None:
                    results.append(made[i][column])
                    truths.append(truth)
        paired = distances(results, truths) if truths else {}
        return {"swd": float(np.mean(swd))} | {name: paired[name] for name in ("l1", "ssim") if name in paired}
