"""`img2img translate` as a person meets it."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from conftest import Outcome, files
from PIL import Image

import img2img as package
from img2img.errors import UsageError

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "sky blue": (0.0, 0.5, 1.0)}
NAMES = ["green", "red", "sky_blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model of each kind: `sepia` (one direction, whole), `tints` (exclusive domains), `traits` (attributes)."""
    made = tmp_path_factory.mktemp("translators")
    onnx_nets.instance_norm(made / "sepia.onnx", multiple=4, minimum=4)
    onnx_nets.domains(made / "tints.onnx", COLOURS, multiple=8)
    onnx_nets.domains(made / "traits.onnx", COLOURS, exclusive=False)
    return made


@pytest.fixture(autouse=True)
def installed(folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))


def opened(path: Path | bytes) -> Image.Image:
    with Image.open(io.BytesIO(path) if isinstance(path, bytes) else path) as image:
        image.load()
        return image


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["-m", "sepia"], ["a_sepia.png"]),
        (["-m", "sepia", "--size", "6"], ["a_sepia.png"]),
        (["-m", "sepia", "--size", "fit", "--strength", "0.5", "--format", "jpg"], ["a_sepia.jpg"]),
        (["-m", "sepia", "-o", "out/"], ["out/a.png"]),
        (["-m", "tints", "--to", "red"], ["a_red.png"]),
        (["-m", "tints", "--to", "sky blue", "-o", "{stem}.{model}.{domain}.{ext}"], ["a.tints.sky_blue.png"]),
        (["-m", "tints", "--to", "all"], [f"a_{name}.png" for name in NAMES]),
        (["-m", "tints", "--to", "all", "-o", "out"], [f"out/{name}/a.png" for name in NAMES]),
        (["-m", "tints", "--to", "all", "-o", "{domain}-{stem}.{ext}"], [f"{name}-a.png" for name in NAMES]),
        (["-m", "traits", "--to", "red", "--to", "green"], ["a_red_green.png"]),
    ],
)
def test_results_have_the_pictures_size_and_names_that_say_what_was_done(
    img2img: Run, photo: Photo, here: Path, options: list[str], names: list[str]
) -> None:
    photo(here / "a.png", (13, 9))
    assert img2img("translate", "a.png", *options) == Outcome(0, b"", "")
    assert files(here) == sorted(["a.png", *names])
    assert all(opened(here / name).size == (13, 9) for name in names)


def test_each_domain_gets_its_own_result(img2img: Run, here: Path) -> None:
    Image.new("RGB", (8, 8)).save(here / "a.png")
    assert img2img("translate", "a.png", "-m", "tints", "--to", "all").status == 0
    pixels = {name: opened(here / f"a_{name}.png").getpixel((0, 0)) for name in NAMES}
    assert pixels == {"red": (128, 0, 0), "green": (0, 128, 0), "sky_blue": (0, 64, 128)}


def test_a_grid_shows_the_picture_and_all_its_results(img2img: Run, here: Path) -> None:
    Image.new("RGB", (40, 30), (200, 100, 50)).save(here / "a.png")
    assert img2img("translate", "a.png", "-m", "tints", "--grid") == Outcome(0, b"", "")
    assert img2img("translate", "a.png", "-m", "tints", "--to", "all") == Outcome(0, b"", "")
    sheet = np.asarray(opened(here / "a_grid.png"))
    for shown in ("a.png", *(f"a_{name}.png" for name in ("red", "green", "sky_blue"))):
        colour = np.asarray(opened(here / shown).convert("RGB"))[0, 0]
        assert (sheet == colour).all(2).sum() == 40 * 30, shown
    assert (sheet[0] == 255).all() and (sheet[:, 0] == 255).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-m", "sepia", "--grid"], "sepia has none"),
        (["-m", "tints", "--grid", "--color-fix"], "--color-fix"),
        (["-m", "sepia", "--direction", "BtoA"], "--direction"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    img2img: Run, photo: Photo, here: Path, options: list[str], words: str
) -> None:
    photo(here / "a.png")
    outcome = img2img("translate", "a.png", *options)
    assert outcome.status == 2 and words in outcome.err and files(here) == ["a.png"]


def test_a_run_of_two_directions_is_a_model_with_a_direction(img2img: Run, here: Path) -> None:
    Image.new("RGB", (8, 8)).save(here / "a.png")
    (here / "run").mkdir()
    for way, colour in (("AtoB", (1.0, 0.0, 0.0)), ("BtoA", (0.0, 1.0, 0.0))):
        onnx_nets.domains(here / f"run/model.{way}.onnx", {"x": colour}, name=f"net-{way}")
    call = ("translate", "a.png", "--to", "x", "-m", "run")
    assert "use --direction AtoB or --direction BtoA" in img2img(*call).err
    assert img2img(*call, "--direction", "BtoA", "-o", "b.png").status == 0
    assert opened(here / "b.png").getpixel((0, 0)) == (0, 128, 0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "1", "P", "CMYK", "I;16"])
