"""Measures the seconds that onnxruntime alone needs for the photos of a folder, without files and without tiles.

python benchmarks/bare_network.py MODEL FOLDER
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.runtime.network import session

model = session.load(sys.argv[1]).on_all_cores()
seconds = 0.0
for path in sorted(Path(sys.argv[2]).iterdir()):
    picture = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
    begin = time.perf_counter()
    model.infer(tensor)
    seconds += time.perf_counter() - begin
print(seconds)
