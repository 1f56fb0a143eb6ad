"""The two-dimensional Fourier transform as matrix products, so that networks with one can be exported for any size.

ONNX has a counterpart of torch's own transforms only for fixed sizes. Here the graph computes matrices of cosines and
sines from height and width. Products with them run on CPU and CUDA like any matrix product. For H x W pixels they take
H * W * (H + W) steps per channel. At the sizes of LaMa's features this is little compared to the convolutions.
"""

import math

import torch
from torch import Tensor, nn

from img2img.errors import CheckpointError

ComplexParts = tuple[Tensor, Tensor]
"""Real and imaginary part."""


def rfft2(signal: Tensor) -> ComplexParts:
    """`torch.fft.rfftn(signal, dim=(-2, -1), norm="ortho")`: `[N, C, H, W]` to two of `[N, C, H, W // 2 + 1]`."""
    height, width = signal.shape[-2:]
    cosine, sine = _waves(width, width // 2 + 1, signal)
    real, imaginary = signal @ cosine, -(signal @ sine)
    cosine, sine = _waves(height, height, signal)
    scale = _sqrt_area(height, width, signal)
    return (cosine @ real + sine @ imaginary) / scale, (cosine @ imaginary - sine @ real) / scale


def irfft2(real: Tensor, imaginary: Tensor, height: int, width: int) -> Tensor:
    """`torch.fft.irfftn(real + 1j * imaginary, s=(height, width), dim=(-2, -1), norm="ortho")`: `[N, C, H, W]`.

    Like torch, ignores the imaginary parts of the constant and of the highest frequency along W: they are 0 for every
    real signal.
    """
    cosine, sine = _waves(height, height, real)
    real, imaginary = cosine @ real - sine @ imaginary, cosine @ imaginary + sine @ real
    cosine, sine = _waves(width, width // 2 + 1, real)
    frequency = torch.arange(width // 2 + 1, device=real.device)
    # Every frequency but those two also stands for its mirror image, which the half spectrum omits.
    single = (frequency == 0) | (2 * frequency == width)
    count = torch.where(single, 1.0, 2.0).to(real)
    return ((real * count) @ cosine.T - (imaginary * count) @ sine.T) / _sqrt_area(height, width, real)


def _waves(length: int, frequencies: int, like: Tensor) -> ComplexParts:
    """Cosines and sines of 2 pi p k / length: `[length, frequencies]` each."""
    place = torch.arange(length, device=like.device)
    frequency = torch.arange(frequencies, device=like.device)
    # Full turns are removed while the numbers are still integers: large angles lose digits as floats.
    # The length must be a tensor: the exporter has no remainder by a number that is only known at run time.
    length_tensor = place.amax(0) + 1
    turns = torch.remainder(place[:, None] * frequency[None, :], length_tensor)
    angle = turns.to(like) * (2 * math.pi) / length_tensor.to(like)
    return angle.cos(), angle.sin()


def _sqrt_area(height: int, width: int, like: Tensor) -> Tensor:
    return torch.ones((), device=like.device).mul(height).mul(width).sqrt().to(like)


class FourierUnit(nn.Module):
    """A 1x1 convolution in the frequency domain (Chi et al. 2020, fast Fourier convolution), as LaMa uses it.

    Replaces the module of the same name in the official code (repository advimman/lama, `ffc.py`) and keeps its layers
    `conv_layer`, `bn` and `relu`. `[N, C, H, W]` to the same shape.

    Raises:
        CheckpointError: `original` uses an option that LaMa does not use (scaling, position encoding, squeeze and
            excitation).
    """

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        unsupported = ("spatial_scale_factor", "spectral_pos_encoding", "use_se", "ffc3d")
        if used := [name for name in unsupported if getattr(original, name, None)]:
            raise CheckpointError(f"its Fourier units use {', '.join(used)}, which no published LaMa does")
        if getattr(original, "fft_norm", "ortho") != "ortho":
            raise CheckpointError("its Fourier transform is not orthonormal, unlike that of every published LaMa")
        self.conv_layer, self.bn, self.relu = (original.get_submodule(name) for name in ("conv_layer", "bn", "relu"))

    def forward(self, hidden: Tensor) -> Tensor:
        height, width = hidden.shape[-2:]
        spectrum = torch.stack(rfft2(hidden), 2).flatten(1, 2)  # channels: real, imaginary, real, ...
        spectrum = self.relu(self.bn(self.conv_layer(spectrum))).unflatten(1, (-1, 2))
        return irfft2(spectrum[:, :, 0], spectrum[:, :, 1], height, width)


def replace_fourier_units(network: nn.Module) -> nn.Module:
    """Replace every module called FourierUnit in `network` with ours, in place. The weights stay the same."""
    for name, child in network.named_children():
        if type(child).__name__ == "FourierUnit":
            setattr(network, name, FourierUnit(child))
        else:
            replace_fourier_units(child)
    return network
