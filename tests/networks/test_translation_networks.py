"""Requirements for every network of pix2pix, CycleGAN and StarGAN. To test a new one, add a line to `CASES`."""

import io
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.norms import inference_copy
from img2img.networks.patchgan import receptive_field
from img2img.networks.unet import UNet


@dataclass(frozen=True)
class Case:
    """A network narrow enough to run in milliseconds.

    `channels` holds options for other channel counts. `sizes` are legal sizes to try, the smallest first.
    """

    name: str
    options: dict[str, Any]
    channels: dict[str, int]
    sizes: list[tuple[int, int]]
    generator: bool = True
    domains: int = 0

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])

    def build(self, **more: Any) -> nn.Module:
        torch.manual_seed(0)
        return networks.build(self.name, **{**self.options, **more})

    def arguments(self, n: int, size: tuple[int, int], channels: int = 3) -> tuple[Tensor, ...]:
        image = torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
        return (image, torch.eye(self.domains)[torch.arange(n) % self.domains]) if self.domains else (image,)


SMALL = [(8, 8), (8, 12), (20, 16)]
CASES = [
    Case("unet", {"features": 4, "downs": 3}, {"inputs": 12, "outputs": 1}, [(8, 8), (8, 24), (32, 16)]),
    Case(
        "unet",
        {"features": 2, "downs": 5, "norm": "instance", "upsampling": "resize"},
        {"inputs": 1, "outputs": 4},
        [(32, 32), (64, 32)],
    ),
    Case("unet", {"features": 4, "downs": 2, "norm": "none", "dropout": False}, {"inputs": 2}, SMALL[1:]),
    Case("resnet", {"features": 4, "blocks": 2}, {"inputs": 12, "outputs": 1}, SMALL),
    Case(
        "resnet",
        {"features": 4, "blocks": 1, "norm": "batch", "dropout": True, "upsampling": "resize"},
        {"inputs": 1, "outputs": 1},
        SMALL,
    ),
    Case("resnet", {"features": 4, "blocks": 1, "norm": "none"}, {"outputs": 2}, SMALL),
    Case("stargan", {"features": 4, "blocks": 1, "domains": 3}, {"channels": 1}, SMALL, domains=3),
    Case(
        "stargan",
        {"features": 4, "blocks": 1, "domains": 2, "upsampling": "resize"},
        {"channels": 4},
        SMALL,
        domains=2,
    ),
    Case(
        "unet", {"features": 4, "downs": 3, "residual": True}, {"inputs": 12, "outputs": 1}, [(8, 8), (8, 24), (32, 16)]
    ),
    Case(
        "unet",
        {"features": 20, "downs": 2, "residual": True, "norm": "none", "upsampling": "resize", "dropout": False},
        {"inputs": 4, "outputs": 4},
        SMALL[1:],
    ),
    Case("patchgan", {"features": 4}, {"inputs": 6}, [(24, 24), (31, 40)], generator=False),
    Case("patchgan", {"features": 4, "layers": 1, "norm": "instance"}, {"inputs": 4}, [(6, 6)], generator=False),
    Case("patchgan", {"features": 2, "layers": 6, "norm": "none"}, {"inputs": 15}, [(192, 192)], generator=False),
    Case("pixelgan", {"features": 4}, {"inputs": 6}, [(2, 1), (7, 5)], generator=False),
    Case(
        "stargan-discriminator",
        {"features": 4, "layers": 3, "size": 16, "domains": 3},
        {"channels": 1},
        [(16, 16)],
        generator=False,
    ),
]
GENERATORS = [case for case in CASES if case.generator]


