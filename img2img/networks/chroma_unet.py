"""A U-Net that colours a grey picture. It predicts chroma only, so the luminance of the result is that of the input."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.upsampling import ResizeConv2d
from img2img.objectives.colour import colour_change, luma

RADIUS = 2
"""Of the windows of the guided filter, in pixels of the chroma map."""

SMOOTHNESS = 4e-3
"""Added to the variance of the luminance in a window (0..1). Below it, edges in the luminance do not show in chroma."""


class ChromaUNet(nn.Module):
    """Colours pictures of any size.

    The picture is reduced to a square canvas, on which its longer side has `side` pixels; the rest of the canvas shows
    the picture mirrored. A U-Net in the manner of pix2pix (Isola et al. 2017, appendix 6.1.1) with an additional mean
    over the whole canvas at the bottom (global features, Iizuka et al. 2016, section 3.3) predicts chroma at half that
    size. A fast guided filter (He and Sun 2015, algorithm 2) enlarges it along the edges of the luminance at full size.
    So the cost of the U-Net does not depend on the size of the picture, and nothing blurs at any size.

    Chroma are Cb and Cr of YCbCr (ITU-R BT.601, full range): linear in RGB, and with the luminance that Pillow gives a
    grey picture. Where a colour would leave 0..1, its chroma is reduced by the largest factor that keeps it inside.
    That changes neither hue nor luminance, whereas clipping would change both.

    In training mode, the picture itself is the canvas: crops are square, and their size may vary.

    Args:
        inputs: 1 for grey, 3 for RGB. The network only uses the luminance of RGB.
        outputs: 3.
        features: channels after the first halving; they double with each one, up to `widest` times as many.
        downs: halvings, 3 to 7.
        widest: largest number of channels, as a multiple of `features`.
        norm: "batch", "instance", "layer" or "none".
        side: side of the canvas in pixels, a multiple of `2 ** downs`.

    Input `[N, inputs, H, W]`, output `[N, 3, H, W]`, both -1..1. The luminance of both is equal up to rounding.

    Attributes:
        keeps_luminance: results have the luminance of the input, and the network resizes pictures itself.

    Raises:
        ConfigError: an argument is out of range.
    """

    keeps_luminance = True

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 3,
        features: int = 32,
        downs: int = 5,
        widest: int = 8,
        norm: str = "batch",
        side: int = 256,
    ) -> None:
        super().__init__()
        if inputs not in (1, 3) or outputs != 3:
            raise ConfigError(
                f"chroma-unet turns a grey picture into a colour picture, not {inputs} channels into {outputs}; set"
                " data.input = grey and data.target = picture"
            )
        if not 3 <= downs <= 7:
            raise ConfigError(f"chroma-unet: downs = {downs} must be between 3 and 7")
        if side < 2**downs or side % 2**downs:
            raise ConfigError(f"chroma-unet: side = {side} must be a multiple of {2**downs}")
        self.step = 2**downs
        self.side = side
        widths = [features * min(2**i, widest) for i in range(downs)]
        bias = needs_bias(norm)
        self.encoder = nn.ModuleList()
        for i, width in enumerate(widths):
            # The first layer has no norm, as published: contrast and brightness of the picture say something.
            before = widths[i - 1] if i else 1
            layers = [nn.Conv2d(before, width, 4, 2, 1, bias=bias or not i)]
            self.encoder.append(nn.Sequential(*layers, *([norm_layer(norm, width)] if i else []), nn.LeakyReLU(0.2)))
        self.whole = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 1), nn.ReLU(), nn.Conv2d(widths[-1], widths[-1], 1)
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for width in reversed(widths[:-1]):
            self.decoder.append(
                nn.Sequential(ResizeConv2d(below, width, bias=bias), norm_layer(norm, width), nn.ReLU())
            )
            below = 2 * width
        self.last = nn.Sequential(nn.Conv2d(below, features, 3, 1, 1), nn.ReLU(), nn.Conv2d(features, 2, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        grey = image.float().add(1).div(2)
        if grey.shape[1] == 3:
            grey = luma(grey)
        side = -(-max(grey.shape[-2:]) // self.step) * self.step if self.training else self.side
        canvas = reduced(grey, side)
        guide = F.avg_pool2d(canvas, 2)
        chroma = self.predict(canvas)
        slope, offset = guided_coefficients(guide, chroma)
        chroma = enlarged(slope, grey, side) * grey + enlarged(offset, grey, side)
        return combine(grey, chroma).mul(2).sub(1)

    def predict(self, canvas: Tensor) -> Tensor:
        """Predict chroma `[N, 2, S / 2, S / 2]`, -0.5..0.5, from the luminance `[N, 1, S, S]`, 0..1."""
        hidden = canvas * 2 - 1
        skips = []
        for layer in self.encoder:
            hidden = layer(hidden)
            skips.append(hidden)
        hidden = hidden + self.whole(hidden.mean((2, 3), keepdim=True))
        for layer, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            hidden = torch.cat((layer(hidden), skip), 1)
        chroma: Tensor = self.last(hidden)
        return chroma.float().tanh() / 2


def combine(grey: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB `[N, 3, H, W]`, 0..1, with the luminance `grey` `[N, 1, H, W]` and the chroma `[N, 2, H, W]`.

    Chroma is reduced where the colour would leave 0..1. The luminance is kept.
    """
    change = colour_change(chroma)
    above = change.amax(1, keepdim=True).clamp_min(1e-6)
    below = change.amin(1, keepdim=True).neg().clamp_min(1e-6)
    return grey + change * torch.minimum((1 - grey) / above, grey / below).clamp(0, 1)


