"""Inpainting, pix2pixHD and super-resolution networks: common requirements, then the specifics of each network."""

import copy
import io
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError


@dataclass(frozen=True)
class Case:
    """A small network and two picture sizes that it must accept, height x width.

    Attributes:
        shapes: shapes of the results for the first size and a batch of two.
        masked: whether the network also takes a mask.
    """

    network: str
    options: dict[str, Any]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    shapes: list[tuple[int, ...]]
    channels: int = 3
    masked: bool = False

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return networks.build(self.network, **self.options)

    def inputs(self, size: tuple[int, int], batch: int = 2) -> list[Tensor]:
        torch.manual_seed(1)
        image = torch.rand(batch, self.channels, *size) * 2 - 1
        if not self.masked:
            return [image]
        mask = torch.zeros(batch, 1, *size)
        mask[:, :, size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4] = 1
        return [image, mask]


def results(network: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    given = network(*inputs)
    return [given] if isinstance(given, Tensor) else list(given)


CASES = {
    "gated": Case("gated", {"features": 8}, ((24, 32), (40, 16)), [(2, 3, 24, 32)] * 2, masked=True),
    "gated, grey": Case(
        "gated", {"features": 4, "channels": 1}, ((16, 16), (8, 24)), [(2, 1, 16, 16)] * 2, masked=True, channels=1
    ),
    "gated, no attention": Case(
        "gated", {"features": 4, "attention": False}, ((12, 20), (28, 8)), [(2, 3, 12, 20)] * 2, masked=True
    ),
    "context encoder": Case(
        "context-encoder", {"features": 4, "bottleneck": 20, "size": 32}, ((32, 32), (40, 56)), [(2, 3, 16, 16)]
    ),
    "context encoder, whole": Case(
        "context-encoder",
        {"inputs": 4, "features": 4, "bottleneck": 20, "size": 16, "output": "whole", "upsampling": "resize"},
        ((16, 20), (28, 24)),
        [(2, 3, 16, 20)],
        channels=4,
    ),
    "pix2pixhd": Case(
        "pix2pixhd", {"features": 4, "downs": 3, "blocks": 1}, ((16, 24), (32, 16)), [(2, 3, 16, 24)]
    ),
    "pix2pixhd, resize, batch": Case(
        "pix2pixhd",
        {"inputs": 5, "outputs": 1, "features": 4, "downs": 2, "blocks": 2, "norm": "batch", "upsampling": "resize"},
        ((8, 12), (16, 20)),
        [(2, 1, 8, 12)],
        channels=5,
    ),
    "srresnet, batch": Case(
        "srresnet",
        {"scale": 2, "features": 8, "blocks": 2, "norm": "batch", "activation": "prelu"},
        ((7, 9), (12, 5)),
        [(2, 3, 14, 18)],
    ),
    "dcgan": Case("dcgan", {"inputs": 4, "size": 16, "features": 4}, ((16, 16), (16, 16)), [(2, 1)], channels=4),
    "dcgan, instance": Case(
        "dcgan", {"size": 32, "features": 4, "norm": "instance"}, ((32, 32), (32, 32)), [(2, 1)]
    ),
    "multi-scale": Case(
        "multi-scale", {"inputs": 6, "features": 4}, ((32, 24), (9, 5)), [(2, 1, 7, 6), (2, 1, 5, 5)], channels=6
    ),
    "multi-scale, 3": Case(
        "multi-scale",
        {"features": 4, "layers": 2, "scales": 3, "norm": "none"},
        ((32, 32), (8, 8)),
        [(2, 1, 11, 11), (2, 1, 7, 7), (2, 1, 5, 5)],
    ),
    "vgg-style": Case("vgg-style", {"features": 4, "size": 64}, ((64, 64), (37, 90)), [(2, 1)]),
    "vgg-style, instance": Case(
        "vgg-style", {"channels": 1, "features": 4, "size": 64, "norm": "instance"}, ((64, 64), (65, 80)), [(2, 1)],
        channels=1,
    ),
    "unet-discriminator": Case("unet-discriminator", {"features": 4}, ((16, 24), (13, 3)), [(2, 1, 16, 24)]),
    "unet-discriminator, grey": Case(
        "unet-discriminator", {"channels": 1, "features": 2}, ((8, 8), (1, 1)), [(2, 1, 8, 8)], channels=1
    ),
    "sn-patchgan": Case("sn-patchgan", {"features": 4}, ((64, 40), (3, 70)), [(2, 16, 1, 1)], channels=4),
    "sn-patchgan, 3": Case(
        "sn-patchgan", {"inputs": 3, "features": 4, "layers": 3}, ((16, 24), (9, 9)), [(2, 16, 2, 3)]
    ),
    "auto-encoder": Case("auto-encoder", {"features": 4}, ((16, 24), (11, 5)), [(2,)]),
    "auto-encoder, l2": Case(
        "auto-encoder", {"inputs": 1, "features": 4, "downs": 1, "bottleneck": 2, "error": "l2"}, ((8, 8), (7, 9)),
        [(2,)], channels=1,
    ),
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
def test_results_have_the_expected_shapes_at_both_sizes(case: Case) -> None:
    network = case.build().eval()
    with torch.no_grad():
        first, second = (results(network, case.inputs(size)) for size in case.sizes)
    assert [tuple(result.shape) for result in first] == case.shapes
    assert len(second) == len(first)
    assert all(torch.isfinite(result).all() for result in (*first, *second))


@every_case
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    network = case.build().train()
    torch.manual_seed(2)
    # Random weights for all values, because the plain sum after a norm has no gradient.
    sum((result * torch.randn_like(result)).sum() for result in results(network, case.inputs(case.sizes[0]))).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without


@every_case
def test_a_batch_equals_its_pictures_one_by_one(case: Case) -> None:
    network = case.build().eval()
    inputs = case.inputs(case.sizes[0])
    if case.masked:
        inputs[1][1] = inputs[1][1].roll(case.sizes[0][1] // 4, -1)  # a different hole for each picture
    with torch.no_grad():
        together = results(network, inputs)
        alone = [results(network, [tensor[i : i + 1] for tensor in inputs]) for i in range(2)]
    for i, result in enumerate(together):
        assert torch.allclose(result, torch.cat([one[i] for one in alone]), atol=1e-5)


@every_case
def test_weights_survive_saving_and_copying(case: Case) -> None:
    network = case.build().train()
    results(network, case.inputs(case.sizes[0]))  # updates running statistics and singular vectors
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    restored = networks.build(case.network, **case.options)
    restored.load_state_dict(torch.load(file, weights_only=True))
    inputs = case.inputs(case.sizes[1])
    for other in (restored, copy.deepcopy(network)):
        with torch.no_grad():
            pairs = zip(results(network.eval(), inputs), results(other.eval(), inputs), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


EXPORTED = ("gated", "context encoder, whole", "pix2pixhd", "srresnet, batch")


def drop_repeated_layers(gated: nn.Module) -> None:
    """Keep each kind of layer once, because the exporter takes a third of a second per gated convolution."""
    gated.stage1 = nn.Sequential(nn.Conv2d(5, 3, 3, 1, 1), nn.Tanh())
    for name in ("conv_conv_bn1", "conv_conv_bn2", "conv_conv_bn3", "conv_conv_bn4", "ca_conv_bn5", "conv_bn7"):
        setattr(gated.stage2, name, nn.Identity())


@pytest.mark.parametrize("case", [CASES[name] for name in EXPORTED], ids=EXPORTED)
def test_exported_generator_equals_torch_at_other_sizes(case: Case) -> None:
    network = case.build().eval()
    if case.network == "gated":
        drop_repeated_layers(network)
    multiple = getattr(network, "multiple", 1)
    dimensions = {0: torch.export.Dim("n")}
    for axis, name in ((2, "h"), (3, "w")):
        dimensions[axis] = multiple * torch.export.Dim(name) if multiple > 1 else torch.export.Dim(name)
    minimum = getattr(network, "minimum", 1)
    example = case.inputs((-(-max(minimum, 16) // multiple) * multiple + multiple, minimum + 3 * multiple))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            tuple(example),
            dynamo=True,
            external_data=False,
            opset_version=18,
            dynamic_shapes=tuple(dimensions for _ in example),
            verbose=False,
        )
    assert program is not None
    session = ort.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, size in ((1, case.sizes[0]), (3, case.sizes[1])):
        inputs = case.inputs(size, batch)
        feed = {slot.name: tensor.numpy() for slot, tensor in zip(session.get_inputs(), inputs, strict=True)}
        with torch.no_grad():
            truths = results(network, inputs)
        for ours, truth in zip(session.run(None, feed), truths, strict=True):
            assert ours.shape == truth.shape
            assert np.abs(ours - truth.numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("network", "options", "size", "fitting"),
    [
        ("gated", {"features": 4}, (20, 24), "24 x 24"),
        ("gated", {"features": 4, "attention": False}, (20, 23), "20 x 24"),
        ("context-encoder", {"features": 2, "bottleneck": 4, "size": 32}, (24, 41), "32 x 48"),
        ("pix2pixhd", {"features": 2, "downs": 2, "blocks": 0}, (4, 10), "8 x 12"),
        ("vgg-style", {"features": 2, "size": 32}, (31, 64), "32 x 64"),
        ("multi-scale", {"features": 2, "scales": 3}, (7, 9), "8 x 9"),
        ("rrdb", {"scale": 2, "features": 2, "blocks": 0, "growth": 2}, (3, 4), "4 x 4"),
    ],
)
def test_errors_about_sizes_name_the_size_to_pad_to(
    network: str, options: dict[str, Any], size: tuple[int, int], fitting: str
) -> None:
    inputs = [torch.zeros(1, 3, *size)] + ([torch.zeros(1, 1, *size)] if network == "gated" else [])
    with pytest.raises(ValueError, match=fitting):
        networks.build(network, **options)(*inputs)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("gated", {"features": 10}, "multiple of 4"),
        ("context-encoder", {"size": 96}, "power of two"),
        ("context-encoder", {"output": "center"}, "'centre' or 'whole'"),
        ("dcgan", {"size": 100}, "power of two"),
        ("dcgan", {"norm": "group"}, "unknown norm 'group'; choose from batch, instance, layer, none"),
        ("pix2pixhd", {"downs": 0}, "downs = 0 must be at least 1"),
        ("multi-scale", {"scales": 0}, "scales = 0 must be at least 1"),
        ("vgg-style", {"size": 100}, "multiple of 32"),
        ("vgg-style", {"size": 32, "norm": "instance"}, "must be at least 64 with instance norm"),
        ("sn-patchgan", {"layers": 0}, "layers = 0 must be at least 1"),
        ("auto-encoder", {"error": "huber"}, "'l1' or 'l2'"),
        ("auto-encoder", {"downs": 0}, "downs = 0 must be at least 1"),
        ("srresnet", {"norm": "instance"}, "'none' or 'batch'"),
        ("srresnet", {"activation": "gelu"}, "'relu' or 'prelu'"),
    ],
)
def test_errors_name_impossible_options(network: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        networks.build(network, **options)


def test_pixels_in_the_hole_do_not_matter() -> None:
    case = CASES["gated"]
    network, (image, mask) = case.build().eval(), case.inputs((24, 32))
    with torch.no_grad():
        before, after = (results(network, [picture, mask]) for picture in (image, torch.where(mask > 0, 0.9, image)))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["unet-discriminator", "sn-patchgan"])
def test_two_forward_passes_can_precede_a_backward_pass_and_a_copy(name: str) -> None:
    network = CASES[name].build().train()
    (image,) = CASES[name].inputs((16, 16))
    (network(image).mean() - network(-image).mean()).backward()
    copied = copy.deepcopy(network).eval()
    assert torch.equal(copied(image), network.eval()(image))


def test_gradient_penalties_work_with_spectral_norm_and_instance_norm() -> None:
    for name in ("sn-patchgan", "dcgan, instance", "vgg-style, instance"):
        network = CASES[name].build().train()
        (image,) = CASES[name].inputs(CASES[name].sizes[0])
        image.requires_grad_()
        (slope,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
        slope.square().sum().backward()
        # The gradient does not depend on the bias of the last layer, so that bias may get no gradient.
        moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert len(moved) > 2


def test_vgg_style_pools_other_sizes_to_its_grid() -> None:
    network = CASES["vgg-style"].build().eval()
    tile = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(network(tile), network(F.pad(tile, (0, 32))))
    assert network.linear1.in_features == 32 * 2 * 2
    assert networks.build("vgg-style", features=1, size=256).stages == 6  # as in the official code for 256
    assert networks.build("vgg-style", features=1, size=192).grid == 6


def test_only_the_auto_encoder_outputs_energies() -> None:
    energies = {case.network for case in CASES.values() if getattr(case.build(), "energy", False)}
    assert energies == {"auto-encoder"}


def test_srresnet_with_batch_norm_has_the_blocks_of_the_paper() -> None:
    block = networks.build("srresnet", features=4, blocks=1, norm="batch", activation="prelu").body[0]
    assert [type(layer) for layer in block.children()] == [
        nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d,
    ]  # fmt: skip
