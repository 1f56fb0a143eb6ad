"""Several runs of one recipe: mean and standard deviation of their figures, and the runs that failed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from PIL import Image

from img2img.errors import DataError
from img2img.evaluation.runs import last_validation, spreads


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs of a grey picture and a picture that is darker by 10 steps."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(24):
        sides = [np.full((16, 16, 3), grey, np.uint8) for grey in (110 + number, 100 + number)]
        Image.fromarray(np.concatenate(sides, axis=1)).save(folder / f"{number}.png")
    return folder


def logged(run: Path, *validations: dict[str, float]) -> Path:
    run.mkdir()
    lines = [json.dumps({"step": step, "validation": one}) for step, one in enumerate(validations)]
    (run / "log.jsonl").write_text("\n".join(['{"step": 0, "loss": 1.0}', *lines, '{"step": 9, "lo']))
    return run


def test_mean_and_deviation_by_hand() -> None:
    found = spreads([{"l1": 1.0, "ssim": 0.5}, {"l1": 2.0}, {"l1": 6.0}])
    assert found["l1"].mean == 3 and found["l1"].deviation == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert found["ssim"] == (0.5, None)


def test_the_last_validation_of_a_run_counts(tmp_path: Path) -> None:
    assert last_validation(logged(tmp_path / "a", {"l1": 0.5}, {"l1": 0.25})) == {"l1": 0.25}
    with pytest.raises(DataError, match="no validation in its log"):
        last_validation(logged(tmp_path / "b"))
    with pytest.raises(DataError, match="l1 of its last validation is nan"):
        last_validation(logged(tmp_path / "c", {"l1": float("nan")}))
    with pytest.raises(DataError, match=r"not the folder of a run"):
        last_validation(tmp_path / "d")


def test_validations_of_several_runs_are_compared_without_pictures(img2img: Callable[..., Any], tmp_path: Path) -> None:
    good = [logged(tmp_path / "a", {"l1": 0.1, "psnr": 20.0}), logged(tmp_path / "b", {"l1": 0.3, "psnr": 22.0})]
    bad = logged(tmp_path / "c")
    done = img2img("evaluate", *good, bad)
    assert done.status == 1 and img2img("evaluate", *good).status == 0
    lines = [line.split() for line in done.out.decode().splitlines() if line]
    assert lines[0] == ["mean", "of", "2", "runs,", "1", "failed", "mean", "deviation"]
    assert lines[1:] == [["l1", "0.2000", "0.1414"], ["psnr", "21.00", "1.41"]]
    assert f"failed: {bad}: no validation" in done.err
    found = json.loads(img2img("evaluate", *good, bad, "--json").out)
    assert found["runs"] == 2 and found["failed"] == 1 and found["mean"]["l1"] == pytest.approx(0.2)
    only_bad = img2img("evaluate", bad, tmp_path / "gone")
    assert only_bad.status == 2 and "every run failed" in only_bad.err
    assert "--data FOLDER is missing" in img2img("evaluate", good[0]).err


def test_runs_of_different_methods_are_not_averaged(img2img: Callable[..., Any], tmp_path: Path) -> None:
    runs = [logged(tmp_path / name, {"closeness": -0.5}) for name in "ab"]
    for run, method in zip(runs, ("pix2pix", "cvae-gan"), strict=True):
        (run / "config.toml").write_text(f'method = "{method}"\n')
    done = img2img("evaluate", *runs)
    assert done.status == 2 and f"{runs[0]} is pix2pix, {runs[1]} is cvae-gan" in done.err


def test_models_of_several_runs_are_measured_on_the_same_pictures(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    """One run returns the input, which is off by 10 steps. The other has learned to return black."""
    for name, operators in {"a": (), "b": ("Floor",)}.items():
        (tmp_path / name).mkdir()
        onnx_nets.pointwise(tmp_path / name / "model.onnx", *operators, task="translate", name="pix2pix")
    (tmp_path / "c").mkdir()
    runs = [tmp_path / name for name in "acb"]
    done = img2img("evaluate", *runs, "--data", pairs, "--json", "--device", "cpu")
    assert done.status == 1, "one of the runs failed"
    *_, means, last = [json.loads(line) for line in done.out.splitlines()]
    black = np.mean(np.arange(100, 124)) / 255
    assert means["a/model"]["l1"] == pytest.approx(10 / 255) and means["l1"] == pytest.approx(black)
    assert (last["picture"], last["runs"], last["failed"]) == ("runs", 2, 1)
    assert last["mean"]["l1"] == pytest.approx((10 / 255 + black) / 2)
    assert last["deviation"]["l1"] == pytest.approx((black - 10 / 255) / 2**0.5)
    assert "c: this folder has no model.onnx" in done.err
    table = img2img("evaluate", *runs, "--data", pairs, "--device", "cpu").out.decode()
    assert "mean of 2 runs, 1 failed" in table


def test_rivals_are_not_runs(img2img: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    models = [onnx_nets.pointwise(tmp_path / f"{name}.onnx", task="translate") for name in "abc"]
    args = ("evaluate", *models[:2], "--data", pairs, "--against", models[2], "--json", "--device", "cpu")
    *_, means, last = [json.loads(line) for line in img2img(*args).out.splitlines()]
    assert last["runs"] == 2 and {"a", "c", "copy"} <= set(means)


def test_bad_requests_for_several_runs_are_refused(img2img: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    model = onnx_nets.pointwise(tmp_path / "a.onnx", task="translate")
    other = onnx_nets.pointwise(tmp_path / "b.onnx", task="translate")
    assert "--record takes one MODEL" in img2img("evaluate", model, other, "--data", pairs, "--record").err
    gone = img2img("evaluate", tmp_path / "gone.onnx", tmp_path / "lost.onnx", "--data", pairs)
    assert gone.status == 2 and "lost.onnx: no such model file" in gone.err
