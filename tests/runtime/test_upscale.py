import numpy as np
import onnx_nets
import pytest
from stub_network import StubNetwork

from img2img.errors import UsageError
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network.session import load
from img2img.runtime.network.tiling import run_tiled
from img2img.runtime.tasks.upscale import upscale


@pytest.fixture(scope="module")
def nearest(tmp_path_factory):
    """Enlarges by 4 by repeating pixels, so that every result can be told beforehand."""
    return load(onnx_nets.pointwise(tmp_path_factory.mktemp("nets") / "nearest.onnx", scale=4))


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Sees 5 pixels around each one and overshoots, as real networks do."""
    return load(onnx_nets.compact(tmp_path_factory.mktemp("nets") / "smooth.onnx", scale=2, convs=5, skip="linear"))


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


class Counting(StubNetwork):
    """A model that counts its runs."""

    def __init__(self, model):
        super().__init__(model)
        self.runs = 0

    def infer(self, image):
        self.runs += 1
        return self.model.infer(image)


def disc(side=48, radius=16, value=255):
    """A white disc with an antialiased edge on transparent black."""
    at = np.arange(side) - (side - 1) / 2
    cover = np.clip(radius + 0.5 - np.hypot(at[:, None], at), 0, 1)
    alpha = np.rint(cover * 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, value, 0).astype(np.uint8).repeat(3, axis=2)
    return Picture(colour, alpha)


def test_what_the_file_said_about_itself_is_kept(nearest):
    source = Picture(noise(4, 5, 3), None, "JPEG", b"Exif\0\0", b"icc", (300.0, 300.0), ("CMYK converted",))
    result = upscale(nearest, source)
    assert np.array_equal(result.colour, source.colour.repeat(4, 0).repeat(4, 1))
    assert result.alpha is None
    assert (result.format, result.exif, result.icc, result.dpi, result.notes) == (
        source.format, source.exif, source.icc, source.dpi, source.notes,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("scale", [None, 1.5, 4])
def test_depth_and_channels_are_kept(nearest, dtype, channels, with_alpha, scale):
    alpha = noise(5, 4, dtype=dtype) if with_alpha else None
    result = upscale(nearest, Picture(noise(5, 4, channels, dtype=dtype), alpha), scale=scale)
    height, width = (8, 6) if scale == 1.5 else (20, 16)
    assert result.colour.shape == (height, width, channels) and result.colour.dtype == dtype
    assert (result.alpha is None) is not with_alpha
    assert alpha is None or (result.alpha.shape == (height, width) and result.alpha.dtype == dtype)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((1, 1), 0.1, (1, 1)),
        ((1, 1), None, (4, 4)),
        ((3, 5), 2, (6, 10)),
        ((3, 5), 2.5, (8, 13)),
        ((3, 5), 8, (24, 40)),
        ((10, 7), 0.3, (3, 2)),
        ((100, 2), 0.1, (10, 1)),
    ],
)
def test_any_scale_gives_the_rounded_size_and_never_nothing(nearest, size, scale, expected):
    assert upscale(nearest, Picture(noise(*size, 3)), scale=scale).colour.shape[:2] == expected


def test_another_scale_is_one_run_and_a_lanczos_resize(smooth):
    counting, source = Counting(smooth), Picture(noise(10, 12, 3))
    result = upscale(counting, source, scale=3)
    assert np.array_equal(result.colour, lanczos(run_tiled(smooth, source.colour), (36, 30)))
    assert counting.runs == 1


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(nearest, scale):
    with pytest.raises(UsageError, match="scale must be a number above 0"):
        upscale(nearest, Picture(noise(2, 2, 3)), scale=scale)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_alpha_that_is_the_same_everywhere_is_not_run(smooth, value):
    counting = Counting(smooth)
    result = upscale(counting, Picture(noise(6, 6, 3), np.full((6, 6), value, np.uint8)))
    assert counting.runs == 1
    assert result.alpha.shape == (12, 12) and (result.alpha == value).all()


def test_alpha_runs_as_a_grey_picture_of_its_own(smooth):
    counting, alpha = Counting(smooth), noise(6, 7)
    result = upscale(counting, Picture(noise(6, 7, 3), alpha))
    assert counting.runs == 2
    assert np.array_equal(result.alpha, run_tiled(smooth, alpha[..., None])[..., 0])


@pytest.mark.parametrize("scale", [2, 3])
def test_a_white_disc_on_transparent_black_gets_no_dark_halo(smooth, scale):
    result = upscale(smooth, disc(), scale=scale)
    plain = upscale(smooth, Picture(np.full((48, 48, 3), 255, np.uint8)), scale=scale)
    visible = lanczos(disc().alpha, (48 * scale, 48 * scale)) > 0  # the network is random, so its alpha is too
    assert 0.05 < visible.mean() < 0.9
    # Away from the picture's border (where padding shows) the disc is as white as a picture that is white all over.
    inside = (slice(8 * scale, -8 * scale),) * 2
    assert np.array_equal(result.colour[inside][visible[inside]], plain.colour[inside][visible[inside]])


def test_the_halo_test_can_fail(smooth):
    source = disc()
    unbled = run_tiled(smooth, source.colour)
    alpha = lanczos(source.alpha, (96, 96))
    plain = run_tiled(smooth, np.full((48, 48, 3), 255, np.uint8))
    edge = (slice(16, -16),) * 2
    visible = alpha[edge] > 0
    assert (plain[edge][visible].astype(int) - unbled[edge][visible]).max() > 50


def test_progress_adds_up_to_the_pictures_pixels_with_and_without_alpha(smooth):
    for alpha in (None, np.full((31, 33), 7, np.uint8), noise(31, 33)):
        told = []
        upscale(smooth, Picture(noise(31, 33, 3), alpha), tile=8, progress=told.append)
        assert sum(told) == 31 * 33


def test_smaller_tiles_after_out_of_memory_are_noted_in_the_picture(smooth):
    class Small(Counting):
        def infer(self, image):
            if image.shape[2] > 40:
                raise MemoryError("no room")
            return super().infer(image)

    source = Picture(noise(50, 50, 3), notes=("first",))
    result = upscale(Small(smooth), source)
    assert result.notes[0] == "first" and "out of memory" in result.notes[1]
    assert np.array_equal(result.colour, upscale(smooth, source).colour)


@pytest.mark.parametrize(("changes", "what"), [({"task": "inpaint"}, "a mask"), ({"domains": ["old"]}, "a domain")])
def test_a_model_that_needs_more_than_a_picture_is_refused(nearest, changes, what):
    from img2img.runtime.network.card import Card

    model = Counting(nearest)
    model.card = Card(**onnx_nets.card(**changes))
    with pytest.raises(UsageError, match=f"tiny needs {what}"):
        upscale(model, Picture(noise(2, 2, 3)))
    assert model.runs == 0
