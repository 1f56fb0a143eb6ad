"""Feature matching: the generator's pictures shall look to the discriminator's layers as real ones do."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.processes import max_over_processes, sum_over_processes
from img2img.objectives.recorder import Recorder

__all__ = ["FeatureMatching", "Recorder"]


class FeatureMatching(nn.Module):
    """Distance of real and fake features, summed over the layers and averaged over the values of each.

    Gradients reach the fake features only. `Recorder` gives the features. Weighed beside an adversarial objective it
    steadies training; as the generator's only signal, with a discriminator trained by cross-entropy, it is the
    asymmetric training of Bao et al. 2017 (CVAE-GAN, section 3).

    Args:
        kind: "mean": the batch means, place by place, so the pictures need not be pairs (Salimans et al. 2016,
            section 3.1; Bao et al. 2017, mean feature matching of the discriminator). "class-mean": the means of each
            class, averaged over the places too (Bao et al. 2017, mean feature matching of the classifier); those of
            the real ones are moving averages, for a batch has few pictures of a class. "pairwise": sample by sample,
            for results that have a truth (pix2pixHD, Wang et al. 2018, equation 4, with l1; Bao et al. 2017, pairwise
            feature matching, with l2).
        distance: "l1", the absolute difference, or "l2", its square.
        decay: share of a moving average that one batch leaves.

    The moving averages are buffers, made when the first batch shows how many classes and channels there are; a state
    dict brings its own. They move in training mode only. In a distributed run they are those of all processes
    together, while the means of a batch are each process's own.

    Raises:
        ConfigError: there is no such kind or distance, or `decay` is not in 0..1; when called: there are no features.
    """

    def __init__(
        self,
        kind: Literal["mean", "class-mean", "pairwise"] = "mean",
        distance: Literal["l1", "l2"] = "l2",
        decay: float = 0.9,
    ) -> None:
        super().__init__()
        if kind not in ("mean", "class-mean", "pairwise"):
            raise ConfigError(f"unknown kind of feature matching '{kind}'; there are mean, class-mean, pairwise")
        if distance not in ("l1", "l2"):
            raise ConfigError(f"unknown distance '{distance}'; there are l1, l2")
        if not 0 <= decay < 1:
            raise ConfigError(f"feature matching: decay = {decay} must be at least 0 and below 1")
        self.kind = kind
        self.distance = distance
        self.decay = decay

    def forward(
        self,
        real: Sequence[Tensor],
        fake: Sequence[Tensor],
        labels: Tensor | None = None,
        fake_labels: Tensor | None = None,
    ) -> Tensor:
        """Returns a scalar.

        Args:
            real: features of real pictures, one tensor `[N, C, ...]` a layer.
            fake: those of generated ones, the same layers.
            labels: for "class-mean", the classes of the real pictures: `[N, K]`, 0..1, or int64 `[N]`.
            fake_labels: those of the fake ones; none: `labels`.
        """
        if not real:
            raise ConfigError(
                "feature matching: nothing was recorded in the discriminator; name its layers, and leave it uncompiled"
            )
        if len(real) != len(fake):
            raise ValueError(f"{len(real)} layers of real features and {len(fake)} of fake ones cannot be matched")
        real = [features.detach().float() for features in real]
        fake = [features.float() for features in fake]
        if self.kind == "class-mean":
            if labels is None:
                raise ValueError("class-mean feature matching needs the labels of the pictures")
            return self._of_classes(real, fake, labels, labels if fake_labels is None else fake_labels)
        if self.kind == "mean":
            real, fake = [features.mean(0) for features in real], [features.mean(0) for features in fake]
        return torch.stack([self._between(r, f).mean() for r, f in zip(real, fake, strict=True)]).sum()

    def _between(self, real: Tensor, fake: Tensor) -> Tensor:
        difference = fake - real
        return difference.abs() if self.distance == "l1" else difference.square()

    def _of_classes(self, real: list[Tensor], fake: list[Tensor], labels: Tensor, fake_labels: Tensor) -> Tensor:
        if self.training:
            self._move(real, self._shares(labels).to(real[0]))
        fake_labels = self._shares(fake_labels).to(fake[0])
        counts = fake_labels.sum(0)
        present = (counts > 0) & (self._average("seen", counts) > 0)
        terms = []
        for i, features in enumerate(fake):
            sums = fake_labels.T @ _vectors(features)
            means = sums / counts.clamp_min(1e-12)[:, None]
            each = self._between(self._average(f"centre_{i}", sums), means).mean(1)
            terms.append(torch.where(present, each, 0).sum() / present.sum().clamp_min(1))
        return torch.stack(terms).sum()

    def _shares(self, labels: Tensor) -> Tensor:
        if labels.dim() == 2:
            return labels
        seen = self._buffers.get("seen")
        classes = max(int(max_over_processes(labels.max())) + 1, 0 if seen is None else len(seen))
        return F.one_hot(labels, classes)

    @torch.no_grad()
    def _move(self, real: list[Tensor], labels: Tensor) -> None:
        counts = sum_over_processes(labels.sum(0))
        seen = self._average("seen", counts)
        for i, features in enumerate(real):
            sums = sum_over_processes(labels.T @ _vectors(features))
            means = sums / counts.clamp_min(1e-12)[:, None]
            centres = self._average(f"centre_{i}", sums)
            # the first batch that has a class begins its average
            moved = torch.where(seen[:, None] > 0, self.decay * centres + (1 - self.decay) * means, means)
            self.register_buffer(f"centre_{i}", torch.where(counts[:, None] > 0, moved, centres))
        self.register_buffer("seen", seen + counts)

    def _average(self, name: str, like: Tensor) -> Tensor:
        """The buffer `name`, with rows of zeros for classes that are new."""
        kept = self._buffers.get(name)
        if kept is None:
            return torch.zeros_like(like)
        if kept.shape[1:] != like.shape[1:] or len(kept) > len(like):
            raise ValueError(f"class means were {list(kept.shape)} and are to be {list(like.shape)} now")
        new = kept.new_zeros(len(like) - len(kept), *kept.shape[1:])
        return torch.cat([kept, new]).to(like)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and (name == "seen" or name.startswith("centre_")):
                self.register_buffer(name, torch.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _vectors(features: Tensor) -> Tensor:
    """`[N, C, ...]` to `[N, C]`: the mean over the places."""
    return features.flatten(2).mean(2) if features.dim() > 2 else features
