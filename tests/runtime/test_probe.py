"""Networks without a card give the same results as with one, whatever their interface."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from stub_network import stub

from img2img.errors import ModelError, UsageError
from img2img.runtime.network import adapter, models, probe
from img2img.runtime.network.inference_errors import OutOfMemory
from img2img.runtime.network.session import load
from img2img.runtime.network.tiling import run_tiled

AFFINE = {"1": (1.0, 0.0), "255": (255.0, 0.0), "signed": (2.0, -1.0)}  # v in 0..1 -> v * a + b
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def foreign(
    source: Path,
    path: Path,
    *,
    reads: str = "1",
    writes: str = "1",
    clip: bool = True,
    last: tuple[bool, bool] = (False, False),
    bgr: bool = False,
    types: tuple[str, str] = ("float32", "float32"),
    fixed: tuple[int, int] | None = None,
    n: int | str = "N",
) -> Path:
    """The network of `source` (a model file with a clip at its end) without its card, behind another interface.

    `clip`: whether the clip stays. `reads`, `writes`: ranges; `last`: [N, H, W, C] in, out; `types` in, out.
    """
    model = onnx.load(source)
    del model.metadata_props[:]
    graph = model.graph
    scale = onnx_nets.card()["scale"] if (found := models.read_card(source)) is None else found.scale
    for node in graph.node:
        node.input[:] = ["inner_in" if one == "image" else one for one in node.input]
        node.output[:] = ["inner_out" if one == "result" else one for one in node.output]
        if node.op_type == "Clip" and not clip:
            node.op_type = "Identity"
            del node.input[1:]
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []

    def op(nodes: list[onnx.NodeProto], kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"f{len(before)}_{len(after)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def number(value: Any) -> str:
        name = f"n{len(graph.initializer)}"
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def swapped(nodes: list[onnx.NodeProto], x: str) -> str:
        return op(nodes, "Gather", [x, number(np.array([2, 1, 0]))], axis=1) if bgr else x

    x = op(before, "Cast", ["input.1"], to=TensorProto.FLOAT)
    x = op(before, "Transpose", [x], perm=[0, 3, 1, 2]) if last[0] else x
    a, b = AFFINE[reads]
    x = swapped(before, op(before, "Div", [op(before, "Sub", [x, number(np.float32(b))]), number(np.float32(a))]))
    before.append(helper.make_node("Identity", [x], ["inner_in"]))
    a, b = AFFINE[writes]
    y = op(
        after, "Add", [op(after, "Mul", [swapped(after, "inner_out"), number(np.float32(a))]), number(np.float32(b))]
    )
    y = op(after, "Transpose", [y], perm=[0, 2, 3, 1]) if last[1] else y
    y = op(after, "Round", [y]) if types[1] == "uint8" else y
    after.append(helper.make_node("Cast", [y], ["1234"], to=TYPES[types[1]]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    sides: tuple[Any, ...] = fixed or ("height", "width")
    out: tuple[Any, ...] = tuple(side * scale for side in fixed) if fixed else ("h", "w")
    for values, name, (high, wide), is_last, kind in (
        (graph.input, "input.1", sides, last[0], types[0]),
        (graph.output, "1234", out, last[1], types[1]),
    ):
        shape = [n, high, wide, 3] if is_last else [n, 3, high, wide]
        values.append(helper.make_tensor_value_info(name, TYPES[kind], shape))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x2, with small biases and weights, so that its result resembles what it is given; with a card."""
    path = onnx_nets.compact(tmp_path_factory.mktemp("nets") / "net.onnx", scale=2, seed=3)
    model = onnx.load(path)
    last = next(one for one in reversed(model.graph.node) if one.op_type == "Conv")
    for weights in model.graph.initializer:
        if weights.name in last.input:
            weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(0.3), weights.name))
    onnx.save(model, path)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


def colours(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)


