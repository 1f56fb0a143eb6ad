"""Import networks whose convolutions have no padding, such as waifu2x: their results are smaller than the picture."""

import math
import re

import torch
from torch import Tensor, nn

from img2img.errors import UsageError
from img2img.exchange.importers.family import BuiltNetwork, Options, State, load
from img2img.exchange.importers.upscalers import as_upscaler

SLOPE = 0.1
"""Of waifu2x's leaky ReLUs, which have no weights."""


class Waifu2xFamily:
    """VGG_7 and UpConv_7 of waifu2x (repository nagadomi/nunif, `waifu2x/models`): 3x3 convolutions in a row.

    UpConv_7 ends with a transposed convolution that doubles the sides. Whether convolutions have padding, the weights
    do not tell, so the user must say it.
    """

    name = "waifu2x"

    def fits(self, state: State) -> bool:
        numbers = sorted({int(key.split(".")[0]) for key in state if re.fullmatch(r"\d{1,4}\.(weight|bias)", key)})
        if len(state) != 2 * len(numbers) or len(numbers) < 2 or numbers != list(range(0, 2 * len(numbers), 2)):
            return False
        kernels = [state[f"{number}.weight"] for number in numbers if f"{number}.weight" in state]
        if len(kernels) < len(numbers) or any(kernel.ndim != 4 for kernel in kernels):
            return False
        is_upscaler = kernels[-1].shape[2:] == (4, 4)
        plain = kernels[:-1] if is_upscaler else kernels
        outputs = kernels[-1].shape[1 if is_upscaler else 0]
        return all(kernel.shape[2:] == (3, 3) for kernel in plain) and outputs == kernels[0].shape[1]

    def build(self, state: State, options: Options) -> BuiltNetwork:
        kernels = [state[f"{number}.weight"] for number in range(0, len(state), 2)]
        scale = 2 if kernels[-1].shape[2] == 4 else 1
        layers: list[nn.Module] = []
        with torch.device("meta"):
            for kernel in kernels[: len(kernels) - (scale == 2)]:
                layers += [nn.Conv2d(kernel.shape[1], kernel.shape[0], 3), nn.LeakyReLU(SLOPE)]
            if scale == 2:
                layers.append(nn.ConvTranspose2d(kernels[-1].shape[0], kernels[-1].shape[1], 4, 2, 3))
            else:
                layers.pop()
        network = load(nn.Sequential(*layers), state, f"looks like {self.name}")
        lost = 2 * len(kernels) if scale == 1 else 4 * len(kernels)
        if options.offset is None:
            hint = f"if they have none, use --assume offset={math.ceil(lost / 2)}"
            raise UsageError(
                f"is a row of convolutions like waifu2x's. Without padding, its result is {lost} pixels smaller than"
                f" {'the picture' if scale == 1 else f'{scale} times the picture'}, and the weights do not tell whether"
                f" they have padding: {hint}",
                hint=hint,
            )
        return as_upscaler(network, self.name, scale, kernels[0].shape[1], "measured")


class Extended(nn.Module):
    """A network that gets the picture extended by `offset` pixels on each side, by reflection.

    The centre of its result is returned: `[N, C, H, W]` to `[N, C, H * scale, W * scale]`. A picture that is smaller
    than the offset is reflected back and forth.

    """

    def __init__(self, network: nn.Module, offset: int, scale: int) -> None:
        super().__init__()
        self.network = network
        self.offset = offset
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        # torch's own reflection makes the exporter fix the smallest size.
        rows, columns = (self._reflected(length, image.device) for length in (height, width))
        result: Tensor = self.network(image.index_select(2, rows).index_select(3, columns))
        height, width = height * self.scale, width * self.scale
        top, left = (result.shape[2] - height) // 2, (result.shape[3] - width) // 2
        return result[:, :, top : top + height, left : left + width]

    def _reflected(self, length: int, device: torch.device) -> Tensor:
        # A tensor, because the exporter has no remainder by a number that is only known at run time.
        period = (2 * torch.arange(length, device=device).amax(0)).clamp(min=1)
        place = torch.remainder(torch.arange(length + 2 * self.offset, device=device) - self.offset, period)
        return torch.minimum(place, period - place)


def extend(built: BuiltNetwork, offset: int) -> BuiltNetwork:
    """`built` with its picture extended by `offset` pixels on each side, see `Extended`.

    Raises:
        UsageError: it takes more than a picture, or its result is still too small.
    """
    facts = built.facts
    scale, multiple = facts["scale"], facts["multiple"]
    if facts["task"] == "inpaint" or facts.get("domains"):
        raise UsageError(f"--assume offset={offset}: {built.architecture} takes more than a picture")
    side = max(64, facts["minimum"]) // multiple * multiple
    with torch.no_grad():
        rows = built.network(torch.zeros(1, 3, side + 2 * offset, side + 2 * offset)).shape[2]
    if (missing := scale * side - rows) > 0:
        raise UsageError(f"--assume offset={offset} is too small: use offset={offset + math.ceil(missing / 2)}")
    note = f"its picture is extended by {offset} pixels on each side, because its convolutions have no padding"
    return BuiltNetwork(
        network=Extended(built.network, offset, scale),
        architecture=built.architecture,
        facts=facts,
        context=built.context,
        notes=[*built.notes, note],
    )
