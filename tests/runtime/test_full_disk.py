"""A file that the disk cannot hold is an error, and nothing of it remains."""

import subprocess
import sys
from pathlib import Path

import pytest

from img2img.runtime.image import sizes

WRITE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from img2img.errors import PictureError
from img2img.runtime.image import writing
from img2img.runtime.image.pictures import Picture
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).integers(0, 256, (90, 110, 3), np.uint8)
try:
    writing.write(Picture(noise), Path(sys.argv[1]))
except PictureError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_FSIZE")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "avif"])
def test_a_file_beyond_the_size_limit_is_an_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"photo.{suffix}"
    run = subprocess.run([sys.executable, "-c", WRITE, str(target)], capture_output=True, text=True, check=True)
    assert run.stdout == f"cannot write {target}: File too large\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [slice(0, 40), slice(0, 120), slice(0, 250)])
def test_the_size_of_a_damaged_avif_is_unknown(damage: slice) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "AVIF")
    whole = file.getvalue()
    assert list(sizes.of_files([whole[damage], whole])) == [None, (40, 30)]
