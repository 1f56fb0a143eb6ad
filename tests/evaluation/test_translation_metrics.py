"""Figures of translations between pairs and between styles, and how `evaluate` reports them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from PIL import Image

from img2img.data import layouts
from img2img.data.pairs import find_pairs
from img2img.errors import DataError
from img2img.evaluation import domain_classifier, styles, translation
from img2img.evaluation.results import value
from img2img.runtime.network import session

COLOURS = {"blue": (0.0, 0.0, 1.0), "green": (0.0, 1.0, 0.0), "red": (1.0, 0.0, 0.0)}


def noise(seed: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Side-by-side pairs of a picture and its square root (values 0..1), which is also what the model computes."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(30):
        source = noise(number)
        Image.fromarray(np.concatenate([source, rooted(source)], axis=1)).save(folder / f"{number}.png")
    return folder


def rooted(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.sqrt(picture / 255) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Things in three styles: the same noise, blended with the colour of the style."""
    folder = tmp_path_factory.mktemp("styles")
    for style, colour in COLOURS.items():
        (folder / style).mkdir()
        for number in range(40):
            mixed = noise(number, 16) / 2 + np.array(colour) * 127.5
            Image.fromarray(mixed.round().astype(np.uint8)).save(folder / style / f"{number}.png")
    return folder


def test_figures_by_hand() -> None:
    truth = np.zeros((16, 16, 3), np.uint8)
    truth[:, 8:] = 100
    result = truth // 2
    found = {name: value(one) for name, one in translation.figures(result, truth).items()}
    assert found["l1"] == pytest.approx(25 / 255)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / (50**2 / 2)))
    assert found["sharpness"] == pytest.approx(0.5)
    assert 0 < found["ssim"] < 1
    perfect = translation.figures(truth, truth)
    assert (perfect["l1"], perfect["psnr"], perfect["ssim"]) == (0, 100, pytest.approx(1))
    with pytest.raises(DataError, match="cannot be compared"):
        translation.figures(truth[:8], truth[:8])


def test_held_out_pairs_are_measured_and_the_others_are_for_the_nearest_baseline(pairs: Path) -> None:
    known = find_pairs([pairs])
    data = translation.pairs([pairs], held_out=True)
    assert data.measured == known.test and data.training == known.train
    everything = translation.pairs([pairs], train=[pairs])
    assert len(everything.measured) == 30 and everything.training == []
    assert len(translation.pairs([pairs], count=4).measured) == 4


def test_nearest_returns_the_target_of_the_most_similar_input(pairs: Path) -> None:
    others = find_pairs([pairs]).train
    nearest = translation.Nearest(others)
    source, target = others[7].read()
    assert (nearest((source * 0.98).astype(np.uint8)) == target).all()