def results(network: nn.Module, *arguments: Tensor) -> tuple[Tensor, ...]:
    result = network(*arguments)
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_legal_size_and_batch_runs_in_training_mode(case: Case) -> None:
    network = case.build().train()
    for size in case.sizes:
        for n in (1, 2):
            outputs = results(network, *case.arguments(n, size))
            assert all(output.shape[0] == n and output.isfinite().all() for output in outputs)
            if case.generator:
                assert outputs[0].shape == (n, 3, *size)
                assert outputs[0].abs().max() <= 1 or case.options.get("residual")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    network = case.build()
    outputs = results(network, *case.arguments(2, case.sizes[-1]))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_channel_counts_can_be_configured(case: Case) -> None:
    network = case.build(**case.channels)
    into = case.channels.get("inputs", case.channels.get("channels", 3))
    out = case.channels.get("outputs", case.channels.get("channels", 3))
    outputs = results(network, *case.arguments(2, case.sizes[-1], into))
    if case.generator:
        assert outputs[0].shape == (2, out, *case.sizes[-1])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_saving_and_loading_keeps_the_network(case: Case, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    network = case.build()
    arguments = case.arguments(2, case.sizes[-1])
    results(network.train(), *arguments)  # updates running statistics
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    torch.manual_seed(9)
    other = networks.build(case.name, **case.options)
    other.load_state_dict(load_file(tmp_path / "network.safetensors"))
    for a, b in zip(results(network.eval(), *arguments), results(other.eval(), *arguments), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", [case for case in CASES if case.options.get("norm") != "batch"], ids=str)
def test_second_derivatives_exist_for_gradient_penalties(case: Case) -> None:
    network = case.build()
    image, *rest = case.arguments(2, case.sizes[-1])
    image.requires_grad_()
    (slope,) = torch.autograd.grad(results(network, image, *rest)[0].sum(), image, create_graph=True)
    slope.square().sum().backward()
    assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("case", GENERATORS, ids=str)
def test_errors_about_sizes_name_the_size_to_pad_to(case: Case) -> None:
    network = case.build()
    multiple, minimum = network.multiple, network.minimum
    assert isinstance(multiple, int) and isinstance(minimum, int)
    odd = (minimum + 1, minimum)
    with pytest.raises(ValueError, match=rf"multiples of {multiple}.*pad it to {minimum + multiple} x {minimum}$"):
        network(*case.arguments(1, odd))
    if minimum > multiple:
        with pytest.raises(ValueError, match=rf"sides of {minimum} or more.*pad it to {minimum} x {minimum}$"):
            network(*case.arguments(1, (multiple, minimum)))
    network(*case.arguments(2, (minimum, minimum)))


@pytest.mark.parametrize("layers", range(1, 7))
def test_minimum_is_the_smallest_side_that_patchgan_accepts(layers: int) -> None:
    network = networks.build("patchgan", features=2, layers=layers, norm="instance")
    least = network.minimum
    assert network(torch.rand(1, 3, least, least)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=f"patchgan needs sides of {least} or more"):
        network(torch.rand(1, 3, least - 1, least))
    with pytest.raises(RuntimeError):
        network.model(torch.rand(1, 3, least - 1, least))  # type: ignore[operator]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_receptive_field_is_the_area_that_a_gradient_reaches(layers: int) -> None:
    field = receptive_field(layers)
    side = 2 * field + 2 ** (layers + 2)
    network = networks.build("patchgan", features=2, layers=layers, norm="none").double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    image = torch.zeros(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    output = network(image)
    output[0, 0, output.shape[2] // 2, output.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field


@given(st.integers(1, 4096))
def test_depth_is_the_largest_that_the_size_allows(size: int) -> None:
    if size % 4:
        with pytest.raises(ConfigError, match="multiple of 4"):
            UNet.depth(size)
        return
    depth = UNet.depth(size)
    assert size % 2**depth == 0
    assert depth == 8 or size % 2 ** (depth + 1)


def test_receptive_fields_are_the_published_ones() -> None:
    assert [receptive_field(layers) for layers in range(1, 7)] == [16, 34, 70, 142, 286, 574]


def test_depths_of_common_sizes() -> None:
    assert [UNet.depth(size) for size in (512, 256, 128, 64, 32, 96, 100)] == [8, 8, 7, 6, 5, 5, 2]


def test_dropout_is_where_the_paper_puts_it() -> None:
    def dropped(**options: Any) -> list[int]:
        """Return the number of channels at each dropout, from the innermost outwards."""
        seen: list[int] = []
        network = networks.build("unet", features=1, **options)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.register_forward_hook(lambda module, given, _: seen.append(given[0].shape[-1]))
        network(torch.rand(2, 3, 256, 256))
        return seen

    assert dropped(downs=8) == [2, 4, 8], "CD512 three times: Isola et al. 2017, appendix 6.1.1"
    assert dropped(downs=6) == [8, 16]
    assert dropped(downs=8, dropout=False) == []


def test_a_residual_unet_with_zero_change_returns_the_picture() -> None:
    """Extra input channels, such as domain labels or a mask, do not matter."""
    torch.manual_seed(0)
    network = UNet(inputs=5, outputs=3, features=4, downs=2, residual=True)
    image = torch.rand(2, 5, 8, 12) * 2 - 1
    assert not torch.equal(network(image), image[:, :3])
    last = network.model.last[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    assert torch.equal(network(image), image[:, :3])


def test_the_last_layers_of_a_residual_unet_see_the_picture_at_full_size() -> None:
    torch.manual_seed(0)
    network = UNet(features=4, downs=2, residual=True)
    nn.init.zeros_(network.model.up.weight)  # cuts off the deeper levels
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(image)[0, 0, 8, 7].backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1)).nonzero()
    assert reached.min(0).values.tolist() == [6, 5] and reached.max(0).values.tolist() == [10, 9]


def test_the_unet_has_the_published_layout_unless_residual() -> None:
    keys = [
        "model.model.0.weight",
        "model.model.1.model.1.weight",
        "model.model.1.model.3.weight",
        "model.model.1.model.4.bias",
        "model.model.1.model.4.num_batches_tracked",
        "model.model.1.model.4.running_mean",
        "model.model.1.model.4.running_var",
        "model.model.1.model.4.weight",
        "model.model.3.bias",
        "model.model.3.weight",
    ]
    for network in (UNet(downs=2, features=2), UNet(downs=2, features=2, residual=False)):
        assert sorted(network.state_dict()) == keys
    assert not set(keys) & {key for key in UNet(downs=2, features=2, residual=True).state_dict() if "below" not in key}


def test_impossible_options_are_rejected() -> None:
    for name, options, message in [
        ("unet", {"downs": 11}, "unet: downs = 11 must be between 2 and 10"),
        (
            "unet",
            {"inputs": 1, "residual": True},
            "unet: cannot add 3 output channels to 1 input channels; set residual = false",
        ),
        ("patchgan", {"layers": 7}, "patchgan: layers = 7 must be between 1 and 6"),
        ("resnet", {"norm": "group"}, "unknown norm 'group'"),
        ("stargan", {"domains": 2, "upsampling": "shuffle"}, "unknown upsampling 'shuffle'"),
        (
            "stargan-discriminator",
            {"domains": 2, "size": 48},
            "48 px cannot be halved layers = 6 times; use layers = 4 or less, or a size that is a multiple of 64",
        ),
        ("stargan-discriminator", {"domains": 2, "size": 33}, "use a size that is a multiple of 64"),
    ]:
        with pytest.raises(ConfigError, match=message):
            networks.build(name, **options)  # type: ignore[arg-type]
    discriminator = networks.build("stargan-discriminator", domains=2, size=16, layers=2, features=2)
    with pytest.raises(ValueError, match="needs 16 x 16 pictures, not 32 x 16"):
        discriminator(torch.rand(1, 3, 32, 16))


@pytest.mark.parametrize("case", [GENERATORS[i] for i in (0, 1, 3, 4, 6)], ids=str)
def test_the_exported_network_equals_torch_at_dynamic_sizes(case: Case) -> None:
    import onnxruntime as ort

    network = inference_copy(case.build(), "paper")
    multiple, minimum = network.multiple, network.minimum
    assert isinstance(multiple, int) and isinstance(minimum, int)
    n, h, w = (torch.export.Dim(name) for name in ("n", "h", "w"))
    dynamic: list[Any] = [{0: n, 2: multiple * h, 3: multiple * w}] + ([{0: n}] if case.domains else [])
    example = case.arguments(2, (2 * minimum, 2 * minimum + multiple))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, example, dynamo=True, opset_version=18, dynamic_shapes=dynamic, verbose=False
        )
    assert program is not None
    kinds = {node.op_type for node in program.model_proto.graph.node}
    assert "BatchNormalization" not in kinds and "Dropout" not in kinds
    session = ort.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    for batch, size in ((1, (minimum, minimum)), (3, (minimum + multiple, minimum + 3 * multiple))):
        arguments = case.arguments(batch, size)
        fed = dict(zip(names, (argument.numpy() for argument in arguments), strict=True))
        (result,) = session.run(None, fed)
        with torch.no_grad():
            truth = network(*arguments).numpy()
        assert result.shape == truth.shape
        assert np.abs(result - truth).max() < 1e-4
