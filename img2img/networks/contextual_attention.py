"""Contextual attention: places inside a hole are rebuilt from the patches outside it that resemble them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextualAttention(nn.Module):
    """Every place takes the average of the known patches, weighted by their likeness to what stands there.

    Yu et al. 2018 (contextual attention), section 4.1, in the layout of the gated generator of 2019: 3x3 patches of
    the features at half resolution are compared by cosine distance, scores of neighbouring patches are fused along
    rows and then along columns (attention propagation), a softmax over the known patches follows, and 4x4 patches of
    the full features are pasted with these weights, overlaps averaged.

    All places are scored against all patches by one matrix product a picture, so any batch and size exports. The
    scores need `N * (H * W / 4)^2` floats: 4 MiB for a 256 x 256 picture (features 64 x 64), 64 MiB for 512 x 512.

    Each picture of a batch has its own mask; the official PyTorch port takes the first one's for all.

    Args:
        sharpness: factor of the scores before the softmax.
    """

    fuse_weight: Tensor

    def __init__(self, sharpness: float = 10.0) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.register_buffer("fuse_weight", torch.eye(3).view(1, 1, 3, 3))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Rebuild `features` from what the mask leaves.

        Args:
            features: `[N, C, H, W]`, H and W even.
            mask: `[N, 1, 4 * H, 4 * W]`, 1 = fill.

        Returns:
            `[N, C, H, W]`; zeros where no known patch exists in the whole picture.
        """
        n, channels, height, width = features.shape
        h, w = height // 2, width // 2
        patches = _patches(features[:, :, ::2, ::2], size=3, stride=1)
        # A patch is known where none of its nine pixels, taken from every eighth of the mask's, lies in the hole.
        holes = F.max_pool2d(mask[:, :, ::8, ::8], 3, 1, 1)
        known = (holes == 0).to(features.dtype).reshape(n, h * w, 1)

        scores = F.normalize(patches, dim=1, eps=1e-4).transpose(1, 2) @ patches  # [N, patch, place]
        scores = self._fuse(self._fuse(scores, h, w), w, h)
        weights = torch.softmax(scores * known * self.sharpness, dim=1) * known

        pasted = _patches(features, size=4, stride=2) @ weights
        return _paste(pasted.reshape(n, channels * 16, h, w), channels) / 4

    def _fuse(self, scores: Tensor, h: int, w: int) -> Tensor:
        """Add to each score those of the next and the last patch at the next and the last place, along a row.

        `[N, h * w, h * w]` in row order, to the same in column order, so that a second call does the columns.
        """
        n = scores.shape[0]
        scores = F.conv2d(scores[:, None], self.fuse_weight.to(scores.dtype), padding=1)
        return scores.reshape(n, h, w, h, w).permute(0, 2, 1, 4, 3).reshape(n, h * w, h * w)


def _patches(features: Tensor, size: int, stride: int) -> Tensor:
    """The `size` x `size` patches of `[N, C, H, W]`, zeros beyond its rim: `[N, C * size^2, H * W / stride^2]`.

    Equal to `F.unfold(features, size, padding=(size - 1) // 2, stride=stride)`, which exports to a long detour.
    """
    channels = features.shape[1]
    padding = (size - 1) // 2
    return F.conv2d(
        features, _one_hot(features, channels, size), stride=stride, padding=padding, groups=channels
    ).flatten(2)


def _paste(patches: Tensor, channels: int) -> Tensor:
    """Sum 4x4 patches `[N, C * 16, h, w]`, laid with stride 2, to `[N, C, 2 * h, 2 * w]`; the rim of one pixel is cut.

    Equal to `F.fold`, which ONNX runtimes do not have on every device.
    """
    return F.conv_transpose2d(patches, _one_hot(patches, channels, 4), stride=2, padding=1, groups=channels)


def _one_hot(like: Tensor, channels: int, size: int) -> Tensor:
    """For each channel `size^2` kernels that pick one pixel each, typed as `like`: `[C * size^2, 1, size, size]`."""
    kernels = torch.eye(size * size, dtype=like.dtype, device=like.device)
    return kernels.view(-1, 1, size, size).repeat(channels, 1, 1, 1)
