"""An exported file equals its network and has a card. If it does not equal the network, it is not written."""

import ast
import gc
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img import exchange, networks
from img2img.errors import ExportError
from img2img.exchange import receptive_field
from img2img.exchange.onnx_file import ClampedNetwork
from img2img.exchange.wrappers import DomainWrapper, InpaintingWrapper, TranslationWrapper
from img2img.runtime.network.card import METADATA_KEY, Card


def card(scale: int, **changes: object) -> Card:
    return Card(**{"name": "tiny", "task": "upscale", "scale": scale, **changes})


def tiny(scale: int) -> nn.Module:
    torch.manual_seed(0)
    return networks.build("compact", scale=scale, features=8, convs=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path, exchange.Verification]:
    network, target = tiny(4), tmp_path_factory.mktemp("export") / "model.onnx"
    return network, target, exchange.export(network, card(4), target)


def test_result_equals_the_network_at_any_size_and_batch(
    exported: tuple[nn.Module, Path, exchange.Verification],
) -> None:
    network, target, _ = exported
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    for size in ((1, 1, 1), (3, 5, 4), (1, 2, 33)):
        image = np.random.default_rng(1).random((size[0], 3, *size[1:]), dtype=np.float32)
        (result,) = session.run(["result"], {"image": image})
        with torch.no_grad():
            truth = network(torch.from_numpy(image)).clamp(0, 1).numpy()
        assert np.abs(result - truth).max() < 1e-5


def test_the_file_contains_its_card(exported: tuple[nn.Module, Path, exchange.Verification]) -> None:
    _, target, verification = exported
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    read = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert (read.name, read.scale, read.context) == ("tiny", 4, 3)
    assert "torch" in read.created_with
    assert verification.context == 3 and verification.largest < 1e-5 and len(verification.sizes) == 4


def test_the_file_is_one_file_without_local_paths(exported: tuple[nn.Module, Path, exchange.Verification]) -> None:
    _, target, _ = exported
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]
    assert b".py" not in target.read_bytes()
    onnx.checker.check_model(onnx.load(target), full_check=True)


def test_a_file_that_differs_from_its_network_is_not_written(tmp_path: Path) -> None:
    class Unstable(nn.Module):
        """Gives a different result at every call, like a network that was left in training mode."""

        calls = 0

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return image * 0.5 + 0.01 * self.calls

    with pytest.raises(ExportError, match="differs from the network"):
        exchange.export(Unstable(), card(1), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_parses_code_meanwhile_does_not_fail_the_export(tmp_path: Path) -> None:
    ended = threading.Event()

    def parse() -> None:  # in Python 3.11, formatting a traceback does
        while not ended.is_set():
            with suppress(SystemError):
                ast.parse("x = 1")

    def switch_threads(*_: object) -> None:
        time.sleep(1e-4)

    thread = threading.Thread(target=parse)
    thread.start()
    gc.callbacks.append(switch_threads)
    try:
        exchange.export(tiny(2), card(2), tmp_path / "model.onnx")
    finally:
        gc.callbacks.remove(switch_threads)
        ended.set()
        thread.join()
    assert gc.isenabled()


def test_a_network_that_cannot_be_exported_is_a_clear_error(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image if image.sum() > 1 else image * 2

    with pytest.raises(ExportError, match="cannot be exported"):
        exchange.export(Branching(), card(1), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("network", "scale", "expected"),
    [
        (nn.Conv2d(3, 3, 3, padding=1), 1, 1),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2)), 1, 3),
        (nn.Conv2d(3, 3, 3, padding=8, dilation=8), 1, 8),
        (nn.Conv2d(3, 3, 1), 1, 0),
        (nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(3, 3, 3, padding=1)), 2, 2),
        (nn.InstanceNorm2d(3), 1, None),
    ],
)
def test_context_is_the_receptive_field(network: nn.Module, scale: int, expected: int | None) -> None:
    assert receptive_field.measure(network, card(scale)) == expected


