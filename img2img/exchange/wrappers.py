"""Wrap generators that work in -1..1, so that they take and return RGB 0..1 as a model file does.

docs/model-file.md describes the inputs and outputs of a model file.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.objectives.colour import luma


class TranslationWrapper(nn.Module):
    """Turns a generator `[N, C, H, W]` to `[N, 1 or 3, H, W]`, -1..1, into one from RGB 0..1 to RGB 0..1.

    Does not clamp: the result of a residual generator may lie outside 0..1 until `onnx_file.ClampedNetwork` clamps it.

    Args:
        generator: takes `channels` channels with values -1..1; a single channel is luma.
        palette: uint8 `[K, 3]`, for a generator that takes a label map as K one-hot channels. Each pixel gets the
            class with the nearest colour.

    Further inputs, such as a latent code `[N, L]`, reach the generator as they are.
    """

    def __init__(self, generator: nn.Module, *, channels: int = 3, palette: NDArray[np.uint8] | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.channels = channels
        colours = None if palette is None else torch.from_numpy(palette.astype(np.float32) / 255)
        self.register_buffer("palette", colours, persistent=False)

    def forward(self, image: Tensor, *further: Tensor) -> Tensor:
        result: Tensor = self.generator(self.generator_input(image), *further)
        return result.add(1).div(2).expand(-1, 3, -1, -1)

    def generator_input(self, image: Tensor) -> Tensor:
        """The input of the generator for an RGB image 0..1."""
        if isinstance(self.palette, Tensor):
            distance = (image[:, None] - self.palette[None, :, :, None, None]).square().sum(2)
            # A comparison instead of argmax: not every onnxruntime provider has one-hot on the channel axis.
            return (distance <= distance.amin(1, keepdim=True)).float()
        if self.channels == 1:
            image = luma(image)
        return image * 2 - 1


class ConditionalWrapper(nn.Module):
    """Turns a generator of (picture -1..1, further inputs) into one of (`image` RGB 0..1, further inputs).

    The further inputs are those of a model file, in the order of docs/model-file.md: `domain` `[N, K]`, `reference`
    `[N, 3, h, w]` and `latent` `[N, L]`. The generator gets a reference in -1..1, and the others as they are.

    Does not clamp, like `TranslationWrapper`.

    Args:
        generator: called as `generator(picture, *further)`; returns `[N, 3, H, W]`, -1..1.
        names: names of its further inputs, for example `("reference",)` or `("domain", "latent")`.

    Raises:
        ValueError: a name is unknown, or the order is not that of the model file.
    """

    ORDER = ("domain", "reference", "latent")

    def __init__(self, generator: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        if list(names) != [name for name in self.ORDER if name in names]:
            raise ValueError(f"the further inputs must be some of {', '.join(self.ORDER)}, in this order, not {names}")
        self.generator = generator
        self.names = tuple(names)

    def forward(self, image: Tensor, *further: Tensor) -> Tensor:
        given = [
            value * 2 - 1 if name == "reference" else value for name, value in zip(self.names, further, strict=True)
        ]
        result: Tensor = self.generator(image * 2 - 1, *given)
        return result.add(1).div(2)


class DomainWrapper(ConditionalWrapper):
    """Turns a generator of (picture -1..1, label `[N, K]`) into one of (`image` RGB 0..1, `domain` `[N, K]`)."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__(generator, ("domain",))


class StyledGenerator(nn.Module):
    """A generator that takes a reference instead of a code: the code is the mean of what the encoder sees in it.

    Args:
        channels: channels of the pictures that the encoder takes; 1 is luma.

    Input a picture `[N, C, H, W]`, -1..1 or classes, and a reference `[N, 3, h, w]`, RGB 0..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels: those of the generator.
    """

    def __init__(self, generator: nn.Module, encoder: nn.Module, channels: int) -> None:
        super().__init__()
        self.generator = generator
        self.encoder = encoder
        self.channels = channels
        self.multiple = getattr(generator, "multiple", 1)
        self.minimum = getattr(generator, "minimum", 1)

    def forward(self, picture: Tensor, reference: Tensor) -> Tensor:
        seen = luma(reference) if self.channels == 1 else reference
        code, _ = self.encoder(seen * 2 - 1)
        result: Tensor = self.generator(picture, code)
        return result


class InpaintingWrapper(nn.Module):
    """Turns a generator of (picture -1..1 with a blank hole, mask) into one of (`image` RGB 0..1, `mask`, 1 = fill).

    The generator does not see what lies inside the hole. Pixels outside the hole stay as they are. If the generator
    returns a coarse and a refined result, the refined one is used. Further inputs, such as a label `[N, K]`, reach it
    as they are.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor, *further: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        result = self.generator((image * 2 - 1) * (1 - mask), mask, *further)
        filled: Tensor = result[-1] if isinstance(result, tuple) else result
        return filled.add(1).div(2).clamp(0, 1) * mask + image * (1 - mask)
