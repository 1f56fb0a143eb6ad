"""`img2img inpaint` as a person meets it."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from conftest import Outcome, files
from PIL import Image

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

TEAL = (0, 153, 153)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only model: `teal` fills holes with one colour and whitens the rest."""
    made = tmp_path_factory.mktemp("fillers")
    onnx_nets.filler(made / "teal.onnx", (0.0, 0.6, 0.6), multiple=8, trust=False)
    return made


@pytest.fixture(autouse=True)
def installed(folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))


def pixels(path: Path | bytes) -> np.ndarray:
    with Image.open(io.BytesIO(path) if isinstance(path, bytes) else path) as image:
        return np.asarray(image)


def mask(path: Path, box: tuple[int, int, int, int] = (4, 2, 9, 6), size: tuple[int, int] = (20, 12)) -> Path:
    """White in `box` (left, top, right, bottom)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size)
    image.paste(255, box)
    image.save(path)
    return path


def inside(box: tuple[int, int, int, int] = (4, 2, 9, 6), size: tuple[int, int] = (20, 12)) -> np.ndarray:
    hole = np.zeros((size[1], size[0]), np.bool_)
    hole[box[1] : box[3], box[0] : box[2]] = True
    return hole


def assert_filled(result: Path | bytes, source: Path, hole: np.ndarray) -> None:
    """Teal in the hole, and outside of it the source bit for bit."""
    made, before = pixels(result), pixels(source)
    assert (made[hole] == TEAL).all() and np.array_equal(made[~hole], before[~hole])


@pytest.mark.parametrize(
    ("options", "hole"),
    [
        (["--mask", "mask.png"], inside()),
        (["--mask", "mask.png", "--size", "keep"], inside()),
        (["--mask", "masks"], inside((1, 1, 3, 3))),
        (["--mask", "mask.png", "--dilate", "1"], inside((3, 2, 10, 6)) | inside((4, 1, 9, 7))),
        (["--box", "4,2,5,4"], inside()),
        (["--box", "0,0,3,2", "--box", "18,10,9,9"], inside((0, 0, 3, 2)) | inside((18, 10, 20, 12))),
        (["--mask-color", "#ff00ff"], inside((7, 7, 9, 9))),
        (["--mask-color", "magenta"], inside((7, 7, 9, 9))),
        (["--mask-color", "FF00FF", "--mask", "mask.png"], inside() | inside((7, 7, 9, 9))),
        (["--mask-color", "#fa05fa", "--tolerance", "4"], inside((0, 0, 0, 0))),
    ],
)
def test_what_is_to_be_filled_is_and_nothing_else_changes(
    img2img: Run, photo: Photo, here: Path, options: list[str], hole: np.ndarray
) -> None:
    with Image.open(photo(here / "a.png", (20, 12))) as image:
        image.paste((255, 0, 255), (7, 7, 9, 9))
        image.save(here / "a.png")
    mask(here / "mask.png"), mask(here / "masks/a.png", (1, 1, 3, 3))
    done = img2img("inpaint", "a.png", *options, "--feather", "0")
    assert (done.status, done.out) == (0, b"") and ("a.png: the mask is empty" in done.err) == (not hole.any())
    assert_filled(here / "a_teal.png", here / "a.png", hole)
    assert files(here) == ["a.png", "a_teal.png", "mask.png", "masks/a.png"]


def test_what_was_erased_is_filled_and_opaque(img2img: Run, photo: Photo, here: Path) -> None:
    with Image.open(photo(here / "a.png", (20, 12), mode="RGB")) as image:
        erased = image.convert("RGBA")
    erased.putalpha(Image.fromarray(np.where(inside(), 0, 255).astype(np.uint8)))
    erased.save(here / "erased.png")
    assert img2img("inpaint", "erased.png", "--mask", "alpha", "--feather", "0", "-o", "b.png") == Outcome(0, b"", "")
    assert_filled(here / "b.png", here / "a.png", inside())
    with Image.open(here / "b.png") as image:
        assert image.mode == "RGB"


def test_transparency_stays_where_a_mask_says_what_to_fill(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (20, 12), mode="RGBA"), mask(here / "mask.png")
    assert img2img("inpaint", "a.png", "--mask", "mask.png").status == 0
    made, before = pixels(here / "a_teal.png"), pixels(here / "a.png")
    assert np.array_equal(made[..., 3], before[..., 3]) and np.array_equal(made[~inside()], before[~inside()])
    assert (made[inside()] != before[inside()]).any()


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_grey_stays_grey_and_sixteen_bits_stay(img2img: Run, here: Path, mode: str) -> None:
    random = np.random.default_rng(0).integers(0, 65536, (12, 20), np.uint16)
    image = Image.fromarray(random) if mode == "I;16" else Image.fromarray((random >> 8).astype(np.uint8)).convert(mode)
    image.save(here / "a.png")
    assert img2img("inpaint", "a.png", "--box", "4,2,5,4", "--feather", "0") == Outcome(0, b"", "")
    made, before = pixels(here / "a_teal.png"), np.asarray(image)
    before = before * np.uint8(255) if mode == "1" else before
    assert made.dtype == before.dtype and np.array_equal(made[~inside()], before[~inside()])
    assert (made[inside()] == (26214 if mode == "I;16" else 102)).all()


def test_a_folder_of_photos_and_one_of_masks(img2img: Run, photo: Photo, here: Path) -> None:
    for name, box in (("x.png", (1, 1, 3, 3)), ("deep/y.png", (9, 2, 12, 9))):
        photo(here / "in" / name, (20, 12))
        mask(here / "in/masks" / name, box)  # inside the photos' folder, and no photos themselves
    photo(here / "in/z.png", (20, 12))
    done = img2img("inpaint", "in", "-r", "--mask", "in/masks", "--feather", "0")
    assert done.status == 1 and done.err == "error: in/z.png: there is no mask for it: no in/masks/z.png\n"
    assert files(here / "in_teal") == ["deep/y.png", "x.png"]
    assert_filled(here / "in_teal/x.png", here / "in/x.png", inside((1, 1, 3, 3)))
    assert_filled(here / "in_teal/deep/y.png", here / "in/deep/y.png", inside((9, 2, 12, 9)))
    # A folder of masks may lie around that of the photos.
    (here / "in/masks/x.png").rename(here / "x.png")
    done = img2img("inpaint", "in", "--mask", ".", "-o", "again/")
    assert done.status == 1 and "in/z.png" in done.err and files(here / "again") == ["x.png"]


def test_a_second_call_fills_what_has_another_mask_and_nothing_else(img2img: Run, photo: Photo, here: Path) -> None:
    for name in ("x.png", "y.png", "z.png"):
        photo(here / "in" / name, (20, 12))
        mask(here / "masks" / name, (1, 1, 3, 3))

    words = ("inpaint", "in", "--mask", "masks", "--feather", "0", "-o", "out", "--json")

    def call() -> dict[str, str]:
        lines = map(json.loads, img2img(*words).out.splitlines())
        return {Path(line["input"]).name: line["status"] for line in lines if line["status"] != "summary"}

    assert call() == {"x.png": "done", "y.png": "done", "z.png": "done"}
    made = {name: (here / "out" / name).read_bytes() for name in files(here / "out")}
    assert set(call().values()) == {"skipped"}
    mask(here / "masks/y.png", (9, 2, 12, 9))
    (here / "masks/z.png").unlink()
    assert call() == {"x.png": "skipped", "y.png": "done", "z.png": "skipped"}
    now = {name: (here / "out" / name).read_bytes() for name in files(here / "out")}
    assert {name for name in made if now[name] != made[name]} == {"y.png"}
    assert_filled(here / "out/y.png", here / "in/y.png", inside((9, 2, 12, 9)))


def test_one_mask_serves_several_photos_and_is_no_photo_itself(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (20, 12)), photo(here / "b.png", (21, 12)), photo(here / "c.png", (20, 12))
    mask(here / "mask.png")
    done = img2img("inpaint", "*.png", "--mask", "mask.png", "--json")
    *lines, summary = [json.loads(line) for line in done.out.splitlines()]
    assert {line["input"]: line["status"] for line in lines} == {"a.png": "done", "b.png": "failed", "c.png": "done"}
    assert done.err == "error: b.png: the mask has 20x12 pixels, the photo 21x12\n"
    assert done.status == summary["exit_status"] == 1


def test_an_empty_mask_leaves_the_photo_and_says_so(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (20, 12)), mask(here / "mask.png", (0, 0, 0, 0))
    done = img2img("inpaint", "a.png", "--mask", "mask.png", "--json")
    line = json.loads(done.out.splitlines()[0])
    assert done.status == 0 and line["warnings"] == ["the mask is empty: nothing was filled"]
    assert np.array_equal(pixels(here / "a_teal.png"), pixels(here / "a.png"))
    done = img2img("inpaint", "a.png", "--mask", "alpha", "-o", "b.png", terminal=True)
    assert "a.png: the photo has no transparency" in done.err


def test_a_box_that_reaches_beyond_the_photo_gets_a_note(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (20, 12))
    done = img2img("inpaint", "a.png", "--box", "18,10,9,9", "-o", "b.png")
    assert done.status == 0 and "only a part of the box 18,10,9,9 lies inside the photo of 20x12 pixels" in done.err


def test_a_photo_through_a_pipe(command: Run, photo: Photo, here: Path) -> None:
    source = photo(here / "a.png", (20, 12))
    done = command("inpaint", "-", "--box", "4,2,5,4", "--feather", "0", stdin=source.read_bytes())
    assert done.status == 0 and done.err == ""
    assert_filled(done.out, source, inside())


@pytest.mark.parametrize(
    ("args", "status", "expected"),
    [
        (["a.png"], 2, "nothing to fill: use --mask FILE, FOLDER or alpha, --mask-color or --box"),
        (["a.png", "--mask", "gone.png"], 2, "--mask gone.png: no such file"),
        (["mask.png", "--mask", "mask.png"], 2, "all inputs are masks"),
        (["-", "--mask", "masks"], 2, "stdin has no name"),
        (["a.png", "--mask", "masks"], 2, "a.png: there is no mask for it: no masks/a.png"),
        (["a.png", "--mask", "text.png"], 1, "text.png"),
        (["a.png", "--mask", "white.png"], 1, "the wrong way round"),
        (["a.png", "--mask", "mask.png", "--dilate", "90"], 1, "the mask, grown by 90 pixels, covers the whole photo"),
        (["a.png", "--box", "0,0,20,12"], 1, "the box covers the whole photo: nothing is left to fill it from"),
        (
            ["a.png", "--box", "4,2,5,4", "--dilate", "90"],
            1,
            "the box, grown by 90 pixels, covers the whole photo: use",
        ),
        (["a.png", "--box", "0,0,9,12", "--box", "9,0,11,12"], 1, "the boxes cover the whole photo"),
        (["a.png", "--mask-color", "red", "--tolerance", "255"], 1, "the colour covers the whole photo: nothing"),
        (["a.png", "--mask", "white.png", "--box", "0,0,1,1"], 1, "the mask and the box cover the whole photo"),
        (["a.png", "--mask-color", "pinkish"], 2, "--mask-color pinkish"),
        (["a.png", "--mask-color", "#ff00"], 2, "--mask-color #ff00"),
        (["a.png", "--box", "1,2,3"], 2, "--box 1,2,3: use left, top, width and height"),
        (["a.png", "--box", "1,2,3,0"], 2, "--box 1,2,3,0"),
        (["a.png", "--box", "30,2,3,1"], 1, "the box 30,2,3,1 lies outside the photo of 20x12 pixels"),
        (["a.png", "--box", "1,1,2,2", "--dilate", "-1"], 2, "'--dilate'"),
        (["a.png", "--box", "1,1,2,2", "--feather", "-1"], 2, "'--feather'"),
        (["a.png", "--box", "1,1,2,2", "--size", "tiny"], 2, "--size tiny"),
        (["a.png", "--box", "1,1,2,2", "-m", "norm.onnx"], 2, "for 'translate', not for inpainting: img2img translate"),
        (["a.png", "--box", "1,1,2,2", "-m", "bare.onnx"], 2, "no img2img card"),
    ],
)
def test_a_usage_error_is_one_clear_line_and_the_right_status(
    img2img: Run, photo: Photo, here: Path, args: list[str], status: int, expected: str
) -> None:
    photo(here / "a.png", (20, 12))
    mask(here / "mask.png"), mask(here / "white.png", (0, 0, 20, 12)), mask(here / "masks/b.png")
    (here / "text.png").write_text("no picture")
    onnx_nets.instance_norm(here / "norm.onnx")
    onnx_nets.compact(here / "bare.onnx", scale=1, with_card=False)
    before = files(here)
    done = img2img("inpaint", *args, stdin=b"")
    assert done.status == status and done.out == b"" and files(here) == before
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and expected in done.err


def test_the_command_that_training_ends_with_works(img2img: Run, photo: Photo, here: Path, folder: Path) -> None:
    import shlex

    from img2img.runtime.network.usage import usage
    from img2img.runtime.network.models import read_card

    photo(here / "a.png", (20, 12)), mask(here / "mask.png")
    card = read_card(folder / "teal.onnx")
    assert card is not None
    words = shlex.split(usage(folder / "teal.onnx", card))
    named = {"PHOTO": "a.png", "MASK": "mask.png"}
    assert img2img(*(named.get(word, word) for word in words[1:])) == Outcome(0, b"", "")
    assert files(here) == ["a.png", "a_teal.png", "mask.png"]


def test_inpainting_imports_neither_torch_nor_rich(command: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (20, 12))
    done = command("inpaint", "a.png", "--box", "1,1,2,2", python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.status == 0 and "onnxruntime" in modules and not modules & {"torch", "rich", "onnx", "scipy"}
    done = command("inpaint", "--help", python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.status == 0 and not modules & {"numpy", "onnxruntime", "PIL"}
