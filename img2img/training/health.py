"""Is it working? Known ways in which a GAN's training fails, told from its figures, with the remedy."""

from collections import deque
from collections.abc import Mapping

WINDOW = 5
"""Log lines that a fault must last before it is told: single batches prove nothing."""

VALIDATIONS = 3
"""Validations, likewise."""

REPEAT_AFTER = 20
"""Log lines after which a fault that lasts is told again."""

WINNING_ACCURACY = 0.99
"""Share of right judgements on real and on generated pictures, above which the discriminator has won."""

MIN_GRADIENT_SHARE = 0.01
"""Of the largest adversarial gradient seen so far: less of it teaches the generator nothing."""

MIN_DIVERSITY = 0.25
"""Distance between outputs, as a share of the distance between real pictures: below, they are all alike."""

MIN_LABEL_EFFECT = 0.02
"""Mean change of a picture from one label to another, values 0..1: below, the label is ignored."""


class Health:
    """Listens to log lines and validations and says in plain words what goes wrong.

    Figures that it knows, all of them optional: `accuracy_real` and `accuracy_fake`, shares 0..1 that the discriminator
    judges rightly; `gradient/adversarial`, norm of the gradient that reaches the generator's output from the
    discriminator; `diversity` and `label_effect` of a validation, see `methods.figures`.
    """

    def __init__(self) -> None:
        self._lines: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self._validations: deque[Mapping[str, float]] = deque(maxlen=VALIDATIONS)
        self._largest = 0.0
        self._last_warning: dict[str, int] = {}
        self._count = 0

    def logged(self, figures: Mapping[str, float]) -> list[str]:
        """The warnings after one more log line."""
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
            f"the discriminator is right on {100 * min(real, fake):.0f} % of the pictures. While the pictures still "
            "get better that is no harm; if they do not, lower its rate: --set discriminator_optimiser.rate=...",
        )

    def validated(self, figures: Mapping[str, float]) -> list[str]:
        """The warnings after a validation."""
        self._validations.append(figures)
        if len(self._validations) < VALIDATIONS:
            return []
        warnings = []
        alike = max(one.get("diversity", 1.0) for one in self._validations)
        if alike < MIN_DIVERSITY:
            warnings += self._warn(
                "collapsed",
                f"the outputs are nearly all alike (their distances are {100 * alike:.0f} % of those between real "
                "pictures): the generator ignores its input. Raise the weight of reconstruction, or try "
                "--set adversarial.name=wgan-gp; after many steps without change begin anew",
            )
        if max(one.get("label_effect", 1.0) for one in self._validations) < MIN_LABEL_EFFECT:
            warnings += self._warn(
                "deaf",
                "the pictures hardly change with the label: the generator ignores it. Give it more steps, or raise "
                "--set classification=...",
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
