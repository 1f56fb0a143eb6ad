"""Import ESRGAN, Real-ESRGAN, its compact networks and SRResNet: generators that work in 0..1."""

import math
import re
from typing import Literal

from torch import nn

from img2img.errors import CheckpointError
from img2img.exchange.importers.family import (
    BuiltNetwork,
    Options,
    State,
    build_network,
    in_norm_mode,
    parameter_count,
)
from img2img.exchange.luma import LumaWrapper
from img2img.exchange.receptive_field import Step, from_layers
from img2img.networks.rrdb import from_esrgan_2018
from img2img.runtime.network.adapter import CHROMA_CONTEXT


class RRDBFamily:
    """ESRGAN (repository xinntao/ESRGAN and before it) and Real-ESRGAN (xinntao/Real-ESRGAN), three key layouts."""

    name = "ESRGAN or Real-ESRGAN RRDB"

    def fits(self, state: State) -> bool:
        return "body.0.rdb1.conv1.weight" in _in_current_layout(state)

    def build(self, state: State, options: Options) -> BuiltNetwork:
        state = _in_current_layout(state)
        first, last = state.get("conv_first.weight"), state.get("conv_last.weight")
        if first is None or last is None:
            raise CheckpointError("looks like an RRDB, but lacks conv_first.weight or conv_last.weight")
        channels = last.shape[0]
        unshuffle = _sqrt_ratio(first.shape[1], channels)
        if unshuffle not in (1, 2, 4):
            raise CheckpointError(f"is an RRDB that turns {first.shape[1]} channels into {channels}, which is unknown")
        blocks = _block_count(state)
        scale = 4 // unshuffle
        network = build_network(
            "rrdb",
            state,
            scale=scale,
            features=first.shape[0],
            blocks=blocks,
            growth=state["body.0.rdb1.conv1.weight"].shape[0],
            channels=channels,
        )
        # An RRDB is three dense blocks of five convolutions. conv_first comes before them all, conv_body after.
        steps: list[Step] = [("unshuffle", unshuffle), ("conv", 15 * blocks + 2)]
        steps += [("enlarge", 2), ("conv", 1), ("enlarge", 2), ("conv", 3)]
        kind = "Real-ESRGAN" if unshuffle > 1 or blocks != 23 else "ESRGAN or Real-ESRGAN"
        return as_upscaler(network, f"{kind} RRDB", scale, channels, from_layers(steps, scale), multiple=unshuffle)


class CompactFamily:
    """Real-ESRGAN's `SRVGGNetCompact`: realesr-general-x4v3, realesr-animevideov3."""

    name = "Real-ESRGAN compact"

    def fits(self, state: State) -> bool:
        slopes = state.get("body.1.weight")
        is_sequence = all(re.fullmatch(r"body\.\d+\.(weight|bias)", key) for key in state)
        return is_sequence and "body.0.weight" in state and slopes is not None and slopes.ndim == 1

    def build(self, state: State, options: Options) -> BuiltNetwork:
        first = state["body.0.weight"]
        last = max(int(key.split(".")[1]) for key in state)
        outputs, channels = state[f"body.{last}.weight"].shape[0], first.shape[1]
        scale = _sqrt_ratio(outputs, channels)
        if not scale:
            raise CheckpointError(
                f"its last layer has {outputs} channels, which is not {channels} times the square of a scale"
            )
        convs = last // 2 - 1
        network = build_network("compact", state, scale=scale, features=first.shape[0], convs=convs, channels=channels)
        context = from_layers([("conv", convs + 2), ("enlarge", scale)], scale)
        return as_upscaler(network, self.name, scale, channels, context)


class SRResNetFamily:
    """`MSRResNet` (repository XPixelGroup/BasicSR), with or without batch norm."""

    name = "SRResNet"

    def fits(self, state: State) -> bool:
        return all(f"{key}.weight" in state for key in ("conv_first", "body.0.conv1", "upconv1", "conv_hr"))

    def build(self, state: State, options: Options) -> BuiltNetwork:
        features, channels = state["conv_first.weight"].shape[:2]
        first_factor = _sqrt_ratio(state["upconv1.weight"].shape[0], features)
        has_two_upsamplings = "upconv2.weight" in state
        scale = 4 if has_two_upsamplings else first_factor
        blocks = _block_count(state)
        network = build_network(
            "srresnet",
            state,
            optional=("num_batches_tracked",),
            scale=scale,
            features=features,
            blocks=blocks,
            channels=channels,
            norm="batch" if "body.0.norm1.running_mean" in state else "none",
            activation="prelu" if "body.0.activation.weight" in state else "relu",
        )
        network, mode, notes = in_norm_mode(network, "running", options)
        steps: list[Step] = [("conv", 2 * blocks + 2), ("enlarge", first_factor)]
        if scale == 4:
            steps += [("conv", 1), ("enlarge", 2)]
        steps.append(("conv", 2))
        context = None if mode == "paper" else from_layers(steps, scale)
        return as_upscaler(network, self.name, scale, channels, context, mode=mode, notes=notes)


def as_upscaler(
    network: nn.Module,
    name: str,
    scale: int,
    channels: int,
    context: int | Literal["measured"] | None,
    *,
    multiple: int = 1,
    mode: str | None = None,
    notes: list[str] | None = None,
) -> BuiltNetwork:
    """`network` as one that can be exported.

    Args:
        mode: norm mode, if it has batch norm.

    Raises:
        CheckpointError: it does not work on RGB or grey pictures.
    """
    norm = f", norm mode {mode}" if mode else ""
    if channels not in (1, 3):
        raise CheckpointError(f"this {name} works on {channels} channels; a model file takes and returns RGB")
    facts = {
        "task": "upscale" if scale > 1 else "translate",
        "method": f"{name}{norm}, imported",
        "scale": scale,
        "multiple": multiple,
        "minimum": multiple,
        "parameters": parameter_count(network),
    }
    return BuiltNetwork(
        network=network if channels == 3 else LumaWrapper(network, scale),
        architecture=name,
        facts=facts,
        context=max(context, CHROMA_CONTEXT) if isinstance(context, int) and channels == 1 else context,
        notes=notes or [],
    )


def _in_current_layout(state: State) -> State:
    """`state` in Real-ESRGAN's layout, if it has one of the two older layouts; otherwise unchanged."""
    if not any(key.startswith(("RRDB_trunk.", "model.1.sub.")) for key in state):
        return state
    try:
        return from_esrgan_2018(state)
    except CheckpointError:  # a variant for another scale, which spandrel knows
        return state


def _block_count(state: State) -> int:
    return len({key.split(".")[1] for key in state if key.startswith("body.")})


def _sqrt_ratio(many: int, few: int) -> int:
    """The integer whose square times `few` is `many`; 0 if there is none."""
    root = math.isqrt(many // few)
    return root if root * root * few == many else 0
