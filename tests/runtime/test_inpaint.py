"""Inpainting: where the holes are, what the network sees of them, and that nothing else changes."""

import numpy as np
import onnx_nets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stub_network import StubNetwork

from img2img.cli import inpaint as command
from img2img.errors import PictureError, UsageError
from img2img.runtime.api import Model
from img2img.runtime.files.source import Source
from img2img.runtime.image import holes
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.inference_errors import OutOfMemory
from img2img.runtime.network.input_size import MOST_SIDE
from img2img.runtime.network.session import load
from img2img.runtime.tasks import masks
from img2img.runtime.tasks.inpaint import DEFAULT_FEATHER, DEFAULT_SIZE, inpaint

TEAL = (0.0, 0.6, 0.6)


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module")
def teal(nets):
    """Fills holes with one colour and whitens all the rest; fails on sides that are no multiple of 8."""
    return load(onnx_nets.filler(nets / "teal.onnx", TEAL, multiple=8, trust=False))


@pytest.fixture(scope="module")
def echo(nets):
    """Gives back what it is shown, in the hole as well."""
    return load(onnx_nets.filler(nets / "echo.onnx"))


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def hole(shape, *boxes):
    mask = np.zeros(shape, np.bool_)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


class Watching(StubNetwork):
    """A model that remembers the pictures and the masks that it saw."""

    def __init__(self, model, room=None):
        super().__init__(model)
        self.room, self.seen = room, []

    def with_inputs(self, mask):
        outer = self

        class WithMask(StubNetwork):
            def with_card(self, card):
                self.card = card
                return self

            def infer(self, image):
                outer.seen.append((image[0], mask[0, 0]))
                if outer.room is not None and image.shape[2] * image.shape[3] > outer.room:
                    raise OutOfMemory("no room")
                return outer.model.infer(image, mask=mask)

        return WithMask(outer)


# --- filling


@settings(max_examples=40)
@given(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    transparent=st.booleans(),
    size=st.sampled_from(["keep", "fit", 16, 40, 512]),
    feather=st.integers(0, 5),
    density=st.sampled_from([0.001, 0.1, 0.7]),
    seed=st.integers(0, 1000),
)
def test_outside_the_mask_every_bit_stays_and_inside_every_pixel_is_filled(
    teal, height, width, channels, dtype, transparent, size, feather, density, seed
):
    mask = np.random.default_rng(seed).random((height, width)) < density
    mask[0, 0], mask[-1, -1] = True, False
    alpha = noise(height, width, dtype=dtype) if transparent else None
    source = Picture(noise(height, width, channels, dtype=dtype, seed=seed), alpha)
    before, told = source.colour.copy(), []
    result = inpaint(teal, source, mask, size=size, feather=feather, progress=told.append)
    assert result.colour.dtype == dtype and result.colour.shape == source.colour.shape
    assert np.array_equal(result.colour[~mask], before[~mask]) and np.array_equal(source.colour, before)
    assert result.alpha is alpha and sum(told) == height * width
    if feather == 0 and size in ("keep", "fit", 512):
        teal_here = np.array(TEAL) if channels == 3 else np.mean(TEAL)
        assert np.abs(result.colour[mask] - teal_here * np.iinfo(dtype).max).max() <= 0.51


def test_the_rim_runs_into_the_surroundings_and_not_into_what_was_in_the_hole(teal):
    colour = np.full((80, 80, 3), 100, np.uint8)
    mask = hole((80, 80), (20, 20, 60, 60))
    colour[mask] = 255  # what is to go
    row = inpaint(teal, Picture(colour), mask, feather=3).colour[40, 18:26, 0].tolist()
    assert row == [100, 100, 75, 50, 25, 0, 0, 0]


def test_the_network_never_sees_what_is_in_the_hole_or_hidden(echo):
    colour, alpha = np.full((200, 120, 3), 100, np.uint8), np.full((200, 120), 255, np.uint8)
    mask = hole((200, 120), (20, 20, 60, 60))
    colour[mask], colour[150:], alpha[150:] = 255, 0, 0
    for size in (512, 50):
        model = Watching(echo)
        result = inpaint(model, Picture(colour, alpha), mask, size=size)
        ((image, _),) = model.seen
        assert (image == np.float32(100 / 255)).all() and (result.colour[mask] == 100).all()
        assert (result.colour[150:] == 0).all()


def test_a_hole_in_a_large_photo_is_seen_with_its_surroundings_only(echo):
    model = Watching(echo)
    mask = hole((1000, 1500), (400, 700, 420, 760))
    inpaint(model, Picture(noise(1000, 1500, 3)), mask)
    ((image, seen),) = model.seen
    assert image.shape == (3, 20 + 128, 60 + 128) and seen.sum() == mask.sum()


