"""Published weights files are recognised by their keys and become model files equal to the official networks."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import reference_module, shared
from torch import Tensor, nn

from img2img import exchange, networks
from img2img.errors import CheckpointError, UsageError
from img2img.exchange import receptive_field
from img2img.exchange.importers import Options, import_file, parts, spandrel_models, weights_file
from img2img.exchange.importers.family import BuiltNetwork, State
from img2img.exchange.importers.fourier import FourierUnit, irfft2, replace_fourier_units, rfft2
from img2img.exchange.importers.inpainters import CentreInpainting
from img2img.exchange.importers.registry import FAMILIES, build, detect
from img2img.exchange.receptive_field import from_layers
from img2img.runtime.network.card import Card

GENERATORS: dict[str, dict[str, Any]] = {
    # reference network: expected entries of its card
    "pix2pix_unet_256": {"method": "pix2pix U-Net", "multiple": 256, "parameters": 54_413_955},
    "pix2pix_unet_128": {"method": "pix2pix U-Net", "multiple": 128},
    "cyclegan_resnet_9blocks": {"method": "CycleGAN ResNet", "multiple": 4},
    "cyclegan_resnet_6blocks": {"method": "CycleGAN ResNet", "minimum": 8},
    "pix2pix_resnet_9blocks_batchnorm_dropout": {"method": "CycleGAN ResNet", "parameters": 11_383_427},
    "pix2pixhd_global": {"method": "pix2pixHD", "multiple": 16, "parameters": 182_443_267},
    "stargan_generator": {"method": "StarGAN", "domains": tuple("abcde")},
    "realesrgan_rrdbnet_x4": {"task": "upscale", "scale": 4, "parameters": 16_697_987},
    "realesrgan_rrdbnet_x4_6blocks": {"scale": 4, "parameters": 4_467_779},
    "realesrgan_rrdbnet_x2": {"scale": 2, "multiple": 2},
    "esrgan_rrdbnet_2018_keys": {"scale": 4, "parameters": 16_697_987},
    "srvgg_compact_x4_16conv": {"scale": 4, "method": "Real-ESRGAN compact"},
    "srvgg_compact_x4_32conv": {"scale": 4, "parameters": 1_213_296},
    "srresnet_x2": {"scale": 2},
    "srresnet_x4": {"scale": 4},
    "deepfillv2_generator": {"task": "inpaint", "multiple": 8},
    "context_encoder_center_128": {"task": "inpaint", "multiple": 1},
}
DISCRIMINATORS = ("patchgan_70x70_batchnorm", "pixelgan", "stargan_discriminator", "vgg_style_discriminator_128")
DOMAINS = Options(domains=tuple("abcde"))


def layout(name: str) -> State:
    """The official state dict of the reference network `name`, filled with zeros."""
    entries = json.loads(shared(f"reference/networks/{name}.json").read_text())["state_dict"]
    return {key: torch.zeros(size, dtype=getattr(torch, dtype)) for key, size, dtype in entries}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_published_generator_is_recognised_without_options(name: str) -> None:
    state = layout(name)
    assert [one.fits(state) for one in FAMILIES].count(True) == 1
    facts = build(state, DOMAINS if "stargan" in name else Options()).facts
    for key, value in GENERATORS[name].items():
        assert facts[key].startswith(value) if key == "method" else facts[key] == value
    Card(name=name, **facts)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_belong_to_no_family(name: str) -> None:
    assert detect(layout(name)) is None


# Network: the key that the official code stores the weights under, and options for the norm mode of the stored output.
GOLDEN = {
    "srvgg_compact_x4_16conv": ("params", Options()),
    "srresnet_x2": (None, Options()),
    "cyclegan_resnet_6blocks": (None, Options()),
    "stargan_generator": (None, DOMAINS),
    "pix2pix_unet_128": (None, Options(norm_mode="running")),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_imported_file_gives_the_official_output(name: str, tmp_path: Path) -> None:
    fill, (wrapper, options) = reference_module(), GOLDEN[name]
    state = {key: torch.from_numpy(values) for key, values in fill.weights(name).items()}
    torch.save({wrapper: state} if wrapper else state, tmp_path / f"{name}.pth")
    imported = import_file(tmp_path / f"{name}.pth", tmp_path / "model.onnx", options)
    inputs, (truth,) = fill.reference(name)
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    given = dict(zip((one.name for one in session.get_inputs()), inputs, strict=True))
    if imported.card.task == "translate":  # the stored pictures are -1..1
        given["image"], truth = (given["image"] + 1) / 2, (truth + 1) / 2
    (result,) = session.run(["result"], given)
    assert np.abs(result - truth.clip(0, 1)).max() < 1e-4 * np.ptp(truth)
    assert np.ptp(result) > 0.5


def test_discriminators_of_our_own_are_no_candidates() -> None:
    options: dict[str, dict[str, Any]] = {"stargan-discriminator": {"domains": 3, "size": 128}}
    names = ("patchgan", "pixelgan", "multi-scale", "vgg-style", "unet-discriminator", "sn-patchgan", "dcgan")
    for name in (*names, *options):
        state = networks.build(name, **options.get(name, {})).state_dict()
        assert parts.find({f"netD.{key}": value.shape for key, value in state.items()}) == []


def generator(seed: int) -> State:
    torch.manual_seed(seed)
    return networks.build("resnet", features=4, blocks=1).state_dict()


def prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


NESTINGS: dict[str, Callable[[State, State, State], Any]] = {
    "dictionaries": lambda a, b, d: {"G_A": a, "G_B": b, "D_A": d, "epoch": 7},
    "deeper": lambda a, b, d: {"epoch": 1, "nets": {"G_A": {"model": {"module": a}}, "G_B": {"model": {"module": b}}}},
    "lightning": lambda a, b, d: {
        "state_dict": prefixed("G_A.", a) | prefixed("G_B.", b) | prefixed("D_A.", d),
        "hyper_parameters": {"lr": 2e-4, "names": ["x"]},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.rand(3)}}, "param_groups": [{"params": [0]}]}],
    },
    "prefixes": lambda a, b, d: prefixed("module.G_A._orig_mod.generator.", a) | prefixed("module.G_B.", b),
    "list": lambda a, b, d: [{"G_A": a}, {"G_B": b}, d],
    "averages": lambda a, b, d: {"G_A": d, "G_A_ema": a, "G_B": {k: v + 1 for k, v in b.items()}, "G_B_ema": b},
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("format", ["pth", "safetensors"])
def test_one_of_several_generators_is_chosen_by_its_name(tmp_path: Path, nesting: str, format: str) -> None:
    a, b = generator(1), generator(2)
    discriminator = networks.build("patchgan", features=4).state_dict()
    file = tmp_path / f"both.{format}"
    content = NESTINGS[nesting](a, b, discriminator)
    if format == "pth":
        torch.save(content, file)
    else:
        flat, _ = parts.flatten(content)
        tensors = {key: value.clone() for key, value in flat.items() if isinstance(value, Tensor)}
        safetensors.torch.save_file(tensors, file)
    with pytest.raises(
        UsageError, match=r"both\.\w+: holds several generators \(.*G_A.*, .*G_B.*\): .* --part NAME$"
    ) as e:
        weights_file.read(file)
    assert "D_A" not in str(e.value)
    for name, state in (("G_A", a), ("G_B", b)):
        name = f"{name}_ema" if nesting == "averages" else name
        read = weights_file.read(file, name)
        assert set(read.state) == set(state) and all(torch.equal(read.state[key], state[key]) for key in state)
        assert name in read.wrappers and "module" not in read.wrappers and read.averaged == (nesting == "averages")
    with pytest.raises(UsageError, match=r"--part G_C: the file has no generator of this name; there are .*G_A"):
        weights_file.read(file, "G_C")


@pytest.mark.parametrize("prefix", ["generator.", "netG_A.", "model.generator.", "module.", "_orig_mod.", "any.thing."])
def test_a_generator_is_found_behind_any_prefix_beside_a_discriminator(tmp_path: Path, prefix: str) -> None:
    state = generator(1)
    discriminator = networks.build("dcgan").state_dict()
    torch.save(prefixed(prefix, state) | prefixed("discriminator.", discriminator), tmp_path / "one.pth")
    assert set(weights_file.read(tmp_path / "one.pth").state) == set(state)


@pytest.mark.parametrize(
    "state",
    [
        {"body.0.weight": (4, 3, 3, 3), "body.1.weight": (4,), "body.99999998.weight": (12, 4, 3, 3)},
        {"model.1.weight": (4, 3, 7, 7), "model.99999998.conv_block.1.weight": (4, 4, 3, 3)},
        {"main.0.weight": (4, 5, 7, 7), "main.9.main.0.weight": (4, 4, 3, 3), "main.99999998.weight": (3, 4, 7, 7)},
        {"main.0.weight": (4, 3, 4, 4), "main.2.weight": (4, 4, 4, 4), "main.3.running_mean": (4,)}
        | {f"main.{i}.weight": (3, 4, 3, 3) for i in range(4, 90)},
        {"conv_first.weight": (), "body.0.conv1.weight": (), "upconv1.weight": (), "conv_hr.weight": ()},
        {"stage1.conv1.conv.weight": (2,), "stage2.conv_conv1.conv.weight": ()},
        {"body.0.rdb1.conv1.weight": (0, 0), "conv_first.weight": (0, 0, 1, 1), "conv_last.weight": (0,)},
        {"body.0.weight": (0, 2**40, 3, 3), "body.1.weight": (0,), "body.2.weight": (0, 0, 3, 3)},
        {"layers.99999998.attn.weight": (4, 4), "layers.0.residual_group.blocks.0.norm1.weight": (4,)},
    ],
)
def test_absurd_layers_are_refused_before_anything_is_built(state: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    given = {key: torch.zeros(shape) for key, shape in state.items()}
    with pytest.raises(CheckpointError) as caught:
        build(given, DOMAINS)
    assert len(str(caught.value)) < 800
    safetensors.torch.save_file(given, tmp_path / "absurd.safetensors")
    with pytest.raises((CheckpointError, UsageError), match="absurd"):
        import_file(tmp_path / "absurd.safetensors", tmp_path / "x.onnx", DOMAINS)
    assert not (tmp_path / "x.onnx").exists()


def random_network(name: str, **hyper: Any) -> nn.Module:
    """A small network of ours whose weights all affect the result."""
    torch.manual_seed(0)
    network = networks.build(name, **hyper).eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and not key.endswith("fuse_weight"):
            value.normal_(0, 0.2)
    return network


def old_keys(state: State) -> State:
    """Converts a state dict from Real-ESRGAN's layout to that of models from before ESRGAN's own repository."""
    blocks = max(int(key.split(".")[1]) for key in state if key.startswith("body.")) + 1
    places = {"conv_first": "0", "conv_body": f"1.sub.{blocks}", "conv_up1": "3", "conv_up2": "6"}
    places |= {"conv_hr": "8", "conv_last": "10"}
    renamed = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        new = places.get(layer) or layer.replace("body.", "1.sub.").replace("rdb", "RDB") + ".0"
        renamed[f"model.{new}.{kind}"] = value
    return renamed


def run(built: BuiltNetwork, *inputs: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = built.network(*inputs)
    return result


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("unet", {"features": 4, "downs": 3, "dropout": False}),
        ("unet", {"features": 4, "downs": 2, "norm": "instance", "outputs": 1}),
        ("unet", {"features": 4, "downs": 3, "upsampling": "resize", "inputs": 1}),
        ("unet", {"features": 4, "downs": 3, "residual": True}),
        ("unet", {"features": 4, "downs": 2, "residual": True, "norm": "instance", "upsampling": "resize"}),
        ("resnet", {"features": 4, "blocks": 2}),
        ("resnet", {"features": 4, "blocks": 1, "norm": "batch", "dropout": True, "upsampling": "resize"}),
        ("resnet", {"features": 4, "blocks": 1, "dropout": True}),
        ("pix2pixhd", {"features": 4, "blocks": 2, "downs": 3}),
    ],
)
@torch.no_grad()
def test_depth_width_norm_and_dropout_are_read_from_the_keys(name: str, hyper: dict[str, Any]) -> None:
    network = random_network(name, **hyper)
    built = build(network.state_dict(), Options(norm_mode="running"))
    image = torch.rand(1, 3, 16, 24)
    grey = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    given = (grey if hyper.get("inputs") == 1 else image) * 2 - 1
    assert torch.allclose(run(built, image), (network(given) + 1) / 2, atol=1e-5)
    assert built.facts["multiple"] == network.multiple and built.facts["minimum"] == network.minimum


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("rrdb", {"scale": 1, "features": 8, "blocks": 1, "growth": 4}),
        ("rrdb", {"scale": 2, "features": 8, "blocks": 2, "growth": 4}),
        ("rrdb", {"scale": 4, "features": 8, "blocks": 1, "growth": 8}),
        ("compact", {"scale": 1, "features": 4, "convs": 2}),
        ("compact", {"scale": 3, "features": 4, "convs": 1}),
        ("srresnet", {"scale": 2, "features": 4, "blocks": 1, "norm": "batch", "activation": "prelu"}),
        ("srresnet", {"scale": 3, "features": 4, "blocks": 2}),
        ("srresnet", {"scale": 4, "features": 4, "blocks": 1}),
    ],
)
@torch.no_grad()
def test_scale_and_context_of_upscalers_equal_the_measured_ones(name: str, hyper: dict[str, Any]) -> None:
    network = random_network(name, **hyper)
    built = build(network.state_dict(), Options())
    image = torch.rand(1, 3, 8, 12)
    assert torch.equal(run(built, image), network(image))
    card = Card(name=name, **built.facts)
    assert card.scale == hyper["scale"]
    assert built.context == receptive_field.measure(built.network, card)


def test_context_from_layers() -> None:
    assert from_layers([("conv", 3)], 1) == 3
    assert from_layers([("conv", 1), ("enlarge", 2), ("conv", 1)], 2) == 2
    assert from_layers([("unshuffle", 2), ("conv", 1), ("enlarge", 2)], 1) == 3
    assert build(layout("realesrgan_rrdbnet_x4"), Options()).context == 23 * 15 + 2 + 2


@torch.no_grad()
def test_all_three_layouts_of_esrgan_give_the_same_network() -> None:
    network = random_network("rrdb", scale=4, features=8, blocks=2, growth=4)
    today = network.state_dict()
    names = {"conv_body": "trunk_conv", "body.": "RRDB_trunk.", "rdb": "RDB"}
    names |= {"conv_up": "upconv", "conv_hr": "HRconv"}
    renamed = {}
    for key, value in today.items():
        for new, old in names.items():
            key = key.replace(new, old)
        renamed[key] = value
    image = torch.rand(1, 3, 5, 6)
    for state in (today, renamed, old_keys(today)):
        assert torch.equal(run(build(state, Options()), image), network(image))


@torch.no_grad()
def test_batch_norm_follows_the_norm_mode_and_the_card_names_it() -> None:
    network = random_network("unet", features=4, downs=3, dropout=True)
    image = torch.rand(2, 3, 16, 16)
    paper, running = (build(network.state_dict(), Options(norm_mode=mode)) for mode in ("paper", "running"))
    assert build(network.state_dict(), Options()).facts == paper.facts
    assert paper.facts["method"].endswith("norm mode paper") and running.facts["method"].endswith("norm mode running")
    assert paper.context is None and running.context == "measured"
    # Like the official test: training mode, one picture at a time. Dropout is off, so that the result is deterministic.
    live = copy.deepcopy(network).train()
    for module in live.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    official = torch.cat([(live(one[None] * 2 - 1) + 1) / 2 for one in image])
    assert torch.allclose(run(paper, image), official, atol=1e-5)
    assert not torch.allclose(run(running, image), official, atol=1e-2)


def test_statistics_that_were_never_updated_cause_a_warning() -> None:
    state = networks.build("resnet", features=4, blocks=1, norm="batch").state_dict()
    assert "never updated" in build(state, Options(norm_mode="running")).notes[-1]
    assert not any("never updated" in note for note in build(state, Options()).notes)


@torch.no_grad()
def test_unused_statistics_of_old_instance_norm_are_dropped() -> None:
    network = random_network("resnet", features=4, blocks=1)
    image, state = torch.rand(1, 3, 16, 16), dict(network.state_dict())
    for norm, width in (("model.2", 4), ("model.5", 8), ("model.10.conv_block.2", 16)):
        state |= {f"{norm}.running_mean": torch.ones(width), f"{norm}.running_var": torch.ones(width)}
    built = build(state, Options())
    assert torch.equal(run(built, image), run(build(network.state_dict(), Options()), image))
    assert "dropped the running statistics of 3 instance norm layers" in built.notes[0]


@torch.no_grad()
def test_biases_before_batch_norm_are_folded_and_networks_without_biases_load() -> None:
    # pix2pixHD has biases before batch norm. Official networks without norm layers have no biases at all.
    network = random_network("pix2pixhd", features=4, blocks=1, downs=3, norm="batch")
    image, state = torch.rand(1, 3, 32, 32), dict(network.state_dict())
    convolutions = [key for key in state if key.endswith(".weight") and state[key].ndim == 4][:-1]
    biased = copy.deepcopy(network)
    for key in convolutions:
        layer = biased.get_submodule(key.removesuffix(".weight"))
        layer.bias = nn.Parameter(torch.randn(layer.out_channels))
    built = build(biased.state_dict(), Options(norm_mode="running"))
    assert torch.allclose(run(built, image), (biased(image * 2 - 1) + 1) / 2, atol=1e-5)
    plain = random_network("resnet", features=4, blocks=1, norm="none")
    last = list(plain.state_dict())[-1]
    bare = {key: value for key, value in plain.state_dict().items() if not key.endswith("bias") or key == last}
    for key, value in plain.state_dict().items():
        if key.endswith("bias") and key != last:
            value.zero_()
    assert torch.allclose(run(build(bare, Options()), image), (plain(image * 2 - 1) + 1) / 2, atol=1e-6)


@torch.no_grad()
def test_stargan_uses_the_statistics_of_the_picture_and_needs_domain_names() -> None:
    network = random_network("stargan", domains=3, features=4, blocks=2)
    state = network.state_dict()
    with pytest.raises(UsageError, match=r"3 domains, but the file does not contain their names: .* --domains"):
        build(state, Options())
    with pytest.raises(UsageError, match="3 domains, but 2 were given"):
        build(state, Options(domains=("a", "b")))
    named = Options(domains=("a", "b", "c"), exclusive=True)
    built = build(state, named)
    assert built.facts["domains"] == ("a", "b", "c") and built.facts["exclusive"] is True
    assert "running statistics in the file are ignored" in built.notes[0]
    image, domain = torch.rand(2, 3, 16, 16), torch.eye(3)[:2]
    truth = (network.train()(image * 2 - 1, domain) + 1) / 2
    assert torch.allclose(run(built, image, domain), truth, atol=1e-6)
    # Files from before torch 0.4.1 have no batch counts. Others have no statistics at all.
    bare = {key: value for key, value in state.items() if "running" not in key and "tracked" not in key}
    assert torch.equal(run(build(bare, named), image, domain), run(built, image, domain))


@torch.no_grad()
def test_gated_convolutions_and_context_encoders_for_whole_pictures_fill_holes() -> None:
    image, mask = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[:, :, 8:20, 10:25] = 1
    gated = random_network("gated", features=8)
    state = {key: value for key, value in gated.state_dict().items() if "fuse" not in key}
    signed = image * 2 - 1
    filled = (gated(signed, mask)[1] + 1) / 2 * mask + image * (1 - mask)
    assert torch.allclose(run(build(state, Options()), image, mask), filled, atol=1e-5)
    encoder = random_network("context-encoder", features=4, bottleneck=8, size=32, output="whole", inputs=4)
    built = build(encoder.state_dict(), Options(norm_mode="paper"))
    filled = (encoder(torch.cat((signed * (1 - mask), mask), 1)) + 1) / 2
    assert torch.allclose(run(built, image, mask), filled * mask + image * (1 - mask), atol=1e-5)
    assert "paper is not possible" in built.notes[0]


@torch.no_grad()
def test_a_context_encoder_for_the_centre_fills_a_hole_anywhere() -> None:
    encoder = random_network("context-encoder", features=4, bottleneck=8, size=32)
    inpainter = build(encoder.state_dict(), Options()).network
    assert isinstance(inpainter, CentreInpainting)
    edge = 8 + inpainter.overlap  # of the area that the official test blanks
    image, mask = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[:, :, edge:-edge, edge:-edge] = 1
    blanked = image * (1 - mask) + inpainter.blank * mask
    official = image.clone()
    official[:, :, 8:24, 8:24] = (encoder(blanked * 2 - 1) + 1) / 2
    official = official * mask + image * (1 - mask)
    assert torch.allclose(inpainter(image, mask), official, atol=1e-5), "a hole of the published size is not resampled"
    # The same hole in a larger picture: the window follows it to the pixel.
    wide, moved = torch.rand(1, 3, 50, 70), torch.zeros(1, 1, 50, 70)
    wide[:, :, 10:42, 31:63], moved[:, :, 10:42, 31:63] = image, mask
    result = inpainter(wide, moved)
    assert torch.allclose(result[:, :, 10:42, 31:63], official, atol=1e-4)
    assert torch.equal(result * (1 - moved), wide * (1 - moved)), "pixels outside the hole stay as they are"
    assert torch.equal(inpainter(wide, torch.zeros_like(moved)), wide)
    # A batch of two pictures with different holes. One hole is larger than that of the network.
    large = torch.zeros_like(moved)
    large[:, :, 5:45, 3:50] = 1
    both = inpainter(wide.repeat(2, 1, 1, 1), torch.cat((moved, large)))
    assert torch.allclose(both[:1], result, atol=1e-6)
    assert torch.allclose(both[1:], inpainter(wide, large), atol=1e-6) and not torch.equal(both[1:], wide)


def rows_of_convolutions(scale: int) -> nn.Sequential:
    """A small network in the layout of waifu2x's VGG_7 (scale 1) and UpConv_7 (scale 2)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.1), nn.Conv2d(8, 8, 3), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Conv2d(8, 3, 3) if scale == 1 else nn.ConvTranspose2d(8, 3, 4, 2, 3)).eval()


