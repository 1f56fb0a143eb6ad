"""Detects known ways in which the training of a GAN fails, from its figures, and suggests a remedy."""

from collections import deque
from collections.abc import Mapping

WINDOW = 5
"""A fault must last for this many log lines before it is reported. Single batches prove nothing."""

VALIDATIONS = 3
"""A fault must last for this many validations before it is reported."""

REPEAT_AFTER = 20
"""A fault that lasts is reported again after this many log lines."""

WINNING_ACCURACY = 0.99
"""Accuracy on real and on generated pictures from which on the discriminator has won."""

MIN_GRADIENT_SHARE = 0.01
"""Fraction of the largest adversarial gradient so far. Below it, the generator learns nothing from the discriminator.
"""

MIN_DIVERSITY = 0.25
"""Distance between outputs, divided by that between real pictures. Below it, all outputs look alike."""

MIN_LABEL_EFFECT = 0.02
"""Mean change of a picture from one label to another, values 0..1. Below it, the label is ignored."""


class Health:
    """Reads log lines and validations, and warns in plain words if something goes wrong.

    It knows these figures, all of them optional: `accuracy_real` and `accuracy_fake`, the fractions of pictures that
    the discriminator judges correctly; `gradient/adversarial`, the norm of the discriminator's gradient at the output
    of the generator; and `diversity` and `label_effect` of a validation, see `methods.figures`.
    """

    def __init__(self) -> None:
        self._lines: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self._validations: deque[Mapping[str, float]] = deque(maxlen=VALIDATIONS)
        self._largest = 0.0
        self._last_warning: dict[str, int] = {}
        self._count = 0

    def logged(self, figures: Mapping[str, float]) -> list[str]:
        """Return the warnings after another log line."""
        self._count += 1
        self._lines.append(figures)
        self._largest = max(self._largest, figures.get("gradient/adversarial", 0.0))
        if len(self._lines) < WINDOW:
            return []
        real, fake = self._minimum("accuracy_real"), self._minimum("accuracy_fake")
        if real is None or fake is None or min(real, fake) < WINNING_ACCURACY:
            return []
        faded = [line.get("gradient/adversarial") for line in self._lines]
        if all(one is not None and one < MIN_GRADIENT_SHARE * self._largest for one in faded):
            return self._warn(
                "faded",
                "the discriminator has won: it is always right, and next to no gradient reaches the generator. Try "
                "--set adversarial.name=hinge or wgan-gp, or a lower --set discriminator_optimiser.rate=...",
            )
        return self._warn(
            "winning",
            f"the discriminator is right on {100 * min(real, fake):.0f} % of the pictures. This is fine while the "
            "results improve. If they do not, lower its learning rate: --set discriminator_optimiser.rate=...",
        )

    def validated(self, figures: Mapping[str, float]) -> list[str]:
        """Return the warnings after a validation."""
        self._validations.append(figures)
        if len(self._validations) < VALIDATIONS:
            return []
        warnings = []
        alike = max(one.get("diversity", 1.0) for one in self._validations)
        if alike < MIN_DIVERSITY:
            warnings += self._warn(
                "collapsed",
                f"the outputs are nearly all alike (their distances are {100 * alike:.0f} % of those between real "
                "pictures): the generator ignores its input. Raise the weight of the reconstruction, or try "
                "--set adversarial.name=wgan-gp. If nothing changes for many steps, start again",
            )
        if max(one.get("label_effect", 1.0) for one in self._validations) < MIN_LABEL_EFFECT:
            warnings += self._warn(
                "deaf",
                "the pictures hardly change with the label: the generator ignores it. Train for more steps, or "
                "raise --set classification=...",
            )
        return warnings

    def _minimum(self, name: str) -> float | None:
        values = [line.get(name) for line in self._lines]
        known = [value for value in values if value is not None]
        return min(known) if len(known) == len(values) else None

    def _warn(self, fault: str, text: str) -> list[str]:
        last = self._last_warning.get(fault)
        if last is not None and self._count - last < REPEAT_AFTER:
            return []
        self._last_warning[fault] = self._count
        return [f"warning: {text}"]
