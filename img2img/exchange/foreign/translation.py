"""pix2pix, CycleGAN, pix2pixHD and StarGAN: generators that work in -1..1."""

import re
from typing import Any

from torch import nn

from img2img.errors import CheckpointError, UsageError
from img2img.exchange.faces import Labelled, Signed
from img2img.exchange.foreign.family import Built, Options, State, fill, parameters, tested

RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class UNetFamily:
    """`latest_net_G.pth` of pix2pix with a U-Net (repository junyanz/pytorch-CycleGAN-and-pix2pix)."""

    name = "pix2pix U-Net"
    looks_for = "model.model.0.weight, model.model.1.model.1.weight, ..."

    def fits(self, state: State) -> bool:
        return all(_is_kernel(state, f"model.model.{key}.weight") for key in ("0", "1.model.1", "3"))

    def build(self, state: State, options: Options) -> Built:
        state, norm, notes = _settled(state, "model.model.0")
        first, last = state["model.model.0.weight"], state["model.model.3.weight"]
        downs, level = 1, "model.model.1.model"
        while f"{level}.1.weight" in state:
            downs, level = downs + 1, f"{level}.3.model"
        transposed = last.shape[2] == 4
        network = fill(
            "unet",
            state,
            absent=("num_batches_tracked", *["bias"] * (norm == "none")),
            inputs=first.shape[1],
            outputs=last.shape[1 if transposed else 0],
            features=first.shape[0],
            downs=downs,
            norm=norm,
            dropout=False,
            upsampling="transpose" if transposed else "resize",
        )
        return _signed(network, self.name, norm, first.shape[1], last.shape[1 if transposed else 0], options, notes)


class ResNetFamily:
    """`latest_net_G_A.pth` of CycleGAN and pix2pix (same repository), and pix2pixHD's global generator.

    The two have one layout; pix2pixHD halves the picture four times where CycleGAN does so twice.
    """

    name = "CycleGAN ResNet or pix2pixHD"
    looks_for = "model.1.weight, model.10.conv_block.1.weight, ..."

    def fits(self, state: State) -> bool:
        kernel = state.get("model.1.weight")
        anti_aliased = any(key.endswith(".filt") for key in state)
        return kernel is not None and kernel.ndim == 4 and bool(_blocks(state)) and not anti_aliased

    def build(self, state: State, options: Options) -> Built:
        state, norm, notes = _settled(state, "model.1")
        blocks = _blocks(state)
        downs, after = (blocks[0] - 4) // 3, blocks[0] + len(blocks)
        first, last, up = (state.get(f"model.{at}.weight") for at in (1, after + 3 * downs + 1, after))
        if first is None or last is None or up is None or downs < 1:
            raise CheckpointError(f"looks like {self.name}, but its layers stand in other places")
        hyper: dict[str, Any] = {
            "inputs": first.shape[1],
            "outputs": last.shape[0],
            "features": first.shape[0],
            "blocks": len(blocks),
            "norm": norm,
            "upsampling": "transpose" if up.shape[0] > up.shape[1] else "resize",
        }
        if downs == 2:
            hyper["dropout"] = _is_kernel(state, f"model.{blocks[0]}.conv_block.6.weight")
        else:
            hyper["downs"] = downs
        absent = ("num_batches_tracked", *["bias"] * (norm == "none"))
        network = fill("resnet" if downs == 2 else "pix2pixhd", state, absent=absent, **hyper)
        name = "CycleGAN ResNet" if downs == 2 else "pix2pixHD"
        return _signed(network, name, norm, first.shape[1], last.shape[0], options, notes)