def test_pictures_of_every_kind_keep_what_they_have(img2img: Run, here: Path, mode: str) -> None:
    random = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(random.integers(0, 65536, (9, 13), np.uint16))
    else:
        image = Image.fromarray(random.integers(0, 256, (9, 13, 4), np.uint8))
        image = (image if mode in ("LA", "RGBA") else image.convert("RGB")).convert(mode)
    name = "a.jpg" if mode == "CMYK" else "a.png"
    image.save(here / name)
    done = img2img("translate", name, "-m", "tints", "--to", "red")
    assert (done.status, done.out) == (0, b"")
    assert (done.err == "") if mode != "CMYK" else done.err.startswith("a.jpg: CMYK converted to RGB")
    result = opened(here / name.replace("a", "a_red"))
    assert result.size == (13, 9) and result.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")
    if mode == "I;16":
        assert (here / "a_red.png").read_bytes()[24] == 16  # the bit depth in the header
    if "A" in mode:
        assert np.array_equal(np.asarray(result)[..., 3], np.asarray(image)[..., -1])


def test_a_tree_goes_to_a_folder_for_each_domain_and_a_second_call_skips_it(
    img2img: Run, photo: Photo, here: Path
) -> None:
    photo(here / "in/x.png"), photo(here / "in/deep/y.jpg")
    assert img2img("translate", "in", "-r", "-m", "tints", "--to", "all") == Outcome(0, b"", "")
    made = [f"in_{name}/{file}" for name in NAMES for file in ("deep/y.jpg", "x.png")]
    assert files(here) == sorted(["in/x.png", "in/deep/y.jpg", *made])
    assert img2img("translate", "in", "-r", "-m", "tints", "--to", "all").err.startswith("skipped 6 files")


def test_a_second_call_with_a_pattern_leaves_the_results_of_the_first_alone(
    img2img: Run, photo: Photo, here: Path
) -> None:
    photo(here / "a.png")
    for _ in range(2):
        assert img2img("translate", "*.png", "-m", "tints", "--to", "all").status == 0
    assert files(here) == sorted(["a.png", *(f"a_{name}.png" for name in NAMES)])


def test_a_picture_through_a_pipe(command: Run, photo: Photo, here: Path) -> None:
    done = command("translate", "-", "-m", "tints", "--to", "red", stdin=photo(here / "a.jpg").read_bytes())
    assert done.status == 0 and done.err == "" and opened(done.out).format == "JPEG"


def test_one_bad_file_is_named_and_the_others_are_done(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "in/a.png"), photo(here / "in/c.png")
    (here / "in/b.png").write_bytes(b"I am no picture")
    done = img2img("translate", "in", "-m", "sepia", "--json")
    *lines, summary = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 1 and done.err.count("\n") == 1 and "in/b.png" in done.err
    assert {line["input"]: line["status"] for line in lines} == {
        "in/a.png": "done", "in/b.png": "failed", "in/c.png": "done",
    }  # fmt: skip
    assert (summary["done"], summary["failed"]) == (2, 1) and files(here / "in_sepia") == ["a.png", "c.png"]


def test_what_is_missing_is_missing_once_and_not_for_every_domain(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    done = img2img("translate", "a.png", "gone.png", "-m", "tints", "--to", "all")
    assert done.status == 1 and done.err == "error: gone.png: no such file or folder\n"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["a.png"], "choose a model for 'translate' with --model: sepia, tints, traits"),
        (["a.png", "-m", "nope"], "no model named 'nope'"),
        (["a.png", "-m", "tints"], "choose one with --to: red, green, sky blue"),
        (["a.png", "-m", "tints", "--to", "gren"], "did you mean 'green'"),
        (["a.png", "-m", "tints", "--to", "red", "--to", "green"], "are exclusive"),
        (["a.png", "-m", "tints", "--to", "all", "--to", "red"], "--to all cannot be combined"),
        (["a.png", "-m", "sepia", "--to", "red"], "no domains"),
        (["a.png", "-m", "sepia", "--to", "all"], "no domains"),
        (["a.png", "-m", "sepia", "--size", "big"], "--size big"),
        (["a.png", "-m", "sepia", "--size", "0"], "--size 0"),
        (["a.png", "-m", "sepia", "--strength", "2"], "'--strength'"),
        (["a.png", "-m", "sepia", "--tile", "64"], "cannot use tiles"),
        (["a.png", "-m", "tints", "--to", "all", "-o", "b.png"], "is one file, but 3 results are wanted"),
        (["a.png", "-m", "tints", "--to", "all", "-o", "-"], "stdout takes one picture, not 3"),
        (["-", "-m", "tints", "--to", "all"], "stdout takes one picture, not 3"),
        (["a.png", "-m", "tints", "--to", "all", "-o", "x_{stem}.{ext}"], "a.png as red and as green would become"),
        (["a.png", "-m", "tints", "--to", "all", "-o", "{stem}.{ext}", "--existing", "overwrite"], "as red and as"),
        (["a.png", "-m", "filler.onnx"], "this model is for 'inpaint', not for translating: img2img inpaint takes it"),
    ],
)
def test_a_usage_error_is_one_clear_line_and_status_2(
    img2img: Run, photo: Photo, here: Path, args: list[str], expected: str
) -> None:
    photo(here / "a.png")
    onnx_nets.filler(here / "filler.onnx")
    done = img2img("translate", *args, stdin=b"")
    assert done.status == 2 and done.out == b"" and files(here) == ["a.png", "filler.onnx"]
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and expected in done.err


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_model_that_adds_colours_refuses_to_take_them_away_again(img2img: Run, here: Path, mode: str) -> None:
    onnx_nets.pointwise(here / "hues.onnx", task="translate", name="hues", context=None, keeps="luminance")
    Image.new(mode, (9, 7), 100 if mode == "L" else (100, 90, 80)).save(here / "a.png")
    said = "hues adds colours, and --color-fix would take them away again; omit it"
    refused = img2img("translate", "a.png", "-m", "hues.onnx", "--color-fix")
    assert refused == Outcome(2, b"", f"error: {said}\n") and files(here) == ["a.png", "hues.onnx"]
    with pytest.raises(UsageError, match=said):
        list(package.batch("a.png", task="translate", model="hues.onnx", color_fix=True))
    streamed = img2img("translate", "-m", "hues.onnx", "--color-fix", "--raw", "9x7", stdin=bytes(9 * 7 * 3))
    assert streamed.status == 2 and said in streamed.err
    assert img2img("translate", "a.png", "-m", "hues.onnx").status == 0


