"""Import pix2pix, CycleGAN, pix2pixHD and StarGAN: generators that work in -1..1."""

import re
from typing import Any

from torch import nn

from img2img.errors import CheckpointError, UsageError
from img2img.exchange.importers.family import (
    BuiltNetwork,
    Options,
    State,
    build_network,
    in_norm_mode,
    parameter_count,
)
from img2img.exchange.wrappers import DomainWrapper, TranslationWrapper

RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class UNetFamily:
    """`latest_net_G.pth` of pix2pix with a U-Net (repository junyanz/pytorch-CycleGAN-and-pix2pix).

    Also our residual U-Net, whose outermost level has other names.
    """

    name = "pix2pix U-Net"

    def fits(self, state: State) -> bool:
        published = [f"model.model.{key}.weight" for key in ("0", "1.model.1", "3")]
        residual = [f"model.{key}.weight" for key in ("down", "below.model.1", "up", "last.2")]
        return any(all(_is_kernel(state, key) for key in keys) for keys in (published, residual))

    def build(self, state: State, options: Options) -> BuiltNetwork:
        is_residual = "model.down.weight" in state
        names = ("down", "below.model", "up") if is_residual else ("model.0", "model.1.model", "model.3")
        first_layer, level, last_layer = (f"model.{name}" for name in names)
        state, norm, notes = _normalised(state, first_layer)
        first, last = state[f"{first_layer}.weight"], state[f"{last_layer}.weight"]
        downs = 1
        while f"{level}.1.weight" in state:
            downs, level = downs + 1, f"{level}.3.model"
        is_transposed = last.shape[2] == 4
        inputs, outputs = first.shape[1], last.shape[1 if is_transposed else 0]
        if is_residual:
            outputs = state["model.last.2.weight"].shape[0]
        network = build_network(
            "unet",
            state,
            optional=_optional_keys(norm),
            inputs=inputs,
            outputs=outputs,
            features=first.shape[0],
            downs=downs,
            norm=norm,
            dropout=False,
            upsampling="transpose" if is_transposed else "resize",
            residual=is_residual,
        )
        return _wrapped(network, self.name, norm, inputs, outputs, options, notes)


class ResNetFamily:
    """`latest_net_G_A.pth` of CycleGAN and pix2pix (same repository), and pix2pixHD's global generator.

    Both have the same layout. pix2pixHD halves the picture four times, CycleGAN twice.
    """

    name = "CycleGAN ResNet or pix2pixHD"

    def fits(self, state: State) -> bool:
        kernel = state.get("model.1.weight")
        is_anti_aliased = any(key.endswith(".filt") for key in state)
        return kernel is not None and kernel.ndim == 4 and bool(_residual_blocks(state)) and not is_anti_aliased

    def build(self, state: State, options: Options) -> BuiltNetwork:
        state, norm, notes = _normalised(state, "model.1")
        blocks = _residual_blocks(state)
        downs, after_blocks = (blocks[0] - 4) // 3, blocks[0] + len(blocks)
        first = state.get("model.1.weight")
        up = state.get(f"model.{after_blocks}.weight")
        last = state.get(f"model.{after_blocks + 3 * downs + 1}.weight")
        if first is None or last is None or up is None or downs < 1:
            raise CheckpointError(f"looks like {self.name}, but has its layers in other places")
        inputs, outputs = first.shape[1], last.shape[0]
        hyper: dict[str, Any] = {
            "inputs": inputs,
            "outputs": outputs,
            "features": first.shape[0],
            "blocks": len(blocks),
            "norm": norm,
            "upsampling": "transpose" if up.shape[0] > up.shape[1] else "resize",
        }
        if downs == 2:
            network_name, shown_name = "resnet", "CycleGAN ResNet"
            hyper["dropout"] = _is_kernel(state, f"model.{blocks[0]}.conv_block.6.weight")
        else:
            network_name, shown_name = "pix2pixhd", "pix2pixHD"
            hyper["downs"] = downs
        network = build_network(network_name, state, optional=_optional_keys(norm), **hyper)
        return _wrapped(network, shown_name, norm, inputs, outputs, options, notes)


