"""`img2img degrade`: a contact sheet for the settings of a training run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from PIL import Image

from img2img.cli import app

Run = Callable[..., Outcome]
GAP, CAPTION = 6, 18


@pytest.fixture(autouse=True)
def _command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.COMMANDS, "degrade", ("img2img.cli.degrade:degrade", "Show what training makes of photos."))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / "photos" / "deep"
    below.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        coarse.resize((72, 64), Image.Resampling.BICUBIC).save(below / f"{i}.png")
    return below.parent


def cells(sheet: Path, size: int, rows: int, columns: int) -> np.ndarray:
    """Return the pictures of a sheet, `[rows, columns, size, size, 3]`."""
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (CAPTION + rows * (size + GAP) + GAP, columns * (size + GAP) + GAP, 3)
    step = size + GAP
    return np.array(
        [[pixels[CAPTION + r * step :, GAP + c * step :][:size, :size] for c in range(columns)] for r in range(rows)]
    )


def test_a_sheet_shows_truth_target_and_degraded_versions(img2img: Run, folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    done = img2img("degrade", folder, "-o", sheet, "--crop", 32, "--count", 2, "--versions", 3)
    assert (done.status, done.out) == (0, b"")
    assert f"wrote {sheet}: 2 crops of 32 pixels" in done.err
    shown = cells(sheet, 32, 2, 5)
    for truth, target, *seen in shown:
        assert not np.array_equal(truth, target)
        assert len({version.tobytes() for version in seen}) == 3
        for version in seen:  # pixels of 4 x 4
            assert np.array_equal(version, version[::4, ::4].repeat(4, 0).repeat(4, 1))


def test_the_same_seed_gives_the_same_sheet(img2img: Run, folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert img2img("degrade", folder, "-o", tmp_path / f"{name}.png", "--crop", 32, "--seed", seed).status == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_settings_come_from_a_training_run(img2img: Run, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        'method = "esrgan"\nscale = 2\nsteps = 7\n[data]\nfolders = ["x"]\ncrop = 48\n'
        '[data.degradation]\nkind = "real"\nsharpen = false\n[optimiser]\nrate = 1e-3\n'
    )
    sheet = tmp_path / "sheet.png"
    args = ["degrade", folder, "-o", sheet, "--config", config, "--count", 1, "--versions", 1]
    assert img2img(*args).status == 0
    ((_, seen),) = cells(sheet, 48, 1, 2)
    assert np.array_equal(seen, seen[::2, ::2].repeat(2, 0).repeat(2, 1))
    assert img2img(*args, "--set", "data.degradation.kind=bicubic", "--scale", 4).status == 0
    ((truth, seen),) = cells(sheet, 48, 1, 2)
    from img2img.data.bicubic import imresize

    assert np.array_equal(seen[::4, ::4], imresize(truth, 1 / 4))


def test_masks_are_shown_on_request(img2img: Run, folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    args = ("--crop", 32, "--count", 1, "--versions", 2, "--set", "data.masks.share=[0.3,0.5]")
    assert img2img("degrade", folder, "--masks", "-o", sheet, *args).status == 0
    ((truth, *seen),) = cells(sheet, 32, 1, 3)
    for version in seen:
        hole = (version != truth).any(2)
        assert 0.25 <= hole.mean() <= 0.5 and (version[hole] == 255).all()


def test_small_and_broken_photos_are_skipped_and_reported(img2img: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_text("no picture")
    Image.new("RGB", (20, 20)).save(folder / "small.png")
    done = img2img("degrade", folder, "-o", tmp_path / "sheet.png", "--crop", 32)
    assert done.status == 0 and "3 crops" in done.err
    assert "bad.png" in done.err and "skipped photos smaller than the 32 px crop: 1" in done.err


def test_the_limit_of_pixels_is_an_option(img2img: Run, folder: Path, tmp_path: Path) -> None:
    done = img2img("degrade", folder, "-o", tmp_path / "sheet.png", "--max-pixels", "10")
    assert done.status == 2 and "is more than the limit of 10 pixels; raise it with --max-pixels" in done.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "data.degradation.frist.jpeg=[1,2]"], "unknown key 'data.degradation.frist'; did you mean 'first'?"),
        (
            ["--set", "data.degradation.first.jpeg=[9,2]"],
            "first.jpeg: the range [9, 2] must start with the lower value",
        ),
        (["--set", "data.degradation.second.blur.kernels.plateau=1"], "the probabilities must sum to 1"),
        (["--set", "optimiser.rate=1"], "degrade only uses scale, data.crop, data.degradation, data.masks"),
        (["--config", "missing.toml"], "missing.toml: cannot be read as a configuration"),
        (["--crop", "30"], "data.crop = 30 is not a multiple of scale = 4"),
        (["--crop", "4096"], "choose a smaller --crop"),
        (["-o", "sheet.xyz"], "use a name that ends in .png"),
    ],
)
def test_usage_errors_are_one_line_and_write_nothing(
    args: list[str], message: str, img2img: Run, folder: Path, here: Path
) -> None:
    done = img2img("degrade", folder, *args)
    assert done.status == 2 and message in done.err
    assert done.err.strip().splitlines()[-1].startswith("error: ")
    assert [path.name for path in here.iterdir()] == ["photos"]


def test_no_photos_is_an_error(img2img: Run, here: Path) -> None:
    (here / "empty").mkdir()
    done = img2img("degrade", "empty")
    assert done.status == 2 and len(done.err.strip().splitlines()) == 1
    assert "reads photos from files" in img2img("degrade", "-").err
