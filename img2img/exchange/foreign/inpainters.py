"""Context encoders and gated convolutions: generators that fill holes, and work in -1..1."""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import CheckpointError
from img2img.exchange.faces import Filling
from img2img.exchange.foreign.family import Built, Options, State, fill, parameters
from img2img.networks.norms import inference_copy


class GatedFamily:
    """Gated convolutions, "DeepFill v2" (repository nipponjo/deepfillv2-pytorch)."""

    name = "gated convolutions (DeepFill v2)"
    looks_for = "stage1.conv1.conv.weight, stage2.conv_conv1.conv.weight, ..."

    def fits(self, state: State) -> bool:
        return "stage1.conv1.conv.weight" in state and "stage2.conv_conv1.conv.weight" in state

    def build(self, state: State, options: Options) -> Built:
        features, inputs = state["stage1.conv1.conv.weight"].shape[:2]
        if inputs != 5:
            raise CheckpointError(f"takes {inputs} channels; 5 are known: the picture in RGB, ones, the mask")
        attention = any(key.startswith("stage2.ca_conv") for key in state)
        absent = ("contextual_attention.fuse_weight",)
        if attention and f"stage2.{absent[0]}" not in state:  # a constant, kept in the file by some versions
            state = {**state, f"stage2.{absent[0]}": torch.eye(3).view(1, 1, 3, 3)}
        network = fill("gated", state, features=features, attention=attention)
        facts = _facts(network, self.name)
        return Built(network=Filling(network), facts=facts, reach=None if attention else "measured")


class ContextEncoderFamily:
    """Context encoders (repository BoyuanJiang/context_encoder_pytorch), and ours, which fill holes anywhere.

    Batch norm uses its running statistics, for in the middle it sees one pixel a picture.
    """

    name = "context encoder"
    looks_for = "main.0.weight, main.2.weight, main.3.running_mean, ..."

    def fits(self, state: State) -> bool:
        return (
            all(key in state for key in ("main.0.weight", "main.2.weight", "main.3.running_mean"))
            and state["main.0.weight"].ndim == state["main.2.weight"].ndim == 4
            and all(re.fullmatch(r"main\.\d+\.\w+", key) for key in state)
        )

    def build(self, state: State, options: Options) -> Built:
        places = sorted(int(key.split(".")[1]) for key in state if key.endswith(".weight") and state[key].ndim == 4)
        kernels = [state[f"main.{place}.weight"] for place in places]
        # To the code: h halvings and one kernel over 4 x 4; from it: one, and h - 1 doublings, h where all is given.
        centre = len(kernels) % 2 == 1
        halvings = (len(kernels) - 1) // 2
        last = kernels[-1]
        transposed = last.shape[2] == 4
        inputs, outputs = kernels[0].shape[1], last.shape[1 if transposed else 0]
        if outputs != 3 or inputs not in ((3,) if centre else (3, 4)):
            raise CheckpointError(f"turns {inputs} channels into {outputs}; a model file takes and gives RGB")
        network = fill(
            "context-encoder",
            state,
            absent=("num_batches_tracked",),
            inputs=inputs,
            features=kernels[0].shape[0],
            bottleneck=kernels[halvings].shape[0],
            size=2 ** (halvings + 2),
            output="centre" if centre else "whole",
            upsampling="transpose" if transposed else "resize",
        )
        facts = _facts(network, self.name, ", norm mode running")
        network = inference_copy(network, "running")
        notes = ["its batch norm takes the statistics gathered in training: in the middle it sees one pixel a picture"]
        if options.norm_mode == "paper":
            notes[0] += ", so --norm-mode paper is not possible"
        if centre:
            side = 2 ** (halvings + 2)
            facts |= {"multiple": 1, "minimum": 1}
            notes.append(f"it fills the middle of {side} x {side} pixels: a window around the hole is brought to that")
            return Built(network=CentreFilling(network, side), facts=facts, reach=None, notes=notes)
        return Built(network=Filling(Masked(network, inputs)), facts=facts, notes=notes)


