"""Loss terms. The config selects each by name and weight: `objectives = {l1 = 1.0}`.

Three tables: terms that compare a result with the truth (`build`), adversarial losses (`adversarial`) and gradient
penalties on the discriminator (`penalty`). Terms that need more than pictures or scores are separate classes:
`classification.DomainClassification`, `feature_matching.FeatureMatching`, `perceptual.Perceptual`,
`reconstruction.MaskedReconstruction`, `pulling_away.PullingAway`; for latent codes `mode_seeking.ModeSeeking` and
`information.Information`; for pictures translated there and back `mode_regulariser.ModeRegulariser`.
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
    "psnr": "img2img.objectives.reconstruction:PSNR",
    "chroma": "img2img.objectives.reconstruction:Chroma",
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
    "wgan": "img2img.objectives.wasserstein:WGAN",
    "wgan-gp": "img2img.objectives.wasserstein:WGANGP",
    "f-gan": "img2img.objectives.f_gan:FGAN",
    "ebgan": "img2img.objectives.energy:EBGAN",
    "began": "img2img.objectives.energy:BEGAN",
}

PENALTIES = {
    "gradient": "img2img.objectives.penalties:GradientPenalty",
    "dragan": "img2img.objectives.penalties:LocalGradientPenalty",
    "r1": "img2img.objectives.penalties:R1",
    "r2": "img2img.objectives.penalties:R2",
}


def build(name: str, **options: Any) -> nn.Module:
    """Build the objective called `name`: a module that takes (result, truth) and returns a scalar.

    Raises:
        ConfigError: the name or an option is unknown; the message lists the known ones.
    """
    objective: nn.Module = _build("objective", RECONSTRUCTION, name, options)
    return objective


def adversarial(name: str, **options: Any) -> "Adversarial":
    """Build the adversarial objective called `name`.

    Raises:
        ConfigError: the name or an option is unknown (the message lists the known ones), or an option has a bad value.
    """
    objective: Adversarial = _build("adversarial objective", ADVERSARIAL, name, options)
    return objective


def penalty(name: str, **options: Any) -> "Penalty":
    """Build the gradient penalty called `name`.

    Raises:
        ConfigError: the name or an option is unknown; the message lists the known ones.
    """
    built: Penalty = _build("penalty", PENALTIES, name, options)
    return built


def _build(kind: str, table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    found = lookup(kind, table, name)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [key for key, parameter in inspect.signature(found).parameters.items() if parameter.kind in named]
    for option in options:
        if option not in known:
            choices = f"its options are {', '.join(known)}" if known else "it takes no options"
            raise ConfigError(f"{kind} '{name}' has no option '{option}'; {choices}")
    return found(**options)
