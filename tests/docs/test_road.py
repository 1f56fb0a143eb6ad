"""The table of files that one photo passes through (docs/architecture.md) is complete, and short."""

import os
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]

# Prints the files whose functions run. Modules and classes that are only defined do not count.
TRACE = """
import sys, threading
from pathlib import Path
import img2img
from img2img.cli import main

root, seen = str(Path(img2img.__file__).parent), set()

def note(frame, event, argument):
    name = frame.f_code.co_filename
    if event == "call" and name.startswith(root):
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root):
                return
            frame = frame.f_back
        seen.add(Path(name).relative_to(root).as_posix())

threading.setprofile(note)
sys.setprofile(note)
status = main()
sys.setprofile(None)
print(*sorted(seen), sep="\\n")
sys.exit(status)
"""


def listed() -> list[str]:
    """The files in the table, below img2img/."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## Follow one photo") : text.index("All other modules are entered")]
    return re.findall(r"`([\w/]+\.py)`", table)


def test_the_table_lists_the_files_that_one_photo_passes_through(tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.jpg", quality=95)
    script = [sys.executable, "-c", TRACE, "upscale", "photo.jpg"]
    environment = {**os.environ, "IMG2IMG_CACHE": str(tmp_path / "cache")}
    for _ in range(2):  # the first one computes the digest of the model
        done = subprocess.run(
            script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        (tmp_path / "photo_x4.jpg").unlink()
    assert sorted(done.stdout.split()) == sorted(listed())
    assert len(listed()) <= 27