class Masked(nn.Module):
    """A generator of picture (and mask, as a fourth channel) as one of (picture, mask)."""

    def __init__(self, generator: nn.Module, inputs: int) -> None:
        super().__init__()
        self.generator = generator
        self.inputs = inputs

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        given = torch.cat((image, mask), 1) if self.inputs == 4 else image
        result: Tensor = self.generator(given)
        return result


class CentreFilling(nn.Module):
    """A generator of the middle of a picture as one from (`image` RGB 0..1, `mask`, 1 = fill), any size, any hole.

    Pathak et al. 2016 fill the middle 64 x 64 of 128 x 128 pixels. Here a square window is laid around the bounding box
    of the hole, so that the hole is in its middle, and brought to the network's size and back (bilinear; the picture's
    rim is repeated beyond it). As in the official test (`opt.overlapPred`) the blanked part is 4 pixels smaller on each
    side than what the network gives, and has the colour of ImageNet's mean; a hole of that very size is not resampled,
    and a smaller one has more than it blanked. What lies outside the mask comes back as it is.

    Args:
        generator: `[N, 3, side, side]` to `[N, 3, side / 2, side / 2]`, -1..1.
    """

    OVERLAP = 4
    BLANK = (117 / 255, 104 / 255, 123 / 255)

    def __init__(self, generator: nn.Module, side: int) -> None:
        super().__init__()
        self.generator = generator
        self.side = side
        self.overlap = self.OVERLAP if side > 4 * self.OVERLAP else 0
        hole = torch.zeros(1, 1, side, side)
        edge = side // 4 + self.overlap
        hole[:, :, edge : side - edge, edge : side - edge] = 1
        self.register_buffer("hole", hole, persistent=False)
        self.register_buffer("blank", torch.tensor(self.BLANK).view(1, 3, 1, 1), persistent=False)
        # Centres of the window's pixels, from -side / 2 to side / 2.
        self.register_buffer("places", torch.arange(side) - side / 2 + 0.5, persistent=False)

    hole: Tensor
    blank: Tensor
    places: Tensor

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        (top, height), (left, width) = (_extent(mask, axis) for axis in (3, 2))
        blanked = float(self.side // 2 - 2 * self.overlap)
        step = torch.maximum(height, width).clamp(min=blanked) / blanked  # picture pixels per window pixel, [N]
        y, x = top + height / 2, left + width / 2
        rows, columns = (middle[:, None] + self.places * step[:, None] for middle in (y, x))
        window = _sampled(image, rows, columns)
        window = window * (1 - self.hole) + self.blank * self.hole
        centre = self.generator(window * 2 - 1).add(1).div(2)
        down, across = image.shape[2:]
        # Where in the centre, whose corner lies half its side from the middle, the picture's pixels are.
        rows = (torch.arange(down, device=image.device) + 0.5 - y[:, None]) / step[:, None] + self.side / 4
        columns = (torch.arange(across, device=image.device) + 0.5 - x[:, None]) / step[:, None] + self.side / 4
        filled = _sampled(centre, rows, columns).clamp(0, 1)
        return filled * mask + image * (1 - mask)


def _extent(mask: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """First place and length of what is set in `mask` `[N, 1, H, W]`, along `axis`, `[N]` each; all of an empty one."""
    occupied = mask.amax((1, axis)) > 0.5
    length = occupied.shape[1]
    place = torch.arange(length, device=mask.device)
    first = torch.where(occupied, place, length).amin(1)
    last = torch.where(occupied, place, -1).amax(1)
    empty = last < 0
    first, last = torch.where(empty, 0, first), torch.where(empty, length - 1, last)
    return first.float(), (last - first + 1).float()


def _sampled(picture: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`picture` `[N, C, H, W]` at `rows` `[N, h]` and `columns` `[N, w]`, in pixels: `[N, C, h, w]`."""
    height, width = picture.shape[2:]
    y, x = rows * 2 / height - 1, columns * 2 / width - 1
    h, w = rows.shape[1], columns.shape[1]
    grid = torch.stack((x[:, None, :].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)), 3)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _facts(network: nn.Module, method: str, norm: str = "") -> dict[str, object]:
    return {
        "task": "inpaint",
        "method": f"{method}, imported{norm}",
        "scale": 1,
        "multiple": network.multiple,
        "minimum": network.minimum,
        "parameters": parameters(network),
    }