class StarGANFamily:
    """`200000-G.ckpt` of StarGAN (repository yunjey/stargan)."""

    name = "StarGAN"

    def fits(self, state: State) -> bool:
        return _is_kernel(state, "main.0.weight") and any(re.fullmatch(r"main\.\d+\.main\.0\.weight", k) for k in state)

    def build(self, state: State, options: Options) -> BuiltNetwork:
        first, last = state["main.0.weight"], state[f"main.{_last_number(state, 'main')}.weight"]
        domains = first.shape[1] - last.shape[0]
        if last.shape[0] != 3 or domains < 1:
            raise CheckpointError(f"turns {first.shape[1]} channels into {last.shape[0]} instead of RGB and a label")
        if len(options.domains) != domains:
            given = f"{len(options.domains)} were given" if options.domains else "the file does not contain their names"
            raise UsageError(
                f"this StarGAN has {domains} domains, but {given}: name them with --domains a,b,c in the order of"
                " training (the selected attributes, or the folders in alphabetical order)"
            )
        blocks = len({key.split(".")[1] for key in state if re.match(r"main\.\d+\.main\.", key)})
        up = state.get(f"main.{9 + blocks}.weight")
        network = build_network(
            "stargan",
            state,
            optional=RUNNING_STATISTICS,  # only part of the layout, see `LiveInstanceNorm2d`
            domains=domains,
            features=first.shape[0],
            blocks=blocks,
            upsampling="resize" if up is not None and up.shape[2] == 3 else "transpose",
        )
        note = "its instance norm uses the statistics of each picture, as in the official test"
        if any(key.endswith("running_mean") for key in state):
            note += "; the running statistics in the file are ignored, as in the official code"
        notes = [note]
        if options.norm_mode == "running":
            notes.append("--norm-mode running is for batch norm and has no effect here")
        facts = {
            "task": "translate",
            "method": "StarGAN, imported",
            "scale": 1,
            "multiple": network.multiple,
            "minimum": network.minimum,
            "parameters": parameter_count(network),
            "domains": options.domains,
            "exclusive": options.exclusive,
        }
        return BuiltNetwork(
            network=DomainWrapper(network), architecture=self.name, facts=facts, context=None, notes=notes
        )


def _wrapped(
    network: nn.Module, name: str, norm: str, inputs: int, outputs: int, options: Options, notes: list[str]
) -> BuiltNetwork:
    """`network`, which works in -1..1, as one that can be exported.

    Raises:
        CheckpointError: it does not work on RGB or grey pictures.
    """
    for verb, channels in (("takes", inputs), ("returns", outputs)):
        if channels not in (1, 3):
            raise CheckpointError(
                f"this {name} {verb} pictures with {channels} channels, perhaps label maps; a model file takes and"
                " returns RGB, and the weights do not tell how to convert between the two"
            )
    facts = {
        "task": "translate",
        "scale": 1,
        "multiple": network.multiple,
        "minimum": network.minimum,
        "parameters": parameter_count(network),
    }
    network, mode, mode_notes = in_norm_mode(network, "paper", options)
    facts["method"] = f"{name}, imported" + (f", norm mode {mode}" if mode else "")
    sees_whole_picture = norm == "instance" or mode == "paper"
    return BuiltNetwork(
        network=TranslationWrapper(network, channels=inputs),
        architecture=name,
        facts=facts,
        context=None if sees_whole_picture else "measured",
        notes=[*notes, *mode_notes],
    )


def _optional_keys(norm: str) -> tuple[str, ...]:
    return ("num_batches_tracked", "bias") if norm == "none" else ("num_batches_tracked",)


def _normalised(state: State, first: str) -> tuple[State, str, list[str]]:
    """`state` in the layout of our networks, the norm that it was trained with, and notes about what was changed.

    In the official code, a convolution before a norm layer has a bias only if the norm is instance norm. Networks
    without norm layers have no biases at all.

    Args:
        first: name of the first convolution.
    """
    state, notes = dict(state), []
    with_statistics = [key.removesuffix(".running_mean") for key in state if key.endswith(".running_mean")]
    batch_norms = [layer for layer in with_statistics if f"{layer}.weight" in state]
    instance_norms = [layer for layer in with_statistics if f"{layer}.weight" not in state]
    for layer in instance_norms:
        for kind in RUNNING_STATISTICS:
            state.pop(f"{layer}.{kind}", None)
    if instance_norms:
        notes.append(
            f"dropped the running statistics of {len(instance_norms)} instance norm layers: files from before 2018"
            " contain them, but nothing uses them"
        )
    for layer in batch_norms:
        _fold_bias(state, layer)
    if batch_norms:
        return state, "batch", notes
    return state, "instance" if f"{first}.bias" in state else "none", notes


def _fold_bias(state: State, norm: str) -> None:
    """Fold a bias before the batch norm layer `norm` into its mean, which is all that such a bias changes.

    Our networks have no biases there; those of pix2pixHD have.
    """
    block, _, number = norm.rpartition(".")
    bias = state.pop(f"{block}.{int(number) - 1}.bias", None) if number.isdigit() else None
    if bias is not None:
        state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - bias


def _is_kernel(state: State, key: str) -> bool:
    return key in state and state[key].ndim == 4


def _residual_blocks(state: State) -> list[int]:
    """The numbers of the layers that are residual blocks."""
    found = (re.fullmatch(r"model\.(\d+)\.conv_block\.1\.weight", key) for key in state)
    return sorted(int(match[1]) for match in found if match)


def _last_number(state: State, prefix: str) -> int:
    """The number of the last layer in the sequence `prefix`."""
    return max(int(key.split(".")[1]) for key in state if re.match(rf"{prefix}\.\d+\.", key))
