"""Validation of translations between domains: held-out pictures are translated into every domain and measured."""

from functools import cached_property
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from img2img.data.labelled import DomainSet, HeldOutPicture
from img2img.errors import DataError
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.methods.figures import Picture, distances, diversity, label_effect, spread
from img2img.methods.labels import ClassificationLoss

SHEET_ROWS = 8
"""Rows of the contact sheet."""

MAX_HELD_OUT = 24
"""Maximum number of held-out pictures per domain, or per table of attributes. Each is translated into every domain."""

TRANSLATIONS = 300
"""Approximate number of translations. With many domains, fewer pictures of each are translated."""


class DomainValidation:
    """Chooses the pictures and labels of a validation, and measures the results.

    Args:
        data: the domains, with held-out pictures.
        classify: decides which domain logits are right.
        most: largest number of pictures to translate, over all domains. More are used if these show no translation that
            can be measured.

    Attributes:
        sources: the held-out pictures to translate, evenly chosen, domains in turn.

    Raises:
        DataError: no domain has held-out pictures both in it and outside it.
    """

    def __init__(self, data: DomainSet, classify: ClassificationLoss, most: int) -> None:
        self.data = data
        self.classify = classify
        self.columns = len(data.domains)
        self.sources = self._sources(most)
        self._measurable = self._measurable_columns()
        if not self._measurable:
            self.sources = self._sources()
            self._measurable = self._measurable_columns()
        if not self._measurable:
            raise DataError(
                f"no domain of {', '.join(data.domains)} has held-out pictures both in it and outside it: "
                "set data.validation"
            )

    def target_labels(self, held: HeldOutPicture) -> tuple[Tensor, Tensor]:
        """Return the labels `[K, K]` to translate a held-out picture to, one per column, and their data sets `[K]`.

        For attributes, a last label changes nothing.
        """
        sets = [self._set_of(column) for column in range(self.columns)]
        labels = np.eye(self.columns, dtype=np.float32)
        if not self.data.set_exclusive[held.set]:
            for column in range(self.columns):
                if sets[column] == held.set:
                    labels[column] = held.label
                    labels[column, column] = 1 - held.label[column]
            labels, sets = np.vstack((labels, held.label)), [*sets, held.set]
        return torch.from_numpy(labels), torch.tensor(sets)

    def measure(self, results: list[list[Picture]], logits: list[Tensor]) -> dict[str, float]:
        """Return the figures of `StarGAN.validate`.

        Args:
            results: for each source, its pictures for the labels of `target_labels`.
            logits: for each source, the domain logits `[K or K + 1, K]` that the discriminator returns for these
                pictures.
        """
        shares, spreads = [], []
        for column in self._measurable:
            indices = self._translatable_into(column)
            found = self.classify.recognised(torch.stack([logits[i][column] for i in indices]), column)
            shares.append(float(found.float().mean()))
            spreads.append(diversity([results[i][column] for i in indices], self._real_pictures(column)))
        own = [self.data.blocks[held.set] for held in self.sources]
        effect = label_effect([row[block] + row[self.columns :] for row, block in zip(results, own, strict=True)])
        figures = self._distances(results)
        return {
            "closeness": -figures["swd"],
            **figures,
            **{f"{name}_input": value for name, value in self._input_figures.items()},
            "recognised": float(np.mean(shares)),
            "label_effect": effect,
            "diversity": min(spreads),
        }

    def sheet(self, results: list[list[Picture]]) -> tuple[list[str], list[list[Picture]]]:
        """Return captions and rows of the contact sheet. `results` is as for `measure`."""
        captions = [
            name if self.data.set_exclusive[self._set_of(column)] else f"flip {name}"
            for column, name in enumerate(self.data.domains)
        ]
        rows = [[self.sources[i].picture, *results[i][: self.columns]] for i in self._sheet_sources()]
        return ["input", *captions], rows

    def _set_of(self, column: int) -> int:
        return next(number for number, block in enumerate(self.data.blocks) if column < block.stop)

    def _sources(self, most: int | None = None) -> list[HeldOutPicture]:
        """Choose the held-out pictures to translate, at most `most`, evenly, domains in turn."""
        groups = self._groups()
        of_each = min(MAX_HELD_OUT, max(TRANSLATIONS // (self.columns * len(groups)), 2))
        if most is not None:
            of_each = min(of_each, max(most // len(groups), 1))
        rounds = zip_longest(*(spread(group, of_each) for group in groups))
        return [held for one_of_each in rounds for held in one_of_each if held is not None][:most]

    def _measurable_columns(self) -> list[int]:
        """Return the domains into which a source can be translated, and which have real pictures to compare with."""
        columns = range(self.columns)
        return [column for column in columns if self._translatable_into(column) and self._real_pictures(column)]

    def _sheet_sources(self) -> list[int]:
        """Return the indices of the sources to show, each another thing of another domain."""
        count = len(self._groups())
        rounds = max(len(self.sources) // count, 1)
        rows = min(SHEET_ROWS, len(self.sources))
        return sorted({min(row * rounds // rows * count + row % count, len(self.sources) - 1) for row in range(rows)})

    def _groups(self) -> list[list[HeldOutPicture]]:
        """Return the held-out pictures of each domain. Those of a table of attributes are one group."""
        groups: list[list[HeldOutPicture]] = []
        for number, (block, exclusive) in enumerate(zip(self.data.blocks, self.data.set_exclusive, strict=True)):
            own = [held for held in self.data.held_out if held.set == number]
            if exclusive:
                groups += [[held for held in own if held.label[c]] for c in range(block.start, block.stop)]
            else:
                groups.append(own)
        return groups

    def _translatable_into(self, column: int) -> list[int]:
        """Return the indices of the sources of its data set that are not in `column` yet."""
        number = self._set_of(column)
        return [i for i, held in enumerate(self.sources) if held.set == number and not held.label[column]]

    def _real_pictures(self, column: int) -> list[Picture]:
        return [held.picture for held in self.data.held_out if held.label[column]]

    @cached_property
    def _input_figures(self) -> dict[str, float]:
        return self._distances([[held.picture] * self.columns for held in self.sources])

    def _distances(self, results: list[list[Picture]]) -> dict[str, float]:
        """Measure how far `results`, as for `measure`, are from real pictures of their domains."""
        swd, translated, truths = [], [], []
        for column in self._measurable:
            indices = self._translatable_into(column)
            into = [results[i][column] for i in indices]
            swd.append(sliced_wasserstein(into, spread(self._real_pictures(column), len(indices))))
            if not self.data.set_exclusive[self._set_of(column)]:
                continue
            for i in indices:
                truth = self.data.truth(self.sources[i].name, column)
                if truth is not None:
                    translated.append(results[i][column])
                    truths.append(truth)
        paired = distances(translated, truths) if truths else {}
        return {"swd": float(np.mean(swd))} | {name: paired[name] for name in ("l1", "ssim") if name in paired}
