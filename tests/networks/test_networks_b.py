"""Every inpainting, pix2pixHD and super-resolution network does what any network must; then what each promises."""

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
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks
from img2img.errors import CheckpointError, ConfigError
from img2img.networks.contextual_attention import ContextualAttention, _paste, _patches
from img2img.networks.rrdb import RRDBNet, from_2018
from img2img.networks.spectral_conv import SpectralConv2d


@dataclass(frozen=True)
class Case:
    """A small network and two pictures' sizes that it must take, height x width.

    Attributes:
        shapes: shapes of the results for the first size and a batch of two.
        masked: the network takes a mask too.
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
def test_shapes_of_both_sizes(case: Case) -> None:
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
    # Each value has a weight of its own: the plain sum behind a norm has no gradient.
    sum((result * torch.randn_like(result)).sum() for result in results(network, case.inputs(case.sizes[0]))).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without


@every_case
def test_a_batch_is_its_pictures_one_by_one(case: Case) -> None:
    network = case.build().eval()
    inputs = case.inputs(case.sizes[0])
    if case.masked:
        inputs[1][1] = inputs[1][1].roll(case.sizes[0][1] // 4, -1)  # each picture has a hole of its own
    with torch.no_grad():
        together = results(network, inputs)
        alone = [results(network, [tensor[i : i + 1] for tensor in inputs]) for i in range(2)]
    for i, result in enumerate(together):
        assert torch.allclose(result, torch.cat([one[i] for one in alone]), atol=1e-5)


@every_case
def test_weights_survive_saving_and_copying(case: Case) -> None:
    network = case.build().train()
    results(network, case.inputs(case.sizes[0]))  # running statistics and singular vectors have moved
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


def leave_out_repeated_layers(gated: nn.Module) -> None:
    """Every kind of layer once: the exporter takes a third of a second for each convolution with its gate."""
    gated.stage1 = nn.Sequential(nn.Conv2d(5, 3, 3, 1, 1), nn.Tanh())
    for name in ("conv_conv_bn1", "conv_conv_bn2", "conv_conv_bn3", "conv_conv_bn4", "ca_conv_bn5", "conv_bn7"):
        setattr(gated.stage2, name, nn.Identity())


@pytest.mark.parametrize("case", [CASES[name] for name in EXPORTED], ids=EXPORTED)
def test_exported_generator_equals_torch_at_other_sizes(case: Case) -> None:
    network = case.build().eval()
    if case.network == "gated":
        leave_out_repeated_layers(network)
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
def test_a_size_that_does_not_fit_is_refused_with_the_one_that_does(
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
        ("dcgan", {"norm": "layer"}, "unknown norm 'layer'"),
        ("pix2pixhd", {"downs": 0}, "at least one halving"),
        ("multi-scale", {"scales": 0}, "one scale"),
        ("vgg-style", {"size": 100}, "multiple of 32"),
        ("vgg-style", {"size": 32, "norm": "instance"}, "64 or more"),
        ("sn-patchgan", {"layers": 0}, "at least one layer"),
        ("auto-encoder", {"error": "huber"}, "'l1' or 'l2'"),
        ("auto-encoder", {"downs": 0}, "at least one halving"),
        ("srresnet", {"norm": "instance"}, "'none' or 'batch'"),
        ("srresnet", {"activation": "gelu"}, "'relu' or 'prelu'"),
    ],
)
def test_impossible_options_are_named(network: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        networks.build(network, **options)


def test_what_the_picture_holds_in_the_hole_does_not_matter() -> None:
    case = CASES["gated"]
    network, (image, mask) = case.build().eval(), case.inputs((24, 32))
    with torch.no_grad():
        before, after = (results(network, [picture, mask]) for picture in (image, torch.where(mask > 0, 0.9, image)))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@settings(max_examples=15, deadline=None)
@given(h=st.integers(1, 5), w=st.integers(1, 5), channels=st.integers(1, 3), large=st.booleans())
def test_patches_and_pasting_are_unfold_and_fold(h: int, w: int, channels: int, large: bool) -> None:
    size, stride = (4, 2) if large else (3, 1)
    features = torch.randn(2, channels, h * stride, w * stride, dtype=torch.float64)
    patches = _patches(features, size, stride)
    assert torch.equal(patches, F.unfold(features, size, padding=1, stride=stride))
    if large:
        folded = F.fold(patches, (2 * h, 2 * w), 4, padding=1, stride=2)
        assert torch.allclose(_paste(patches.reshape(2, -1, h, w), channels), folded)


def literal_attention(features: Tensor, mask: Tensor) -> Tensor:
    """One picture's attention as the paper words it: place by place, patch by patch. `[C, H, W]`, mask `[4H, 4W]`."""
    _, height, width = features.shape
    h, w = height // 2, width // 2
    small = F.pad(features[:, ::2, ::2], (1, 1, 1, 1))
    holes = F.pad(mask[::8, ::8], (1, 1, 1, 1))
    spots = [(y, x) for y in range(h) for x in range(w)]
    patch = {(y, x): small[:, y : y + 3, x : x + 3] for y, x in spots}
    known = {(y, x): bool((holes[y : y + 3, x : x + 3] == 0).all()) for y, x in spots}
    cosine = {(b, f): float((patch[b] / patch[b].norm() * patch[f]).sum()) for b in spots for f in spots}

    def propagated(scores: dict[Any, float], order: list[tuple[int, int]]) -> dict[Any, float]:
        def neighbour(spot: tuple[int, int], step: int) -> tuple[int, int] | None:
            i = order.index(spot) + step
            return order[i] if 0 <= i < len(order) else None

        return {(b, f): sum(scores.get((neighbour(b, k), neighbour(f, k)), 0.0) for k in (-1, 0, 1)) for b, f in scores}

    scores = propagated(propagated(cosine, spots), sorted(spots, key=lambda spot: spot[::-1]))
    full = F.pad(features, (1, 1, 1, 1))
    pasted = torch.zeros_like(full)
    for fy, fx in spots:
        likeness = torch.tensor([10 * scores[b, (fy, fx)] * known[b] for b in spots], dtype=features.dtype)
        for weight, (by, bx) in zip(torch.softmax(likeness, 0), spots, strict=True):
            if known[by, bx]:
                source = full[:, 2 * by : 2 * by + 4, 2 * bx : 2 * bx + 4]
                pasted[:, 2 * fy : 2 * fy + 4, 2 * fx : 2 * fx + 4] += weight * source / 4
    return pasted[:, 1:-1, 1:-1]


