"""Tiny random model files as in docs/model-file.md, built with the `onnx` package for tests and benchmarks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class _Graph:
    """Collects nodes and weights; every method returns the name of the tensor it makes."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, c_in: int, c_out: int, kernel: int = 3, gain: float = 1.0, bias: float = 0.05) -> str:
        weight = self.random.standard_normal((c_out, c_in, kernel, kernel)) * gain / np.sqrt(c_in * kernel * kernel)
        offset = self.random.standard_normal(c_out) * bias
        pad = kernel // 2
        return self.op(
            "Conv",
            x,
            self.constant(weight.astype(np.float32)),
            self.constant(offset.astype(np.float32)),
            kernel_shape=[kernel, kernel],
            pads=[pad] * 4,
        )

    def prelu(self, x: str, channels: int) -> str:
        return self.op("PRelu", x, self.constant(self.random.uniform(0, 0.4, (channels, 1, 1)).astype(np.float32)))

    def resize(self, x: str, scale: int, mode: str) -> str:
        scales = self.constant(np.array([1, 1, scale, scale], np.float32))
        how = {"nearest": ("asymmetric", "floor"), "linear": ("half_pixel", "round_prefer_floor")}[mode]
        return self.op("Resize", x, "", scales, mode=mode, coordinate_transformation_mode=how[0], nearest_mode=how[1])

    def clip(self, x: str) -> str:
        return self.op("Clip", x, self.constant(np.float32(0.0)), self.constant(np.float32(1.0)))

    def save(
        self,
        path: Path,
        output: str,
        scale: int | None,
        card: dict[str, Any] | None,
        further: dict[str, list[str | int]] | None = None,
    ) -> Path:
        """`further`: name -> shape of each input beside `image`."""
        self.nodes.append(helper.make_node("Identity", [output], ["result"]))
        sides = ["H", "W"] if scale == 1 else ["out_H", "out_W"]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in {"image": ["N", 3, "H", "W"], **(further or {})}.items()
            ],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["N", 3, *sides])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        if card is not None:
            helper.set_model_props(model, {"img2img": json.dumps(card)})
        onnx.save(model, str(path))
        return path


def card(**changes: Any) -> dict[str, Any]:
    """A complete card as a dict, with changes; a value of `...` removes the key."""
    values: dict[str, Any] = {
        "format": 1,
        "name": "tiny",
        "task": "upscale",
        "method": "test",
        "scale": 2,
        "multiple": 1,
        "minimum": 1,
        "context": 0,
        "domains": [],
        "exclusive": False,
        "precision": "fp32",
        "parameters": 0,
        "licence": "CC0-1.0",
        "trained_on": [],
        "metrics": {},
        "created_with": "img2img tests",
    }
    return {key: value for key, value in (values | changes).items() if value is not ...}


