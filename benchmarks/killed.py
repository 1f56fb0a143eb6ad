"""Kills batches (kill -9) at random moments, far more often than the tests do, and checks what they leave.

python benchmarks/killed.py [--kills 300] [--pictures 24] [--model MODEL]

After each kill, every visible file must equal that of an undisturbed run, byte for byte, and must be in the journal. A
last call must make the rest. If not, the script ends with an error. It measures no times.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / room) for room in ("promises", "runtime")]

from killing import Scene, kill_again_and_again, make_model, make_photos  # noqa: E402

from img2img.runtime.network import models  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--side", type=int, default=160, help="width of a picture")
    parser.add_argument("--model", help="model name or file. Default: one that spends most of its time writing")
    options = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = make_photos(folder / "photos", options.pictures, (options.side, options.side * 3 // 4))
        model = models.find(options.model) if options.model else make_model(folder / "tiny.onnx")
        scene = Scene.undisturbed(photos, model, folder / "undisturbed", environment)
        print(
            f"undisturbed: {len(scene.expected)} results, the first after {scene.start_up:.2f} s, then one each"
            f" {scene.pace * 1000:.0f} ms"
        )
        torn, folders = kill_again_and_again(scene, folder, options.kills, tell=print)
    print(
        f"{options.kills} kills on {folders} folders, {torn} of them in the middle of writing a file: no partial file"
        f" was ever visible, and all {folders} x {len(scene.expected)} results equal the undisturbed run's"
    )


if __name__ == "__main__":
    main()
