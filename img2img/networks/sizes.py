"""Rejects picture sizes that a network cannot process, and names the size to pad to."""

import torch
from torch import Tensor


def check_size(image: Tensor, network: str, *, multiple: int = 1, minimum: int = 1) -> None:
    """Reject `image` `[N, C, H, W]` if H or W is not a multiple of `multiple` or is below `minimum`.

    Does nothing while the network is traced: an exported or compiled graph must not depend on one size.

    Raises:
        ValueError: the size does not fit; the message names the size to pad to.
    """
    if torch.compiler.is_compiling():  # true under torch.export as well
        return
    height, width = image.shape[-2:]
    if height % multiple == 0 and width % multiple == 0 and min(height, width) >= minimum:
        return
    fitting = [-(-max(side, minimum) // multiple) * multiple for side in (height, width)]
    needs = [f"sides that are multiples of {multiple}"] if multiple > 1 else []
    needs += [f"sides of {minimum} or more"] if minimum > multiple else []
    raise ValueError(
        f"{network} needs {' and '.join(needs)}, but the picture is {height} x {width} (height x width); "
        f"pad it to {fitting[0]} x {fitting[1]}"
    )
