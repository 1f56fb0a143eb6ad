"""Reference pictures: which pictures do, what the network gets, and how much memory they count for."""

import dataclasses
import pickle

import numpy as np
import onnx_nets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import img2img
from img2img.errors import PictureError, UsageError
from img2img.runtime.image.colour_tags import ColourTags
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import estimate, input_size
from img2img.runtime.network.card import Card
from img2img.runtime.network.session import load
from img2img.runtime.network.speed import Speed
from img2img.runtime.tasks import references
from img2img.runtime.tasks.translate import TranslateTask, translate


def card(multiple=1, minimum=1, **changes):
    described = {"about": "the style", "multiple": multiple, "minimum": minimum}
    return Card(**{"name": "x", "task": "translate", "scale": 1, "reference": described, **changes})


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    multiple=st.integers(1, 9),
    minimum=st.integers(1, 50),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    channels=st.sampled_from([1, 3]),
)
def test_the_picture_is_padded_to_sides_that_the_network_accepts(height, width, multiple, minimum, dtype, channels):
    picture = Picture(noise(height, width, channels, dtype=dtype))
    values = references.to_input(picture, card(multiple, minimum), "fit")
    assert values.shape[:2] == (1, 3) and values.dtype == np.float32
    for side, own in zip(values.shape[2:], (height, width), strict=True):
        assert side % multiple == 0 and side >= max(minimum, own) and side < max(minimum, own) + multiple
    expected = picture.colour.repeat(3 // channels, axis=2).transpose(2, 0, 1) / np.iinfo(dtype).max
    assert np.abs(values[0, :, :height, :width] - expected).max() < 1e-6


def test_transparent_pixels_lie_on_white():
    alpha = np.array([[255, 0]], np.uint8)
    values = references.to_input(Picture(np.zeros((1, 2, 3), np.uint8), alpha), card(), "keep")
    assert values[0, :, 0].tolist() == [[0, 1]] * 3


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ("keep", 64, (300, 200)),
        (50, 64, (75, 50)),
        ("fit", 64, (96, 64)),
        ("fit", 150, (300, 200)),
        ("fit", None, (300, 200)),
    ],
)
def test_it_is_seen_at_the_size_that_the_option_says(size, side, expected):
    values = references.to_input(Picture(noise(200, 300, 3)), card(side=side), size)
    assert values.shape[:1:-1] == expected


def test_a_huge_reference_is_reduced(monkeypatch):
    monkeypatch.setattr(input_size, "MOST_PIXELS", 1000)
    values = references.to_input(Picture(noise(100, 90, 3)), card(), "fit")
    assert values.shape[2] * values.shape[3] == pytest.approx(1000, rel=0.1)


