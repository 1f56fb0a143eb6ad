"""Tiny models and pictures for the tests of the server."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra serve is not installed")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny model for each operation, and others with further inputs."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "double": onnx_nets.compact(folder / "double.onnx", share=0.01),
        "clean": onnx_nets.compact(folder / "clean.onnx", scale=1, share=0.01),
        "tint": onnx_nets.domains(folder / "tint.onnx", {"red": (1, 0, 0), "blue": (0, 0, 1)}),
        "varied": onnx_nets.styled(folder / "varied.onnx", latent=3),
        "styled": onnx_nets.styled(folder / "styled.onnx", reference=1),
        "green": onnx_nets.filler(folder / "green.onnx", (0, 1, 0)),
        "broken": onnx_nets.pointwise(folder / "broken.onnx", "Log", "Log"),
    }


def encoded(size: tuple[int, int] = (12, 8), kind: str = "png", *, seed: int = 0, **options: Any) -> bytes:
    """A small photo as a file."""
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """A file as a picture."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
