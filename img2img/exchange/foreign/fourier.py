"""The two-dimensional Fourier transform as matrix products, so that a network with one exports for any size.

torch's own transforms have no counterpart in ONNX but one for fixed sizes; products with matrices of cosines and sines,
made in the graph from height and width, run wherever matrix products do, on CPU and CUDA. For a picture of H x W they
take H * W * (H + W) steps a channel, little beside the convolutions around them at the sizes of LaMa's features.
"""

import math

import torch
from torch import Tensor, nn

from img2img.errors import CheckpointError

Parts = tuple[Tensor, Tensor]
"""Real and imaginary part."""


def rfft2(signal: Tensor) -> Parts:
    """`torch.fft.rfftn(signal, dim=(-2, -1), norm="ortho")`: `[N, C, H, W]` to two of `[N, C, H, W // 2 + 1]`."""
    height, width = signal.shape[-2:]
    cosine, sine = _waves(width, width // 2 + 1, signal)
    real, imaginary = signal @ cosine, -(signal @ sine)
    cosine, sine = _waves(height, height, signal)
    scale = _root(height, width, signal)
    return (cosine @ real + sine @ imaginary) / scale, (cosine @ imaginary - sine @ real) / scale


def irfft2(real: Tensor, imaginary: Tensor, height: int, width: int) -> Tensor:
    """`torch.fft.irfftn(real + 1j * imaginary, s=(height, width), dim=(-2, -1), norm="ortho")`: `[N, C, H, W]`.

    As there, the imaginary parts of the constant and of the highest frequency along W, which no real signal has, do
    not count.
    """
    cosine, sine = _waves(height, height, real)
    real, imaginary = cosine @ real - sine @ imaginary, cosine @ imaginary + sine @ real
    cosine, sine = _waves(width, width // 2 + 1, real)
    frequency = torch.arange(width // 2 + 1, device=real.device)
    # All but those two stand for a pair of frequencies of which the second half of the spectrum is left out.
    single = (frequency == 0) | (2 * frequency == width)
    count = torch.where(single, 1.0, 2.0).to(real)
    return ((real * count) @ cosine.T - (imaginary * count) @ sine.T) / _root(height, width, real)


def _waves(length: int, frequencies: int, like: Tensor) -> Parts:
    """Cosines and sines of 2 pi p k / length: `[length, frequencies]` each."""
    place = torch.arange(length, device=like.device)
    frequency = torch.arange(frequencies, device=like.device)
    # The whole number of turns is taken off while numbers are whole: large angles lose digits as floats.
    # The length is taken as a tensor: the exporter has no remainder by a number that is known only at run time.
    whole = place.amax(0) + 1
    turns = torch.remainder(place[:, None] * frequency[None, :], whole)
    angle = turns.to(like) * (2 * math.pi) / whole.to(like)
    return angle.cos(), angle.sin()


def _root(height: int, width: int, like: Tensor) -> Tensor:
    return torch.ones((), device=like.device).mul(height).mul(width).sqrt().to(like)


class FourierUnit(nn.Module):
    """A 1x1 convolution in the frequency domain (Chi et al. 2020, fast Fourier convolution), of LaMa and its kin.

    Takes the place of the module of that name in the official code (repository advimman/lama, `ffc.py`), with its
    layers: `conv_layer`, `bn`, `relu`. `[N, C, H, W]` to the same.

    Raises:
        CheckpointError: `original` has what LaMa leaves off (scaling, position encoding, squeeze and excitation).
    """

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        unknown = ("spatial_scale_factor", "spectral_pos_encoding", "use_se", "ffc3d")
        if used := [name for name in unknown if getattr(original, name, None)]:
            raise CheckpointError(f"its Fourier units have {', '.join(used)}, which no published LaMa has")
        if getattr(original, "fft_norm", "ortho") != "ortho":
            raise CheckpointError("its Fourier transform is not orthonormal, as that of every published LaMa is")
        self.conv_layer, self.bn, self.relu = (original.get_submodule(name) for name in ("conv_layer", "bn", "relu"))

    def forward(self, hidden: Tensor) -> Tensor:
        height, width = hidden.shape[-2:]
        spectrum = torch.stack(rfft2(hidden), 2).flatten(1, 2)  # channels: real, imaginary, real, ...
        spectrum = self.relu(self.bn(self.conv_layer(spectrum))).unflatten(1, (-1, 2))
        return irfft2(spectrum[:, :, 0], spectrum[:, :, 1], height, width)


def with_products(network: nn.Module) -> nn.Module:
    """`network` with every module called FourierUnit replaced by ours, in place; the weights stay."""
    for name, child in network.named_children():
        if type(child).__name__ == "FourierUnit":
            setattr(network, name, FourierUnit(child))
        else:
            with_products(child)
    return network
