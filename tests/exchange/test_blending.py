"""Two model files are blended into one, or refused with a message that says how they differ."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from img2img.errors import ExportError, ModelError
from img2img.exchange import samples, update_card
from img2img.exchange.blending import blend, mix
from img2img.exchange.prelu import split_prelu
from img2img.runtime.network import models, verify

IMAGE = np.random.default_rng(0).random((1, 3, 14, 18), np.float32)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return (
        onnx_nets.compact(tmp_path / "soft.onnx", licence="CC0-1.0", trained_on=["mine"], context=3),
        onnx_nets.compact(
            tmp_path / "sharp.onnx",
            seed=1,
            licence="MIT",
            trained_on=["mine", "yours"],
            metrics={"Set5": {"psnr": 30.0}},
        ),
    )


def run(file: Path) -> Any:
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["result"], {"image": IMAGE})[0]


def weights(file: Path) -> list[Any]:
    return [numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer]


def changed(source: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def test_weight_0_gives_a_and_weight_1_gives_b(pair: tuple[Path, Path], tmp_path: Path) -> None:
    results = {}
    for weight in (0.0, 0.3, 1.0):
        blend(*pair, weight, tmp_path / "out.onnx")
        results[weight] = run(tmp_path / "out.onnx")
        between = [(1 - weight) * a + weight * b for a, b in zip(*map(weights, pair), strict=True)]
        assert all(
            np.allclose(ours, wanted) for ours, wanted in zip(weights(tmp_path / "out.onnx"), between, strict=True)
        )
    assert np.array_equal(results[0.0], run(pair[0])) and np.array_equal(results[1.0], run(pair[1]))
    assert np.abs(results[0.3] - results[0.0]).max() > 1e-2 < np.abs(results[0.3] - results[1.0]).max()


def test_the_card_combines_both_cards(pair: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    card = blend(*pair, 0.25, target)
    assert (card.name, card.licence, card.trained_on) == ("sharp-blend", "CC0-1.0, MIT", ("mine", "yours"))
    assert card.method == "test; blend of 0.75 soft and 0.25 sharp" and card.metrics == {} and card.context == 3
    stored = models.read_card(target)
    assert stored is not None and stored.sha256 and stored.selftest, "computed for the new file"
    assert verify.passed(verify.verify(target, device="cpu"))
    assert blend(*pair, 0.5, target, name="mine").name == "mine"
    update_card(pair[0], context=None, minimum=4)
    card = blend(*pair, 0.5, target)
    assert card.context is None and card.minimum == 4
    for file in pair:
        update_card(file, input_quality="clean")
    assert blend(*pair, 0.5, target).input_quality == "clean"
    update_card(pair[0], input_quality="degraded")
    assert blend(*pair, 0.5, target).input_quality is None


def test_tensor_names_do_not_matter(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def rename(model: onnx.ModelProto) -> None:
        fixed = {"image", "result", ""}
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [name if name in fixed else f"other_{name}" for name in names]
        for value in model.graph.initializer:
            value.name = f"other_{value.name}"
        values = list(model.graph.initializer)[::-1]
        del model.graph.initializer[:]
        model.graph.initializer.extend(values)

    renamed = changed(pair[1], tmp_path / "renamed.onnx", rename)
    blend(*pair, 0.4, tmp_path / "one.onnx")
    blend(pair[0], renamed, 0.4, tmp_path / "two.onnx")
    assert np.array_equal(run(tmp_path / "one.onnx"), run(tmp_path / "two.onnx"))


def test_a_file_with_prelu_and_one_with_split_prelu_are_blended(pair: tuple[Path, Path], tmp_path: Path) -> None:
    split = changed(pair[1], tmp_path / "split.onnx", lambda model: (split_prelu(model), None)[1])
    blend(*pair, 0.4, tmp_path / "one.onnx")
    for a, b, weight in ((pair[0], split, 0.4), (split, pair[0], 0.6)):
        blend(a, b, weight, tmp_path / "two.onnx")
        assert np.allclose(run(tmp_path / "one.onnx"), run(tmp_path / "two.onnx"), atol=1e-5)


def test_different_networks_are_refused_with_the_difference(pair: tuple[Path, Path], tmp_path: Path) -> None:
    a = pair[0]
    target = tmp_path / "out.onnx"
    made: dict[str, Any] = {
        r"other shapes in w1 \[8, 3, 3, 3\], w2 \[8\], .* and \d+ more": {"features": 9},
        r"only the second has w12, w13, w14$": {"convs": 4},
        r"only the first has w11$": {"skip": None},
        r"scale is 2 in the first and 3 in the second": {"scale": 3},
    }
    for message, options in made.items():
        other = onnx_nets.compact(tmp_path / "other.onnx", **options)
        with pytest.raises(ModelError, match=f"cannot be blended.*{message}"):
            blend(a, other, 0.5, target)
    with pytest.raises(ModelError, match=r"operator \d+, Resize, has other settings"):
        blend(a, onnx_nets.compact(tmp_path / "other.onnx", skip="linear"), 0.5, target)
    norm = onnx_nets.instance_norm(tmp_path / "norm.onnx")

    def bend(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"

    with pytest.raises(ModelError, match=r"operator 2 is Relu in the first and Sigmoid in the second"):
        blend(norm, changed(norm, tmp_path / "bent.onnx", bend), 0.5, target)
    domains = [onnx_nets.domains(tmp_path / f"{c}.onnx", {"red": (1, 0, 0), c: (0, 0, 1)}) for c in ("blue", "navy")]
    with pytest.raises(ModelError, match=r"domains is \('red', 'blue'\) in the first"):
        blend(domains[0], domains[1], 0.5, target)
    assert not target.exists()


def test_stored_integers_must_be_equal(tmp_path: Path) -> None:
    colours = {"red": (1.0, 0.0, 0.0)}
    one = onnx_nets.domains(tmp_path / "one.onnx", colours)

    def reshape(model: onnx.ModelProto) -> None:
        axes = next(value for value in model.graph.initializer if value.data_type == onnx.TensorProto.INT64)
        axes.CopyFrom(numpy_helper.from_array(np.array([3, 2]), axes.name))

    with pytest.raises(ModelError, match=r"other numbers in w\d, which cannot be interpolated"):
        blend(one, changed(one, tmp_path / "two.onnx", reshape), 0.5, tmp_path / "out.onnx")


def test_other_precisions_and_broken_weights_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    small = onnx_nets.compact(tmp_path / "small.onnx", precision="int8")
    with pytest.raises(ModelError, match=r"small\.onnx: is already int8; use the fp32 file, and convert the blend"):
        blend(pair[0], small, 0.5, target)

    def spoil(model: onnx.ModelProto) -> None:
        value = model.graph.initializer[1]
        value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value) * np.float32("nan"), value.name))

    with pytest.raises(ModelError, match=r"spoilt\.onnx: its result .* contains NaN or infinity"):
        blend(pair[0], changed(pair[1], tmp_path / "spoilt.onnx", spoil), 0.5, target)
    with pytest.raises(ModelError, match=r"must be between 0 \(all .*\) and 1 \(all .*\), not 1\.5"):
        blend(*pair, 1.5, target)
    assert not target.exists()


def test_a_blend_with_broken_results_is_not_written(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "results", lambda session, given: [np.full((1, 3, 2, 2), np.nan, np.float32)])
    with pytest.raises(ExportError, match="are not finite; nothing written"):
        blend(*pair, 0.5, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=2, max_size=8), st.floats(0, 1))
def test_mixed_values_lie_between_both(values: list[float], weight: float) -> None:
    a, b = np.array(values, np.float32), np.array(values[::-1], np.float32)
    mixed = mix(a, b, weight)
    assert mixed.dtype == np.float32
    assert (mixed >= np.minimum(a, b)).all() and (mixed <= np.maximum(a, b)).all()
    assert np.array_equal(mix(a, b, 0), a) and np.array_equal(mix(a, b, 1), b)
