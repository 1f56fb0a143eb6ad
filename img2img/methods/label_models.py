"""What the models of CVAE-GAN and FM-CGAN compute: translation, filling holes, morphing and sampling by label.

The networks know square pictures of one size. These modules resize every picture to it and back, inside the graph. All
pictures are in -1..1, except where a docstring says otherwise.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.vectors import one_hot_of


class LabelCoder(nn.Module):
    """An encoder, a generator and a classifier for pictures of `size` x `size` pixels.

    Args:
        encoder: from picture and label to mean and log variance.
        generator: from code and label, joined, to a picture.
        classifier: from picture to logits and features; None: no labels are predicted.
        size: side of the pictures that the networks know, in pixels.
    """

    def __init__(self, encoder: nn.Module, generator: nn.Module, classifier: nn.Module | None, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.classifier = classifier
        self.size = size

    def shrink(self, image: Tensor) -> Tensor:
        """Resize `[N, C, H, W]` to `size` x `size`."""
        return resized(image, self.size, self.size)

    def label(self, image: Tensor) -> Tensor:
        """Return the predicted label, one-hot `[N, K]`, of pictures of `size` x `size` pixels."""
        assert self.classifier is not None
        logits, _ = self.classifier(image)
        return one_hot_of(logits)

    def encode(self, image: Tensor, label: Tensor) -> Tensor:
        """Return the code `[N, L]`: the mean, without noise."""
        mean: Tensor = self.encoder(image, label)[0]
        return mean

    def decode(self, code: Tensor, label: Tensor) -> Tensor:
        """Return pictures of `size` x `size` pixels."""
        picture: Tensor = self.generator(torch.cat((code, label), 1))
        return picture


class LabelTranslator(nn.Module):
    """Gives a picture `[N, 3, H, W]` the label `[N, K]`, and keeps its code.

    The classifier says which label the picture has now. The encoder needs it to find the code.
    """

    def __init__(self, coder: LabelCoder) -> None:
        super().__init__()
        self.coder = coder

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        small = self.coder.shrink(image)
        code = self.coder.encode(small, self.coder.label(small))
        return resized(self.coder.decode(code, label), image.shape[2], image.shape[3])


class LabelInpainter(nn.Module):
    """Fills holes by reconstruction (Bao et al. 2017, section 4.5).

    The picture with a hole is encoded and decoded, and the result goes into the hole. This is repeated, because the
    next code no longer comes from a picture with a hole.

    Args:
        rounds: how often.

    Input a picture `[N, 3, H, W]` with a blank hole, the mask `[N, 1, H, W]` (1 = fill) and the label `[N, K]` of the
    wanted picture. Output the last reconstruction `[N, 3, H, W]`.
    """

    def __init__(self, coder: LabelCoder, rounds: int) -> None:
        super().__init__()
        self.coder = coder
        self.rounds = rounds

    def forward(self, image: Tensor, mask: Tensor, label: Tensor) -> Tensor:
        hole = self.coder.shrink(mask).gt(0).to(image.dtype)  # every pixel that the mask touches
        known = self.coder.shrink(image) * (1 - hole)
        filled = known
        for _ in range(self.rounds):
            result = self.coder.decode(self.coder.encode(filled, label), label)
            filled = result * hole + known
        return resized(result, image.shape[2], image.shape[3])


class LabelMorpher(nn.Module):
    """A picture between two others: code and label are interpolated linearly (Bao et al. 2017, section 4.4).

    Input two pictures, `[N, 3, H, W]` and `[N, 3, h, w]`, and the position `[N, 1]`: 0 is the first, 1 the second.
    Output has the size of the first.
    """

    def __init__(self, coder: LabelCoder) -> None:
        super().__init__()
        self.coder = coder

    def forward(self, image: Tensor, reference: Tensor, position: Tensor) -> Tensor:
        ends = []
        for picture in (image, reference):
            small = self.coder.shrink(picture)
            label = self.coder.label(small)
            ends.append((self.coder.encode(small, label), label))
        (code, label), (last_code, last_label) = ends
        code = code + position * (last_code - code)
        label = label + position * (last_label - label)
        return resized(self.coder.decode(code, label), image.shape[2], image.shape[3])


class LabelSampler(nn.Module):
    """A picture for a label `[N, K]` and a code `[N, L]`. Of the given picture `[N, 3, H, W]`, only the size matters.

    Args:
        generator: from code and label, joined, to a picture.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, label: Tensor, code: Tensor) -> Tensor:
        return resized(self.generator(torch.cat((code, label), 1)), image.shape[2], image.shape[3])


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """Resize `[N, C, H, W]` bilinearly."""
    return F.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)
