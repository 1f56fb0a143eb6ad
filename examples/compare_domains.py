"""Prints the distance from a multi-domain model's results to the true drawings, for every direction.

python examples/compare_domains.py RUN/config.toml MODEL.onnx

RUN is a stargan run on folders in which equal names show the same thing. Its held-out pictures are translated, and each
result is compared with the picture of the same name in the target domain. The distance is the mean absolute difference,
0..1, shown next to that of copying the input.
"""

import argparse
from pathlib import Path

import numpy as np

from img2img.data.labelled import DomainSet
from img2img.methods.stargan import Config
from img2img.runtime.network import session

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("config", type=Path)
parser.add_argument("model", type=Path)
options = parser.parse_args()

config = Config.load(options.config)
data = DomainSet.read(config.data, seed=config.seed)
model = session.load(options.model)
count = len(data.domains)
ours, copied = np.zeros((count, count)), np.zeros((count, count))
pairs = np.zeros((count, count), int)
for held in data.held_out:
    origin = int(held.label.argmax())
    picture = held.picture.astype(np.float32).transpose(2, 0, 1)[None] / 255
    results = model.infer(np.repeat(picture, count, 0), domain=np.eye(count, dtype=np.float32))
    for wanted in range(count):
        truth = data.truth(held.name, wanted)
        if wanted == origin or truth is None:
            continue
        true = truth.astype(np.float32).transpose(2, 0, 1) / 255
        ours[origin, wanted] += np.abs(results[wanted] - true).mean()
        copied[origin, wanted] += np.abs(picture[0] - true).mean()
        pairs[origin, wanted] += 1
print(f"{pairs.sum()} held-out pairs; L1 of the model / of copying, from row to column")
print(f"{'':<10}" + "".join(f"{name:>16}" for name in data.domains))
for origin, name in enumerate(data.domains):
    cells = [
        "" if not pairs[origin, wanted] else f"{a:.3f} / {b:.3f}"
        for wanted in range(count)
        for a, b in [np.array([ours, copied])[:, origin, wanted] / max(pairs[origin, wanted], 1)]
    ]
    print(f"{name:<10}" + "".join(f"{cell:>16}" for cell in cells))
better = (ours < copied)[pairs > 0]
print(f"better than copying in {better.sum()} of {better.size} directions")
