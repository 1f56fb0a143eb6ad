"""The plain loop for batches.py: open, run, save, one photo after the other, without img2img.

python benchmarks/naive_loop.py MODEL FOLDER OUT [SUFFIX]

SUFFIX is the format of the results, such as .jpg; without it they have the format of their photos. The encoders get the
same settings as in img2img, so that both do the same work.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

model, folder, out = (Path(word) for word in sys.argv[1:4])
suffix = sys.argv[4] if len(sys.argv) > 4 else None
session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
out.mkdir(parents=True, exist_ok=True)
for path in sorted(folder.iterdir()):
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    result = session.run(["result"], {"image": pixels.transpose(2, 0, 1)[None]})[0][0]
    values = (result.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(values).save(out / f"{path.stem}{suffix or path.suffix}", quality=95, subsampling=0)