def test_the_colours_of_a_grey_photo_can_be_corrected(img2img: Run, here: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)).save(here / "a.png")
    done = img2img("translate", "a.png", "-m", "tints", "--to", "red", "--color-fix")
    assert done == Outcome(0, b"", "") and opened(here / "a_red.png").size == (50, 40)


def test_the_only_installed_model_need_not_be_named(
    img2img: Run, photo: Photo, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(here / "a.png")
    monkeypatch.setenv("IMG2IMG_MODELS", str(here / "models"))
    done = img2img("translate", "a.png")
    assert done.status == 2 and "choose a model for 'translate' with --model: " in done.err
    assert "emoji-styles" in done.err, "the bundled one"
    (here / "models").mkdir()
    onnx_nets.instance_norm(here / "models/only.onnx")
    assert img2img("translate", "a.png") == Outcome(0, b"", "") and (here / "a_only.png").exists()


def test_a_model_without_a_card_is_taken_for_what_it_is_used_for(img2img: Run, photo: Photo, here: Path) -> None:
    onnx_nets.compact(here / "bare.onnx", scale=1, with_card=False)
    photo(here / "a.png", (13, 9))
    done = img2img("translate", "a.png", "-m", "bare.onnx")
    assert (done.status, done.out) == (0, b"") and done.err.startswith("bare.onnx has no img2img card; probing found")
    assert opened(here / "a_bare.png").size == (13, 9)


def test_names_from_a_card_cannot_leave_the_folder(img2img: Run, photo: Photo, here: Path) -> None:
    colours = {"../up": (1.0, 0.0, 0.0), "..": (0.0, 1.0, 0.0), "{stem}": (0.0, 0.0, 1.0)}
    onnx_nets.domains(here / "sly.onnx", colours, name="../../sly")
    photo(here / "in/a.png")
    assert img2img("translate", "in/a.png", "-m", "sly.onnx", "--to", "all", "-o", "in/out/").status == 0
    assert img2img("translate", "in/a.png", "-m", "sly.onnx", "--to", "../up", "-o", "in/{model}.{ext}").status == 0
    assert files(here) == [
        "in/.._.._sly.png", "in/a.png", "in/out/.._up/a.png", "in/out/_/a.png", "in/out/_stem_/a.png", "sly.onnx",
    ]  # fmt: skip


def test_the_command_that_training_ends_with_works(img2img: Run, photo: Photo, here: Path, folder: Path) -> None:
    import shlex

    from img2img.runtime.network.usage import usage
    from img2img.runtime.network.models import read_card

    photo(here / "a.png")
    for name in ("sepia", "tints"):
        card = read_card(folder / f"{name}.onnx")
        assert card is not None
        words = shlex.split(usage(folder / f"{name}.onnx", card))
        assert img2img(*("a.png" if word == "PICTURE" else word for word in words[1:])) == Outcome(0, b"", "")
    assert files(here) == ["a.png", "a_red.png", "a_sepia.png"]


def test_translating_imports_neither_torch_nor_rich(command: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    done = command("translate", "a.png", "-m", "sepia", python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.status == 0 and "onnxruntime" in modules and not modules & {"torch", "rich", "onnx", "scipy"}
    done = command("translate", "--help", python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.status == 0 and not modules & {"numpy", "onnxruntime", "PIL"}
