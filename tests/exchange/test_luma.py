"""One-channel networks keep colours, whether they are imported or come as an ONNX file of somebody else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img import networks
from img2img.exchange.importers import Options, import_file
from img2img.exchange.luma import LumaWrapper
from img2img.runtime.network import session
from img2img.runtime.network.tiling import run_tiled


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_colours_are_those_of_pillows_bicubic_resize_up_to_the_border(scale: int) -> None:
    image = torch.rand(1, 3, 7, 5, generator=torch.Generator().manual_seed(0))

    class Black(torch.nn.Module):
        def forward(self, grey: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1, 1, 7 * scale, 5 * scale)

    red = LumaWrapper(Black(), scale)(image)[0, 0].numpy()
    plane = (image[0, 0] - (0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2])).numpy()
    expected = Image.fromarray(plane).resize((5 * scale, 7 * scale), Image.Resampling.BICUBIC)
    assert np.abs(red - np.asarray(expected)).max() < 1e-5


def test_an_imported_one_channel_upscaler_equals_the_same_network_as_an_onnx_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = networks.build("compact", scale=2, features=8, convs=2, channels=1)
    for parameter in network.parameters():
        parameter.data.mul_(0.05)
    torch.save({"params": network.state_dict()}, tmp_path / "grey.pth")
    import_file(tmp_path / "grey.pth", tmp_path / "imported.onnx", Options())
    axes = {"image": {2: "h", 3: "w"}, "result": {2: "H", 3: "W"}}
    names = {"input_names": ["image"], "output_names": ["result"], "dynamic_axes": axes}
    torch.onnx.export(network.eval(), (torch.rand(1, 1, 8, 8),), tmp_path / "plain.onnx", dynamo=False, **names)
    y, x = np.mgrid[0:48, 0:64]
    photo = np.stack([x * 4, y * 5, 0 * x + 128], -1).clip(0, 255).astype(np.uint8)
    imported = session.load(tmp_path / "imported.onnx", device="cpu", threads=1)
    plain = session.load(tmp_path / "plain.onnx", device="cpu", threads=1)
    first, second = (run_tiled(model, photo, tile=None).astype(int) for model in (imported, plain))
    assert np.abs(first - second).max() <= 1
    assert abs(np.abs(first[..., 0] - first[..., 2]).mean() - np.abs(photo[..., 0] - 128.0).mean()) < 2  # as colourful
    assert np.array_equal(run_tiled(imported, photo, tile=16), run_tiled(imported, photo, tile=None))