def test_holes_far_apart_are_filled_one_by_one_and_near_ones_together(echo):
    source, mask = Picture(noise(1000, 1500, 3)), hole((1000, 1500), (10, 10, 20, 20), (900, 1400, 940, 1440))
    model = Watching(echo)
    inpaint(model, source, mask)
    assert [image.shape[1:] for image, _ in model.seen] == [(84, 84), (164, 164)]
    model = Watching(echo)
    inpaint(model, source, mask | hole(mask.shape, (200, 100, 220, 110)))
    assert [int(seen.sum()) for _, seen in model.seen] == [100 + 200, 1600]


def test_a_large_hole_is_seen_reduced_with_every_touched_pixel_masked(teal):
    model = Watching(teal)
    mask = hole((1200, 1200), (300, 300, 900, 900))
    mask[700, 100:302] = True  # one pixel high: a mean over blocks would lose it
    result = inpaint(model, Picture(noise(1200, 1200, 3)), mask, size=96, feather=0)
    ((image, seen),) = model.seen
    assert image.shape == (3, 96, 96) and seen[56, 10:24].all()
    inside = result.colour[350:850, 350:850]
    assert (inside == np.rint(np.array(TEAL) * 255)).all()


def test_where_memory_runs_out_keep_says_what_to_do_and_fit_does_it(echo):
    source, mask = Picture(noise(300, 300, 3)), hole((300, 300), (100, 100, 200, 200))
    with pytest.raises(OutOfMemory, match="--size fit"):
        inpaint(Watching(echo, room=20_000), source, mask, size="keep")
    result = inpaint(Watching(echo, room=20_000), source, mask, size="fit")
    assert "out of memory at 228x228" in result.notes[0] and np.array_equal(result.colour[~mask], source.colour[~mask])


def test_a_network_with_a_context_gets_its_mask_whole(nets):
    model = load(onnx_nets.filler(nets / "local.onnx", TEAL, context=0, multiple=4))
    mask = hole((700, 700), (5, 5, 699, 690))
    result = inpaint(model, Picture(noise(700, 700, 3)), mask, size="keep", feather=0)
    assert (result.colour[mask] == np.rint(np.array(TEAL) * 255)).all()


def test_strength_blends_inside_the_hole(teal):
    source, mask = Picture(np.full((40, 40, 3), 200, np.uint8)), hole((40, 40), (10, 10, 30, 30))
    assert inpaint(teal, source, mask, strength=0.5).colour[20, 20].tolist() == [100, 176, 176]
    assert np.array_equal(inpaint(teal, source, mask, strength=0.0).colour, source.colour)


def test_an_empty_mask_changes_nothing_and_says_so(teal):
    source, told = Picture(noise(9, 9, 3)), []
    result = inpaint(teal, source, hole((9, 9)), progress=told.append)
    assert np.array_equal(result.colour, source.colour)
    assert result.notes == ("the mask is empty: nothing was filled",) and told == [81]


@pytest.mark.parametrize(
    ("shape", "mask", "options", "error", "message"),
    [
        ((9, 9), hole((9, 8)), {}, PictureError, "the mask has 8x9 pixels, the photo 9x9"),
        ((9, 9), ~hole((9, 9)), {}, PictureError, "the wrong way round"),
        ((9, 9), hole((9, 9), (1, 1, 2, 2)), {"dilate": 20}, PictureError, "the mask, grown by 20 pixels, covers the"),
        ((9, 9), hole((9, 9)), {"dilate": -1}, UsageError, "dilate"),
        ((9, 9), hole((9, 9)), {"feather": -1}, UsageError, "feather"),
        ((9, 9), hole((9, 9)), {"strength": 2}, UsageError, "strength"),
        ((9, 9), hole((9, 9)), {"size": -5}, UsageError, "size"),
    ],
)
def test_what_makes_no_sense_is_refused(teal, shape, mask, options, error, message):
    with pytest.raises(error, match=message):
        inpaint(teal, Picture(noise(*shape, 3)), mask, **options)


def test_models_of_other_tasks_are_refused(nets):
    model = load(onnx_nets.instance_norm(nets / "norm.onnx"))
    with pytest.raises(UsageError, match="norm is for 'translate'"):
        inpaint(model, Picture(noise(9, 9, 3)), hole((9, 9)))


