"""Loss terms. Each is a word of the config with a weight of its own: `objectives = {l1 = 1.0}`.

Three tables: what compares a result with the truth (`build`), the game of generator and discriminator (`adversarial`)
and what holds the discriminator's gradient in check (`penalty`). Terms that need more than pictures or scores are
classes of their own modules: `classification.DomainClassification`, `feature_matching.FeatureMatching`,
`perceptual.Perceptual`, `reconstruction.Masked`.
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from img2img.errors import ConfigError
from img2img.lookup import lookup

if TYPE_CHECKING:
    from img2img.objectives.game import Adversarial
    from img2img.objectives.penalties import Penalty

RECONSTRUCTION = {
    "l1": "img2img.objectives.reconstruction:L1",
    "l2": "img2img.objectives.reconstruction:L2",
    "charbonnier": "img2img.objectives.reconstruction:Charbonnier",
    "frequency": "img2img.objectives.reconstruction:Frequency",
    "tv": "img2img.objectives.reconstruction:TotalVariation",
    "ssim": "img2img.objectives.similarity:Dissimilarity",
}

ADVERSARIAL = {
    "minimax": "img2img.objectives.logistic:Minimax",
    "non-saturating": "img2img.objectives.logistic:NonSaturating",
    "dragan": "img2img.objectives.logistic:DRAGAN",
    "relativistic": "img2img.objectives.logistic:Relativistic",
    "relativistic-average": "img2img.objectives.logistic:RelativisticAverage",
    "lsgan": "img2img.objectives.margins:LeastSquares",
    "hinge": "img2img.objectives.margins:Hinge",
    "loss-sensitive": "img2img.objectives.margins:LossSensitive",
    "wgan": "img2img.objectives.wasserstein:Clipped",
    "wgan-gp": "img2img.objectives.wasserstein:Penalised",
    "f-gan": "img2img.objectives.f_gan:FGAN",
    "ebgan": "img2img.objectives.energy:EBGAN",
    "began": "img2img.objectives.energy:BEGAN",
}

PENALTIES = {
    "gradient": "img2img.objectives.penalties:Gradient",
    "dragan": "img2img.objectives.penalties:Local",
    "r1": "img2img.objectives.penalties:R1",
    "r2": "img2img.objectives.penalties:R2",
}


def build(name: str, **options: Any) -> nn.Module:
    """The objective called `name`: a module that takes (result, truth) and returns a scalar.

    Raises:
        ConfigError: the name or an option is unknown; the message lists those that exist.
    """
    objective: nn.Module = _build("objective", RECONSTRUCTION, name, options)
    return objective


def adversarial(name: str, **options: Any) -> "Adversarial":
    """The adversarial objective called `name`.

    Raises:
        ConfigError: the name or an option is unknown, or a value does not fit; the message lists those that exist.
    """
    objective: Adversarial = _build("adversarial objective", ADVERSARIAL, name, options)
    return objective


def penalty(name: str, **options: Any) -> "Penalty":
    """The gradient penalty called `name`.

    Raises:
        ConfigError: the name or an option is unknown; the message lists those that exist.
    """
    built: Penalty = _build("penalty", PENALTIES, name, options)
    return built


def _build(kind: str, table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    found = lookup(kind, table, name)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [key for key, parameter in inspect.signature(found).parameters.items() if parameter.kind in named]
    for option in options:
        if option not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{kind} '{name}' has no option '{option}'; {there}")
    return found(**options)
