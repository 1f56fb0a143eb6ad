"""Finding, reading and holding out the pictures in folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.data import folders
from img2img.errors import DataError


def save(path: Path, side: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_errors_name_broken_pictures_before_training(tmp_path: Path) -> None:
    good, bad = save(tmp_path / "good.png"), tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(DataError, match=r"cannot read .*bad\.png"):
        folders.Photos.read([good, bad], smallest=8)


def test_small_pictures_are_skipped_and_it_is_an_error_if_none_are_left(tmp_path: Path) -> None:
    large, small = save(tmp_path / "large.png", 40), save(tmp_path / "small.png", 10)
    read = folders.Photos.read([large, small], smallest=20)
    assert (read.paths, read.small) == ([large], [small])
    with pytest.raises(DataError, match="smaller crop"):
        folders.Photos.read([small], smallest=20)


def test_folders_are_searched_recursively_without_hidden_files(tmp_path: Path) -> None:
    kept = [save(tmp_path / "a.png"), save(tmp_path / "deep" / "er" / "b.JPG")]
    save(tmp_path / ".hidden.png")
    save(tmp_path / "__MACOSX" / "c.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    assert folders.find([tmp_path]) == kept


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_the_error_about_missing_pictures_names_the_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=folder):
        folders.find([tmp_path / folder])


def test_hold_out_takes_a_block_of_each_folder() -> None:
    paths = [Path(f"a/{i:03}.png") for i in range(60)] + [Path(f"b/{i:03}.png") for i in range(40)]
    kept, held = folders.hold_out(paths)
    assert held == [*paths[57:60], *paths[98:]]
    assert kept + held != paths and sorted(kept + held) == paths
    with pytest.raises(DataError, match="--validation"):
        folders.hold_out(paths[:1])


def test_transparency_is_composited_over_white_and_16_bits_are_rounded(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert (folders.read_rgb(tmp_path / "clear.png") == 255).all()
    Image.fromarray(np.full((2, 3), 257 * 200, np.uint16)).save(tmp_path / "deep.png")
    assert folders.read_rgb(tmp_path / "deep.png").tolist() == [[[200] * 3] * 3] * 2
