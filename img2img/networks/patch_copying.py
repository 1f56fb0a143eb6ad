"""Fills holes with real patches of the same picture, guided by a U-Net's coarse guess."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.patch_search import GUIDE_SIDE, RADIUS, SIDES, Level, search
from img2img.networks.unet import UNet


class PatchCopyingGenerator(nn.Module):
    """A U-Net completes the picture at low resolution, and real patches of the picture replace its blur.

    The division of labour is that of contextual residual aggregation (Yi et al. 2020, section 3): a network at low
    resolution knows which colours belong where, and everything fine is copied from the known part of the picture at its
    full resolution. Instead of attention weights, which average patches, one source is found for each place (`search`).
    The borders of the copied region are then adjusted to their surroundings with a smooth correction, as in
    gradient-domain editing (Pérez et al. 2003, section 2).

    Only the U-Net has weights. In training, the module is the U-Net alone, and works at the size of the crops.

    Args:
        size: side in pixels of the square that the U-Net sees in use, best that of the crops of its training; a
            multiple of `2 ** downs`.
        features, downs, norm, upsampling: as for `UNet`.

    Attributes:
        multiple, minimum: constraints on H and W; none in use, those of the U-Net in training.
        resizes: True: the module reduces pictures itself.
        chooses: True: it chooses patches, so a rounding error can change what is copied.
    """

    resizes = True
    chooses = True

    def __init__(
        self, size: int = 256, features: int = 24, downs: int = 5, norm: str = "batch", upsampling: str = "resize"
    ) -> None:
        super().__init__()
        self.size = size
        self.multiple = self.minimum = 1
        self.coarse = UNet(4, 3, features, downs, norm=norm, dropout=False, upsampling=upsampling)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the hole.

        Args:
            image: `[N, 3, H, W]`, -1..1, zeros in the hole.
            mask: `[N, 1, H, W]`, 1 = fill, 0 = keep.

        Returns:
            `[N, 3, H, W]`, -1..1: in training, what the U-Net paints; in use, the picture with patches copied.
        """
        if self.training:
            filled: Tensor = self.coarse(torch.cat((image, mask), 1))
            return filled
        with torch.autocast(image.device.type, enabled=False):
            return self._copy(image.float(), mask.float())

    def _copy(self, image: Tensor, mask: Tensor) -> Tensor:
        small, hole = _shrink(image, mask, self.size)
        guess = self.coarse(torch.cat((small * (1 - hole), hole), 1))
        levels = _pyramid(image, mask, small * (1 - hole) + guess * hole)
        finest = levels[-1]
        sources = search(levels)
        copied = _paste(image, sources)
        copied = copied + _resize(_correction(finest, sources) / 127.5, (image.shape[2], image.shape[3]))
        return copied.clamp(-1, 1)

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Weights from a U-Net that was trained for inpainting without copying. None: `state` can be loaded as it is.

        An exported model has its batch norms folded into its convolutions; its weights fit `norm` = none.
        """
        own = self.state_dict()
        if not state.keys().isdisjoint(own):
            return None
        found = {f"coarse.{key.replace('.weight_bias', '.bias')}": value for key, value in state.items()}
        biases = {key: torch.zeros_like(value) for key, value in own.items() if key.endswith(".bias")}
        return biases | found, "coarse network restored"


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)


def _shrink(image: Tensor, mask: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The picture and the mask as squares of `side`. A pixel is known if at least half of what it covers is."""
    known = _area(1 - mask, side)
    hole = (known < 0.5).to(image.dtype)
    return _area(image * (1 - mask), side) / known.clamp_min(1e-3) * (1 - hole), hole


