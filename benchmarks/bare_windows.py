"""Measures the seconds that onnxruntime alone needs for the tiles of `img2img upscale` on the photos of a folder.

python benchmarks/bare_windows.py MODEL FOLDER

The session is a plain `onnxruntime.InferenceSession(file)` that gets prepared arrays. Start-up, decoding, encoding,
padding and assembling do not count.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from img2img.runtime.network import models, session
from img2img.runtime.network.tiling import run_tiled
from img2img.threads import Cores


class Seen:
    """Stands in for a model and records the shapes of its inputs."""

    def __init__(self, model: session.LoadedModel) -> None:
        self.card, self.path, self.fixed, self.is_foreign = model.card, model.path, model.fixed, model.is_foreign
        self.pixels_at_once, self.cores = 0, Cores()
        self.shapes: list[tuple[int, ...]] = []

    def infer(self, image: Any) -> Any:
        self.shapes.append(image.shape)
        n, channels, height, width = image.shape
        return np.zeros((n, channels, height * self.card.scale, width * self.card.scale), np.float32)


path = models.find(sys.argv[1])
seen = Seen(session.load(path, device="cpu"))
for photo in sorted(Path(sys.argv[2]).iterdir()):
    with Image.open(photo) as header:
        run_tiled(seen, np.zeros((header.height, header.width, 3), np.uint8))  # type: ignore[arg-type]
bare = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
random, seconds = np.random.default_rng(0), 0.0
for shape in seen.shapes:
    window = random.random(shape, np.float32)
    begin = time.perf_counter()
    bare.run(["result"], {"image": window})
    seconds += time.perf_counter() - begin
print(seconds)
