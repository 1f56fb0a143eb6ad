"""Progressive growing: training starts with small pictures, and outer layers are added while it runs.

Karras et al. 2018, section 2. Networks always take and return pictures at full size. A network that has not grown yet
reduces its input, leaves out its outer layers and enlarges its result. A new layer is faded in: features and pictures
are blends of those with and without it (figure 2).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError


class Growth(nn.Module):
    """How far a network has grown, and the layers that replace its outer layers until then.

    The sides double at each of `fractions`. The new layer is faded in from there until half of the time to the next
    one, or to the end, has passed.

    Args:
        network: name of the network, for messages.
        fractions: fractions of the training, rising, within 0..1.
        widths: channels of the features after 0, 1, 2, ... halvings; the first entry is not used.
        inputs: channels of the picture.
        outputs: channels of the result and of the features that it is made from, after 0, 1, 2, ... halvings; None for
            a discriminator.

    Attributes:
        stage: number of doublings so far, a scalar; in between while a layer is faded in. A buffer, so that checkpoints
            and moving averages have it. A new network is fully grown.

    Raises:
        ConfigError: there are more doublings than the network has halvings.
    """

    stage: Tensor

    def __init__(
        self,
        network: str,
        fractions: Sequence[float],
        inputs: int,
        widths: Sequence[int],
        outputs: tuple[int, Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.fractions = tuple(fractions)
        count = len(self.fractions)
        if count >= len(widths):
            raise ConfigError(f"growing has {count} doublings, but this {network} allows at most {len(widths) - 1}")
        self.register_buffer("stage", torch.tensor(float(count)))
        self.enter = nn.ModuleList(nn.Conv2d(inputs, width, 1) for width in widths[1 : count + 1])
        self.leave = nn.ModuleList()
        if outputs is not None:
            result, before = outputs
            self.leave.extend(
                nn.Sequential(nn.ReLU(), nn.Conv2d(width, result, 1), nn.Tanh()) for width in before[1 : count + 1]
            )
        self._frozen = float(count)

    def set_progress(self, progress: float) -> None:
        """Set the stage for the fraction `progress` of the training."""
        ends = [*self.fractions[1:], 1.0]
        stage = 0.0
        for start, end in zip(self.fractions, ends, strict=True):
            length = (end - start) / 2
            stage += min(max((progress - start) / length, 0), 1) if length else float(progress >= start)
        self.stage.fill_(stage)
        self._frozen = stage

    def train(self, mode: bool = True) -> "Growth":
        # An exported graph must not read the buffer to decide which layers to run.
        self._frozen = float(self.stage)
        return super().train(mode)

    def missing(self) -> float:
        """Return the number of doublings that are left."""
        stage = self._frozen if torch.compiler.is_compiling() else float(self.stage)
        return len(self.fractions) - stage

    def encode(
        self, image: Tensor, descend: Callable[[int, Tensor], Tensor]
    ) -> tuple[int, float, Tensor | None, Tensor]:
        """Return the features at which the inner layers begin.

        Args:
            image: at full size, `[N, inputs, H, W]`.
            descend: applies the layers from `r` to `r + 1` halvings to features, or to the picture for `r` = 0.

        Returns:
            The number of halvings there; the share of the new layer, 0 if nothing is faded in; the input of the new
            layer, if any; and the features.
        """
        missing = self.missing()
        level = math.ceil(missing)
        share = level - missing
        features: Tensor = self.enter[level - 1](_reduced(image, level))
        if not share:
            return level, share, None, features
        outer = self.enter[level - 2](_reduced(image, level - 1)) if level > 1 else image
        return level, share, outer, (1 - share) * features + share * descend(level - 1, outer)

    def decode(self, level: int, share: float, features: Tensor, ascend: Callable[[], Tensor]) -> Tensor:
        """Return the result at full size.

        Args:
            level, share: from `encode`.
            features: what the inner layers return.
            ascend: applies the layer that is faded in to `features`.
        """
        picture: Tensor = self.leave[level - 1](features)
        if share:
            level -= 1
            new = self.leave[level - 1](ascend()) if level else ascend()
            picture = (1 - share) * _enlarged(picture, 1) + share * new
        return _enlarged(picture, level)


def _reduced(image: Tensor, times: int) -> Tensor:
    """Return `image` with its sides halved `times` times."""
    return F.avg_pool2d(image, 2**times) if times else image


def _enlarged(image: Tensor, times: int) -> Tensor:
    """Return `image` with its sides doubled `times` times."""
    return F.interpolate(image, scale_factor=2.0**times, mode="nearest") if times else image


def growing_parts(network: nn.Module) -> list[Growth]:
    """Return the parts of `network` whose `set_progress` wants to know which fraction of the training is over."""
    return [module for module in network.modules() if isinstance(module, Growth)]
