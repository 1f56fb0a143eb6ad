"""A long batch needs no more memory than a short one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import environment
from PIL import Image

pytest.importorskip("onnx")

import onnx_nets

COUNT, LARGEST = 500, 200
WATCH = """
import json, os, sys
import img2img

def resident():  # MB
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

photos, model, out = sys.argv[1:]
seen = []
for event in img2img.batch(photos, model=model, output=out, threads=1):
    assert event.status == "done", event.message
    seen.append(resident())
print(json.dumps(seen))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell in this way")
def test_memory_is_flat_from_the_50th_to_the_500th_picture_of_random_sizes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = random.integers(0, 256, (LARGEST, LARGEST, 3), np.uint8)
    for number in range(COUNT):
        height, width = random.integers(1, LARGEST + 1, 2)
        mode = ("RGB", "RGB", "L", "RGBA")[number % 4]
        suffix = "png" if mode == "RGBA" else ("jpg", "png", "webp")[number % 3]
        Image.fromarray(noise[:height, :width]).convert(mode).save(photos / f"{number}.{suffix}")
    # Wide enough for the features of a picture to weigh 15 MB: what is kept of a few of them shows.
    model = onnx_nets.compact(tmp_path / "wide.onnx", scale=2, features=32, convs=4)
    words = [sys.executable, "-c", WATCH, str(photos), str(model), f"{tmp_path / 'out'}/"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen) == COUNT
    assert max(seen[49:]) - seen[49] < 50, [round(one) for one in seen[::25]]
