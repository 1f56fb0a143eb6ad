"""Translation: what is preserved, which domains are valid, and at which size the network runs."""

import dataclasses
import math

import numpy as np
import onnx_nets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from stub_network import StubNetwork

from img2img.data.folders import rgb as read_as_in_training
from img2img.errors import UsageError
from img2img.runtime.api import Model
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.inference_errors import OutOfMemory
from img2img.runtime.network.session import load
from img2img.runtime.tasks.translate import translate

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module")
def tints(nets):
    """Half the picture and half the colour of a domain; fails on sides that are no multiple of 8."""
    return load(onnx_nets.domains(nets / "tints.onnx", COLOURS, multiple=8))


@pytest.fixture(scope="module")
def same(nets):
    """Gives its picture back."""
    return load(onnx_nets.pointwise(nets / "same.onnx", task="translate"))


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


class Watching(StubNetwork):
    """A model that remembers what it saw, and has no room for more than `room` pixels."""

    def __init__(self, model, room=None):
        super().__init__(model)
        self.room, self.sizes = room, []

    def infer(self, image):
        self.sizes.append((image.shape[3], image.shape[2]))
        if self.room is not None and image.shape[2] * image.shape[3] > self.room:
            raise OutOfMemory("no room")
        return self.model.infer(image)


@settings(max_examples=40)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    transparent=st.booleans(),
    size=st.sampled_from(["keep", "fit", 5, 16, 40]),
)
def test_the_result_has_the_size_and_the_depth_of_the_picture(tints, height, width, channels, dtype, transparent, size):
    alpha = noise(height, width, dtype=dtype) if transparent else None
    source = Picture(noise(height, width, channels, dtype=dtype), alpha)
    told = []
    result = translate(tints, source, to="red", size=size, progress=told.append)
    assert result.colour.shape == (height, width, 3) and result.colour.dtype == dtype
    assert sum(told) == height * width
    if transparent:
        assert np.array_equal(result.alpha, alpha)
    if size in ("keep", "fit") and not transparent:
        whole = np.iinfo(dtype).max
        expected = source.colour.astype(float) / 2 + whole / 2 * np.array(COLOURS["red"])
        assert np.abs(result.colour - expected).max() <= 1


def test_each_domain_has_a_column_of_its_own(tints):
    black = Picture(np.zeros((8, 8, 3), np.uint8))
    for number, name in enumerate(COLOURS):
        pixel = translate(tints, black, to=[name]).colour[0, 0]
        assert [value > 100 for value in pixel] == [number == channel for channel in range(3)]


def test_attributes_go_together_and_exclusive_domains_do_not(tints, nets):
    both = load(onnx_nets.domains(nets / "both.onnx", COLOURS, exclusive=False))
    assert translate(both, Picture(np.zeros((2, 2, 3), np.uint8)), to=["red", "blue"]).colour[0, 0].tolist() == [
        128, 0, 128,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="are exclusive"):
        translate(tints, Picture(noise(2, 2, 3)), to=["red", "blue"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "choose one with --to: red, green, blue"),
        ({"to": "gren"}, "no domain 'gren'; did you mean 'green'"),
        ({"to": "red", "strength": 1.5}, "strength"),
        ({"to": "red", "strength": float("nan")}, "strength"),
        ({"to": "red", "size": 0}, "size"),
        ({"to": "red", "size": "big"}, "size"),
        ({"to": "red", "tile": 64}, "cannot use tiles"),
    ],
)
def test_what_makes_no_sense_is_refused(tints, options, message):
    with pytest.raises(UsageError, match=message):
        translate(tints, Picture(noise(9, 9, 3)), **options)


def test_a_model_of_one_direction_takes_no_domain_and_one_for_holes_no_picture_alone(same, nets):
    with pytest.raises(UsageError, match="no domains"):
        translate(same, Picture(noise(2, 2, 3)), to="red")
    with pytest.raises(UsageError, match="needs a mask"):
        translate(load(onnx_nets.filler(nets / "filler.onnx")), Picture(noise(2, 2, 3)))


def test_what_the_file_said_about_itself_is_kept(same):
    source = Picture(noise(4, 5, 3), None, "JPEG", b"Exif\0\0", b"icc", (300.0, 300.0), ("CMYK converted",))
    result = translate(same, source)
    assert np.array_equal(result.colour, source.colour)
    assert (result.format, result.exif, result.icc, result.dpi, result.notes) == (
        source.format, source.exif, source.icc, source.dpi, source.notes,
    )  # fmt: skip


def test_hidden_colour_does_not_leak_into_what_the_network_sees(same):
    colour, alpha = np.full((32, 32, 3), 200, np.uint8), np.zeros((32, 32), np.uint8)
    alpha[8:24, 8:24] = 255
    colour[alpha == 0] = (255, 0, 255)
    result = translate(same, Picture(colour, alpha))
    assert (result.colour == 200).all() and np.array_equal(result.alpha, alpha)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
def test_a_drawing_without_a_ground_is_laid_over_one_as_in_training(same, channels, dtype):
    whole = np.iinfo(dtype).max
    picture = Picture(noise(9, 7, channels, dtype=dtype), noise(9, 7, dtype=dtype))
    result = translate(same, picture, background=(255, 0, 51))
    assert result.alpha is None and result.colour.dtype == dtype
    share = picture.alpha[:, :, None] / whole
    laid = picture.colour * share + np.array([whole, 0, whole / 5]) * (1 - share)
    assert np.abs(result.colour - laid).max() <= 1
    white = translate(same, picture, background=(255, 255, 255)).colour.astype(float)
    assert np.abs(np.rint(white * (255 / whole)) - read_as_in_training(picture)).max() <= 1
    assert translate(same, Picture(picture.colour), background=(0, 0, 0)).alpha is None


