"""`img2img translate --reference` and `--samples` as a person meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_nets
import pytest
from conftest import Outcome, files
from onnx import TensorProto, helper
from PIL import Image

from img2img.runtime.tasks import latents

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}
GREY = (128, 128, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model of each kind: `style` (a reference), `code` (a latent code), `both`, `plain` (neither), `tints`."""
    made = tmp_path_factory.mktemp("models")
    onnx_nets.styled(made / "style.onnx", reference=4)
    onnx_nets.styled(made / "code.onnx", latent=3)
    onnx_nets.styled(made / "both.onnx", reference=1, latent=3)
    onnx_nets.pointwise(made / "plain.onnx", task="translate")
    onnx_nets.domains(made / "tints.onnx", COLOURS)
    return made


@pytest.fixture(autouse=True)
def installed(folder: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))
    Image.new("RGB", (6, 5), GREY).save(here / "a.png")
    Image.new("RGB", (3, 7), (200, 100, 0)).save(here / "s.png")


def pixel(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        found = image.convert("RGB").getpixel((0, 0))
    assert isinstance(found, tuple)
    return found


def sample(number: int, *, seed: int = 0, truncation: float | None = None) -> tuple[int, ...]:
    """What `code` makes of a grey pixel."""
    code = latents.draw(3, seed=seed, number=number, truncation=truncation)[0]
    return tuple(np.rint(np.clip(np.float32(64 / 255) + code / 10, 0, 1) * 255).astype(int).tolist())


def statuses(outcome: Outcome) -> dict[str, str]:
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    return {line["output"]: line["status"] for line in lines if line["status"] != "summary"}


def test_a_reference_decides_what_pictures_become(img2img: Run, here: Path) -> None:
    assert img2img("translate", "a.png", "-m", "style", "--reference", "s.png") == Outcome(0, b"", "")
    assert pixel(here / "a_style.png") == (164, 114, 64)


def test_a_run_that_has_a_model_for_references_uses_it_for_one(img2img: Run, here: Path, folder: Path) -> None:
    (here / "run").mkdir()
    for name, target in (("code", "model.onnx"), ("style", "model.reference.onnx")):
        (here / "run" / target).write_bytes((folder / f"{name}.onnx").read_bytes())
    done = Outcome(0, b"", "")
    assert img2img("translate", "a.png", "-m", "./run", "--samples", "1", "-o", "sample.png") == done
    assert pixel(here / "sample.png") == sample(1)
    assert img2img("translate", "a.png", "-m", "./run", "--reference", "s.png", "-o", "styled.png") == done
    assert pixel(here / "styled.png") == (164, 114, 64)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--samples", "2"], ["a_code_1.png", "a_code_2.png"]),
        (["--samples", "1"], ["a_code_1.png"]),
        (["--samples", "2", "-o", "out"], ["out/1/a.png", "out/2/a.png"]),
        (["--samples", "2", "-o", "{stem}-{model}-{domain}.{ext}"], ["a-code-1.png", "a-code-2.png"]),
        (["--samples", "2", "--grid"], ["a_grid.png"]),
        ([], ["a_code.png"]),
    ],
)
def test_each_sample_has_a_name_of_its_own(img2img: Run, here: Path, options: list[str], names: list[str]) -> None:
    assert img2img("translate", "a.png", "-m", "code", *options) == Outcome(0, b"", "")
    assert files(here) == sorted(["a.png", "s.png", *names])


def test_samples_of_a_model_with_domains_have_both_in_their_names(img2img: Run, here: Path) -> None:
    described = {"domains": ["red", "green"], "latent": {"length": 3, "distribution": "normal"}}
    onnx_nets.domains(here / "net.onnx", COLOURS)
    model = onnx.load(here / "net.onnx")
    model.graph.input.append(helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["N", 3]))
    card = json.loads(model.metadata_props[0].value) | described
    helper.set_model_props(model, {"img2img": json.dumps(card)})
    onnx.save(model, here / "net.onnx")
    assert img2img("translate", "a.png", "-m", "net.onnx", "--to", "red", "--samples", "2").status == 0
    assert img2img("translate", "a.png", "-m", "net.onnx", "--to", "all", "--samples", "1", "-o", "out").status == 0
    made = ["a_red_1.png", "a_red_2.png", "out/green_1/a.png", "out/red_1/a.png"]
    assert files(here) == sorted(["a.png", "s.png", "net.onnx", *made])
    assert pixel(here / "out/green_1/a.png") == (64, 192, 64)


