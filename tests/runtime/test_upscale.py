"""A whole picture through a model: transparency, depth, other scales, and all that belongs to the picture."""

from types import SimpleNamespace

import numpy as np
import onnx_nets
import pytest

from img2img.errors import UsageError
from img2img.runtime import session
from img2img.runtime.card import Card
from img2img.runtime.pictures import Picture
from img2img.runtime.upscale import upscale


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> session.Model:
    return session.load(onnx_nets.compact(tmp_path_factory.mktemp("models") / "tiny.onnx", scale=2), threads=1)


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> session.Model:
    """Enlarges twice and does nothing else, so that what comes of a picture is known."""
    return session.load(onnx_nets.pointwise(tmp_path_factory.mktemp("models") / "nearest.onnx", scale=2), threads=1)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def test_everything_that_belongs_to_the_picture_is_kept(model: session.Model) -> None:
    picture = Picture(noise(5, 7, 3), format="TIFF", exif=b"Exif", icc=b"profile", dpi=(72, 72), notes=("a note",))
    large = upscale(model, picture)
    assert large.colour.shape == (10, 14, 3)
    assert (large.format, large.exif, large.icc, large.dpi) == ("TIFF", b"Exif", b"profile", (72, 72))
    assert large.notes == ("a note",) and large.alpha is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_and_channels_stay(model: session.Model, channels: int, dtype: type) -> None:
    large = upscale(model, Picture(noise(4, 5, channels, dtype=dtype), noise(4, 5, dtype=dtype)))
    assert large.colour.shape == (8, 10, channels) and large.colour.dtype == dtype
    assert large.alpha is not None and large.alpha.shape == (8, 10) and large.alpha.dtype == dtype


@pytest.mark.parametrize(
    ("scale", "size"), [(1, (5, 7)), (2, (10, 14)), (3, (15, 21)), (4, (20, 28)), (0.5, (3, 4)), (0.01, (1, 1))]
)
def test_any_scale_is_the_networks_own_and_a_resize(model: session.Model, scale: float, size: tuple[int, int]) -> None:
    large = upscale(model, Picture(noise(5, 7, 3), noise(5, 7)), scale=scale)
    assert large.colour.shape[:2] == size
    assert large.alpha is not None and large.alpha.shape == size


@pytest.mark.parametrize("scale", [0, -2, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(model: session.Model, scale: float) -> None:
    with pytest.raises(UsageError, match="scale must be"):
        upscale(model, Picture(noise(5, 7, 3)), scale=scale)


def test_constant_alpha_needs_no_run(nearest: session.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, ...]] = []
    infer = nearest.infer
    monkeypatch.setattr(nearest, "infer", lambda window: (runs.append(window.shape), infer(window))[1])
    large = upscale(nearest, Picture(noise(6, 6, 3), np.full((6, 6), 77, np.uint8)))
    assert large.alpha is not None and (large.alpha == 77).all()
    assert len(runs) == 1


def test_no_halo_around_a_white_disc_on_transparent_black(model: session.Model, nearest: session.Model) -> None:
    y, x = np.mgrid[:40, :40]
    coverage = np.clip(13.5 - np.hypot(y - 19.5, x - 19.5), 0, 1)
    alpha = np.rint(coverage * 255).astype(np.uint8)
    white = np.where(alpha[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, axis=2)
    large = upscale(nearest, Picture(white, alpha), scale=3)
    assert large.alpha is not None
    assert large.colour[large.alpha > 0].min() >= 254  # black under transparency never reaches the edge
    assert large.alpha[0, 0] == 0 and large.alpha[60, 60] == 255


def test_progress_adds_up_to_the_picture_with_and_without_alpha(model: session.Model) -> None:
    for alpha in (None, noise(30, 31)):
        told: list[int] = []
        upscale(model, Picture(noise(30, 31, 3), alpha), tile=8, progress=told.append)
        assert sum(told) == 30 * 31


def test_tiles_change_nothing_in_a_picture_with_alpha(model: session.Model) -> None:
    picture = Picture(noise(33, 29, 3), noise(33, 29))
    whole, tiled = (upscale(model, picture, tile=tile) for tile in (None, 7))
    assert (whole.colour == tiled.colour).all()
    assert whole.alpha is not None and tiled.alpha is not None and (whole.alpha == tiled.alpha).all()


@pytest.mark.parametrize(
    ("changes", "message"), [({"task": "inpaint"}, "needs a mask"), ({"domains": ("a", "b")}, "needs a domain")]
)
def test_a_model_that_needs_more_than_a_picture_is_refused(changes: dict[str, object], message: str) -> None:
    card = Card(**{"name": "m", "task": "translate", "scale": 1, **changes})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        upscale(SimpleNamespace(card=card), Picture(noise(4, 4, 3)))  # type: ignore[arg-type]
