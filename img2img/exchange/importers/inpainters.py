"""Import inpainting networks that work in -1..1: gated convolutions and context encoders."""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import CheckpointError
from img2img.exchange.importers.family import BuiltNetwork, Options, State, build_network, parameter_count
from img2img.exchange.wrappers import InpaintingWrapper
from img2img.networks.norms import inference_copy


class GatedFamily:
    """Gated convolutions, "DeepFill v2" (repository nipponjo/deepfillv2-pytorch)."""

    name = "gated convolutions (DeepFill v2)"

    def fits(self, state: State) -> bool:
        return "stage1.conv1.conv.weight" in state and "stage2.conv_conv1.conv.weight" in state

    def build(self, state: State, options: Options) -> BuiltNetwork:
        features, inputs = state["stage1.conv1.conv.weight"].shape[:2]
        if inputs != 5:
            raise CheckpointError(f"takes {inputs} channels instead of 5: RGB, ones, mask")
        attention = any(key.startswith("stage2.ca_conv") for key in state)
        fuse_weight = "stage2.contextual_attention.fuse_weight"  # a constant, which only some versions store
        if attention and fuse_weight not in state:
            state = {**state, fuse_weight: torch.eye(3).view(1, 1, 3, 3)}
        network = build_network("gated", state, features=features, attention=attention)
        return BuiltNetwork(
            network=InpaintingWrapper(network),
            architecture=self.name,
            facts=_facts(network, f"{self.name}, imported"),
            context=None if attention else "measured",
        )


class ContextEncoderFamily:
    """Context encoders (repository BoyuanJiang/context_encoder_pytorch), and ours, which fill holes anywhere.

    Batch norm always uses its running statistics, because its innermost layer sees one pixel per picture.
    """

    name = "context encoder"

    def fits(self, state: State) -> bool:
        return (
            all(key in state for key in ("main.0.weight", "main.2.weight", "main.3.running_mean"))
            and state["main.0.weight"].ndim == state["main.2.weight"].ndim == 4
            and all(re.fullmatch(r"main\.\d+\.\w+", key) for key in state)
            and 1 not in _kernels(state)[-1].shape[:2]  # the paper's discriminator returns one channel
        )

    def build(self, state: State, options: Options) -> BuiltNetwork:
        kernels = _kernels(state)
        # The encoder has `halvings` layers, plus one over 4 x 4 pixels that makes the code. The decoder has one layer
        # that expands the code, plus `halvings` doublings, or one less if it returns only the centre of the picture.
        is_centre = len(kernels) % 2 == 1
        halvings = (len(kernels) - 1) // 2
        side = 2 ** (halvings + 2)
        last = kernels[-1]
        is_transposed = last.shape[2] == 4
        inputs, outputs = kernels[0].shape[1], last.shape[1 if is_transposed else 0]
        if outputs != 3 or inputs not in ((3,) if is_centre else (3, 4)):
            raise CheckpointError(f"turns {inputs} channels into {outputs}; a model file takes and returns RGB")
        network = build_network(
            "context-encoder",
            state,
            optional=("num_batches_tracked",),
            inputs=inputs,
            features=kernels[0].shape[0],
            bottleneck=kernels[halvings].shape[0],
            size=side,
            output="centre" if is_centre else "whole",
            upsampling="transpose" if is_transposed else "resize",
        )
        facts = _facts(network, f"{self.name}, imported, norm mode running")
        network = inference_copy(network, "running")
        note = "its batch norm uses the statistics from training: its innermost layer sees one pixel per picture"
        if options.norm_mode == "paper":
            note += ", so --norm-mode paper is not possible"
        notes = [note]
        if not is_centre:
            wrapped = InpaintingWrapper(MaskedInput(network, inputs))
            return BuiltNetwork(network=wrapped, architecture=self.name, facts=facts, notes=notes)
        notes.append(f"it fills the centre of {side} x {side} pixels, so a window around the hole is resized to that")
        return BuiltNetwork(
            network=CentreInpainting(network, side),
            architecture=self.name,
            facts=facts | {"multiple": 1, "minimum": 1},
            context=None,
            notes=notes,
        )


