"""Measures CPU seconds per megapixel of input of model files: one thread, the network alone.

python benchmarks/seconds_per_megapixel.py [MODEL ...]
"""

import statistics
import sys
import time

import numpy as np

from img2img.runtime.network import models, session

SIDE, ROUNDS = 256, 7

names = sys.argv[1:] or [model.name for model in models.installed()]
loaded = {name: session.load(name, device="cpu", threads=1) for name in names}
image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)


def inputs(model: session.LoadedModel) -> dict[str, np.ndarray]:
    """The inputs that the model needs in addition to the picture."""
    found = {}
    if model.card.task == "inpaint":
        found["mask"] = np.zeros((1, 1, SIDE, SIDE), np.float32)
        found["mask"][..., SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = 1
    if model.card.domains:
        found["domain"] = np.eye(1, len(model.card.domains), dtype=np.float32)
    return found


seconds: dict[str, list[float]] = {name: [] for name in names}
for turn in range(ROUNDS + 1):
    for name, model in loaded.items():
        begin = time.process_time()
        model.infer(image, **inputs(model))
        if turn:
            seconds[name].append((time.process_time() - begin) / SIDE**2 * 1e6)
for name, values in seconds.items():
    print(
        f"{name:<24} {statistics.median(values):6.2f} CPU-s per input MP (from {min(values):.2f} to {max(values):.2f})"
    )
