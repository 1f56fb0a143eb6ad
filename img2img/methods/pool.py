"""The replay pool: a discriminator that also meets older results forgets less."""

from typing import Any

import torch
from torch import Tensor


class Pool:
    """Up to `size` earlier pictures (Shrivastava et al. 2017, section 2.3; CycleGAN's appendix 7.1 has 50).

    Until it is full it keeps and returns every picture; then, with probability 1/2, a picture is exchanged for one of
    the pool, chosen at random. Size 0 hands pictures through. Random numbers are torch's global ones.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same, detached; some of them are older ones."""
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