def test_attention_is_the_paper_word_by_word() -> None:
    torch.manual_seed(3)
    features = torch.randn(2, 2, 6, 8, dtype=torch.float64)
    mask = torch.zeros(2, 1, 24, 32, dtype=torch.float64)
    mask[0, :, :8, :8] = 1
    mask[1, :, 16:, 24:] = 1
    ours = ContextualAttention().double()(features, mask)
    for i in range(2):
        assert torch.allclose(ours[i], literal_attention(features[i], mask[i, 0]), atol=1e-10)


def test_nothing_known_gives_nothing_and_no_nan() -> None:
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    result = ContextualAttention()(features, torch.ones(1, 1, 16, 16))
    result.sum().backward()
    assert torch.equal(result, torch.zeros_like(result))
    assert features.grad is not None and torch.isfinite(features.grad).all()


def test_spectral_convolution_equals_torchs_hook() -> None:
    ours = SpectralConv2d(3, 5, 3, 2, 1)
    hooked = torch.nn.utils.spectral_norm(nn.Conv2d(3, 5, 3, 2, 1))
    assert list(ours.state_dict()) == list(hooked.state_dict())
    hooked.load_state_dict(ours.state_dict())
    image = torch.randn(2, 3, 9, 9)
    for _ in range(3):  # the singular vectors move alike
        expected, result = hooked(image), ours(image)
        assert torch.allclose(result, expected, atol=1e-6)
    (expected.square().sum()).backward()
    (result.square().sum()).backward()
    assert torch.allclose(ours.weight_orig.grad, hooked.weight_orig.grad, atol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(ours.weight_u, hooked.weight_u, atol=1e-6)
    before = ours.weight_u.clone()
    ours.eval()(image)
    assert torch.equal(ours.weight_u, before)


def test_spectral_convolution_settles_at_norm_one() -> None:
    convolution = SpectralConv2d(4, 8, 3)
    for _ in range(200):
        kernel = convolution.normalised()
    assert torch.linalg.matrix_norm(kernel.detach().flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["unet-discriminator", "sn-patchgan"])
def test_two_passes_before_one_backward_pass_and_a_copy_after_it(name: str) -> None:
    network = CASES[name].build().train()
    (image,) = CASES[name].inputs((16, 16))
    (network(image).mean() - network(-image).mean()).backward()
    copied = copy.deepcopy(network).eval()
    assert torch.equal(copied(image), network.eval()(image))


def test_gradient_penalty_goes_through_spectral_norm_and_instance_norm() -> None:
    for name in ("sn-patchgan", "dcgan, instance", "vgg-style, instance"):
        network = CASES[name].build().train()
        (image,) = CASES[name].inputs(CASES[name].sizes[0])
        image.requires_grad_()
        (slope,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
        slope.square().sum().backward()
        # Behind the last layer nothing depends on its bias, so it alone may have none.
        moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert len(moved) > 2


def test_vgg_style_averages_other_sizes_to_its_grid() -> None:
    network = CASES["vgg-style"].build().eval()
    tile = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(network(tile), network(F.pad(tile, (0, 32))))
    assert network.linear1.in_features == 32 * 2 * 2
    assert networks.build("vgg-style", features=1, size=256).stages == 6  # as the official code has it for 256
    assert networks.build("vgg-style", features=1, size=192).grid == 6


def test_energy_is_the_mean_error_of_the_reconstruction() -> None:
    image = torch.rand(3, 3, 12, 10) * 2 - 1
    for error, p in (("l1", 1), ("l2", 2)):
        network = networks.build("auto-encoder", features=4, error=error).eval()
        with torch.no_grad():
            differences = network.reconstruct(image) - image
            energy = network(image)
            assert network.encode(image).shape == (3, 16, 2, 2)
        for i in range(3):
            assert energy[i].item() == pytest.approx(differences[i].abs().pow(p).mean().item(), rel=1e-5)


def test_auto_encoder_learns_to_tell_what_it_has_seen() -> None:
    torch.manual_seed(0)
    network = networks.build("auto-encoder", features=8, downs=2, bottleneck=2)
    ramp = torch.linspace(-1, 1, 16)
    smooth = torch.stack([ramp.expand(3, 16, 16) * s for s in (-1.0, -0.5, 0.5, 1.0)])
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(60):
        optimiser.zero_grad()
        network(smooth).mean().backward()
        optimiser.step()
    noise = torch.rand(4, 3, 16, 16) * 2 - 1
    assert network(smooth).mean() < 0.5 * network(noise).mean()


def test_only_the_auto_encoder_gives_energies() -> None:
    energies = {case.network for case in CASES.values() if getattr(case.build(), "energy", False)}
    assert energies == {"auto-encoder"}


def test_srresnet_with_batch_norm_has_the_papers_blocks() -> None:
    block = networks.build("srresnet", features=4, blocks=1, norm="batch", activation="prelu").body[0]
    assert [type(layer) for layer in block.children()] == [
        nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d,
    ]  # fmt: skip


def older_keys(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The layout before 2018's: everything a numbered layer of one sequence."""
    last = {"conv_first": "0", "conv_up1": "3", "conv_up2": "6", "conv_hr": "8", "conv_last": "10"}
    renamed = {}
    for key, tensor in state.items():
        *name, kind = key.split(".")
        if name[0] == "body":
            _, n, rdb, conv = name
            renamed[f"model.1.sub.{n}.{rdb.upper()}.{conv}.0.{kind}"] = tensor
        elif name == ["conv_body"]:
            renamed[f"model.1.sub.{blocks}.{kind}"] = tensor
        else:
            renamed[f"model.{last[name[0]]}.{kind}"] = tensor
    return renamed


def test_the_oldest_esrgan_layout_is_read() -> None:
    network = RRDBNet(features=4, blocks=2, growth=2)
    state = network.state_dict()
    back = from_2018(older_keys(state, blocks=2))
    assert list(back) == list(state)
    assert all(back[key] is tensor for key, tensor in state.items())


@pytest.mark.parametrize("key", ["model.13.weight", "body.0.rdb1.conv1.weight", "RRDB_trunk.0.RDB4.conv1.weight", "x"])
def test_a_key_of_another_network_is_named(key: str) -> None:
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        from_2018({key: torch.zeros(1)})
