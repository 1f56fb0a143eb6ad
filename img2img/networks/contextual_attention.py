"""Contextual attention: rebuilds the inside of a hole from similar patches outside it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextualAttention(nn.Module):
    """Replaces every position by the average of all known patches, weighted by their similarity to it.

    Yu et al. 2018 (contextual attention), section 4.1, in the layout of the gated generator of 2019. Compares 3x3
    patches of the features at half resolution by cosine similarity. Fuses the scores of neighbouring patches along
    rows, then along columns (attention propagation). Takes a softmax over the known patches, and pastes 4x4 patches of
    the full features with these weights, averaging overlaps.

    One matrix product per picture scores all positions against all patches, so any batch and size can be exported. The
    scores need `N * (H * W / 4)^2` floats: 4 MiB for a 256 x 256 picture (features 64 x 64), 64 MiB for 512 x 512.

    Each picture of a batch has its own mask. The official PyTorch port applies the mask of the first picture to all.

    Args:
        sharpness: factor applied to the scores before the softmax.
    """

    fuse_weight: Tensor

    def __init__(self, sharpness: float = 10.0) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.register_buffer("fuse_weight", torch.eye(3).view(1, 1, 3, 3))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Rebuild `features` from the pixels outside the mask.

        Args:
            features: `[N, C, H, W]`, H and W even.
            mask: `[N, 1, 4 * H, 4 * W]`, 1 = fill.

        Returns:
            `[N, C, H, W]`; zeros if the whole picture has no known patch.
        """
        n, channels, height, width = features.shape
        h, w = height // 2, width // 2
        patches = _patches(features[:, :, ::2, ::2], size=3, stride=1)
        # A patch is known if none of its nine pixels lies in the hole. They are every eighth pixel of the mask.
        holes = F.max_pool2d(mask[:, :, ::8, ::8], 3, 1, 1)
        known = (holes == 0).to(features.dtype).reshape(n, h * w, 1)

        scores = F.normalize(patches, dim=1, eps=1e-4).transpose(1, 2) @ patches  # [N, patch, place]
        scores = self._fuse(self._fuse(scores, h, w), w, h)
        weights = torch.softmax(scores * known * self.sharpness, dim=1) * known

        pasted = _patches(features, size=4, stride=2) @ weights
        return _paste(pasted.reshape(n, channels * 16, h, w), channels) / 4

    def _fuse(self, scores: Tensor, h: int, w: int) -> Tensor:
        """Add to each score those of the previous and the next patch at the previous and the next position along a row.

        `[N, h * w, h * w]` in row order becomes the same in column order, so that a second call fuses along the
        columns.
        """
        n = scores.shape[0]
        scores = F.conv2d(scores[:, None], self.fuse_weight.to(scores.dtype), padding=1)
        return scores.reshape(n, h, w, h, w).permute(0, 2, 1, 4, 3).reshape(n, h * w, h * w)


def _patches(features: Tensor, size: int, stride: int) -> Tensor:
    """Return the `size` x `size` patches of `[N, C, H, W]`, padded with zeros: `[N, C * size^2, H * W / stride^2]`.

    Equals `F.unfold(features, size, padding=(size - 1) // 2, stride=stride)`, but exports to a much smaller graph.
    """
    channels = features.shape[1]
    padding = (size - 1) // 2
    return F.conv2d(
        features, _one_hot(features, channels, size), stride=stride, padding=padding, groups=channels
    ).flatten(2)


def _paste(patches: Tensor, channels: int) -> Tensor:
    """Sum 4x4 patches `[N, C * 16, h, w]`, placed with stride 2, into `[N, C, 2 * h, 2 * w]`.

    A border of one pixel is cut off. Equals `F.fold`, which ONNX runtimes do not support on every device.
    """
    return F.conv_transpose2d(patches, _one_hot(patches, channels, 4), stride=2, padding=1, groups=channels)


def _one_hot(like: Tensor, channels: int, size: int) -> Tensor:
    """Return kernels `[C * size^2, 1, size, size]`, typed as `like`: per channel, one for each pixel to select."""
    kernels = torch.eye(size * size, dtype=like.dtype, device=like.device)
    return kernels.view(-1, 1, size, size).repeat(channels, 1, 1, 1)
