"""KID, FID and the Inception score as published, from the Inception-v3 of torch-fidelity."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.errors import ConfigError, ModelError
from img2img.evaluation.kernel_distance import SUBSET_SIZE, SUBSETS
from img2img.evaluation.results import Picture

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
"""The file name that torch-fidelity uses."""
SPLIT_SIZE = 5000
MAX_SPLITS = 10
"""The Inception score is the mean over splits of this size, up to this many. The paper has ten of 50,000 pictures."""
ALTERNATIVE = "without --features, KID uses the features of a classifier that is trained for the purpose"


class Inception:
    """Extracts feature vectors from pictures.

    Args:
        network: takes uint8 RGB `[N, 3, H, W]` of any size, returns `[N, D]`; `load` gives the published one.
        last: weights `[K, D]` of the layer that turns features into logits of K classes.

    Attributes:
        last: the argument, float64.
    """

    def __init__(self, network: nn.Module, last: Tensor) -> None:
        self.network = network.eval()
        self.last = last.detach().double().numpy()

    @classmethod
    def load(cls, weights: Path | None = None) -> "Inception":
        """Inception-v3 of 2015-12-05 up to its last pooling layer, 2048 features.

        Args:
            weights: a weights file; None: torch-fidelity finds the file and may download it (95 MB).

        Raises:
            ConfigError: torch-fidelity is not installed.
            ModelError: the weights are missing and cannot be downloaded, or belong to another network.
        """
        if not installed():
            raise ConfigError(
                f"Inception-v3 features need torch-fidelity: pip install torch-fidelity; {ALTERNATIVE}",
                hint="pip install torch-fidelity",
            )
        from torchmetrics.image.fid import NoTrainInceptionV3

        if weights is not None and not weights.is_file():
            raise ModelError(f"{weights}: there is no such file; {ALTERNATIVE}", path=weights)
        path = None if weights is None else str(weights)
        try:
            network = NoTrainInceptionV3("inception-v3-compat", ["2048"], path)
        except Exception as error:  # downloading and unpickling raise many undocumented types
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if weights is not None:
                raise ModelError(
                    f"{weights}: not the Inception-v3 weights of torch-fidelity: {reason}", path=weights
                ) from error
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise ModelError(
                f"the Inception-v3 weights are missing: {reason}; put torch-fidelity's {WEIGHTS} into {folder}, or use"
                f" --features FILE; {ALTERNATIVE}"
            ) from error
        return cls(network, network.fc.weight)

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Feature vectors `[N, D]` of the pictures, which may have different sizes."""
        with torch.inference_mode():
            found = [self.network(torch.from_numpy(np.array(one.transpose(2, 0, 1)))[None]) for one in pictures]
        return np.asarray(torch.cat(found).numpy(), np.float32)


def installed() -> bool:
    """Whether torch-fidelity is installed."""
    return importlib.util.find_spec("torch_fidelity") is not None


def distances(real: NDArray[np.float32], made: NDArray[np.float32], *, seed: int = 0) -> dict[str, float]:
    """KID and FID between two sets of feature vectors.

    Args:
        real, made: `[N, D]`, one row per picture, at least three rows.

    Returns:
        kid_inception: the mean over 100 subsets of 1000 pictures, not multiplied by anything. If a set is smaller, the
            subsets have its size.
        kid_inception_error: the standard deviation over the subsets; 0 if the subsets are the whole sets.
        fid_inception: biased upwards, the more so the fewer pictures there are; compare only sets of the same size.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    network = _PassThrough(real.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about keeping all features in memory, where they already are
        size = min(SUBSET_SIZE, len(real), len(made))
        kid = KernelInceptionDistance(feature=network, subsets=SUBSETS, subset_size=size)
    fid = FrechetInceptionDistance(feature=network)
    for features, is_real in ((real, True), (made, False)):
        for metric in (kid, fid):
            metric.update(torch.from_numpy(features), real=is_real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = kid.compute()
    return {
        "kid_inception": float(mean),
        "kid_inception_error": float(deviation),
        "fid_inception": float(fid.compute()),
    }


def score(made: NDArray[np.float32], last: NDArray[np.float64]) -> float:
    """The Inception score (Salimans et al. 2016, section 4): exp of the mean KL divergence between the classes that
    Inception sees in a picture and those that it sees in all. From 1 to the number of classes; higher is better.

    It is high if each picture shows one class clearly and all of them show many classes. It does not look at real
    pictures. It grows with the number of pictures, so compare only sets of the same size.

    Args:
        made: features `[N, D]`, one row per picture.
        last: `Inception.last`. Logits have no bias, as in torch-fidelity and the official code.
    """
    logits = made.astype(np.float64) @ last.T
    logits -= logits.max(1, keepdims=True)
    shares = np.exp(logits)
    shares /= shares.sum(1, keepdims=True)
    splits = min(max(len(made) // SPLIT_SIZE, 1), MAX_SPLITS)
    return float(np.mean([_score(part) for part in np.array_split(shares, splits)]))


def _score(shares: NDArray[np.float64]) -> float:
    tiny = np.finfo(np.float64).tiny  # 0 log 0 is 0
    divergence = shares * (np.log(np.maximum(shares, tiny)) - np.log(np.maximum(shares.mean(0), tiny)))
    return float(np.exp(divergence.sum(1).mean()))


class _PassThrough(nn.Module):
    """Returns its input: stands in for a network when the features exist already, so that they are computed once."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features