def test_without_samples_the_code_is_zeros(img2img: Run, here: Path) -> None:
    assert img2img("translate", "a.png", "-m", "code").status == 0
    assert pixel(here / "a_code.png") == (64, 64, 64)


def test_samples_follow_seed_and_truncation(img2img: Run, here: Path) -> None:
    for seed, truncation in ((0, None), (1, None), (1, 0.5)):
        more = [] if truncation is None else ["--truncation", str(truncation)]
        call = ["translate", "a.png", "-m", "code", "--samples", "2", "--seed", str(seed), *more]
        assert img2img(*call, "--existing", "overwrite").status == 0
        for number in (1, 2):
            assert pixel(here / f"a_code_{number}.png") == sample(number, seed=seed, truncation=truncation)


def test_samples_are_the_same_for_every_picture_in_every_batch_and_shard(img2img: Run, here: Path) -> None:
    (here / "in").mkdir()
    for name in "abcd":
        Image.new("RGB", (4, 4), GREY).save(here / f"in/{name}.png")
    call = ("translate", "in", "-m", "code", "--samples", "2", "--seed", "5")
    assert img2img(*call, "-o", "whole/", "--threads", "2") == Outcome(0, b"", "")
    for shard in ("2/2", "1/2"):
        assert img2img(*call, "-o", "parts/", "--shard", shard) == Outcome(0, b"", "")
    for where in ("whole", "parts"):
        for number in (1, 2):
            for name in "abcd":
                assert pixel(here / where / str(number) / f"{name}.png") == sample(number, seed=5)


def test_a_grid_shows_the_picture_first_and_then_its_samples(img2img: Run, here: Path) -> None:
    Image.new("RGB", (40, 30), GREY).save(here / "a.png")
    assert img2img("translate", "a.png", "-m", "code", "--samples", "3", "--grid", "--seed", "2").status == 0
    sheet = np.asarray(Image.open(here / "a_grid.png").convert("RGB"))
    places = []
    for colour in (GREY, *(sample(number, seed=2) for number in (1, 2, 3))):
        same = (sheet == np.array(colour)).all(2)
        assert same.sum() == 40 * 30
        places.append(int(np.flatnonzero(same)[0]))
    assert places == sorted(places)


def test_a_resumed_batch_does_only_what_is_missing_or_made_with_other_settings(img2img: Run, here: Path) -> None:
    (here / "in").mkdir()
    Image.new("RGB", (4, 4), GREY).save(here / "in/a.png")

    def run(*options: str) -> list[str]:
        call = ("translate", "in", "-m", "both", "-o", "out/", "--json", *options)
        return [status for _, status in sorted(statuses(img2img(*call)).items())]

    first = ("--reference", "s.png", "--samples", "2")
    assert run(*first) == ["done", "done"]
    assert run(*first) == ["skipped", "skipped"]
    assert run("--reference", "s.png", "--samples", "3") == ["skipped", "skipped", "done"]
    assert run(*first, "--seed", "1") == ["done", "done"]
    assert run(*first, "--seed", "1", "--truncation", "1") == ["done", "done"]
    (here / "s.png").rename(here / "t.png")
    same = ("--reference", "t.png", "--samples", "2", "--seed", "1", "--truncation", "1")
    assert run(*same) == ["skipped", "skipped"], "the content of the reference counts, not its name"
    Image.new("RGB", (3, 7), (10, 20, 30)).save(here / "t.png")
    assert run(*same) == ["done", "done"]


