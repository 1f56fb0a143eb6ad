"""LPIPS and DISTS: how different two pictures look, in the features of a network. Computed by torchmetrics.

torchmetrics has the weights of both measures. Those of the networks below come from torchvision, which downloads them.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2img.errors import ConfigError, DataError, ModelError
from img2img.evaluation.results import Picture

MIN_SIDE = 32
"""Smallest side in pixels that the networks can see."""

Measure = Callable[[Tensor, Tensor], Tensor]
"""Distance of two pictures RGB 0..1, `[1, 3, H, W]`, as a tensor with one value."""


class PerceptualDistance:
    """Measures a result against the truth.

    Args:
        measures: by the name of the figure; `load` gives the published ones.
    """

    def __init__(self, measures: dict[str, Measure]) -> None:
        self.measures = measures

    @classmethod
    def load(cls, names: Iterable[str]) -> "PerceptualDistance":
        """The published measures.

        Args:
            names: "lpips" (Zhang et al. 2018, version 0.1 with AlexNet) and "dists" (Ding et al. 2020, with VGG16).

        Raises:
            ConfigError: a name is unknown, or torchmetrics is too old.
            ModelError: weights are missing and cannot be downloaded.
        """
        measures = {}
        for name in dict.fromkeys(names):
            if name not in _LOADERS:
                raise ConfigError(f"--perceptual {name}: choose from {', '.join(_LOADERS)}")
            measures[name] = _load(name)
        return cls(measures)

    def __call__(self, result: Picture, truth: Picture) -> dict[str, float]:
        """Each distance between two pictures, uint8 RGB `[H, W, 3]` of the same size. Lower is better; 0 is equal.

        Raises:
            DataError: a side is below 32 pixels.
        """
        if min(result.shape[:2]) < MIN_SIDE:
            raise DataError(f"--perceptual: a picture of {result.shape[1]}x{result.shape[0]} pixels is too small")
        pictures = [_to_batch(one) for one in (result, truth)]
        with torch.no_grad():
            return {name: float(measure(*pictures)) for name, measure in self.measures.items()}


def _lpips() -> Measure:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity("alex", normalize=True)


def _dists() -> Measure:
    from torchmetrics.functional.image.dists import DISTSNetwork  # the metric itself builds one for every picture

    return DISTSNetwork().eval()


_LOADERS: dict[str, Callable[[], Measure]] = {"lpips": _lpips, "dists": _dists}

_WEIGHTS = {"lpips": "AlexNet_Weights", "dists": "VGG16_Weights"}
"""The torchvision weights that each measure needs."""


def _load(name: str) -> Measure:
    try:
        with redirect_stdout(sys.stderr):  # where torch.hub says what it downloads
            return _LOADERS[name]()
    except ImportError as error:
        hint = "pip install 'img2img[perceptual]'"
        raise ConfigError(f"--perceptual {name} needs torchmetrics 1.7 or newer: {hint}", hint=hint) from error
    except Exception as error:  # downloading and unpickling raise many undocumented types
        from torchvision import models  # type: ignore[import-untyped]

        url: str = getattr(models, _WEIGHTS[name]).DEFAULT.url
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"--perceptual {name}: the weights of its network cannot be loaded: {reason}; put {url} into {folder}, or "
            "omit the option"
        ) from error


def _to_batch(picture: Picture) -> Tensor:
    values = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return values.float() / 255
