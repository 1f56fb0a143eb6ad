"""Feature matching: generated pictures should give the discriminator's layers the same features as real ones."""

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
    """Distance between real and fake features, averaged within each layer and summed over the layers.

    Bao et al. 2017 take half the sum over a layer instead of its mean ("half-sum"): for the 8x8x512 map of their
    discriminator at 128 px, 16,384 times as much.

    Gradients reach only the fake features. `Recorder` provides the features. Added to an adversarial objective, feature
    matching steadies training. As the generator's only loss, with a discriminator trained by cross-entropy, it is the
    asymmetric training of Bao et al. 2017 (CVAE-GAN, section 3).

    The moving averages are buffers. The first batch creates them, because it shows how many classes and channels there
    are; loading a state dict replaces them. They change in training mode only. In a distributed run they cover all
    processes, while each process computes the means of its own batch.

    Args:
        kind: "mean" compares batch means at each position, so the pictures need not be pairs (Salimans et al. 2016,
            section 3.1; Bao et al. 2017, mean feature matching of the discriminator). "class-mean" compares the means
            of each class over batch and positions (Bao et al. 2017, mean feature matching of the classifier); the real
            means are moving averages, because a batch holds few pictures of a class. "pairwise" compares sample by
            sample, for results with a truth (pix2pixHD, Wang et al. 2018, equation 4, with l1; Bao et al. 2017,
            pairwise feature matching, with l2). "centres" compares moving averages of the real and of the fake means,
            at each position (Bao's doctoral thesis, section 3.3): of each class if there are labels. One batch then
            moves the fake mean only a little, so single pictures need not look like the mean of their class.
        distance: "l1", the absolute difference, or "l2", its square.
        decay: share of a moving average that remains after one batch.
        reduction: "mean" over the values of a layer, and over the classes, or "half-sum": half their sum, and the mean
            over the samples only.

    Raises:
        ConfigError: the kind or distance is unknown, or `decay` is not in 0..1; from `forward`, there are no features.
    """

    def __init__(
        self,
        kind: Literal["mean", "class-mean", "pairwise", "centres"] = "mean",
        distance: Literal["l1", "l2"] = "l2",
        decay: float = 0.9,
        reduction: Literal["mean", "half-sum"] = "mean",
    ) -> None:
        super().__init__()
        if kind not in ("mean", "class-mean", "pairwise", "centres"):
            raise ConfigError(
                f"unknown kind of feature matching '{kind}'; choose from mean, class-mean, pairwise, centres"
            )
        if reduction not in ("mean", "half-sum"):
            raise ConfigError(f"unknown reduction '{reduction}'; choose from mean, half-sum")
        if distance not in ("l1", "l2"):
            raise ConfigError(f"unknown distance '{distance}'; choose from l1, l2")
        if not 0 <= decay < 1:
            raise ConfigError(f"feature matching: decay = {decay} must be at least 0 and below 1")
        self.kind = kind
        self.distance = distance
        self.decay = decay
        self.reduction = reduction

    def forward(
        self,
        real: Sequence[Tensor],
        fake: Sequence[Tensor],
        labels: Tensor | None = None,
        fake_labels: Tensor | None = None,
        *,
        weights: Sequence[float] | None = None,
    ) -> Tensor:
        """Return a scalar.

        Args:
            real: features of real pictures, one tensor `[N, C, ...]` per layer.
            fake: features of generated pictures from the same layers.
            labels: for "class-mean" and "centres", the classes of the real pictures: `[N, K]`, 0..1, or int64 `[N]`.
            fake_labels: classes of the fake pictures; None: the same as `labels`.
            weights: one per layer; None: all 1.
        """
        if not real:
            raise ConfigError(
                "feature matching: no features were recorded; name the discriminator's layers and do not compile it"
            )
        if len(real) != len(fake):
            raise ValueError(f"cannot match {len(real)} layers of real features with {len(fake)} of fake ones")
        real = [features.detach().float() for features in real]
        fake = [features.float() for features in fake]
        if self.kind in ("class-mean", "centres"):
            if labels is None:
                if self.kind == "class-mean":
                    raise ValueError("class-mean feature matching needs the labels of the pictures")
                labels = real[0].new_ones(len(real[0]), 1)  # one class
                fake_labels = real[0].new_ones(len(fake[0]), 1)
            terms = self._class_terms(real, fake, labels, labels if fake_labels is None else fake_labels)
        else:
            if self.kind == "mean":
                real, fake = ([features.mean(0, keepdim=True) for features in side] for side in (real, fake))
            terms = [self._reduced(self._difference(r, f)).mean() for r, f in zip(real, fake, strict=True)]
        if weights is not None:
            terms = [weight * term for weight, term in zip(weights, terms, strict=True)]
        return torch.stack(terms).sum()

    def _difference(self, real: Tensor, fake: Tensor) -> Tensor:
        difference = fake - real
        return difference.abs() if self.distance == "l1" else difference.square()

    def _reduced(self, difference: Tensor) -> Tensor:
        """One number for each sample or class of `[N, ...]`."""
        return difference.flatten(1).mean(1) if self.reduction == "mean" else 0.5 * difference.flatten(1).sum(1)

    def _class_terms(self, real: list[Tensor], fake: list[Tensor], labels: Tensor, fake_labels: Tensor) -> list[Tensor]:
        if self.training:
            self._update_averages(real, self._membership(labels).to(real[0]), "centre")
        fake_labels = self._membership(fake_labels).to(fake[0])
        counts = fake_labels.sum(0)
        present = (counts > 0) & (self._average("seen", counts) > 0)
        terms = []
        for i, features in enumerate(fake):
            values = self._values(features)
            means = fake_labels.T @ values / counts.clamp_min(1e-12)[:, None]
            if self.kind == "centres":  # the gradient is that of the batch's share in the moving average
                before = self._average(f"fake_centre_{i}", means)
                begun = self._average("fake_seen", counts)[:, None] > 0
                means = torch.where(begun, self.decay * before + (1 - self.decay) * means, means)
            each = self._reduced(self._difference(self._average(f"centre_{i}", means), means))
            total = torch.where(present, each, 0).sum()
            terms.append(total / present.sum().clamp_min(1) if self.reduction == "mean" else total)
        if self.training and self.kind == "centres":
            self._update_averages(fake, fake_labels, "fake_centre")
        return terms

    def _values(self, features: Tensor) -> Tensor:
        """The values of `[N, C, ...]` that are averaged over a class: `[N, V]`."""
        return _mean_over_positions(features) if self.kind == "class-mean" else features.flatten(1)

    def _membership(self, labels: Tensor) -> Tensor:
        if labels.dim() == 2:
            return labels
        seen = self._buffers.get("seen")
        classes = max(int(max_over_processes(labels.max())) + 1, 0 if seen is None else len(seen))
        return F.one_hot(labels, classes)

    @torch.no_grad()
    def _update_averages(self, layers: list[Tensor], labels: Tensor, name: str) -> None:
        """Move the averages called `name` towards the class means of this batch."""
        counter = name.replace("centre", "seen")
        counts = sum_over_processes(labels.sum(0))
        seen = self._average(counter, counts)
        for i, features in enumerate(layers):
            sums = sum_over_processes(labels.T @ self._values(features))
            means = sums / counts.clamp_min(1e-12)[:, None]
            centres = self._average(f"{name}_{i}", sums)
            # The first batch that contains a class starts its average.
            moved = torch.where(seen[:, None] > 0, self.decay * centres + (1 - self.decay) * means, means)
            self.register_buffer(f"{name}_{i}", torch.where(counts[:, None] > 0, moved, centres))
        self.register_buffer(counter, seen + counts)

    def _average(self, name: str, like: Tensor) -> Tensor:
        """Return the buffer `name`, extended with rows of zeros for new classes."""
        kept = self._buffers.get(name)
        if kept is None:
            return torch.zeros_like(like)
        if kept.shape[1:] != like.shape[1:] or len(kept) > len(like):
            raise ValueError(f"class means changed shape from {list(kept.shape)} to {list(like.shape)}")
        new = kept.new_zeros(len(like) - len(kept), *kept.shape[1:])
        return torch.cat([kept, new]).to(like)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            own = name.removeprefix("fake_")
            if key.startswith(prefix) and (own == "seen" or own.startswith("centre_")):
                self.register_buffer(name, torch.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _mean_over_positions(features: Tensor) -> Tensor:
    """Average `[N, C, ...]` over its positions: `[N, C]`."""
    return features.flatten(2).mean(2) if features.dim() > 2 else features