def test_a_perfect_model_of_pairs_beats_copying_and_memorising(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    model = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    worse = onnx_nets.pointwise(tmp_path / "worse.onnx", task="translate")
    args = ("evaluate", model, "--data", pairs, "--held-out", "--against", worse, "--device", "cpu", "--threads", 1)
    done = img2img(*args, "--sheet", tmp_path / "sheet.png")
    assert done.status == 0, done.err
    lines = done.out.decode().splitlines()
    assert lines[0].split() == ["picture", "copy", "nearest", "worse", "root"]
    count = len(find_pairs([pairs]).test)
    wins = f"copy in {count}, than nearest in {count}, than worse in {count} of {count} (l1)"
    assert f"root is better than {wins}" in done.err
    assert (tmp_path / "sheet.png").exists()
    last = json.loads(img2img(*args, "--json").out.splitlines()[-1])
    assert last["l1"] < 0.001 < last["copy"]["l1"] == last["worse"]["l1"]
    assert last["ssim"] > 0.999 and last["sharpness"] == pytest.approx(1, abs=0.01)
    assert last["nearest"]["ssim"] < 0.5


def test_without_training_pairs_there_is_no_nearest_baseline(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    model = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    done = img2img("evaluate", model, "--data", pairs, "--count", 3, "--record", "--device", "cpu")
    assert done.out.decode().splitlines()[0].split() == ["picture", "copy", "root"]
    assert "use --held-out or --train FOLDER" in done.err
    ((name, found),) = session.load(model).card.metrics.items()
    assert name.endswith(pairs.name) and found["cases"] == 3 and found["l1 (copy)"] > found["l1"]  # type: ignore[operator]
    assert str(found["command"]).endswith("--count 3")


def test_the_limit_of_pixels_is_an_option(
    img2img: Callable[..., Any], pairs: Path, drawings: Path, tmp_path: Path
) -> None:
    one = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    several = onnx_nets.domains(tmp_path / "tinted.onnx", COLOURS)
    larger = onnx_nets.compact(tmp_path / "larger.onnx", scale=2)
    filler = onnx_nets.filler(tmp_path / "red.onnx", (1.0, 0.0, 0.0))
    day, night = (drawings / name for name in tuple(COLOURS)[:2])
    unpaired = ["--real", night, "--train", day, "--train", night, "--count", 8]
    cases = (one, pairs, []), (several, drawings, []), (larger, drawings, []), (filler, drawings, [])
    for model, data, more in (*cases, (larger, drawings, ["--no-reference"]), (one, day, unpaired)):
        done = img2img("evaluate", model, "--data", data, *more, "--max-pixels", 10, "--device", "cpu")
        assert done.status == 1 and "is more than the limit of 10 pixels" in done.err, (model, done.err)


def test_targets_of_another_size_are_resized_to_the_input(tmp_path: Path) -> None:
    for side, size in (("A", 24), ("B", 48)):
        (tmp_path / side).mkdir()
        for number in range(2):
            Image.fromarray(np.full((size, size, 3), 50 * number, np.uint8)).save(tmp_path / side / f"{number}.png")
    data = translation.pairs([tmp_path])
    cases = list(translation.Comparison({"same": lambda picture, to: [picture]}, data).cases())
    assert [case.figures["same"]["l1"] for case in cases] == [0, 0]


def test_styles_of_held_out_things_and_training_drawings_do_not_overlap(drawings: Path) -> None:
    data = styles.styles([drawings], tuple(COLOURS), held_out=True)
    held = layouts.held_out_names([str(number) for number in range(40)], what="things")
    assert set(data.drawn) == held and all(set(files) == set(COLOURS) for files in data.drawn.values())
    assert {path.stem for paths in data.training.values() for path in paths}.isdisjoint(held)
    assert all(len(paths) == 40 - len(held) for paths in data.training.values())
    assert len(data.directions) == 6 and ("blue", "red") in data.directions and ("red", "red") not in data.directions


def test_drawings_without_shared_names_are_refused(tmp_path: Path) -> None:
    for style in ("a", "b"):
        (tmp_path / style).mkdir()
        for number in range(3):
            Image.fromarray(noise(number)).save(tmp_path / style / f"{style}{number}.png")
    with pytest.raises(DataError, match="the same name in two of a, b"):
        styles.styles([tmp_path], ("a", "b"))
    with pytest.raises(DataError, match="no domain c"):
        styles.styles([tmp_path], ("a", "c"))


def test_the_classifier_learns_the_styles_and_depends_only_on_its_seed(drawings: Path) -> None:
    data = styles.styles([drawings], tuple(COLOURS), held_out=True)
    training = [data.training[name] for name in data.names]
    losses: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for run, seed in ((0, 3), (1, 3), (2, 4)):
        domain_classifier.train(training, seed=seed, steps=3, tick=lambda step, loss, run=run: losses[run].append(loss))
    assert losses[0] == losses[1] != losses[2]
    assert styles.real_accuracy(domain_classifier.train(training, steps=40), data) == 1
    with pytest.raises(DataError, match="at least two domains"):
        domain_classifier.train([training[0], []])


def test_styles_are_measured_in_every_direction(img2img: Callable[..., Any], drawings: Path, tmp_path: Path) -> None:
    """The model blends in the target colour, so the style is right and half of the drawing is gone."""
    model = onnx_nets.domains(tmp_path / "tinted.onnx", COLOURS)
    args = ("evaluate", model, "--data", drawings, "--held-out", "--classifier-steps", 40, "--device", "cpu")
    done = img2img(*args, "--sheet", tmp_path / "sheet.jpg", "--record")
    assert done.status == 0, done.err
    lines = done.out.decode().splitlines()
    assert lines[0].split() == ["picture", "copy", "tinted"]
    assert lines[1].split()[:3] == ["blue", ">", "green"]
    assert "tinted is better than copy in 6 of 6 (l1)" in done.err and "recognised_real: 1.0" in done.err
    ((_, found),) = session.load(model).card.metrics.items()
    assert found["recognised"] == 1 and found["recognised_real"] == 1 and found["cases"] == 6
    *rows, last = [json.loads(line) for line in img2img(*args, "--count", 1, "--json").out.splitlines()]
    assert len(rows) == 6 and last["copy"]["recognised"] == 0 and last["better_than"] == {"copy": 6}


def test_without_training_drawings_there_is_no_classifier(
    img2img: Callable[..., Any], drawings: Path, tmp_path: Path
) -> None:
    model = onnx_nets.domains(tmp_path / "tinted.onnx", COLOURS)
    done = img2img("evaluate", model, "--data", drawings, "--count", 2, "--json", "--device", "cpu")
    assert "no training drawings: skipping the classifier" in done.err
    assert "recognised" not in json.loads(done.out.splitlines()[-1])


def test_attributes_cannot_be_measured_against_a_truth(
    img2img: Callable[..., Any], drawings: Path, tmp_path: Path
) -> None:
    model = onnx_nets.domains(tmp_path / "faces.onnx", COLOURS, exclusive=False)
    done = img2img("evaluate", model, "--data", drawings, "--device", "cpu")
    assert done.status == 2 and "its domains are not exclusive" in done.err


def test_a_model_with_a_reference_is_measured_with_one_reference_for_all(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    model = onnx_nets.styled(tmp_path / "styled.onnx", reference=4, latent=3)
    Image.new("RGB", (8, 8), (10, 200, 30)).save(tmp_path / "style.png")
    plain = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    call = ("evaluate", model, "--data", pairs, "--count", 3, "--device", "cpu", "--against", plain)
    done = img2img(*call, "--reference", tmp_path / "style.png", "--record")
    assert done.status == 0, done.err
    ((_, found),) = session.load(model).card.metrics.items()
    assert "--reference" in str(found["command"]) and found["cases"] == 3
    source = noise(0)
    run = translation.from_model(session.load(model), reference=np.full((1, 3, 4, 4), 0.5, np.float32))
    assert np.abs(run(source, "")[0].astype(float) - (source / 2 + 127.5 / 2)).max() <= 1


def test_a_reference_must_fit_the_model(img2img: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    styled = onnx_nets.styled(tmp_path / "styled.onnx", reference=4)
    plain = onnx_nets.pointwise(tmp_path / "root.onnx", "Sqrt", task="translate")
    larger = onnx_nets.styled(tmp_path / "larger.onnx", reference=4, described={"task": "upscale"})
    cases = (
        (styled, [], "needs a reference picture"),
        (styled, ["--reference", tmp_path / "gone.png"], "cannot read"),
        (plain, ["--reference", tmp_path / "gone.png"], "root takes no reference"),
        (larger, [], "only for models that translate"),
    )
    for model, more, message in cases:
        done = img2img("evaluate", model, "--data", pairs, "--count", 3, "--device", "cpu", *more)
        assert done.status == 2 and message in done.err, done.err