def test_the_commands_defaults_are_those_of_the_function():
    import inspect

    options = inspect.signature(command.inpaint).parameters
    assert (options["size"].default, options["feather"].default) == (None, DEFAULT_FEATHER)
    assert f"Default: {MOST_SIDE} for" in options["size"].annotation.__metadata__[0].help


@pytest.mark.parametrize(("resizes", "side"), [(False, DEFAULT_SIZE), (True, 600)])
def test_networks_that_resize_pictures_themselves_see_large_windows_as_they_are(tmp_path, resizes, side):
    model = Watching(load(onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0), resizes=resizes)))
    inpaint(model, Picture(noise(700, 700, 3)), hole((700, 700), (200, 200, 500, 500)))
    ((image, _),) = model.seen
    assert max(image.shape) == side


@pytest.mark.parametrize("resizes", [False, True])
def test_networks_that_copy_see_transparent_pixels_as_holes(tmp_path, resizes):
    model = Watching(load(onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0), resizes=resizes)))
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, 40:] = 0
    filled = hole((64, 64), (10, 10, 30, 30))
    inpaint(model, Picture(noise(64, 64, 3), alpha=alpha), filled)
    ((_, mask),) = model.seen
    expected = filled | (alpha == 0) if resizes else filled
    assert (mask[:64, :64] == expected).all()


# --- arithmetic on masks


@given(seed=st.integers(0, 1000), height=st.integers(1, 40), width=st.integers(1, 40), radius=st.integers(0, 9))
def test_a_grown_mask_is_all_that_lies_near_it(seed, height, width, radius):
    mask = np.random.default_rng(seed).random((height, width)) < 0.02
    result = holes.grow(mask, radius)
    assert (result | mask == result).all()
    y, x = np.nonzero(mask)
    rows, columns = np.indices(mask.shape)
    if len(y):
        distance = np.hypot(rows[..., None] - y, columns[..., None] - x).min(axis=2)
        assert result[distance <= 0.92 * radius].all() and not result[distance > 1.13 * radius].any()
    else:
        assert not result.any()


def test_depth_counts_inwards_and_the_pictures_edge_is_no_rim():
    mask = hole((9, 9), (2, 0, 9, 7))
    assert holes.depth(mask, 3)[5].tolist() == [3, 3, 3, 3, 3, 2, 1, 0, 0]
    assert holes.depth(mask, 1).max() == 1


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), height=st.integers(1, 300), width=st.integers(1, 300), limit=st.integers(1, 600))
def test_patches_own_every_pixel_of_the_mask_once(seed, height, width, limit):
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.bool_)
    for _ in range(random.integers(0, 9)):
        top, left = random.integers(height), random.integers(width)
        mask[top : top + random.integers(1, 40), left : left + random.integers(1, 40)] = True
    owned = np.zeros(mask.shape, int)
    for patch in holes.patches(mask, limit):
        owned[patch.window.place] += patch.own
        # Real surroundings on every side, but at the picture's edge.
        box = holes.bounds(patch.own)
        rest = (patch.window.top, patch.window.left, height - patch.window.bottom, width - patch.window.right)
        inner = (box.top, box.left, patch.own.shape[0] - box.bottom, patch.own.shape[1] - box.right)
        assert all(margin >= 64 or edge == 0 for margin, edge in zip(inner, rest, strict=True))
    assert np.array_equal(owned, mask)


# --- where masks come from


def saved(path, mode, white="white"):
    image = Image.new("L", (12, 8), 0)
    image.paste(255, (3, 2, 7, 6))
    if mode == "alpha":  # white everywhere, visible in the hole only
        made = Image.new("RGBA", image.size, (255, 255, 255, 0))
        made.putalpha(image)
    elif mode == "I;16":
        made = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "soft":
        made = image.point(lambda value: 128 if value else 127)
    else:
        made = image.convert(mode)
    made.save(path)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "alpha", "soft"])
def test_a_mask_file_may_have_any_mode(tmp_path, mode):
    mask = masks.read(saved(tmp_path / "mask.png", mode))
    assert np.array_equal(mask, hole((8, 12), (2, 3, 6, 7)))


def test_a_mask_file_may_be_a_jpeg(tmp_path):
    assert np.array_equal(masks.read(saved(tmp_path / "mask.jpg", "L")), hole((8, 12), (2, 3, 6, 7)))