@pytest.mark.parametrize(("scale", "lost", "reach"), [(1, 6, 3), (2, 12, 3)])
@torch.no_grad()
def test_waifu2x_without_padding_needs_an_offset_and_is_exact(
    tmp_path: Path, scale: int, lost: int, reach: int
) -> None:
    network, offset = rows_of_convolutions(scale), lost // 2
    state = {f"net.{key}": value for key, value in network.state_dict().items()}
    torch.save({"nunif_model": 1, "state_dict": state}, tmp_path / "w.pth")
    wrong = rf"w\.pth: .* its result is {lost} pixels smaller than .*: if they have none, use --assume offset={offset}$"
    with pytest.raises(UsageError, match=wrong):
        import_file(tmp_path / "w.pth", tmp_path / "w.onnx", Options())
    with pytest.raises(UsageError, match=r"offset=1 is too small: use offset=\d$"):
        import_file(tmp_path / "w.pth", tmp_path / "w.onnx", Options(offset=1))
    card = import_file(tmp_path / "w.pth", tmp_path / "w.onnx", Options(offset=offset)).card
    assert (card.scale, card.context, card.minimum) == (scale, reach, 1)
    session = ort.InferenceSession(tmp_path / "w.onnx", providers=["CPUExecutionProvider"])
    for height, width in ((20, 31), (1, 5), (2, 2)):
        image = torch.rand(1, 3, height, width)
        extended = np.pad(image.numpy(), ((0, 0), (0, 0), (offset,) * 2, (offset,) * 2), mode="reflect")
        truth = network(torch.from_numpy(extended))
        edge = (truth.shape[2] - height * scale) // 2
        truth = truth[:, :, edge : edge + height * scale, edge : edge + width * scale].clamp(0, 1)
        (result,) = session.run(["result"], {"image": image.numpy()})
        assert result.shape == truth.shape and np.abs(result - truth.numpy()).max() < 1e-5