class StarGANFamily:
    """`200000-G.ckpt` of StarGAN (repository yunjey/stargan)."""

    name = "StarGAN"
    looks_for = "main.0.weight, main.9.main.0.weight, ..."

    def fits(self, state: State) -> bool:
        return _is_kernel(state, "main.0.weight") and any(re.fullmatch(r"main\.\d+\.main\.0\.weight", k) for k in state)

    def build(self, state: State, options: Options) -> Built:
        first, last = state["main.0.weight"], state[f"main.{_largest(state, 'main')}.weight"]
        columns = first.shape[1] - last.shape[0]
        if last.shape[0] != 3 or columns < 1:
            raise CheckpointError(f"turns {first.shape[1]} channels into {last.shape[0]}: not RGB and a label")
        if len(options.domains) != columns:
            given = f"{len(options.domains)} are given" if options.domains else "their names are not in the file"
            raise UsageError(
                f"this StarGAN has {columns} domains, and {given}: name them with --domains a,b,c"
                " in the order of training (the attributes that were chosen; folders in alphabetical order)"
            )
        blocks = len({key.split(".")[1] for key in state if re.match(r"main\.\d+\.main\.", key)})
        up = state.get(f"main.{9 + blocks}.weight")
        network = fill(
            "stargan",
            state,
            absent=RUNNING,  # kept in the layout only, see `LiveInstanceNorm2d`
            domains=columns,
            features=first.shape[0],
            blocks=blocks,
            upsampling="resize" if up is not None and up.shape[2] == 3 else "transpose",
        )
        notes = ["its instance norm takes the statistics of each picture, as in the official test"]
        if any(key.endswith("running_mean") for key in state):
            notes[0] += "; the running statistics in the file, which the official code never uses, are not used"
        if options.norm_mode == "running":
            notes.append("--norm-mode running is for batch norm and changes nothing here")
        facts = {
            "task": "translate",
            "method": "StarGAN, imported",
            "scale": 1,
            "multiple": network.multiple,
            "minimum": network.minimum,
            "parameters": parameters(network),
            "domains": options.domains,
            "exclusive": options.exclusive,
        }
        return Built(network=Labelled(network), facts=facts, reach=None, notes=notes)


def _signed(
    network: nn.Module, name: str, norm: str, inputs: int, outputs: int, options: Options, notes: list[str]
) -> Built:
    for what, channels in (("takes", inputs), ("gives", outputs)):
        if channels not in (1, 3):
            raise CheckpointError(
                f"this {name} {what} pictures of {channels} channels (label maps, perhaps); a model file takes and"
                " gives RGB, and how the channels come about is not in the weights"
            )
    facts = {
        "task": "translate",
        "scale": 1,
        "multiple": network.multiple,
        "minimum": network.minimum,
        "parameters": parameters(network),
    }
    network, mode, more = tested(network, "paper", options)
    facts["method"] = f"{name}, imported" + (f", norm mode {mode}" if mode else "")
    whole = norm == "instance" or mode == "paper"
    face = Signed(network, channels=inputs)
    return Built(network=face, facts=facts, reach=None if whole else "measured", notes=[*notes, *more])


def _settled(state: State, first: str) -> tuple[State, str, list[str]]:
    """`state` in the layout of our networks, the norm that it was trained with, and what was done to it.

    `first` is the first convolution. In the official code those in front of a norm have a bias only where that norm is
    instance norm, and without any norm there are no biases at all.
    """
    state, notes = dict(state), []
    normed = [key.removesuffix(".running_mean") for key in state if key.endswith(".running_mean")]
    batch = [one for one in normed if f"{one}.weight" in state]
    dead = [one for one in normed if f"{one}.weight" not in state]
    for one in dead:
        for kind in RUNNING:
            state.pop(f"{one}.{kind}", None)
    if dead:
        notes.append(f"running statistics of {len(dead)} instance norms dropped: in files before 2018 they are unused")
    for one in batch:
        _fold_bias(state, one)
    if batch:
        return state, "batch", notes
    return state, "instance" if f"{first}.bias" in state else "none", notes


def _fold_bias(state: State, norm: str) -> None:
    """A bias in front of batch norm shifts its mean and nothing else. Ours have none there, pix2pixHD's do."""
    block, _, place = norm.rpartition(".")
    bias = state.pop(f"{block}.{int(place) - 1}.bias", None) if place.isdigit() else None
    if bias is not None:
        state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - bias


def _is_kernel(state: State, key: str) -> bool:
    return key in state and state[key].ndim == 4


def _blocks(state: State) -> list[int]:
    """Places of the residual blocks."""
    found = (re.fullmatch(r"model\.(\d+)\.conv_block\.1\.weight", key) for key in state)
    return sorted(int(one[1]) for one in found if one)


def _largest(state: State, prefix: str) -> int:
    """The last place in the sequence `prefix`."""
    return max(int(key.split(".")[1]) for key in state if re.match(rf"{prefix}\.\d+\.", key))
