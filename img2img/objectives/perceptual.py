"""Perceptual distance: the difference between result and truth in the features of a pretrained VGG19."""

import pickle
import re
import sys
import urllib.error
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError, DownloadError

SRGAN_LAYERS = {"conv5_4": 1.0}
"""SRGAN (VGG54) and ESRGAN (Wang et al. 2018, section 3.3): the last convolution, before its ReLU."""

REAL_ESRGAN_LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""Real-ESRGAN (Wang et al. 2021, section 4.1): the last convolution of each block, before its ReLU."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet statistics, as in the training of the weights


class Perceptual(nn.Module):
    """Weighted sum over layers of the mean difference between the VGG19 features of result and truth.

    Johnson et al. 2016, section 3.2; Ledig et al. 2017 (SRGAN), equation 5. Takes pictures RGB 0..1, `[N, 3, H, W]`,
    and applies ImageNet's normalisation itself. The VGG network is frozen. It is not a submodule, so that none of its
    parameters is trained, saved or averaged. It follows its input from device to device.

    Args:
        layers: weight of each layer: "conv5_4" is the fourth convolution of block 5 before its ReLU, "relu5_4" after
            it, "pool5" the pooling at the end of the block. Defaults to the layers of SRGAN and ESRGAN.
        criterion: "l1", as in ESRGAN, or "l2", SRGAN's mean squared difference.
        weights: .pth or .safetensors file in the layout of torchvision's vgg19; None: torchvision's own weights
            (IMAGENET1K_V1), downloaded once.

    Raises:
        ConfigError: a layer or criterion is unknown; the weights cannot be downloaded or read, or do not fit.
    """

    def __init__(
        self,
        layers: Mapping[str, float] = SRGAN_LAYERS,
        criterion: Literal["l1", "l2"] = "l1",
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        if criterion not in ("l1", "l2"):
            raise ConfigError(f"perceptual: unknown criterion '{criterion}'; choose from l1, l2")
        if not layers:
            raise ConfigError("perceptual: no layers to compare; name at least one")
        features, names = vgg19_features()
        for layer in layers:
            if layer not in names:
                raise ConfigError(f"perceptual: VGG19 has no layer '{layer}'; choose from {', '.join(names)}")
        self.layers = {names.index(layer): weight for layer, weight in layers.items()}
        self.criterion = criterion
        needed = features[: max(self.layers) + 1]
        _load_weights(needed, weights)
        # The tuple hides it from torch: a plain attribute would become a submodule.
        self._vgg = (needed.requires_grad_(False).eval(),)

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        """Return a scalar. `result` and `truth` are RGB 0..1, `[N, 3, H, W]`; gradients reach only `result`."""
        with torch.no_grad():
            wanted = self.features(truth)
        terms = []
        for weight, ours, theirs in zip(self.layers.values(), self.features(result), wanted, strict=True):
            difference = F.l1_loss if self.criterion == "l1" else F.mse_loss
            terms.append(weight * difference(ours.float(), theirs.float()))
        return torch.stack(terms).sum()

    def features(self, picture: Tensor) -> list[Tensor]:
        """Return the features of a picture RGB 0..1 in the order of `layers`."""
        (vgg,) = self._vgg
        vgg.to(picture.device)
        hidden = (picture - picture.new_tensor(MEAN)[:, None, None]) / picture.new_tensor(STD)[:, None, None]
        found = {}
        for i, layer in enumerate(vgg):
            hidden = layer(hidden)
            if i in self.layers:
                found[i] = hidden
        return [found[i] for i in self.layers]


def vgg19_features() -> tuple[nn.Sequential, list[str]]:
    """Return torchvision's VGG19 without classifier and weights (meta tensors), and a name for each layer.

    The names follow the paper's numbering (Simonyan and Zisserman 2015, table 1, column E): block, then position in it.
    """
    from torchvision.models import vgg19  # type: ignore[import-untyped]

    with torch.device("meta"):
        features: nn.Sequential = vgg19().features
    names = []
    block, place = 1, 0
    for i, layer in enumerate(features):
        if isinstance(layer, nn.Conv2d):
            place += 1
            names.append(f"conv{block}_{place}")
        elif isinstance(layer, nn.ReLU):
            names.append(f"relu{block}_{place}")
            features[i] = nn.ReLU()  # torchvision's ReLU works in place and would overwrite features to compare
        else:
            names.append(f"pool{block}")
            block, place = block + 1, 0
    return features, names


def _load_weights(features: nn.Sequential, weights: str | Path | None) -> None:
    state = _download() if weights is None else _read_weights(Path(weights))
    where = "torchvision's VGG19" if weights is None else str(weights)
    found = {}
    for key, wanted in features.state_dict().items():
        value = state.get(f"features.{key}")
        if value is None:
            raise ConfigError(f"{where}: does not hold weights of torchvision's vgg19: 'features.{key}' is missing")
        if value.shape != wanted.shape:
            shapes = f"{list(value.shape)}, not {list(wanted.shape)}"
            raise ConfigError(f"{where}: does not hold weights of torchvision's vgg19: 'features.{key}' is {shapes}")
        found[key] = value.float()
    features.load_state_dict(found, assign=True)


def _download() -> Mapping[str, Tensor]:
    from torchvision.models import VGG19_Weights

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        with redirect_stdout(sys.stderr):  # where torch.hub says what it downloads
            state: Mapping[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise DownloadError(
            f"perceptual: cannot download the VGG19 weights from {weights.url} ({error}); "
            "fetch that file another way and set the option 'weights' of the perceptual objective to its path",
            path=weights.url,
        ) from error
    return state


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file of VGG19 weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader raises its own types for a broken file
        reason = re.split(r"[\n.] ?", str(error), maxsplit=1)[0]
        if isinstance(error, pickle.UnpicklingError):
            reason = "it contains more than tensors, or is not a .pth file"
        raise ConfigError(f"cannot read {path} as VGG19 weights: {reason}") from error
    if not isinstance(state, Mapping):
        raise ConfigError(f"{path}: contains a {type(state).__name__}, not a state dict of VGG19")
    return state