def _kernels(state: State) -> list[Tensor]:
    """The kernels of the convolutions, in their order."""
    numbers = sorted(int(key.split(".")[1]) for key in state if key.endswith(".weight") and state[key].ndim == 4)
    return [state[f"main.{number}.weight"] for number in numbers]


class MaskedInput(nn.Module):
    """Turns a generator with 3 input channels, or 4 with the mask as the last, into one of (picture, mask)."""

    def __init__(self, generator: nn.Module, inputs: int) -> None:
        super().__init__()
        self.generator = generator
        self.inputs = inputs

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        given = torch.cat((image, mask), 1) if self.inputs == 4 else image
        result: Tensor = self.generator(given)
        return result


class CentreInpainting(nn.Module):
    """Turns a generator of a picture's centre into one of (`image` RGB 0..1, `mask`, 1 = fill), any size, any hole.

    Pathak et al. 2016 fill the central 64 x 64 of 128 x 128 pixels. Here the network gets a square window with the
    bounding box of the hole in its centre. The window is resized to the network's size, and the result is resized back
    (bilinear; beyond the border of the picture its outermost pixels repeat).

    As in the official test (`opt.overlapPred`), the blank area is 4 pixels smaller on each side than the result of the
    network and has the mean colour of ImageNet. A hole of exactly this size is not resampled. If the hole is smaller,
    the blank area is larger than the hole. Pixels outside the mask stay as they are.

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
        # The centres of the window's pixels, from -side / 2 to side / 2.
        self.register_buffer("offsets", torch.arange(side) - side / 2 + 0.5, persistent=False)

    hole: Tensor
    blank: Tensor
    offsets: Tensor

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        (top, height), (left, width) = (_extent(mask, axis) for axis in (3, 2))
        blank_side = float(self.side // 2 - 2 * self.overlap)
        step = torch.maximum(height, width).clamp(min=blank_side) / blank_side  # picture pixels per window pixel, [N]
        y, x = top + height / 2, left + width / 2
        rows, columns = (centre[:, None] + self.offsets * step[:, None] for centre in (y, x))
        window = _sampled(image, rows, columns)
        window = window * (1 - self.hole) + self.blank * self.hole
        result = self.generator(window * 2 - 1).add(1).div(2)
        # Positions of the picture's pixels in the result, whose corner lies side / 4 from the centre of the hole.
        image_height, image_width = image.shape[2:]
        rows = (torch.arange(image_height, device=image.device) + 0.5 - y[:, None]) / step[:, None] + self.side / 4
        columns = (torch.arange(image_width, device=image.device) + 0.5 - x[:, None]) / step[:, None] + self.side / 4
        filled = _sampled(result, rows, columns).clamp(0, 1)
        return filled * mask + image * (1 - mask)


def _extent(mask: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Start and length `[N]` of the hole in `mask` `[N, 1, H, W]`, along the axis that is not `axis`.

    An empty mask counts as a hole over the whole picture.
    """
    occupied = mask.amax((1, axis)) > 0.5
    length = occupied.shape[1]
    position = torch.arange(length, device=mask.device)
    first = torch.where(occupied, position, length).amin(1)
    last = torch.where(occupied, position, -1).amax(1)
    empty = last < 0
    first, last = torch.where(empty, 0, first), torch.where(empty, length - 1, last)
    return first.float(), (last - first + 1).float()


def _sampled(picture: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The values of `picture` `[N, C, H, W]` at `rows` `[N, h]` and `columns` `[N, w]` (in pixels): `[N, C, h, w]`."""
    height, width = picture.shape[2:]
    y, x = rows * 2 / height - 1, columns * 2 / width - 1
    h, w = rows.shape[1], columns.shape[1]
    grid = torch.stack((x[:, None, :].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)), 3)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _facts(network: nn.Module, method: str) -> dict[str, object]:
    return {
        "task": "inpaint",
        "method": method,
        "scale": 1,
        "multiple": network.multiple,
        "minimum": network.minimum,
        "parameters": parameter_count(network),
    }