def test_events_tell_the_samples_apart(img2img: Run) -> None:
    done = img2img("translate", "a.png", "-m", "code", "--samples", "2", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {line["domain"]: line["output"] for line in lines[:-1]} == {"1": "a_code_1.png", "2": "a_code_2.png"}
    (single, _) = map(json.loads, img2img("translate", "a.png", "-m", "code", "--json").out.splitlines())
    assert single["domain"] is None


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-m", "style"], "style needs a reference picture (its mean colour): name one with --reference FILE"),
        (["-m", "plain", "--reference", "s.png"], "plain takes no reference picture: omit --reference"),
        (["-m", "tints", "--to", "red", "--reference", "s.png"], "tints takes no reference"),
        (["-m", "style", "--reference", "gone.png"], "--reference: cannot read gone.png: No such file"),
        (["-m", "style", "--reference", "broken.png"], "--reference: cannot read broken.png: it is"),
        (["-m", "style", "--reference", "."], "--reference: cannot read ."),
        (["-m", "style", "--reference", "s.png", "--max-pixels", "20"], "cannot read s.png: 3 x 7 pixels"),
        (["-m", "code", "--samples", "0"], "--samples 0: use a number from 1 to 1000"),
        (["-m", "code", "--samples", "-3"], "--samples -3"),
        (["-m", "plain", "--samples", "2"], "plain takes no latent code, so its results do not vary: omit --samples"),
        (["-m", "style", "--reference", "s.png", "--samples", "2"], "style takes no latent code"),
        (["-m", "code", "--samples", "2", "--truncation", "0"], "--truncation 0: use a number above 0"),
        (["-m", "code", "--samples", "2", "--truncation", "-1"], "--truncation -1"),
        (["-m", "code", "--samples", "2", "--truncation", "nan"], "--truncation nan"),
        (["-m", "code", "--truncation", "2"], "--truncation requires --samples"),
        (["-m", "code", "--samples", "2", "--seed", "-1"], "'--seed'"),
        (["-m", "code", "--grid"], "--grid shows samples of code: say how many with --samples N"),
        (["-m", "code", "--samples", "2", "-o", "-"], "stdout takes one picture, not 2"),
        (["-m", "code", "--samples", "2", "-o", "b.png"], "b.png is one file, but 2 results are wanted"),
        (["-m", "code", "--samples", "2", "-o", "x_{stem}.{ext}"], "a.png as 1 and as 2 would become"),
    ],
)
def test_a_usage_error_is_one_clear_line_and_status_2(img2img: Run, here: Path, args: list[str], expected: str) -> None:
    (here / "broken.png").write_bytes(b"I am no picture")
    done = img2img("translate", "a.png", *args)
    assert done.status == 2 and done.out == b"" and files(here) == ["a.png", "broken.png", "s.png"]
    assert done.err.startswith("error: ") and done.err.count("\n") == 1 and expected in done.err


@pytest.mark.parametrize(("command", "task"), [("upscale", "upscale"), ("inpaint", "inpaint")])
def test_other_tasks_refuse_models_that_need_a_reference(img2img: Run, here: Path, command: str, task: str) -> None:
    if task == "inpaint":
        onnx_nets.filler(here / "net.onnx", reference={"about": "", "multiple": 1, "minimum": 1})
    else:
        onnx_nets.styled(here / "net.onnx", reference=1, described={"task": "upscale"})
    mask = ["--box", "0,0,2,2"] if task == "inpaint" else []
    done = img2img(command, "a.png", "-m", "net.onnx", *mask)
    assert done.status == 2 and "net needs a reference" in done.err and done.err.count("\n") == 1


def test_an_upscaler_with_a_latent_code_runs_with_zeros(img2img: Run, here: Path) -> None:
    onnx_nets.styled(here / "net.onnx", latent=4, described={"task": "upscale"})
    assert img2img("upscale", "a.png", "-m", "net.onnx", "-o", "b.png").status == 0
    assert pixel(here / "b.png") == (64, 64, 64)


def test_a_file_whose_card_does_not_mention_its_latent_code_runs(img2img: Run, here: Path) -> None:
    onnx_nets.styled(here / "old.onnx", latent=4, described={"latent": ...})
    assert img2img("translate", "a.png", "-m", "old.onnx") == Outcome(0, b"", "")
    assert pixel(here / "a_old.png") == (64, 64, 64)


