"""The replay pool. A discriminator that also sees older results forgets less."""

from typing import Any

import torch
from torch import Tensor


class Pool:
    """Up to `size` earlier pictures (Shrivastava et al. 2017, section 2.3; CycleGAN, appendix 7.1, uses 50).

    Until the pool is full, it keeps and returns every picture. After that, with probability 1/2, it exchanges a picture
    for a random one from the pool. Size 0 returns the pictures as they are. It uses torch's global random numbers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """Return `[N, C, H, W]` of the same shape, detached. Some of the pictures are older ones."""
        if not self.size:
            return pictures.detach()
        returned = []
        for picture in pictures.detach():
            if len(self.kept) < self.size:
                self.kept.append(picture.clone())
                returned.append(picture)
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                returned.append(self.kept[place].to(picture.device))
                self.kept[place] = picture.clone()
            else:
                returned.append(picture)
        return torch.stack(returned)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": list(self.kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = list(state["kept"])