def test_context_of_a_strided_network_counts_the_worst_phase() -> None:
    class Strided(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return F.interpolate(F.avg_pool2d(image, 4), scale_factor=4, mode="nearest")

    assert receptive_field.measure(Strided(), card(1, multiple=4)) == 3


def test_context_is_sufficient_and_tight() -> None:
    torch.manual_seed(0)
    network = networks.build("srresnet", scale=2, features=4, blocks=2).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    context = receptive_field.measure(network, card(2))
    assert context is not None
    image = torch.rand(1, 3, 60, 60, dtype=torch.float64)

    def middle(around: int) -> torch.Tensor:
        left, right = 30 - around, 31 + around
        with torch.no_grad():
            return network(image[:, :, left:right, left:right])[
                :, :, 2 * around : 2 * around + 2, 2 * around : 2 * around + 2
            ]

    with torch.no_grad():
        truth = network(image)[:, :, 60:62, 60:62]
    assert torch.allclose(middle(context), truth, atol=1e-12)
    assert not torch.allclose(middle(context - 1), truth, atol=1e-9)


def test_a_network_that_removes_nan_cannot_be_measured() -> None:
    class NanToNumber(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.nan_to_num()

    with pytest.raises(ValueError, match="removes NaN values"):
        receptive_field.measure(NanToNumber(), card(1))


class Domains(nn.Module):
    """Takes every input that a model file can have."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(7, 3, 5, padding=2)

    def forward(self, image: torch.Tensor, mask: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        spread = domain[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.convolution(torch.cat((image, mask, spread), 1))


def test_masks_and_domains_are_inputs_of_the_file(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    verification = exchange.export(Domains(), card(1, task="inpaint", domains=("a", "b", "c")), target)
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape[1]) for one in session.get_inputs()] == [("image", 3), ("mask", 1), ("domain", 3)]
    assert verification.context == 2


def test_wrappers_convert_between_0_1_and_the_signed_range_of_the_network() -> None:
    class Negative(nn.Module):
        def forward(self, image: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
            return -image

    image = torch.rand(2, 3, 4, 5)
    assert torch.allclose(TranslationWrapper(Negative())(image), 1 - image, atol=1e-6)
    assert torch.allclose(DomainWrapper(Negative())(image, torch.ones(2, 1)), 1 - image, atol=1e-6)
    grey = TranslationWrapper(Negative(), channels=1)(image)
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert torch.allclose(
        grey[:, 0], 1 - (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1), atol=1e-6
    )
    mask = (torch.rand(2, 1, 4, 5) > 0.5).float()
    filled = InpaintingWrapper(Negative())(image, mask)
    assert torch.equal(filled * (1 - mask), image * (1 - mask)), "pixels outside the hole stay as they are"
    assert torch.allclose(filled * mask, 0.5 * mask), "the network sees an empty hole"


def test_results_outside_0_1_are_clamped() -> None:
    class Brighter(nn.Module):
        def forward(self, image: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
            return 3 * image

    image = torch.rand(2, 3, 4, 5)
    expected = (3 * image - 1).clamp(0, 1)
    assert torch.allclose(ClampedNetwork(TranslationWrapper(Brighter()))(image), expected, atol=1e-6)
    assert torch.allclose(ClampedNetwork(DomainWrapper(Brighter()))(image, torch.ones(2, 1)), expected, atol=1e-6)


def test_a_label_map_becomes_one_channel_per_class_even_if_compression_changed_its_colours() -> None:
    palette = np.array([[0, 0, 0], [200, 10, 10], [10, 10, 200]], np.uint8)
    index = torch.tensor([[[0, 1], [2, 1]]])
    image = torch.from_numpy(palette)[index].permute(0, 3, 1, 2).float() / 255 + 0.02
    seen = TranslationWrapper(nn.Identity(), palette=palette).generator_input(image)
    assert torch.equal(seen.argmax(1), index) and torch.equal(seen.sum(1), torch.ones(1, 2, 2))