def guided_coefficients(guide: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
    """Fit `chroma = slope * guide + offset` in windows of 2 * RADIUS + 1 pixels (He et al. 2010, equations 5 to 8).

    Args:
        guide: `[N, 1, H, W]`; chroma: `[N, C, H, W]`.

    Returns:
        Slope and offset, `[N, C, H, W]` each, the means over all windows that a pixel belongs to.
    """

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 2 * RADIUS + 1, 1, RADIUS, count_include_pad=False)

    guide_mean, chroma_mean = mean(guide), mean(chroma)
    variance = (mean(guide * guide) - guide_mean * guide_mean).clamp_min(0)
    slope = (mean(guide * chroma) - guide_mean * chroma_mean) / (variance + SMOOTHNESS)
    return mean(slope), mean(chroma_mean - slope * guide_mean)


def reduced(grey: Tensor, side: int) -> Tensor:
    """Return the canvas `[N, 1, side, side]` of `grey` `[N, 1, H, W]`: its longer side fills it, the rest is mirrored.

    Antialiased bilinear, as matrix products: no other form can be exported for every H and W.
    """
    rows, columns = places(grey, 2), places(grey, 3)
    factor = scale(rows, columns, side)
    return between(rows, factor, side) @ grey @ between(columns, factor, side).transpose(0, 1)


def enlarged(canvas: Tensor, grey: Tensor, side: int) -> Tensor:
    """Return the part of `canvas`, `[N, C, side / 2, side / 2]`, that shows `grey` `[N, 1, H, W]`, at the size of it.

    Bilinear.
    """
    rows, columns = places(grey, 2), places(grey, 3)
    factor = scale(rows, columns, side) / 2
    return back(rows, factor, side // 2) @ canvas @ back(columns, factor, side // 2).transpose(0, 1)


def places(picture: Tensor, axis: int) -> Tensor:
    """Return the centres of the rows (axis 2) or columns (axis 3) of a picture: 0.5, 1.5, ..."""
    return torch.arange(picture.shape[axis], device=picture.device, dtype=torch.float32) + 0.5


def scale(rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """Return by how much a picture with these `places` is scaled so that its longer side becomes `side`."""
    return side / (torch.maximum(rows[-1], columns[-1]) + 0.5)


def between(at: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return the matrix `[side, L]` that resizes L pixels with the centres `at` by `factor`, mirrored up to `side`."""
    length = at[-1] + 0.5
    wanted = (torch.arange(side, device=at.device, dtype=torch.float32) + 0.5) / factor
    period = 2 * length
    wanted = wanted - period * torch.floor(wanted / period)
    wanted = torch.minimum(wanted, period - wanted)
    distance = (wanted[:, None] - at[None]).abs()
    weights = (1 - distance * factor.clamp_max(1)).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)


def back(at: Tensor, factor: Tensor, side: int) -> Tensor:
    """Return the matrix `[L, side]` that enlarges `side` pixels by 1 / `factor` and keeps L pixels, centres `at`."""
    pixels = torch.arange(side, device=at.device, dtype=torch.float32) + 0.5
    weights = (1 - ((at * factor)[:, None] - pixels[None]).abs()).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)