def test_a_file_without_a_card_takes_them_too(img2img: Run, here: Path) -> None:
    onnx_nets.styled(here / "bare.onnx", reference=1, latent=3, with_card=False)
    done = img2img("translate", "a.png", "-m", "bare.onnx", "--reference", "s.png", "--samples", "2")
    assert done.status == 0 and "a reference picture, a latent code of 3 values" in done.err
    assert files(here) == ["a.png", "a_bare_1.png", "a_bare_2.png", "bare.onnx", "s.png"]


def test_one_bad_picture_is_named_and_the_others_are_done(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "in/a.png"), photo(here / "in/c.png")
    (here / "in/b.png").write_bytes(b"I am no picture")
    done = img2img("translate", "in", "-m", "style", "--reference", "s.png")
    assert done.status == 1 and done.err.count("error:") == 1 and "in/b.png" in done.err
    assert files(here / "in_style") == ["a.png", "c.png"]


def test_a_broken_result_is_made_again_with_the_same_reference_and_sample(img2img: Run, here: Path) -> None:
    onnx_nets.styled(here / "net.onnx", reference=1, latent=3, described={"name": "net"})
    model = onnx.load(here / "net.onnx")
    last = model.graph.node[-1]
    last.op_type, last.output[0] = "Neg", "negative"
    model.graph.node.append(helper.make_node("Sqrt", ["negative"], ["result"]))
    card = json.loads(model.metadata_props[0].value) | {"precision": "fp16"}
    helper.set_model_props(model, {"img2img": json.dumps(card)})
    onnx.save(model, here / "net.fp16.onnx")
    call = ("translate", "a.png", "--reference", "s.png", "--samples", "1")
    assert img2img(*call, "-m", "net.onnx", "-o", "right.png") == Outcome(0, b"", "")
    done = img2img(*call, "-m", "net.fp16.onnx", "-o", "again.png")
    assert done.status == 0 and "done again in full precision on the CPU" in done.err
    assert pixel(here / "again.png") == pixel(here / "right.png")


def test_a_limit_of_memory_a_check_for_seams_and_small_tiles_work_with_a_reference(img2img: Run, here: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)).save(here / "a.png")
    call = ("translate", "a.png", "-m", "both", "--reference", "s.png", "--samples", "1")
    assert img2img(*call, "-o", "whole.png").status == 0
    done = img2img(*call, "-o", "tiled.png", "--tile", "32", "--check-seams", "--max-memory", "4G")
    assert done.status == 0 and "no seams" in done.err
    assert np.array_equal(Image.open(here / "whole.png"), Image.open(here / "tiled.png"))


def test_frames_of_a_video_take_a_reference_and_one_sample(img2img: Run) -> None:
    call = ("translate", "-m", "both", "--reference", "s.png", "--raw", "2x1")
    done = img2img(*call, "--samples", "1", stdin=bytes(GREY) * 4)
    assert done.status == 0 and len(done.out) == 12
    assert "choose one with --to or --samples 1" in img2img(*call, "--samples", "2", stdin=bytes(6)).err


def test_a_dry_run_lists_the_samples(img2img: Run) -> None:
    done = img2img("translate", "a.png", "-m", "code", "--samples", "2", "--dry-run")
    assert done.status == 0 and done.out.decode().splitlines() == ["a.png -> a_code_1.png", "a.png -> a_code_2.png"]


def test_info_shows_what_a_model_takes(img2img: Run) -> None:
    told = img2img("models", "info", "both").out.decode()
    assert "its mean colour; sides are multiples of 1, at least 1 pixels (--reference)" in told
    assert "3 values, distribution normal (--samples)" in told
    assert "N x 3 x h x w" in told and "N x 3" in told
    plain = img2img("models", "info", "plain").out.decode()
    assert "latent code" not in plain and "--reference" not in plain


def test_verify_runs_the_self_test_of_such_a_model(img2img: Run) -> None:
    done = img2img("models", "verify", "both", "code", "style")
    assert done.status == 0 and "image, reference, latent, result match the card" in done.out.decode()


def test_the_installed_command_writes_samples(command: Run, here: Path) -> None:
    done = command("translate", here / "a.png", "-m", "both", "--reference", here / "s.png", "--samples", "2")
    assert done == Outcome(0, b"", "")
    assert files(here) == ["a.png", "a_both_1.png", "a_both_2.png", "s.png"]