def test_a_profile_for_grey_does_not_stay_with_a_result_in_colour(same):
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = grey[:16] + b"GRAY" + grey[20:]  # its header says grey: no profile that works, but none that may stay
    for dtype in (np.uint8, np.uint16):
        result = translate(same, Picture(noise(3, 3, 1, dtype=dtype), icc=grey))
        assert result.icc is None and (result.colour.shape, result.colour.dtype) == ((3, 3, 3), dtype)
        assert result.notes == ("the ICC profile is for grey; it was left out of the result, which is in colour",)
    assert translate(same, Picture(noise(3, 3, 1), icc=b"RGB or whatever it is")).icc is not None


@pytest.mark.parametrize(("size", "seen"), [("keep", (90, 60)), (30, (45, 30)), (120, (180, 120))])
def test_size_is_the_shorter_side_of_what_the_network_sees(same, size, seen):
    model = Watching(same)
    assert translate(model, Picture(noise(60, 90, 3)), size=size, tile=None).size == (90, 60)
    assert model.sizes == [seen]


@pytest.mark.parametrize(("height", "told"), [(29, True), (30, False), (60, False), (120, False), (121, True)])
def test_a_picture_far_from_those_it_learned_from_is_seen_at_their_size(same, height, told):
    model = Watching(same)
    model.card = dataclasses.replace(same.card, side=60)
    picture = Picture(noise(height, 150, 3))
    words = f"run at the training size, 60 px, and resized back to {height} px (--size keep runs it unscaled)"
    result = translate(model, picture, size="fit", tile=None)
    assert result.notes == ((words,) if told else ()) and result.size == picture.size
    assert model.sizes.pop() == ((math.floor(150 * 60 / height + 0.5), 60) if told else (150, height))
    for card, size in ((model.card, "keep"), (same.card, "fit")):
        model.card = card
        assert translate(model, picture, size=size, tile=None).notes == ()
        assert model.sizes.pop() == (150, height)


def test_where_memory_runs_out_keep_says_what_to_do_and_fit_does_it(nets):
    norm = load(onnx_nets.instance_norm(nets / "norm.onnx"))
    source = Picture(noise(200, 300, 3))
    with pytest.raises(OutOfMemory, match="--size 512, or --size fit"):
        translate(Watching(norm, room=20_000), source)
    model = Watching(norm, room=20_000)
    result = translate(model, source, size="fit")
    assert model.sizes == [(300, 200), (212, 141), (150, 100)] and result.size == (300, 200)
    assert result.notes == ("out of memory at 300x200; run at 150x100 instead, and the result enlarged",)
    with pytest.raises(OutOfMemory, match="no room"):
        translate(Watching(norm, room=10), source, size="fit")


def test_strength_blends_and_its_ends_are_exact(tints):
    source = Picture(noise(9, 7, 3))
    full = translate(tints, source, to="green").colour
    assert np.array_equal(translate(tints, source, to="green", strength=0.0).colour, source.colour)
    half = translate(tints, source, to="green", strength=0.5).colour.astype(float)
    assert np.abs(half - (source.colour.astype(float) + full) / 2).max() <= 0.5


def test_a_network_with_a_context_runs_in_tiles_and_they_do_not_show(nets):
    blocks = load(onnx_nets.blocks(nets / "blocks.onnx", multiple=8))
    source = Picture(noise(100, 70, 3))
    model = Watching(blocks)
    tiled = translate(model, source, tile=16)
    assert len(model.sizes) > 4 and np.array_equal(tiled.colour, translate(blocks, source, tile=None).colour)


def test_a_model_with_a_scale_gives_the_pictures_size_all_the_same(nets):
    double = load(onnx_nets.pointwise(nets / "double.onnx", scale=2, task="translate"))
    source = Picture(np.full((5, 7, 3), 90, np.uint8))
    assert np.array_equal(translate(double, source).colour, source.colour)


def test_pillow_images_run_by_the_python_interface(tints, same, nets, tmp_path):
    image = Image.fromarray(noise(9, 11, 3))
    result = Model(tints).run(image, to="red", size=16, strength=0.5)
    assert result.size == (11, 9) and result.mode == "RGB"
    image.save(tmp_path / "a.png")
    assert np.array_equal(
        np.asarray(Model(tints).run(tmp_path / "a.png", to=["red"], size=16, strength=0.5)), np.asarray(result)
    )
    assert Model(tints).run(image.convert("LA"), to="blue").mode == "RGBA"
    for options in ({"scale": 2}, {"mask": image}):
        with pytest.raises(UsageError, match=f"does not support {next(iter(options))}"):
            Model(tints).run(image, to="red", **options)
    upscaler = load(onnx_nets.compact(nets / "up.onnx", scale=2))
    with pytest.raises(UsageError, match="does not support to, size"):
        Model(upscaler).run(image, to="red", size=5)
    plain = np.asarray(image.resize((22, 18), Image.Resampling.LANCZOS))
    assert np.array_equal(np.asarray(Model(upscaler).run(image, strength=0.0)), plain)
    assert not np.array_equal(np.asarray(Model(upscaler).run(image)), plain)


def test_binding_an_input_leaves_the_model_as_it_was(tints):
    image = np.zeros((1, 3, 8, 8), np.float32)
    red = tints.with_inputs(domain=np.array([[1, 0, 0]], np.float32))
    assert red.infer(image)[0, :, 0, 0].tolist() == [0.5, 0, 0]
    from img2img.errors import ModelError

    with pytest.raises(ModelError):
        tints.infer(image)