def _area(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def _pyramid(image: Tensor, mask: Tensor, guess: Tensor) -> list[Level]:
    """The levels of the search, coarsest first, from a picture in -1..1 and the U-Net's picture of the whole."""
    side = SIDES[-1]
    picture, hole = _shrink(image, mask, side)
    levels = []
    for side in reversed(SIDES):
        if side != SIDES[-1]:
            known = F.avg_pool2d(1 - hole, 2)
            picture = F.avg_pool2d(picture * (1 - hole), 2) / known.clamp_min(1e-3)
            hole = (known < 0.5).to(picture.dtype)
            picture = picture * (1 - hole)
        guide = _resize(_area(guess, GUIDE_SIDE), (side, side))
        whole = picture + _area(guess, side) * hole
        levels.append(Level(_bytes(whole), hole, _bytes(guide)))
    return levels[::-1]


def _bytes(image: Tensor) -> Tensor:
    """-1..1 to whole numbers from 0 to 255."""
    return ((image + 1) * 127.5).clamp(0, 255).round()


def _paste(image: Tensor, sources: Tensor) -> Tensor:
    """Copy pixels `[N, 3, H, W]` over the offsets of a square grid `sources` `[N, S, S]`, which hold at any size.

    A pixel between four places of the grid gets the mean of what they copy, weighted by its distance to them. Large
    pieces have one offset, so that most means are of equal values, and only the seams between pieces are blended.
    """
    n, _, height, width = image.shape
    side = sources.shape[-1]
    pixels = image.permute(0, 2, 3, 1).reshape(-1, 3)
    rows, columns = torch.arange(height, device=image.device), torch.arange(width, device=image.device)
    starts = torch.arange(n, device=image.device)[:, None, None] * (height * width)
    v, u = ((line + 0.5) * side / length - 0.5 for line, length in ((rows, height), (columns, width)))
    grid = torch.arange(side, device=image.device)
    # Offsets in pixels, rounded. With whole numbers, because the exporter knows no quotient of two sizes.
    down = (2 * (sources // side - grid[:, None]) * height + side) // (2 * side)
    right = (2 * (sources % side - grid) * width + side) // (2 * side)
    result = torch.zeros_like(image)
    top, left = v.floor().long(), u.floor().long()
    for y in (top, top + 1):
        for x in (left, left + 1):
            at, over = y.clamp(0, side - 1), x.clamp(0, side - 1)
            weights = (1 - (v - y).abs())[:, None] * (1 - (u - x).abs())
            row = (rows[:, None] + down[:, at][:, :, over]).clamp(0, height - 1)
            column = (columns + right[:, at][:, :, over]).clamp(0, width - 1)
            copied = pixels[(starts + row * width + column).flatten()].reshape(n, height, width, 3)
            result = result + copied.permute(0, 3, 1, 2) * weights
    return result


def _correction(finest: Level, sources: Tensor) -> Tensor:
    """A smooth picture `[N, 3, S, S]` to add to what was copied, in steps of 255, so that it meets its surroundings.

    Patches also propose the known pixels around the hole. Their errors there are spread into the hole by push and pull
    (Gortler et al. 1996, section 3.4.2), an approximation of the membrane between them.
    """
    hole = finest.hole
    ring = (F.max_pool2d(hole, 2 * RADIUS + 1, 1, RADIUS) > 0).to(hole.dtype) * (1 - hole)
    n, _, side, _ = finest.image.shape
    pixels = finest.image.permute(0, 2, 3, 1).reshape(-1, 3)
    starts = torch.arange(n, device=pixels.device)[:, None, None] * side**2
    proposed = pixels[(sources + starts).flatten()].reshape(n, side, side, 3).permute(0, 3, 1, 2)
    values, weights = (finest.image - proposed) * ring, ring
    stack = []
    while side > 1:
        stack.append((values, weights))
        values, weights = F.avg_pool2d(values, 2) * 4, F.avg_pool2d(weights, 2) * 4
        full = weights.clamp_min(1)
        values, weights = values / full, weights / full
        side //= 2
    result = values / weights.clamp_min(1e-6)
    for values, weights in reversed(stack):
        result = F.interpolate(result, scale_factor=2.0, mode="bilinear", align_corners=False)
        result = values + (1 - weights) * result
        smooth = F.avg_pool2d(F.pad(result, (1,) * 4, mode="replicate"), 3, 1)
        result = values + (1 - weights) * smooth
    return result