def test_a_prepared_task_can_be_pickled_and_compared(tmp_path):
    Image.fromarray(noise(9, 7, 3)).save(tmp_path / "style.png")
    task = TranslateTask(reference=str(tmp_path / "style.png")).with_card(card())
    sent = pickle.loads(pickle.dumps(task))
    assert sent == task and np.array_equal(sent.style.values, task.style.values)
    assert "values" not in repr(task)
    assert task.pixels_beside == 63 and TranslateTask().pixels_beside == 0


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_an_unreadable_reference_is_a_usage_error_that_names_it(tmp_path, content):
    if content is not None:
        (tmp_path / "style.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"--reference: cannot read .*style\.png"):
        references.read(str(tmp_path / "style.png"), card(), "fit")


def test_a_reference_may_have_no_more_pixels_than_pictures(tmp_path):
    Image.fromarray(noise(9, 7, 3)).save(tmp_path / "style.png")
    with pytest.raises(UsageError, match="more than the limit of 10 pixels"):
        references.read(str(tmp_path / "style.png"), card(), "fit", max_pixels=10)


def test_the_python_api_takes_references_and_latent_codes(tmp_path):
    model = img2img.load(onnx_nets.styled(tmp_path / "net.onnx", reference=4, latent=3), device="cpu")
    grey = Image.new("RGB", (9, 7), (100, 100, 100))
    style = Image.new("L", (5, 6), 100)
    style.save(tmp_path / "style.png")
    assert model.run(grey, reference=style).getpixel((0, 0)) == (100, 100, 100)
    assert model.run(grey, reference=tmp_path / "style.png").getpixel((8, 6)) == (100, 100, 100)
    for latent in ([1, 0, -1], np.array([[1, 0, -1]], np.float64)):
        assert model.run(grey, reference=style, latent=latent).getpixel((0, 0)) == (126, 100, 74)
    with pytest.raises(UsageError, match="net needs a reference picture \\(its mean colour\\)"):
        model.run(grey)
    with pytest.raises(UsageError, match="a latent code of 3 values"):
        model.run(grey, reference=style, latent=[1, 2])
    with pytest.raises(PictureError, match=r"gone\.png"):
        model.run(grey, reference=tmp_path / "gone.png")
    plain = img2img.load(onnx_nets.pointwise(tmp_path / "plain.onnx", task="translate"), device="cpu")
    with pytest.raises(UsageError, match="plain takes no reference"):
        plain.run(grey, reference=style)
    with pytest.raises(UsageError, match="plain takes no latent code"):
        plain.run(grey, latent=[1])
    larger = img2img.load(onnx_nets.compact(tmp_path / "larger.onnx"), device="cpu")
    with pytest.raises(UsageError, match="does not support reference, latent"):
        larger.run(grey, reference=style, latent=np.zeros(3))


def test_a_batch_in_python_takes_them_as_well(tmp_path):
    path = onnx_nets.styled(tmp_path / "net.onnx", reference=1, latent=3)
    for name in ("a.png", "style.png"):
        Image.new("RGB", (4, 4), (90, 90, 90)).save(tmp_path / name)
    events = list(img2img.batch(tmp_path / "a.png", model=path, reference=tmp_path / "style.png", samples=2, seed=3))
    assert sorted(event.job.target.name for event in events) == ["a_net_1.png", "a_net_2.png"]
    assert {event.status for event in events} == {"done"}
    with pytest.raises(UsageError, match="--samples 0"):
        img2img.batch(tmp_path / "a.png", model=path, samples=0)
    with pytest.raises(UsageError, match="more than the limit of 10 pixels"):
        img2img.batch(tmp_path / "a.png", model=path, reference=tmp_path / "style.png", max_pixels=10)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_with_a_reference_equal_the_whole(tmp_path, dtype):
    model = load(onnx_nets.styled(tmp_path / "net.onnx", reference=2, latent=4), device="cpu")
    picture = Picture(noise(40, 50, 3, dtype=dtype))
    given = {"reference": references.to_input(Picture(noise(30, 11, 3)), model.card, "keep"), "latent": np.ones((1, 4))}
    whole, tiled = (translate(model, picture, tile=tile, **given).colour for tile in (None, 16))
    assert np.array_equal(whole, tiled)
    assert not np.array_equal(whole, translate(model, picture, **{**given, "latent": None}).colour)


def test_the_reference_counts_for_every_run_in_the_estimate():
    speed = Speed(1.0, 100.0, 0, "cpu")
    described = dataclasses.replace(card(), context=8)
    size, limit = (2000, 2000), 4 << 30
    above = dataclasses.replace(speed, base=1 << 40)  # above what this process has, which changes
    alone, whole = (estimate.peak_memory(above, described, size, runs=2, beside=beside) for beside in (0, 500_000))
    assert whole == alone + 2 * 100 * 500_000
    assert estimate.tile_for(speed, described, limit, size) == "auto"
    with pytest.raises(UsageError, match="needs at least"):
        estimate.tile_for(speed, described, limit, size, beside=50_000_000)
    alone, whole = (estimate.network_pixels(described, (100, 100), beside=beside) for beside in (0, 5000))
    assert whole == alone + 5000


def test_a_pq_reference_is_seen_in_srgb():
    picture = Picture(np.full((2, 2, 3), 30000, np.uint16), tags=ColourTags(cicp=(9, 16)))
    assert picture.is_pq
    values = references.to_input(picture, card(), "keep")
    assert values.min() == values.max() and abs(values.max() - 30000 / 65535) > 0.05