# Changes to a plain interface | the largest difference of the result.
INTERFACES: dict[str, tuple[dict[str, Any], float]] = {
    "0..1": ({}, 1e-6),
    "0..255": ({"reads": "255", "writes": "255"}, 1e-5),
    "-1..1": ({"reads": "signed", "writes": "signed"}, 1e-6),
    "0..255 in, 0..1 out": ({"reads": "255"}, 1e-5),
    "0..1 in, 0..255 out": ({"writes": "255"}, 1e-5),
    "-1..1 in, 0..1 out": ({"reads": "signed"}, 1e-6),
    "TensorFlow": ({"last": (True, True)}, 1e-6),
    "TensorFlow, 0..255": ({"last": (True, True), "reads": "255", "writes": "255"}, 1e-5),
    "turned at the input": ({"last": (False, True)}, 1e-6),
    "half": ({"types": ("float16", "float16")}, 2e-3),
    "half, -1..1": ({"types": ("float16", "float16"), "reads": "signed", "writes": "signed"}, 2e-3),
    "bytes": ({"types": ("uint8", "uint8"), "reads": "255", "writes": "255"}, 0.02),
    "bytes in": ({"types": ("uint8", "float32"), "reads": "255"}, 0.02),
    "bytes in, 0..255": ({"types": ("uint8", "float32"), "reads": "255", "writes": "255"}, 0.02),
    "bytes in, -1..1 out": ({"types": ("uint8", "float32"), "reads": "255", "writes": "signed"}, 0.02),
    "one picture": ({"n": 1}, 1e-6),
}


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_network_gives_the_same_picture_whatever_its_interface(net: Path, tmp_path: Path, interface: str) -> None:
    changes, bound = INTERFACES[interface]
    model = load(foreign(net, tmp_path / "bare.onnx", **changes), device="cpu")
    image = noise(12, 17)
    expected, result = load(net, device="cpu").infer(image), model.infer(image)
    assert result.shape == expected.shape and result.dtype == np.float32 and result.flags.c_contiguous
    assert np.abs(np.clip(result, 0, 1) - expected).max() <= bound
    assert (model.card.scale, model.card.multiple, model.card.context, model.card.task) == (2, 1, None, "upscale")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reads": "255", "writes": "255"}, "values 0..255,"),
        ({}, "values 0..1,"),
        ({"reads": "signed", "writes": "signed"}, "values -1..1,"),
        ({"reads": "255", "writes": "1"}, "values 0..255 in and 0..1 out"),
        ({"types": ("uint8", "uint8"), "reads": "255", "writes": "255"}, "values 0..255,"),
    ],
)
def test_what_was_found_is_said_in_one_line(net: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    model = load(foreign(net, tmp_path / "bare.onnx", **changes), device="cpu")
    (note,) = model.notes
    assert note.startswith("bare.onnx has no img2img card; probing found scale 2, RGB (assumed;")
    assert words in note and "--assume context=N" in note and "\n" not in note


@pytest.mark.parametrize("values", ["1", "255", "signed"])
@pytest.mark.parametrize("clip", [True, False])
def test_the_range_of_a_trained_network_is_found(tmp_path: Path, values: str, clip: bool) -> None:
    source = models.find("upscale-x2")
    bare = foreign(source, tmp_path / "bare.onnx", reads=values, writes=values, clip=clip)
    photo = (probe.picture(24, 32) + 0.05 * (noise(24, 32) - 0.5)).astype(np.float32)
    result, expected = load(bare, device="cpu").infer(photo), load(source, device="cpu").infer(photo)
    # Without a clip a network trained for -1..1 resembles its input as well in 0..1, at half the contrast.
    assert np.abs(result - expected).max() <= (1e-3 if clip or values != "signed" else 0.02)


def test_a_range_that_makes_no_difference_is_no_question(tmp_path: Path) -> None:
    path = onnx_nets.pointwise(tmp_path / "net.onnx", scale=3)
    model = load(foreign(path, tmp_path / "bare.onnx"), device="cpu")
    assert "values 0..1 (0..255 and -1..1 work equally well)" in model.notes[0]


def undecided(path: Path) -> Path:
    """A network without a last step that says its range: in -1..1 and in 0..1 its result resembles the picture."""
    image, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, "H", "W"]) for name in ("image", "result")
    )
    nodes = [
        helper.make_node("Mul", ["image", "image"], ["square"]),
        helper.make_node("Sub", ["image", "square"], ["change"]),
        helper.make_node("Mul", ["change", "some"], ["part"]),
        helper.make_node("Add", ["image", "part"], ["result"]),
    ]
    some = numpy_helper.from_array(np.array(0.1, np.float32), "some")
    graph = helper.make_graph(nodes, "net", [image], [result], [some])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_range_that_cannot_be_found_out_is_asked_for_by_name(tmp_path: Path) -> None:
    path = undecided(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: .* value range cannot be determined: use --assume range=255"):
        load(path, device="cpu")
    image = noise(5, 6)
    model = load(path, device="cpu", assume={"range": "signed"})
    signed = image * 2 - 1
    assert np.allclose(model.infer(image), (signed + 0.1 * (signed - signed**2) + 1) / 2, atol=1e-6)
    assert "values -1..1" in model.notes[0]


def test_colours_in_the_other_order_are_said(net: Path, tmp_path: Path) -> None:
    path = foreign(net, tmp_path / "bare.onnx", bgr=True)
    image, expected = noise(9, 8), load(net, device="cpu").infer(noise(9, 8))
    assert np.abs(load(path, device="cpu").infer(image) - expected).max() > 0.01
    model = load(path, device="cpu", assume={"channels": "bgr"})
    assert np.abs(model.infer(image) - expected).max() <= 1e-6
    assert "BGR, " in model.notes[0] and "assumed" not in model.notes[0]


@pytest.mark.parametrize("key", ["range", "scale", "multiple"])
def test_what_is_said_is_not_probed(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    runs = []
    original = probe._run

    def run(*args: Any) -> Any:
        runs.append(args[1].input_range)
        return original(*args)

    monkeypatch.setattr(probe, "_run", run)
    path = foreign(net, tmp_path / "bare.onnx", reads="255", writes="255")
    load(path, device="cpu", assume={key: {"range": "255", "scale": "2", "multiple": "6"}[key]})
    assert runs == (["255"] if key == "range" else ["1", "1", "255", "signed"])


def test_a_multiple_that_no_probe_tries_is_asked_for_by_name(tmp_path: Path) -> None:
    source = onnx_nets.blocks(tmp_path / "net.onnx", multiple=36)
    path = foreign(source, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"scale cannot be determined: .*; use --assume multiple=N"):
        load(path, device="cpu")
    model = load(path, device="cpu", assume={"multiple": "36"})
    assert (model.card.multiple, model.card.minimum, model.card.task) == (36, 36, "translate")
    colour = colours(40, 50)
    assert np.array_equal(run_tiled(model, colour), run_tiled(load(source, device="cpu"), colour, tile=None))


def test_a_scale_that_is_not_so_is_found_out(net: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its result for .*, not 4 times the picture's"):
        load(foreign(net, tmp_path / "bare.onnx"), device="cpu", assume={"scale": "4"})


def test_task_and_context_are_said(net: Path, tmp_path: Path) -> None:
    path = foreign(net, tmp_path / "bare.onnx")
    model = load(path, device="cpu", assume={"task": "translate", "context": "3"})
    assert (model.card.task, model.card.context) == ("translate", 3)
    assert "no tiles" not in model.notes[0]
    colour = colours(50, 61)
    assert np.array_equal(run_tiled(model, colour, tile=16), run_tiled(load(net, device="cpu"), colour, tile=None))


@pytest.mark.parametrize(
    ("assume", "message"),
    [
        ({"colour": "rgb"}, r"unknown key 'colour'; keys: scale \(an integer from 1 to 64\), range \(1, 255, signed\)"),
        ({"range": "0..1"}, "range takes 1, 255, signed, not '0..1'"),
        ({"channels": "3"}, "channels takes rgb, bgr, not '3'"),
        ({"task": "inpaint"}, "task takes upscale, translate"),
        ({"scale": "0"}, "scale takes an integer from 1 to 64, not '0'"),
        ({"scale": "65"}, "scale takes"),
        ({"scale": "x2"}, "scale takes"),
        ({"scale": "²"}, "scale takes"),
        ({"multiple": ""}, "multiple takes"),
        ({"context": "-1"}, "context takes an integer from 0"),
        ({"context": "9" * 5000}, "context takes"),
    ],
)
def test_what_makes_no_sense_to_assume_is_a_usage_error(
    net: Path, tmp_path: Path, assume: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(foreign(net, tmp_path / "bare.onnx"), device="cpu", assume=assume)


def test_nothing_is_to_be_assumed_of_a_file_with_a_card(net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has its own card: omit --assume"):
        load(net, device="cpu", assume={"range": "1"})
    with pytest.raises(UsageError, match="not both"):
        card = load(net, device="cpu").card
        load(foreign(net, tmp_path / "bare.onnx"), device="cpu", card=card, assume={"range": "1"})
    assert load(net, device="cpu", assume={}).notes == ()


def luminance_net(path: Path, scale: int = 2, channels: tuple[int, int] = (1, 1), **sides: Any) -> Path:
    """ESPCN's interface: [N, 1, H, W] in and out; a blur, then nearest."""
    kernel = np.full((channels[1], channels[0], 3, 3), 1 / (9 * channels[0]), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["blurred"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["blurred", "", "scales"], ["enlarged"], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Clip", ["enlarged", "zero", "one"], ["y"]),
    ]  # fmt: skip
    weights = {"kernel": kernel, "scales": np.array([1, 1, scale, scale], np.float32)}
    weights |= {"zero": np.array(0, np.float32), "one": np.array(1, np.float32)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels[0], "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", channels[1], "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_network_of_one_channel_enlarges_the_luminance_and_keeps_the_colours(tmp_path: Path) -> None:
    model = load(luminance_net(tmp_path / "espcn.onnx"), device="cpu")
    image = noise(10, 12)
    result = model.infer(image)
    y = adapter.luminance(image)
    blurred = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
    blurred = sum(blurred[..., i : i + 10, j : j + 12] for i in range(3) for j in range(3)) / 9
    assert np.allclose(adapter.luminance(result)[..., ::2, ::2], blurred, atol=1e-5)
    blue = Image.fromarray(image[0, 2] - y[0, 0]).resize((24, 20), Image.Resampling.BICUBIC)
    assert np.allclose(result[0, 2] - adapter.luminance(result)[0, 0], np.asarray(blue), atol=1e-5)
    assert "luminance only (colours are enlarged bicubically), values 0..1" in model.notes[0]


def test_grey_stays_grey_in_a_network_of_one_channel(tmp_path: Path) -> None:
    model = load(luminance_net(tmp_path / "espcn.onnx"), device="cpu")
    grey = colours(9, 11, 1).repeat(3, axis=2)
    result = run_tiled(model, grey)
    assert (result == result[..., :1]).all() and result.std() > 5


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_tiles_of_a_network_of_one_channel_equal_the_whole(tmp_path: Path, scale: int) -> None:
    model = load(luminance_net(tmp_path / "espcn.onnx", scale), device="cpu", assume={"context": "1"})
    assert model.card.context == (1 if scale == 1 else 2)  # bicubic enlarging sees further than the network
    colour = colours(50, 41)
    whole, tiled = run_tiled(model, colour, tile=None), run_tiled(model, colour, tile=12)
    assert np.abs(whole.astype(int) - tiled).max() <= 1 and (whole != tiled).mean() < 1e-3  # ties of rounding


def bare(
    path: Path, shape: list[Any], result: list[Any], kind: int = TensorProto.FLOAT, out: int | None = None
) -> Path:
    infos = [
        helper.make_tensor_value_info(name, type_, sides)
        for name, type_, sides in (("x", kind, shape), ("y", out or kind, result))
    ]
    node = helper.make_node("Cast", ["x"], ["y"], to=out or kind)
    graph = helper.make_graph([node], "net", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "out", "message"),
    [
        (["N", 4, "H", "W"], TensorProto.FLOAT, None, "'x' must have 1 or 3 channels, its shape is Nx4xHxW"),
        (["N", 64, 64, 4], TensorProto.FLOAT, None, "must have 1 or 3 channels"),
        (["N", 3, 64, "W"], TensorProto.FLOAT, None, r"'x' has one fixed side \(64\)"),
        ([2, 3, "H", "W"], TensorProto.FLOAT, None, "only takes 2 pictures at a time"),
        (["N", 3, "H"], TensorProto.FLOAT, None, "must have 4 dimensions, not 3"),
        (
            ["N", 3, "H", "W"],
            TensorProto.INT64,
            None,
            r"'x' must be float32, float16, float64 or uint8, not tensor\(int64\)",
        ),
        (["N", 3, "H", "W"], TensorProto.FLOAT, TensorProto.INT64, r"'y' must be float32"),
    ],
)
def test_a_network_that_is_none_from_picture_to_picture_is_refused(
    tmp_path: Path, shape: list[Any], kind: int, out: int | None, message: str
) -> None:
    path = bare(tmp_path / "net.onnx", shape, shape, kind, out)
    with pytest.raises(ModelError, match=message) as error:
        load(path, device="cpu")
    assert "net.onnx" in str(error.value) and "\n" not in str(error.value)


def test_a_network_that_draws_a_map_is_refused(tmp_path: Path) -> None:
    path = luminance_net(tmp_path / "depth.onnx", 1, channels=(3, 1))
    with pytest.raises(ModelError, match="its result for 256x256 pixels has the shape 1x1x256x256, not a multiple"):
        load(path, device="cpu")


@pytest.mark.parametrize("size", [(80, 99), (24, 40), (25, 41), (23, 90), (10, 7), (1, 1)])
@pytest.mark.parametrize("last", [(False, False), (True, True)])
def test_a_network_of_one_size_runs_pictures_of_every_size(
    net: Path, tmp_path: Path, size: tuple[int, int], last: tuple[bool, bool]
) -> None:
    path = foreign(net, tmp_path / "bare.onnx", fixed=(24, 40), n=1, last=last)
    model, free = load(path, device="cpu"), load(net, device="cpu")
    assert model.fixed == (24, 40)
    assert "only takes tiles of 40x24 pixels, which overlap by 8x6; seams are possible" in model.notes[1]
    colour = colours(*size)
    result = run_tiled(model, colour)
    # What is added to a smaller picture is its reflection; the network itself sees 3 pixels far.
    pads = [(0, max(0, side - length)) for side, length in zip((24, 40), size, strict=True)]
    mode = "reflect" if min(size) > 1 else "edge"
    expected = run_tiled(free, np.pad(colour, [*pads, (0, 0)], mode=mode), tile=None)
    assert result.shape == (size[0] * 2, size[1] * 2, 3)
    assert np.array_equal(result, expected[: size[0] * 2, : size[1] * 2])


@pytest.mark.parametrize("multiple", [1, 4])
def test_a_network_of_one_size_with_a_card_is_exact_as_far_as_its_card_says(tmp_path: Path, multiple: int) -> None:
    source = onnx_nets.compact(tmp_path / "net.onnx") if multiple == 1 else onnx_nets.blocks(tmp_path / "net.onnx")
    model = onnx.load(source)
    for info in (*model.graph.input, *model.graph.output):
        factor = 2 if multiple == 1 and info.name == "result" else 1
        for axis, side in ((2, 32), (3, 24)):
            info.type.tensor_type.shape.dim[axis].dim_value = side * factor
    onnx.save(model, tmp_path / "fixed.onnx")
    fixed, free = load(tmp_path / "fixed.onnx", device="cpu"), load(source, device="cpu")
    assert fixed.notes == ("fixed.onnx only takes tiles of 24x32 pixels",)
    colour = colours(72, 88)
    assert np.array_equal(run_tiled(fixed, colour), run_tiled(free, colour, tile=None))
    with pytest.raises(UsageError, match="tiles of one size only, 32 pixels: omit --tile"):
        run_tiled(fixed, colour, tile=16)


@pytest.mark.parametrize("changes", [{"task": "inpaint"}, {"multiple": 7}, {"minimum": 64}])
def test_a_fixed_size_that_the_card_does_not_allow_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = onnx_nets.filler(tmp_path / "net.onnx", **{"task": "translate", **changes})
    model = onnx.load(path)
    if changes.get("task") != "inpaint":
        path = onnx_nets.pointwise(tmp_path / "net.onnx", **changes)
        model = onnx.load(path)
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 32
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"net\.onnx: 'image' has a fixed size \(Nx3x32x32\)"):
        load(path, device="cpu")


def test_a_multiple_that_does_not_fit_the_fixed_sides_is_a_usage_error(net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fixed size, 40x24, is not a multiple of 16"):
        load(foreign(net, tmp_path / "bare.onnx", fixed=(24, 40)), device="cpu", assume={"multiple": "16"})


def test_a_network_that_does_not_fit_is_out_of_memory_and_not_unknown(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 12")

    monkeypatch.setattr(probe, "_run", full)
    with pytest.raises(OutOfMemory, match="running it on 17x15 pixels failed: out of memory"):
        load(foreign(net, tmp_path / "bare.onnx"), device="cpu")


def test_tiles_of_a_network_that_nobody_knows_are_asked_for_by_name(net: Path, tmp_path: Path) -> None:
    model = load(foreign(net, tmp_path / "bare.onnx"), device="cpu")
    with pytest.raises(
        UsageError, match="no card with its context, so it cannot use tiles: --assume context=N allows tiles"
    ):
        run_tiled(model, colours(64, 64), tile=32)

    def full(image: np.ndarray) -> np.ndarray:
        raise OutOfMemory("it does not fit")

    small = stub(card=model.card, path=model.path, is_foreign=model.is_foreign, infer=full)
    with pytest.raises(OutOfMemory, match="in a tile of 64x64 pixels; --assume context=N allows tiles"):
        run_tiled(small, colours(64, 64))
    small.card = dataclasses.replace(model.card, context=3)
    with pytest.raises(OutOfMemory, match="smaller tiles are not possible"):
        run_tiled(small, colours(64, 64))


def photo_crop(height: int, width: int) -> np.ndarray:
    path = Path(__file__).parents[2] / "examples" / "inpainting" / "cake.jpg"
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").crop((100, 100, 100 + width, 100 + height)))


def extended(path: Path, pixels: np.ndarray, offset: int, scale: int) -> np.ndarray:
    """The centre of what the bare network makes of the picture, extended by reflection, as 8-bit."""
    import onnxruntime

    height, width = pixels.shape[:2]
    given = np.pad(pixels.astype(np.float32) / 255, ((offset,) * 2, (offset,) * 2, (0, 0)), mode="reflect")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"image": given.transpose(2, 0, 1)[None]})
    top, left = (result.shape[2] - height * scale) // 2, (result.shape[3] - width * scale) // 2
    middle = result[0, :, top : top + height * scale, left : left + width * scale].transpose(1, 2, 0)
    return np.rint(middle.clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(("convs", "scale"), [(14, 1), (7, 2)])
def test_a_network_without_padding_says_so_and_which_offset_it_needs(tmp_path: Path, convs: int, scale: int) -> None:
    path = onnx_nets.unpadded(tmp_path / "valid.onnx", convs=convs, scale=scale)
    with pytest.raises(
        ModelError, match=r"its result is 28 pixels smaller than .* no padding: use --assume offset=14$"
    ):
        load(path)
    if scale == 1:
        with pytest.raises(ModelError, match=r"with offset 10 is 8 pixels smaller .*: use --assume offset=14$"):
            load(path, assume={"offset": "10"})


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 40), (14, 15), (60, 83), (130, 71)])
@pytest.mark.parametrize(("convs", "scale", "offset"), [(14, 1, 14), (7, 2, 7), (7, 2, 14), (3, 1, 14)])
def test_a_network_without_padding_sees_the_picture_extended_and_has_no_seams(
    tmp_path: Path, size: tuple[int, int], convs: int, scale: int, offset: int
) -> None:
    path = onnx_nets.unpadded(tmp_path / "valid.onnx", convs=convs, scale=scale)
    model = load(path, assume={"offset": str(offset), "range": "1"}, threads=2)
    assert (model.card.scale, model.card.context) == (scale, offset)
    assert "extended by" in model.notes[0]
    pixels = photo_crop(*size)
    whole = run_tiled(model, pixels, tile=None)
    assert whole.shape == (size[0] * scale, size[1] * scale, 3)
    assert np.array_equal(whole, extended(path, pixels, offset, scale))
    for tile in (1, 16, 50, "auto"):
        if tile != 1 or max(size) < 20:
            assert np.array_equal(run_tiled(model, pixels, tile=tile), whole)


def test_a_network_without_padding_that_sees_the_whole_picture_gets_no_tiles(tmp_path: Path) -> None:
    path = onnx_nets.unpadded(tmp_path / "whole.onnx", whole=True)
    model = load(path, assume={"offset": "14", "range": "1"})
    assert model.card.context is None
    pixels = photo_crop(40, 50)
    assert np.array_equal(run_tiled(model, pixels), extended(path, pixels, 14, 1))


def test_a_network_of_one_size_without_padding_is_exact(tmp_path: Path) -> None:
    fixed = onnx_nets.unpadded(tmp_path / "fixed.onnx", fixed=96)
    with pytest.raises(ModelError, match=r"28 pixels smaller .* --assume offset=14$"):
        load(fixed)
    model = load(fixed, assume={"offset": "14", "range": "1"})
    assert model.fixed == (68, 68) and "seams" not in " ".join(model.notes)
    pixels = photo_crop(100, 150)
    any_size = load(onnx_nets.unpadded(tmp_path / "any.onnx"), assume={"offset": "14", "range": "1"})
    difference = np.abs(run_tiled(model, pixels).astype(int) - run_tiled(any_size, pixels, tile=None))
    assert difference.max() <= 1
    with pytest.raises(UsageError, match="leaves nothing of its fixed size"):
        load(fixed, assume={"offset": "48"})
