"""The PyTorch baseline: an eager script for one picture, as many repositories have it, with the same network.

python benchmarks/eager_script.py WEIGHTS.pth IN OUT SCALE
"""

import sys

import numpy as np
import torch
from PIL import Image

from img2img.networks.compact import Compact

weights, source, target, scale = sys.argv[1:]
state = torch.load(weights, weights_only=True)
convs = sum(value.ndim == 4 for value in state.values()) - 2
model = Compact(scale=int(scale), features=state["body.0.weight"].shape[0], convs=convs)
model.load_state_dict(state)
model.eval()
picture = np.array(Image.open(source).convert("RGB")).astype(np.float32) / 255
tensor = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0)
with torch.no_grad():
    output = model(tensor).squeeze(0).clamp(0, 1).permute(1, 2, 0).numpy()
Image.fromarray((output * 255).round().astype(np.uint8)).save(target)
