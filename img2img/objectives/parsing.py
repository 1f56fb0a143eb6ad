"""The parsing loss: a filled picture must have the parts of the true one where the true one has them."""

from torch import Tensor, nn
from torch.nn import functional as F


def parsing_loss(parser: nn.Module, filled: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy between the classes that `parser` sees in the filled picture and those that it sees in the truth.

    Li et al. 2017, "Generative Face Completion", section 3.2. The official code (gradstack.m in the repository
    Yijunmaverick/GenerativeFaceCompletion) takes the most likely classes of the truth as labels.

    Args:
        parser: a segmentation network, frozen and in eval mode: RGB `[N, 3, H, W]`, -1..1, to logits `[N, K, H, W]`.
        filled: the result in the hole and the truth around it, so that gradients reach the hole only.
        truth: the whole picture.

    Returns:
        The mean over pictures and pixels, a scalar.
    """
    wanted = parser(truth).argmax(1)
    return F.cross_entropy(parser(filled).float(), wanted)
