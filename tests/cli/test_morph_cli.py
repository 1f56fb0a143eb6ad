"""`img2img morph` and `img2img inpaint --to` as a person meets them."""

from collections.abc import Callable
from pathlib import Path

import onnx_nets
import pytest
from conftest import Outcome, files
from PIL import Image

Run = Callable[..., Outcome]

POSITION = {"latent": {"length": 1, "distribution": "position"}}
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}
GREY = (128, 128, 128)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the models of cvae-gan: one that translates, one that fills holes and one that morphs."""
    made = tmp_path_factory.mktemp("run")
    onnx_nets.domains(made / "model.onnx", COLOURS)
    onnx_nets.labelled_filler(made / "model.inpaint.onnx", COLOURS)
    onnx_nets.styled(made / "model.samples.onnx", latent=1)
    onnx_nets.styled(made / "model.morph.onnx", reference=1, latent=1, described=POSITION)
    return made


@pytest.fixture(autouse=True)
def pictures(here: Path) -> None:
    Image.new("RGB", (12, 10), GREY).save(here / "a.png")
    Image.new("RGB", (12, 10), GREY).save(here / "b.png")
    Image.new("RGB", (10, 12), GREY).save(here / "tall.png")


def red(path: Path, frame: int = 0) -> int:
    with Image.open(path) as image:
        image.seek(frame)
        found = image.convert("RGB").getpixel((5, 5))
    assert isinstance(found, tuple)
    return found[0]


def test_a_folder_gets_one_picture_for_each_step(img2img: Run, here: Path, run_folder: Path) -> None:
    outcome = img2img("morph", "a.png", "b.png", "-m", run_folder, "--steps", 3, "-o", "frames/")
    assert (outcome.status, outcome.out) == (0, b"")
    assert files(here / "frames") == ["1.png", "2.png", "3.png"]
    # The model adds a tenth of the position to red: 128, 128 + 12.75, 128 + 25.5.
    assert [red(here / "frames" / f"{number}.png") for number in (1, 2, 3)] == [128, 141, 154]


def test_numbers_have_as_many_digits_as_the_last(img2img: Run, here: Path, run_folder: Path) -> None:
    assert img2img("morph", "a.png", "b.png", "-m", run_folder, "--steps", 10, "-o", "frames").status == 0
    assert files(here / "frames")[0] == "01.png"


def test_older_pictures_in_the_folder_are_named(img2img: Run, here: Path, run_folder: Path) -> None:
    call = ("morph", "a.png", "b.png", "-m", run_folder, "-o", "frames")
    assert "older" not in img2img(*call, "--steps", 3).err
    assert "frames also holds older pictures: 3.png" in img2img(*call, "--steps", 2, "--overwrite").err


def test_a_run_without_the_model_says_how_to_complete_it(img2img: Run, here: Path) -> None:
    (here / "run").mkdir()
    onnx_nets.domains(here / "run" / "model.onnx", COLOURS)
    outcome = img2img("morph", "a.png", "b.png", "-m", "run/", "-o", "x.gif")
    assert outcome.status == 2
    assert "has no model.morph.onnx" in outcome.err and "repeat its train command" in outcome.err


def test_samples_come_from_the_model_for_samples(img2img: Run, here: Path, run_folder: Path) -> None:
    assert img2img("translate", "a.png", "-m", run_folder, "--samples", 2, "-o", "out/").status == 0
    assert files(here / "out") == ["1/a.png", "2/a.png"]


@pytest.mark.parametrize("more", [(), ("--reference", "b.png"), ("--samples", 2)])
def test_translate_names_the_command_that_morphs(
    img2img: Run, here: Path, run_folder: Path, more: tuple[object, ...]
) -> None:
    outcome = img2img("translate", "a.png", "-m", run_folder / "model.morph.onnx", *more)
    assert outcome.status == 2 and "use img2img morph FIRST LAST" in outcome.err


@pytest.mark.parametrize("name", ["m.gif", "m.webp"])
def test_an_animation_has_one_frame_for_each_step(img2img: Run, here: Path, run_folder: Path, name: str) -> None:
    assert img2img("morph", "a.png", "b.png", "-m", run_folder, "--steps", 4, "--fps", 10, "-o", name).status == 0
    with Image.open(here / name) as image:
        assert (image.n_frames, image.size) == (4, (12, 10))  # type: ignore[attr-defined]
        image.load()
        assert image.info["duration"] == 100
    assert abs(red(here / name, 0) - 128) <= 3 and abs(red(here / name, 3) - 154) <= 3


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_other_pictures_become_one_sheet(img2img: Run, here: Path, run_folder: Path, name: str) -> None:
    assert img2img("morph", "a.png", "b.png", "-m", run_folder, "-o", name).status == 0
    with Image.open(here / name) as image:
        assert image.size[0] > 2 * 12 and image.size[1] > 2 * 10


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("a.png", "tall.png", "-o", "x.gif"), "a.png has 12x10 pixels and tall.png has 10x12 pixels: resize one"),
        (("a.png", "none.png", "-o", "x.gif"), "cannot read none.png"),
        (("a.png", "b.png", "-o", "x.bmp"), "unknown suffix .bmp; use a folder, or one of .gif, .webp, .png, .jpg"),
        (("a.png", "b.png", "-o", "tall.png"), "tall.png exists: add --overwrite"),
        (("a.png", "b.png", "-o", "a.png", "--overwrite"), "a.png would be replaced by the result"),
        (("a.png", "b.png", "-o", "x.png", "--fps", 3), "--fps is for animations (.gif, .webp), not for -o x.png"),
        (("a.png", "b.png", "-o", "x.gif", "--steps", 1), "1 is not in 2..1000"),
    ],
)
def test_bad_input_ends_with_one_line_and_status_2(
    img2img: Run, here: Path, run_folder: Path, words: tuple[object, ...], reason: str
) -> None:
    before = files(here)
    outcome = img2img("morph", *words, "-m", run_folder)
    assert outcome.status == 2
    assert reason in outcome.err and outcome.err.count("\n") == 1
    assert files(here) == before


def test_models_that_cannot_morph_are_refused(img2img: Run, run_folder: Path) -> None:
    outcome = img2img("morph", "a.png", "b.png", "-m", run_folder / "model.onnx", "-o", "x.gif")
    assert outcome.status == 2 and "cannot morph: use the model.morph.onnx of a run of cvae-gan" in outcome.err
    outcome = img2img("morph", "a.png", "b.png", "-o", "x.gif")
    assert outcome.status == 2 and "name the model of a cvae-gan run: --model RUN" in outcome.err


def test_existing_files_are_replaced_if_wanted(img2img: Run, here: Path, run_folder: Path) -> None:
    words = ("morph", "a.png", "b.png", "-m", run_folder, "-o", "x.gif")
    assert img2img(*words).status == 0
    first = (here / "x.gif").read_bytes()
    assert img2img(*words, "--steps", 3, "--overwrite").status == 0
    assert (here / "x.gif").read_bytes() != first


@pytest.mark.parametrize(("label", "colour"), [("red", (255, 0, 0)), ("green", (0, 255, 0))])
def test_holes_are_filled_with_what_the_label_has_there(
    img2img: Run, here: Path, run_folder: Path, label: str, colour: tuple[int, ...]
) -> None:
    words = ("--box", "4,4,4,4", "--feather", 0, "--to", label, "-m", run_folder, "-o", "filled.png")
    assert img2img("inpaint", "a.png", *words).status == 0
    with Image.open(here / "filled.png") as image:
        assert image.getpixel((5, 5)) == colour
        assert image.getpixel((0, 0)) == GREY


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "has several domains; choose one with --to: red, green"),
        (("--to", "blue"), "has no domain 'blue'; it has red, green"),
    ],
)
def test_a_missing_or_unknown_label_is_an_error(
    img2img: Run, run_folder: Path, words: tuple[str, ...], reason: str
) -> None:
    outcome = img2img("inpaint", "a.png", "--box", "4,4,4,4", *words, "-m", run_folder, "-o", "x.png")
    assert outcome.status == 2 and reason in outcome.err


def test_models_without_labels_take_no_label(img2img: Run, tmp_path: Path) -> None:
    model = onnx_nets.filler(tmp_path / "plain.onnx", (1.0, 0.0, 0.0))
    outcome = img2img("inpaint", "a.png", "--box", "4,4,4,4", "--to", "red", "-m", model, "-o", "x.png")
    assert outcome.status == 2 and "omit --to red" in outcome.err


def test_a_model_of_whole_pictures_sees_the_whole_picture(img2img: Run, here: Path, tmp_path: Path) -> None:
    """Without a `side`, the network sees a window of 64 pixels around the hole, and no window reaches the far end."""
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").save(here / "wide.png")
    seen = []
    for name, side in (("window", None), ("whole", 64)):
        model = onnx_nets.labelled_filler(tmp_path / f"{name}.onnx", COLOURS, side=side)
        words = ("--box", "10,10,8,8", "--to", "red", "-m", model, "-o", f"{name}.png", "--json")
        assert img2img("inpaint", "wide.png", *words).status == 0
        with Image.open(here / f"{name}.png") as image:
            seen.append(image.getpixel((399, 299)))
    assert seen[0] == seen[1]
