"""The network that colours grey pictures: it keeps their luminance, at any size, and its resizing is what it claims."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from img2img import exchange
from img2img.errors import ConfigError
from img2img.exchange.wrappers import TranslationWrapper
from img2img.networks import build
from img2img.networks.chroma_unet import ChromaUNet, combine, enlarged, reduced
from img2img.objectives.colour import chroma, colour_change, luma
from img2img.runtime.network.card import Card


@pytest.fixture(scope="module")
def network() -> ChromaUNet:
    torch.manual_seed(0)
    network = build("chroma-unet", features=4, downs=3, side=32)
    assert isinstance(network, ChromaUNet)
    with torch.no_grad():  # paints in strong colours, also outside of what RGB can hold
        for parameter in network.last[-1].parameters():
            parameter.mul_(20)
    return network.eval()


def coloured(network: ChromaUNet, grey: Tensor) -> Tensor:
    with torch.no_grad():
        return network(grey * 2 - 1).add(1).div(2)


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (5, 70), (61, 40), (200, 3)])
def test_the_result_has_the_luminance_of_the_input_and_every_colour_exists(
    network: ChromaUNet, size: tuple[int, int]
) -> None:
    grey = torch.rand(2, 1, *size)
    result = coloured(network, grey)
    assert result.shape == (2, 3, *size)
    assert (luma(result) - grey).abs().max() < 1e-6
    assert result.min() > -1e-6 and result.max() < 1 + 1e-6
    assert (result.amax(1) - result.amin(1)).mean() > 0.05  # in colour, not grey


def test_a_colour_picture_counts_as_its_luminance(network: ChromaUNet) -> None:
    of_colours = build("chroma-unet", inputs=3, features=4, downs=3, side=32)
    of_colours.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        result = of_colours.eval()(image * 2 - 1).add(1).div(2)
    assert torch.allclose(result, coloured(network, luma(image)), atol=1e-5)


def test_a_crop_of_the_size_of_the_canvas_gives_the_same_in_training_and_later(network: ChromaUNet) -> None:
    fixed = build("chroma-unet", features=4, downs=3, side=32, norm="none")
    assert isinstance(fixed, ChromaUNet)
    grey = torch.rand(1, 1, 32, 32)
    assert torch.equal(coloured(fixed.train(), grey), coloured(fixed.eval(), grey))


def test_chroma_is_only_reduced_where_a_colour_does_not_exist() -> None:
    grey = torch.full((1, 1, 1, 3), 0.5)
    wanted = torch.tensor([[0.1, 0.4, 0.4], [-0.1, 0.4, -0.4]]).reshape(1, 2, 1, 3)
    got = chroma(combine(grey, wanted))
    assert torch.allclose(got[..., 0], wanted[..., 0], atol=1e-6)
    factor = got[..., 1:] / wanted[..., 1:]
    assert (factor < 1).all() and torch.allclose(factor[:, 0], factor[:, 1], atol=1e-5)  # the hue is kept
    black_and_white = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert torch.allclose(combine(black_and_white, torch.full((1, 2, 1, 2), 0.3)), black_and_white, atol=1e-6)


def test_chroma_and_its_inverse_agree_with_pillow() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    expected = np.asarray(Image.fromarray(picture).convert("YCbCr"), np.float32)[..., 1:] / 255 - 128 / 255
    assert np.abs(chroma(image)[0].permute(1, 2, 0).numpy() - expected).max() < 1.1 / 255
    assert torch.allclose(luma(image) + colour_change(chroma(image)), image, atol=1e-6)


def test_the_canvas_is_pillows_antialiased_resize_and_mirrored_below() -> None:
    grey = torch.rand(1, 1, 30, 60)
    canvas = reduced(grey, 20)
    expected = np.asarray(Image.fromarray(grey[0, 0].numpy()).resize((20, 10), Image.Resampling.BILINEAR))
    # Pillow cuts the triangle off at the border, we do as well: both normalise what is left.
    assert np.abs(canvas[0, 0, :10].numpy() - expected).max() < 1e-5
    assert torch.allclose(canvas[..., 10:, :], canvas[..., :10, :].flip(2), atol=1e-5)


def test_chroma_is_enlarged_bilinearly_to_the_size_of_the_picture() -> None:
    chroma_map = torch.rand(1, 2, 8, 8)
    expected = F.interpolate(chroma_map, size=(48, 48), mode="bilinear", align_corners=False)
    assert torch.allclose(enlarged(chroma_map, torch.zeros(1, 1, 48, 48), 16), expected, atol=1e-5)
    half = enlarged(chroma_map, torch.zeros(1, 1, 24, 48), 16)  # the picture fills the upper half of the canvas
    assert torch.allclose(half[..., :20, :], expected[..., :20, :], atol=1e-5)


def test_colours_end_where_the_luminance_does(network: ChromaUNet) -> None:
    """A guided filter, not a plain enlargement: at an edge eight times finer than the canvas, chroma has that edge."""
    grey = torch.full((1, 1, 256, 256), 0.2)
    grey[..., 131:] = 0.8  # off the grid of the chroma map
    with torch.no_grad():
        network.predict, predict = (
            lambda canvas: torch.cat((canvas[..., ::2, ::2] - 0.5,) * 2, 1) * 0.4,
            network.predict,
        )
        try:
            result = chroma(coloured(network, grey))[0, 0, 128]
        finally:
            network.predict = predict
    assert result[130] < 0 < result[131]
    assert abs(float(result[131] - result[130])) > 0.6 * abs(float(result[160] - result[100]))


def test_the_exported_model_depends_on_the_whole_picture_and_takes_every_size(
    network: ChromaUNet, tmp_path: Path
) -> None:
    card = Card(name="colours", task="translate", scale=1)
    found = exchange.export(TranslationWrapper(network, channels=1), card, tmp_path / "m.onnx")
    assert found.context is None
    session = ort.InferenceSession(tmp_path / "m.onnx")
    image = np.random.default_rng(0).random((1, 3, 301, 7), np.float32)
    (result,) = session.run(["result"], {"image": image})
    weights = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]
    assert np.abs((result * weights).sum(1) - (image * weights).sum(1)).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 4}, "set data.input = grey"),
        ({"outputs": 1}, "data.target = picture"),
        ({"downs": 2}, "between 3 and 7"),
        ({"side": 100}, "a multiple of 32"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("chroma-unet", **options)
