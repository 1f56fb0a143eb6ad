"""ESRGAN, Real-ESRGAN, its compact networks, SRResNet: generators that work in 0..1."""

import math
import re

from torch import Tensor, nn

from img2img.errors import CheckpointError
from img2img.exchange.faces import LUMA
from img2img.exchange.foreign.family import Built, Options, State, fill, parameters, tested
from img2img.exchange.foreign.reach import Step, reach
from img2img.networks.rrdb import from_esrgan_2018


class RRDBFamily:
    """ESRGAN (repository xinntao/ESRGAN and before it) and Real-ESRGAN (xinntao/Real-ESRGAN), three key layouts."""

    name = "ESRGAN or Real-ESRGAN RRDB"
    looks_for = "body.0.rdb1.conv1.weight, RRDB_trunk.0.RDB1.conv1.weight or model.1.sub.0.RDB1.conv1.0.weight"

    def fits(self, state: State) -> bool:
        return "body.0.rdb1.conv1.weight" in _of_today(state)

    def build(self, state: State, options: Options) -> Built:
        state = _of_today(state)
        first, last = state.get("conv_first.weight"), state.get("conv_last.weight")
        if first is None or last is None:
            raise CheckpointError("looks like an RRDB, but lacks conv_first.weight or conv_last.weight")
        channels = last.shape[0]
        shuffled = _root(first.shape[1], channels)
        if shuffled not in (1, 2, 4):
            raise CheckpointError(f"an RRDB of {first.shape[1]} channels in and {channels} out is not known")
        blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
        scale = 4 // shuffled
        network = fill(
            "rrdb",
            state,
            scale=scale,
            features=first.shape[0],
            blocks=blocks,
            growth=state["body.0.rdb1.conv1.weight"].shape[0],
            channels=channels,
        )
        # One RRDB is three dense blocks of five convolutions; conv_first and conv_body stand around them all.
        steps: list[Step] = [("unshuffle", shuffled), ("conv", 15 * blocks + 2)]
        steps += [("enlarge", 2), ("conv", 1), ("enlarge", 2), ("conv", 3)]
        kind = "Real-ESRGAN" if shuffled > 1 or blocks != 23 else "ESRGAN or Real-ESRGAN"
        return _upscaler(network, f"{kind} RRDB", scale, channels, reach(steps, scale), shuffled)


class CompactFamily:
    """Real-ESRGAN's `SRVGGNetCompact`: realesr-general-x4v3, realesr-animevideov3."""

    name = "Real-ESRGAN compact"
    looks_for = "body.0.weight, body.1.weight, ... and nothing else"

    def fits(self, state: State) -> bool:
        slopes = state.get("body.1.weight")
        plain = all(re.fullmatch(r"body\.\d+\.(weight|bias)", key) for key in state)
        return plain and "body.0.weight" in state and slopes is not None and slopes.ndim == 1

    def build(self, state: State, options: Options) -> Built:
        first = state["body.0.weight"]
        final = max(int(key.split(".")[1]) for key in state)
        outputs, channels = state[f"body.{final}.weight"].shape[0], first.shape[1]
        scale = _root(outputs, channels)
        if not scale:
            raise CheckpointError(f"its last layer has {outputs} channels: no square times {channels}, so no scale")
        convs = final // 2 - 1
        network = fill("compact", state, scale=scale, features=first.shape[0], convs=convs, channels=channels)
        context = reach([("conv", convs + 2), ("enlarge", scale)], scale)
        return _upscaler(network, self.name, scale, channels, context)


class SRResNetFamily:
    """`MSRResNet` (repository XPixelGroup/BasicSR), with or without batch norm."""

    name = "SRResNet"
    looks_for = "conv_first.weight, body.0.conv1.weight, upconv1.weight, conv_hr.weight"

    def fits(self, state: State) -> bool:
        return all(f"{key}.weight" in state for key in ("conv_first", "body.0.conv1", "upconv1", "conv_hr"))

    def build(self, state: State, options: Options) -> Built:
        features, channels = state["conv_first.weight"].shape[:2]
        step = _root(state["upconv1.weight"].shape[0], features)
        scale = 4 if "upconv2.weight" in state else step
        blocks = len({key.split(".")[1] for key in state if key.startswith("body.")})
        network = fill(
            "srresnet",
            state,
            absent=("num_batches_tracked",),
            scale=scale,
            features=features,
            blocks=blocks,
            channels=channels,
            norm="batch" if "body.0.norm1.running_mean" in state else "none",
            activation="prelu" if "body.0.activation.weight" in state else "relu",
        )
        network, mode, notes = tested(network, "running", options)
        steps: list[Step] = [("conv", 2 * blocks + 2), ("enlarge", step)]
        steps += [("conv", 1), ("enlarge", 2)] * (scale == 4)
        context = None if mode == "paper" else reach([*steps, ("conv", 2)], scale)
        name = self.name + (f", norm mode {mode}" if mode else "")
        return _upscaler(network, name, scale, channels, context, notes=notes)


class Grey(nn.Module):
    """A network of one channel, 0..1, as one of RGB: what it makes of the luma, three times."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        red, green, blue = LUMA
        result: Tensor = self.network(red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:])
        return result.expand(-1, 3, -1, -1)


def _upscaler(
    network: nn.Module,
    name: str,
    scale: int,
    channels: int,
    context: int | None,
    multiple: int = 1,
    notes: list[str] | None = None,
) -> Built:
    if channels not in (1, 3):
        raise CheckpointError(f"this {name} works on {channels} channels; a model file takes and gives RGB")
    facts = {
        "task": "upscale" if scale > 1 else "translate",
        "method": f"{name}, imported",
        "scale": scale,
        "multiple": multiple,
        "minimum": multiple,
        "parameters": parameters(network),
    }
    face = network if channels == 3 else Grey(network)
    return Built(network=face, facts=facts, reach=context, notes=notes or [])


def _of_today(state: State) -> State:
    """In Real-ESRGAN's layout where it is one of the two older ones; as it is otherwise."""
    if not any(key.startswith(("RRDB_trunk.", "model.1.sub.")) for key in state):
        return state
    try:
        return from_esrgan_2018(state)
    except CheckpointError:  # a relative for another scale; spandrel knows those
        return state


def _root(many: int, few: int) -> int:
    """The whole number whose square times `few` is `many`, or 0."""
    root = math.isqrt(many // few)
    return root if root * root * few == many else 0
