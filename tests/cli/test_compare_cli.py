"""`img2img compare` as a person meets it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from conftest import Outcome, environment
from PIL import Image

from img2img.evaluation.comparison import blind
from img2img.evaluation.comparison.blind import Pair, Shown

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

TEAL = (0.0, 0.6, 0.6)


@pytest.fixture
def photos(here: Path, photo: Photo, models: Path) -> Path:
    """Three photos in `photos/`, in which details can be told apart."""
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        photo(here / "photos" / name, (40, 32), seed=seed)
    return here / "photos"


@pytest.fixture
def others(tmp_path_factory: pytest.TempPathFactory, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models for further tasks."""
    folder = tmp_path_factory.mktemp("others")
    onnx_nets.filler(folder / "teal.onnx", TEAL)
    onnx_nets.domains(folder / "paint.onnx", {"red": (1, 0, 0), "blue": (0, 0, 1)})
    onnx_nets.pointwise(folder / "broken.onnx", "Log", name="broken", scale=1)
    return folder


def page_data(file: Path) -> Any:
    """What the scripts of a page get."""
    found = re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def lines(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def results_of(img2img: Run, photos: Path, folder: str, *options: str) -> None:
    assert img2img("upscale", photos, "-o", f"{folder}/", "--quiet", *options).status == 0


def test_a_page_shows_every_side_of_every_picture(img2img: Run, photos: Path) -> None:
    done = img2img("compare", photos, "--with", "upscale-x4", "--with", "bicubic", "--with", "copy", "-o", "sheet.html")
    assert done.status == 0 and "wrote sheet.html: 3 pictures" in done.err
    data = page_data(Path("sheet.html"))
    assert [side["name"] for side in data["sides"]] == ["upscale-x4", "bicubic", "copy", "input"]
    assert [case["name"] for case in data["cases"]] == ["a.png", "b.png", "c.png"]
    assert data["cases"][0]["size"] == [160, 128]
    assert all(set(case["pictures"]) == {"0", "1", "2", "3"} for case in data["cases"])
    assert re.search(rb"^upscale-x4 .* 3$", done.out, re.MULTILINE)


def test_results_are_those_of_the_command(img2img: Run, photos: Path) -> None:
    results_of(img2img, photos, "large")
    done = img2img("compare", photos, "--with", "upscale-x4", "--truth", "large", "--json", "-o", "sheet.html")
    *pictures, mean = lines(done.out)
    assert [one["picture"] for one in pictures] == ["a.png", "b.png", "c.png"]
    assert all(one["figures"]["upscale-x4"] == {"psnr_y": 100, "ssim_y": 1, "l1": 0} for one in pictures)
    own = mean["sides"]["upscale-x4"]
    assert own["psnr_y"] == 100 and own["best"]["psnr_y"] == 3 and own["pictures"] == 3
    assert own["seconds_per_megapixel"] > 0 and mean["problems"] == 0


def test_figures_with_a_truth_are_those_of_evaluate(img2img: Run, here: Path, photo: Photo, models: Path) -> None:
    pytest.importorskip("torch")
    photo(here / "set/baby_HR.png", (161, 130))  # no multiple of 4
    with Image.open(here / "set/baby_HR.png") as image:
        image.crop((0, 0, 160, 128)).resize((40, 32)).save(here / "set/baby_LR.png")
    evaluated = lines(img2img("evaluate", "upscale-x4", "--data", "set", "--json").out)[0]
    done = img2img(
        *("compare", "set/baby_LR.png", "--truth", "set", "--with", "upscale-x4", "--with", "bicubic"),
        *("--json", "-o", "sheet.html"),
    )
    assert done.status == 0, done.err
    compared = lines(done.out)[0]["figures"]
    for name, figures in (("upscale-x4", evaluated), ("bicubic", evaluated["bicubic"])):
        assert compared[name]["psnr_y"] == pytest.approx(figures["psnr_y"])
        assert compared[name]["ssim_y"] == pytest.approx(figures["ssim_y"])


def test_result_folders_run_folders_and_scales_are_sides(img2img: Run, photos: Path, models: Path) -> None:
    results_of(img2img, photos, "mine", "--scale", "3")
    Path("run").mkdir()
    (Path("run") / "model.onnx").write_bytes((models / "slow.onnx").read_bytes())
    done = img2img("compare", photos, "--with", "mine", "--with", "run", "--scale", "3", "-o", "sheet.html", "--json")
    assert done.status == 0, done.err
    assert set(lines(done.out)[0]["figures"]) == {"mine", "slow"}
    only = img2img("compare", photos, "--with", "mine", "--with", "bicubic", "-o", "sheet.html")
    assert only.status == 0 and page_data(Path("sheet.html"))["cases"][0]["size"] == [120, 96]


def test_a_contact_sheet_has_a_row_per_picture(img2img: Run, photos: Path) -> None:
    done = img2img("compare", photos, "--with", "upscale-x2", "--with", "bicubic", "-o", "photos/sheet.png")
    assert done.status == 0 and "3 rows" in done.err
    with Image.open("photos/sheet.png") as sheet:
        assert sheet.width > 3 * 80 and sheet.height > 3 * 64
    again = img2img("compare", photos, "--with", "upscale-x2", "--with", "bicubic", "-o", "photos/sheet.png")
    assert "3 rows" in again.err  # the sheet is no input of its own


def test_holes_are_filled_by_models_and_by_telea(img2img: Run, photos: Path, others: Path, photo: Photo) -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("pydantic")
    for name in ("a.png", "b.png"):
        mask = Image.new("L", (40, 32))
        mask.paste(255, (4, 4, 12, 12))
        Path("masks").mkdir(exist_ok=True)
        mask.save(f"masks/{name}")
    teal = others / "teal.onnx"
    done = img2img("compare", photos, "--with", teal, "--with", "telea", "--mask", "masks", "--json", "-o", "s.html")
    assert done.status == 1 and "c.png: there is no mask for it" in done.err
    first, _, last, _ = lines(done.out)
    assert set(first["figures"]) == {teal.stem, "telea"} and last["figures"] == {}


def test_domains_are_passed_to_the_models_that_have_some(img2img: Run, photos: Path, others: Path) -> None:
    paint = others / "paint.onnx"
    assert img2img("compare", photos, "--with", paint, "--with", "copy", "--to", "red", "-o", "s.html").status == 0
    missing = img2img("compare", photos, "--with", paint, "-o", "s.html")
    assert missing.status == 2 and "choose one with --to: red, blue" in missing.err
    several = img2img("compare", photos, "--with", paint, "--to", "all", "-o", "s.html")
    assert several.status == 2 and "one domain at a time" in several.err


def test_what_fails_is_reported_and_the_rest_is_shown(img2img: Run, photos: Path, photo: Photo) -> None:
    (photos / "d.png").write_bytes(b"no picture")
    for name, size in (("a.png", (160, 128)), ("b.png", (20, 20)), ("e.png", (160, 128))):
        photo(Path("theirs") / name, size)
    done = img2img(
        *("compare", photos, "--with", "upscale-x4", "--with", "theirs", "--json", "-o", "s.html"),
    )
    assert done.status == 1
    assert "d.png" in done.err and "c.png: no picture with its name in theirs" in done.err
    assert "b.png: 20x20 pixels, but 160x128 are expected" in done.err
    assert "theirs: 1 picture without an input, such as e.png" in done.err
    data = page_data(Path("s.html"))
    assert [sorted(case["pictures"]) for case in data["cases"]] == [["0", "1", "2"], ["0", "2"], ["0", "2"]]
    assert "20x20" in data["cases"][1]["problems"]["1"]
    html = Path("s.html").read_text(encoding="utf-8")
    assert "3 problems" in html or "4 problems" in html
    assert lines(done.out)[-1]["sides"]["theirs"]["pictures"] == 1


def test_a_model_that_cannot_be_used_is_left_out(img2img: Run, photos: Path, others: Path) -> None:
    Path("damaged.onnx").write_bytes(b"damaged")
    done = img2img(
        *("compare", photos, "--with", "upscale-x4", "--with", others / "paint.onnx", "--with", "damaged.onnx"),
        *("--to", "red", "-o", "s.html"),
    )
    assert done.status == 2 and "--to: no side uses it" in done.err
    done = img2img(
        *("compare", photos, "--with", "upscale-x4", "--with", "upscale-x2", "--with", "damaged.onnx"),
        *("--scale", "2", "-o", "s.html"),
    )
    assert done.status == 1 and "damaged.onnx" in done.err
    assert [side["name"] for side in page_data(Path("s.html"))["sides"]] == ["upscale-x4", "upscale-x2", "input"]


def test_a_model_for_another_task_is_left_out(img2img: Run, photos: Path, others: Path) -> None:
    done = img2img(
        *("compare", photos, "--with", "upscale-x4", "--with", others / "teal.onnx", "--mask", "photos/a.png"),
        *("-o", "s.html"),
    )
    assert done.status == 2 and "--mask: no side uses it" in done.err
    onnx_nets.pointwise(others / "grade.onnx", "Sqrt", task="translate", name="grade")
    done = img2img("compare", photos, "--with", "upscale-x4", "--with", others / "grade.onnx", "-o", "s.html")
    assert done.status == 1 and "is for 'translate', but upscale-x4 is for 'upscale'" in done.err
    assert [side["name"] for side in page_data(Path("s.html"))["sides"]] == ["upscale-x4", "input"]


def test_results_that_are_no_numbers_are_reported(img2img: Run, here: Path, others: Path) -> None:
    for name, value in (("a.png", 0), ("b.png", 255)):
        Path("flat").mkdir(exist_ok=True)
        Image.new("RGB", (40, 32), (value,) * 3).save(f"flat/{name}")
    onnx_nets.pointwise(others / "nan.onnx", "Log", "Sqrt", task="translate", name="nan")
    done = img2img("compare", "flat", "--with", others / "nan.onnx", "--with", "copy", "--json", "-o", "s.html")
    assert done.status == 1 and "nan" in done.err
    assert all("copy" in line["figures"] for line in lines(done.out)[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name pictures or folders"),
        (["photos", "-o", "s.html"], "nothing to compare"),
        (["photos", "--with", "bicubic"], "say what to write with -o"),
        (["photos", "--with", "bicubic", "-o", "s.gif"], "must end in .html, .png"),
        (["photos", "--with", "upscale-x5", "-o", "s.html"], "did you mean 'upscale-x"),
        (["photos", "--with", "bicubic", "--with", "bicubic", "-o", "s.html"], "given twice: bicubic"),
        (["photos", "--with", "upscale-x2", "--with", "upscale-x4", "-o", "s.html"], "choose one size with --scale"),
        (["photos", "--with", "telea", "-o", "s.html"], "say where with --mask"),
        (["photos", "--with", "bicubic", "--truth", "none", "-o", "s.html"], "no such folder"),
        (["photos", "--with", "bicubic", "--truth", "empty", "-o", "s.html"], "no pictures in this folder"),
        (["photos", "--with", "bicubic", "--blind", "-o", "s.html"], "needs two sides"),
        (["photos", "--with", "copy", "--with", "bicubic", "--blind", "-o", "s.png"], "--blind writes a page"),
        (["photos", "--with", "bicubic", "--reference", "photos/a.png", "-o", "s.html"], "--reference: no side uses"),
        (["none.png", "--with", "bicubic", "-o", "s.html"], "no such file"),
        (["-", "--with", "bicubic", "-o", "s.html"], "not stdin"),
        (["--votes", "a.json", "--with", "bicubic"], "omit --with"),
    ],
)
def test_a_wrong_command_line_says_what_to_do(img2img: Run, photos: Path, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    done = img2img("compare", *arguments)
    assert done.status == 2 and message in done.err
    assert not Path("s.html").exists()


def test_nothing_is_written_if_no_picture_can_be_read(img2img: Run, here: Path, models: Path) -> None:
    Path("a.png").write_bytes(b"no picture")
    Path("b.png").write_bytes(b"")
    done = img2img("compare", "a.png", "b.png", "--with", "upscale-x4", "-o", "s.html")
    assert done.status == 1 and "nothing to show" in done.err and not Path("s.html").exists()


def test_a_blind_page_does_not_name_its_sides(img2img: Run, photos: Path) -> None:
    done = img2img("compare", photos, "--with", "upscale-x2", "--with", "bicubic", "--blind", "-o", "study.html")
    assert done.status == 0 and "3 choices" in done.err
    html = Path("study.html").read_text(encoding="utf-8")
    assert "upscale-x2" not in html and "bicubic" not in html and "a.png" not in html
    data = page_data(Path("study.html"))
    pairs = [blind.unseal(one["key"], data["salt"], place) for place, one in enumerate(data["trials"])]
    assert sorted(pair.picture for pair in pairs) == ["a.png", "b.png", "c.png"]


def test_votes_are_reported_with_their_interval(img2img: Run, here: Path) -> None:
    study = blind.study([Shown(str(n), (1, 1), {"x": 0, "y": 1, "input": 2}) for n in range(10)], ["x", "y"], 0)
    answers = []
    for place, trial in enumerate(study.trials):
        pair: Pair = blind.unseal(trial.key, study.salt, place)
        wanted = "x" if place < 8 else "y"
        answers.append({"trial": place, "key": trial.key, "vote": "A" if pair.a == wanted else "B"})
    values = {"format": "img2img-votes", "version": 1, "salt": study.salt, "session": "1", "votes": answers}
    Path("a.json").write_text(json.dumps(values))
    values |= {"session": "2", "votes": [{**answers[0], "vote": "tie"}]}
    Path("b.json").write_text(json.dumps(values))
    Path("c.json").write_text("{")

    table = img2img("compare", "--votes", "a.json", "b.json")
    assert table.status == 0
    assert re.search(rb"^x +80\.0% +49\.0% to 94\.3% +8 +2 +1$", table.out, re.MULTILINE)
    assert "2 sessions, 1 page" in table.err

    done = img2img("compare", "--votes", "a.json", "b.json", "c.json", "a.json", "--json")
    (record,) = lines(done.out)
    assert done.status == 1 and "c.json: no file of votes" in done.err and "the same session" in done.err
    assert record["votes"] == 11 and record["sides"]["x"]["wins"] == 8
    assert record["sides"]["x"]["low"] == pytest.approx(0.4902, abs=1e-4)
    assert img2img("compare", "--votes", "c.json").status == 2


def test_comparing_needs_neither_torch_nor_opencv(photos: Path, models: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'cv2', 'pydantic', 'onnx'): sys.modules[name] = None\n"
        "from img2img.cli import main\n"
        "sys.exit(main(['compare', 'photos', '--with', 'upscale-x2', '--with', 'bicubic', '-o', sys.argv[1]]))"
    )
    for name in ("s.html", "s.png"):
        done = subprocess.run([sys.executable, "-c", code, name], env=environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_16_bits_grey_and_transparency_are_shown_in_rgb(img2img: Run, here: Path, photo: Photo, models: Path) -> None:
    Path("in").mkdir()
    Image.fromarray(np.full((32, 40), 30000, np.uint16)).save("in/deep.png")
    photo(here / "in/grey.png", (40, 32), mode="L")
    photo(here / "in/clear.png", (40, 32), mode="RGBA")
    done = img2img("compare", "in", "--with", "upscale-x2", "--with", "copy", "-o", "s.html")
    assert done.status == 0, done.err
    assert len(page_data(Path("s.html"))["cases"]) == 3