def test_errors_about_wrong_files_list_the_first_five_keys() -> None:
    state = dict(networks.build("compact", features=8, convs=2).state_dict())
    with pytest.raises(CheckpointError, match=r"looks like compact .* other shapes: body\.2\.bias \[7\] instead of"):
        build(state | {"body.2.bias": torch.zeros(7)}, Options())
    lacking = {key: value for key, value in state.items() if key not in ("body.2.weight", "body.3.weight")}
    with pytest.raises(CheckpointError, match=r"lacks body\.2\.weight, body\.3\.weight$"):
        build(lacking, Options())
    strange = dict(networks.build("rrdb", features=8, blocks=1, growth=4).state_dict())
    strange |= {f"strange.{i}": torch.zeros(1) for i in range(7)}
    with pytest.raises(CheckpointError, match=r"also has strange\.0, .*strange\.4 and 2 more"):
        build(strange, Options())
    wide = networks.build("unet", features=4, downs=2, inputs=35).state_dict()
    with pytest.raises(CheckpointError, match="takes pictures with 35 channels"):
        build(dict(wide), Options())


@pytest.mark.parametrize("library", [True, False])
def test_the_error_about_an_unknown_architecture_lists_the_known_ones(
    library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library:
        pytest.importorskip("spandrel")
    monkeypatch.setattr(spandrel_models, "installed", lambda: library)
    with pytest.raises(CheckpointError) as caught:
        build({"first.weight": torch.zeros(2, 3)}, Options())
    message = str(caught.value)
    assert all(one.name in message for one in FAMILIES) and "its first keys: first.weight" in message
    assert ("that spandrel knows" in message) if library else ("pip install 'img2img[import]'" in message)
    assert len(message.splitlines()) == 1


def test_a_failed_import_writes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "old.onnx").write_bytes(b"kept")
    torch.save({"a.weight": torch.zeros(2, 2)}, tmp_path / "a.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:300])
    torch.save(random_network("stargan", domains=2, features=4, blocks=1).state_dict(), tmp_path / "s.ckpt")
    torch.save(random_network("compact", scale=2, features=4, convs=1).state_dict(), tmp_path / "c.pth")
    for name, options in (
        ("a.pth", Options()),
        ("cut.pth", Options()),
        ("s.ckpt", Options()),
        ("c.pth", DOMAINS),
    ):
        with pytest.raises((CheckpointError, UsageError), match=f"{name}: "):
            import_file(tmp_path / name, place / "old.onnx", options)
    assert [path.name for path in place.iterdir()] == ["old.onnx"]
    assert (place / "old.onnx").read_bytes() == b"kept"


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (7, 10), (33, 64), (128, 90)])
def test_the_fourier_transform_by_matrix_products_equals_torchs(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    height, width = size
    signal = torch.randn(2, 3, height, width)
    truth = torch.fft.rfftn(signal, dim=(-2, -1), norm="ortho")
    real, imaginary = rfft2(signal)
    assert torch.allclose(torch.complex(real, imaginary), truth, atol=1e-5)
    # This is not the spectrum of a real signal. Parts that no real signal has must be ignored, as torch does.
    spectrum = torch.randn(2, 3, height, width // 2 + 1, dtype=torch.complex64)
    back = torch.fft.irfftn(spectrum, s=size, dim=(-2, -1), norm="ortho")
    assert torch.allclose(irfft2(spectrum.real, spectrum.imag, height, width), back, atol=1e-5)


def with_random_weights(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for key, value in network.eval().state_dict().items():
        value.uniform_(0.5, 1.5) if key.endswith("running_var") else value.copy_(torch.randn(value.shape) * 0.3)
    return network


@torch.no_grad()
def test_lama_gives_the_same_results_with_matrix_products() -> None:
    lama = pytest.importorskip("spandrel.architectures.LaMa.__arch.LaMa")
    theirs = with_random_weights(lama.FFCResNetGenerator(4, 3, ngf=4, n_downsampling=2, n_blocks=2))
    ours = replace_fourier_units(copy.deepcopy(theirs))
    assert sum(isinstance(module, FourierUnit) for module in ours.modules()) == 4
    image, mask = torch.rand(2, 3, 40, 28), (torch.rand(2, 1, 40, 28) > 0.5).float()
    truth = theirs(image, mask)
    assert (ours(image, mask) - truth).abs().max() < 1e-4 < 0.1 < truth.std()


def test_fourier_units_export_with_any_height_and_width(tmp_path: Path) -> None:
    lama = pytest.importorskip("spandrel.architectures.LaMa.__arch.LaMa")
    unit = lama.SpectralTransform(4, 4, enable_lfu=False)
    theirs = with_random_weights(nn.Sequential(nn.Conv2d(3, 4, 1), unit, nn.Conv2d(4, 3, 1), nn.Sigmoid()))
    card = Card(name="fourier", task="translate", scale=1)
    exchange.export(replace_fourier_units(copy.deepcopy(theirs)), card, tmp_path / "m.onnx", context=None)
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for height, width in ((1, 1), (17, 16), (22, 41), (96, 200)):
        image = torch.rand(2, 3, height, width)
        with torch.no_grad():
            truth = theirs(image).numpy()
        (result,) = session.run(["result"], {"image": image.numpy()})
        assert np.abs(result - truth).max() < 1e-4
        assert height == 1 or truth.std() > 0.02


def test_other_architectures_are_imported_by_spandrel(tmp_path: Path) -> None:
    span = pytest.importorskip("spandrel.architectures.SPAN")
    torch.manual_seed(0)
    network = span.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=4, upscale=2).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "2x_span.pth")
    imported = import_file(tmp_path / "2x_span.pth", tmp_path / "model.onnx", Options(licence="CC0"))
    assert (imported.card.name, imported.card.scale, imported.card.licence) == ("2x_span", 2, "CC0")
    assert imported.card.method == "SPAN, imported by spandrel"
    image = torch.rand(1, 3, 9, 14)
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (result,) = session.run(["result"], {"image": image.numpy()})
    with torch.no_grad():
        assert np.abs(result - network(image).clamp(0, 1).numpy()).max() < 2e-4


SMALL: dict[str, dict[str, Any]] = {
    "unet": {"features": 2, "downs": 2},
    "resnet": {"features": 2, "blocks": 1},
    "stargan": {"features": 2, "blocks": 1, "domains": 2},
    "rrdb": {"features": 2, "blocks": 1, "growth": 2},
    "compact": {"features": 2, "convs": 1},
    "srresnet": {"features": 2, "blocks": 1},
    "context-encoder": {"features": 2, "bottleneck": 2, "size": 16},
}
sizes = st.lists(st.integers(0, 5), max_size=5).map(tuple)


@settings(max_examples=150)
@given(data=st.data(), name=st.sampled_from(sorted(SMALL)))
def test_any_change_of_a_layout_gives_a_network_or_an_error_of_ours(data: st.DataObject, name: str) -> None:
    state = {key: torch.zeros(value.shape) for key, value in networks.build(name, **SMALL[name]).state_dict().items()}
    for key in data.draw(st.lists(st.sampled_from(sorted(state)), max_size=3)):
        state[key] = torch.zeros(data.draw(sizes))
    for key in data.draw(st.lists(st.sampled_from(sorted(state)), max_size=2)):
        state.pop(key, None)
    for key in data.draw(st.lists(st.sampled_from(sorted(state) or ["x"]), max_size=2)):
        state[key.replace("0", data.draw(st.sampled_from(["1", "7", "90", "99999998", "²", "٣"])))] = torch.zeros(1)
    try:
        parts.choose({key: value.shape for key, value in state.items()}, frozenset())
        build(state, Options(domains=("a", "b")))
    except (CheckpointError, UsageError) as error:
        assert len(str(error).splitlines()) == 1
