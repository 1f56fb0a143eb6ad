"""Seconds that onnxruntime alone needs for the windows that `img2img upscale` cuts a folder's photos into.

python benchmarks/bare_windows.py MODEL FOLDER

A session as `onnxruntime.InferenceSession(file)` gives it, fed with arrays that are there already: nothing is decoded,
encoded, padded or put together, and starting does not count.
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


class Seen:
    """Stands in for a model and notes the shapes of what it is to run."""

    def __init__(self, model: session.LoadedModel) -> None:
        self.card, self.path = model.card, model.path
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
