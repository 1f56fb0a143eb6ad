"""KID and FID as they are published: torchmetrics' own, in features of Inception-v3 as torch-fidelity has it."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.errors import ConfigError, ModelError
from img2img.evaluation.cases import Picture
from img2img.evaluation.kernel_distance import SIZE, SUBSETS

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
"""The name of torch-fidelity's file."""
WITHOUT = "without --features, KID is measured in features of a classifier that is trained on the spot"


class Inception:
    """Feature vectors of pictures, and distances between sets of them.

    Args:
        network: takes uint8 RGB `[N, 3, H, W]` of any size, returns `[N, D]`; `load` gives the published one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, weights: Path | None = None) -> "Inception":
        """Inception-v3 of 2015-12-05 up to its last pooling, 2048 features.

        Args:
            weights: a file; None: as torch-fidelity finds it, which may be to download it (95 MB).

        Raises:
            ConfigError: torch-fidelity is not installed.
            ModelError: the weights are not there and cannot be downloaded, or are those of something else.
        """
        if not installed():
            raise ConfigError(f"Inception-v3's features need torch-fidelity: pip install torch-fidelity; {WITHOUT}")
        from torchmetrics.image.fid import NoTrainInceptionV3

        if weights is not None and not weights.is_file():
            raise ModelError(f"{weights}: there is no such file; {WITHOUT}")
        path = None if weights is None else str(weights)
        try:
            return cls(NoTrainInceptionV3("inception-v3-compat", ["2048"], path))
        except Exception as error:  # downloading and unpickling fail in ways that nobody has listed
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if weights is not None:
                raise ModelError(f"{weights}: not torch-fidelity's weights of Inception-v3: {reason}") from error
            raise ModelError(
                f"the weights of Inception-v3 are not there: {reason}; put torch-fidelity's {WEIGHTS} into "
                f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or say --features FILE; {WITHOUT}"
            ) from error

    def __call__(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """`[N, D]`; the pictures may have any sizes."""
        with torch.inference_mode():
            found = [self.network(torch.from_numpy(np.array(one.transpose(2, 0, 1)))[None]) for one in pictures]
        return np.asarray(torch.cat(found).numpy(), np.float32)


def installed() -> bool:
    """Whether torch-fidelity is."""
    return importlib.util.find_spec("torch_fidelity") is not None


def distances(real: NDArray[np.float32], made: NDArray[np.float32], *, seed: int = 0) -> dict[str, float]:
    """`kid_inception`: the mean over 100 subsets of 1000 pictures, or of as many as the smaller set has, not
    multiplied; `kid_inception_error`, their standard deviation (0 where subsets are the whole sets); `fid_inception`,
    which is too large by more the fewer pictures there are, so that only sets of one size can be compared.

    Args:
        real, made: `[N, D]`, a row for each picture, three or more.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    given = _Given(real.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that features are kept, which is so anyway
        kid = KernelInceptionDistance(feature=given, subsets=SUBSETS, subset_size=min(SIZE, len(real), len(made)))
    fid = FrechetInceptionDistance(feature=given)
    for features, true in ((real, True), (made, False)):
        for metric in (kid, fid):
            metric.update(torch.from_numpy(features), real=true)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = kid.compute()
    return {
        "kid_inception": float(mean),
        "kid_inception_error": float(deviation),
        "fid_inception": float(fid.compute()),
    }


class _Given(nn.Module):
    """Stands for a network whose features have been computed already, so that real ones are computed but once."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features