def compact(
    path: Path,
    *,
    scale: int = 2,
    features: int = 8,
    convs: int = 3,
    kernel: int = 3,
    skip: str | None = "nearest",
    seed: int = 0,
    with_card: bool = True,
    share: float = 1.0,
    **changes: Any,
) -> Path:
    """Conv stack with PReLU, pixel shuffle (DepthToSpace, CRD), resized skip and Clip. Its context is exact.

    `share`: weight of the random part beside the skip. A small one leaves no colour cast, and so no note on it.
    """
    g = _Graph(seed)
    x = g.op("Sub", "image", g.constant(np.float32(0.5)))
    channels = 3
    for _ in range(convs - 1):
        x = g.prelu(g.conv(x, channels, features, kernel, gain=1.4), features)
        channels = features
    x = g.conv(x, channels, 3 * scale * scale, kernel, gain=0.7 * share, bias=0.05 * share)
    if scale > 1:
        x = g.op("DepthToSpace", x, blocksize=scale, mode="CRD")
    if skip is not None:
        x = g.op("Add", x, g.resize("image", scale, skip) if scale > 1 else "image")
    context = convs * (kernel // 2) + (1 if skip == "linear" else 0)
    made = card(scale=scale, context=context, name=path.stem) | changes
    return g.save(path, g.clip(x), scale, card(**made) if with_card else None)


def blocks(
    path: Path,
    *,
    multiple: int = 4,
    convs: int = 2,
    features: int = 16,
    mix: bool = True,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Works on `multiple` x `multiple` blocks (SpaceToDepth), so H and W must be multiples of it. Scale 1.

    `mix`: a 1x1 convolution first, so that no 3x3 convolution reads a number of channels that is no multiple of 16.
    """
    g = _Graph(seed)
    x = g.op("SpaceToDepth", "image", blocksize=multiple)
    channels = 3 * multiple * multiple
    if mix:
        x = g.prelu(g.conv(x, channels, features, kernel=1, gain=1.4), features)
        channels = features
    for _ in range(convs - 1):
        x = g.prelu(g.conv(x, channels, features, gain=1.4), features)
        channels = features
    x = g.conv(x, channels, 3 * multiple * multiple, gain=0.5)
    x = g.op("Add", g.op("DepthToSpace", x, blocksize=multiple, mode="CRD"), "image")
    made = card(scale=1, multiple=multiple, minimum=multiple, context=convs * multiple, task="translate") | changes
    return g.save(path, g.clip(x), 1, card(**made))


def instance_norm(path: Path, *, features: int = 8, seed: int = 0, **changes: Any) -> Path:
    """A network whose every output pixel depends on the whole picture: context null. Scale 1."""
    g = _Graph(seed)
    x = g.conv("image", 3, features)
    one, zero = np.ones(features, np.float32), np.zeros(features, np.float32)
    x = g.op("Relu", g.op("InstanceNormalization", x, g.constant(one), g.constant(zero)))
    x = g.op("Sigmoid", g.conv(x, features, 3))
    made = card(scale=1, context=None, task="translate", name=path.stem) | changes
    return g.save(path, x, 1, card(**made))


def pointwise(path: Path, *ops: str, scale: int = 1, **changes: Any) -> Path:
    """Elementwise operators one after the other, e.g. "Log"; nearest-upscaled by `scale`. Context 0."""
    g = _Graph(0)
    x = "image" if scale == 1 else g.resize("image", scale, "nearest")
    for op in ops:
        x = g.op(op, x)
    made = card(scale=scale, context=0, name=path.stem) | changes
    return g.save(path, x, scale, card(**made))


def _stride(g: _Graph, x: str, multiple: int) -> str:
    """`x` unchanged, by operators that fail where H or W is no multiple of `multiple`."""
    if multiple == 1:
        return x
    return g.op("DepthToSpace", g.op("SpaceToDepth", x, blocksize=multiple), blocksize=multiple, mode="DCR")


def domains(path: Path, colours: dict[str, tuple[float, float, float]], *, multiple: int = 1, **changes: Any) -> Path:
    """image / 2 + half of the colours of the domains that `domain` names. Runs whole unless the card says otherwise."""
    g = _Graph(0)
    tint = g.op("MatMul", "domain", g.constant(np.array([*colours.values()], np.float32) / 2))
    tint = g.op("Unsqueeze", tint, g.constant(np.array([2, 3])))
    x = g.op("Add", g.op("Mul", _stride(g, "image", multiple), g.constant(np.float32(0.5))), tint)
    made = card(scale=1, task="translate", name=path.stem, context=None, multiple=multiple, minimum=multiple)
    made |= {"domains": [*colours], "exclusive": True} | changes
    return g.save(path, g.clip(x), 1, card(**made), {"domain": ["N", len(colours)]})


def styled(
    path: Path,
    *,
    reference: int = 0,
    latent: int = 0,
    multiple: int = 1,
    described: dict[str, Any] | None = None,
    with_card: bool = True,
) -> Path:
    """image / 2, plus half the mean colour of `reference`, plus 0.1 times the values of `latent`. Context 0.

    Args:
        reference: multiple of the sides of the reference; it fails on others. 0: no such input.
        latent: number of values; value i belongs to channel i mod 3. 0: no such input.
        described: changes of the card.
    """
    g = _Graph(0)
    x = g.op("Mul", _stride(g, "image", multiple), g.constant(np.float32(0.5)))
    made = card(scale=1, task="translate", name=path.stem, multiple=multiple, minimum=multiple)
    further: dict[str, list[str | int]] = {}
    if reference:
        mean = g.op("ReduceMean", _stride(g, "reference", reference), axes=[2, 3], keepdims=1)
        x = g.op("Add", x, g.op("Mul", mean, g.constant(np.float32(0.5))))
        further["reference"] = ["N", 3, "h", "w"]
        made["reference"] = {"about": "its mean colour", "multiple": reference, "minimum": reference}
    if latent:
        weights = np.tile(np.eye(3, dtype=np.float32) / 10, (latent, 1))[:latent]
        tint = g.op("MatMul", "latent", g.constant(weights))
        x = g.op("Add", x, g.op("Unsqueeze", tint, g.constant(np.array([2, 3]))))
        further["latent"] = ["N", latent]
        made["latent"] = {"length": latent, "distribution": "normal"}
    return g.save(path, g.clip(x), 1, card(**(made | (described or {}))) if with_card else None, further)


def filler(
    path: Path,
    colour: tuple[float, float, float] | None = None,
    *,
    multiple: int = 1,
    trust: bool = True,
    **changes: Any,
) -> Path:
    """Fills the mask with a colour, or with what the network is shown there (None: to see what that is).

    `trust`: pixels outside the mask stay as they are, as docs/model-file.md requires; otherwise they become white.
    """
    g = _Graph(0)
    image = _stride(g, "image", multiple)
    inside = g.op(
        "Mul", "mask", image if colour is None else g.constant(np.array(colour, np.float32)[None, :, None, None])
    )
    rest = g.op("Sub", g.constant(np.float32(1)), "mask")
    x = g.op("Add", inside, g.op("Mul", rest, image) if trust else rest)
    made = card(scale=1, task="inpaint", name=path.stem, context=None, multiple=multiple, minimum=multiple) | changes
    return g.save(path, g.clip(x), 1, card(**made), {"mask": ["N", 1, "H", "W"]})


def labelled_filler(path: Path, colours: dict[str, tuple[float, float, float]], **changes: Any) -> Path:
    """Fills the mask with the colour of the domain, and keeps all other pixels."""
    g = _Graph(0)
    tint = g.op("MatMul", "domain", g.constant(np.array([*colours.values()], np.float32)))
    inside = g.op("Mul", "mask", g.op("Unsqueeze", tint, g.constant(np.array([2, 3]))))
    rest = g.op("Mul", g.op("Sub", g.constant(np.float32(1)), "mask"), "image")
    made = card(scale=1, task="inpaint", name=path.stem, context=None) | changes
    made |= {"domains": [*colours], "exclusive": True}
    further: dict[str, list[str | int]] = {"mask": ["N", 1, "H", "W"], "domain": ["N", len(colours)]}
    return g.save(path, g.clip(g.op("Add", inside, rest)), 1, card(**made), further)


def unpadded(path: Path, *, convs: int = 14, scale: int = 1, whole: bool = False, fixed: int | None = None) -> Path:
    """A network whose 3x3 convolutions have no padding, without a card. It looks `convs` pixels to each side.

    Its result is 2 * convs * scale pixels smaller than `scale` times the picture. The convolutions keep most of the
    middle pixel, so that the result resembles the picture.

    Args:
        whole: add a little of the mean of the whole picture.
        fixed: the only side that it takes; None: any.
    """
    random = np.random.default_rng(0)
    nodes, weights = [], []
    last = "image"
    for i in range(convs):
        kernel = random.normal(0, 0.02 / np.sqrt(convs), (3, 3, 3, 3)).astype(np.float32)
        kernel[range(3), range(3), 1, 1] += 1
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"x{i}"], kernel_shape=[3, 3]))
        last = f"x{i}"
    if whole:
        nodes.append(helper.make_node("GlobalAveragePool", ["image"], ["mean"]))
        weights.append(numpy_helper.from_array(np.float32(0.01), "little"))
        nodes.append(helper.make_node("Mul", ["mean", "little"], ["bit"]))
        nodes.append(helper.make_node("Add", [last, "bit"], ["sum"]))
        last = "sum"
    weights.append(numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales"))
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes.append(helper.make_node("Resize", [last, "", "scales"], ["result"], **how))
    sides = [fixed, fixed] if fixed else ["H", "W"]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *sides])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["N", 3, "h", "w"])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9), str(path))
    return path
