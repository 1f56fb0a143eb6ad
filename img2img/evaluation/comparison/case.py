"""One picture of a comparison with its results."""

from __future__ import annotations

from dataclasses import dataclass, field

from img2img.evaluation.comparison.rgb import Seen


@dataclass
class Case:
    """The input, the results of the sides that have one, and the truth if there is one.

    All results and the truth have the size `size`, (width, height). The input may be smaller.

    Attributes:
        name: tells it from all others.
        seconds: how long each model took.
        problems: why results or the truth are missing: name of the side -> reason.
        notes: remarks on results.
    """

    name: str
    input: Seen
    size: tuple[int, int]
    results: dict[str, Seen] = field(default_factory=dict)
    truth: Seen | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def megapixels(self) -> float:
        """Millions of pixels of the input."""
        width, height = self.input.size
        return width * height / 1e6