def test_ways_to_say_where_add_up_and_boxes_are_cut_at_the_edge():
    colour = np.zeros((10, 12, 3), np.uint8)
    colour[0, 0], colour[0, 1], colour[0, 2] = (255, 0, 250), (255, 0, 255), (255, 0, 200)
    wanted = masks.MaskSources(key=(255, 0, 255), tolerance=5, boxes=((-2, 8, 4, 9), (5, 5, 1, 1)))
    source, mask = wanted.apply(Picture(colour), hole((10, 12), (3, 3, 4, 4)))
    expected = hole((10, 12), (0, 0, 1, 2), (8, 0, 10, 2), (5, 5, 6, 6), (3, 3, 4, 4))
    assert np.array_equal(mask, expected) and source.colour is colour
    deep = Picture(colour.astype(np.uint16) * 257)
    assert np.array_equal(wanted.apply(deep)[1], expected & ~hole((10, 12), (3, 3, 4, 4)))
    with pytest.raises(PictureError, match=r"the box 12,0,1,1 lies outside the photo of 12x10 pixels"):
        masks.MaskSources(boxes=((12, 0, 1, 1),)).apply(Picture(colour))
    with pytest.raises(PictureError, match="8x9 pixels, the photo 12x10"):
        masks.MaskSources().apply(Picture(colour), hole((9, 8)))


def test_a_colour_key_works_on_grey():
    grey = np.array([[0, 100, 101]], np.uint8)[..., None]
    assert masks.MaskSources(key=(100, 100, 100)).apply(Picture(grey))[1].tolist() == [[False, True, False]]


def test_transparency_is_filled_with_its_soft_rim_and_the_result_is_opaque(teal):
    colour, alpha = np.full((30, 30, 3), 90, np.uint8), np.full((30, 30), 255, np.uint8)
    alpha[10:20, 10:20], alpha[10, 10:20] = 0, 200
    source, mask = masks.MaskSources(transparent=True).apply(Picture(colour, alpha))
    assert np.array_equal(mask, hole((30, 30), (10, 10, 20, 20)))
    assert inpaint(teal, source, mask).alpha is None
    source, mask = masks.MaskSources(transparent=True).apply(Picture(colour))
    assert not mask.any() and source.notes == ("the photo has no transparency",)


def test_masks_in_a_folder_are_found_by_the_photos_name(tmp_path):
    for name in ("a.png", "b.jpg", "b.tif", "c.txt", "deep/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    from pathlib import Path

    def of(name, root=None):
        return masks.in_folder(tmp_path, Source(Path(name), root)).relative_to(tmp_path).as_posix()

    assert of("x/a.png") == "a.png" and of("a.jpg") == "a.png" and of("b.jpg") == "b.jpg" and of("b.png") == "b.jpg"
    assert of("x/deep/d.jpg", Path("x")) == "deep/d.png"
    for missing in ("c.png", "d.png"):
        with pytest.raises(PictureError, match=f"{missing}: there is no mask"):
            of(missing)


def test_masks_are_found_however_their_accents_are_stored(tmp_path):
    import unicodedata
    from pathlib import Path

    composed, separate = (unicodedata.normalize(form, "été/café") for form in ("NFC", "NFD"))
    for stored, asked in ((composed, separate), (separate, composed)):
        folder = tmp_path / str(len(stored))
        (folder / stored).parent.mkdir(parents=True)
        (folder / f"{stored}.png").touch()
        for suffix in (".png", ".jpg"):
            found = masks.in_folder(folder, Source(Path("x", asked + suffix), Path("x")))
            assert found == folder / f"{stored}.png"
        (folder / stored).with_name(f"{Path(asked).name}.png").touch()  # an exact match wins
        found = masks.in_folder(folder, Source(Path("x", Path(stored).parent, f"{Path(asked).name}.jpg"), Path("x")))
        assert found.stem == Path(asked).name


def test_the_python_interface_takes_masks_as_pictures_files_and_transparency(teal, tmp_path):
    photo, mask = Image.new("RGB", (12, 8), (90, 90, 90)), Image.open(saved(tmp_path / "mask.png", "L"))
    result = Model(teal).run(photo, mask=mask)
    changed = (np.asarray(result) != 90).any(axis=2)
    assert np.array_equal(changed, hole((8, 12), (2, 3, 6, 7)))
    assert np.array_equal(np.asarray(Model(teal).run(photo, mask=tmp_path / "mask.png", size=64)), np.asarray(result))
    photo.putalpha(mask.point(lambda value: 255 - value))
    erased = Model(teal).run(photo, mask="alpha", strength=1.0)
    assert erased.mode == "RGB" and np.array_equal(np.asarray(erased), np.asarray(result))
    for options, message in ({}, "needs a mask"), ({"mask": mask, "scale": 2, "tile": 9}, "not support scale, tile"):
        with pytest.raises(UsageError, match=message):
            Model(teal).run(photo, **options)
