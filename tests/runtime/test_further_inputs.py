"""The inputs `reference` and `latent`: the card, the interface, tiles, the self-test, and files without a card."""

import dataclasses

import numpy as np
import onnx_nets
import pytest

from img2img.errors import ModelError
from img2img.runtime.network import selftest, speed_process, verify
from img2img.runtime.network.buffered_session import BufferedSession
from img2img.runtime.network.card import Card
from img2img.runtime.network.session import load
from img2img.runtime.network.tiling import run_tiled

REFERENCE = {"about": "a picture in the wanted style", "multiple": 4, "minimum": 8}
LATENT = {"length": 8, "distribution": "normal"}


def card(**changes):
    return Card(name="x", task="translate", scale=1, **changes)


def noise(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def test_the_card_keeps_the_description_of_its_inputs():
    described = card(reference=REFERENCE, latent=LATENT, domains=("a", "b"))
    assert Card.from_json(described.to_json(), where="x") == described
    assert described.inputs == {
        "image": ("N", 3, "H", "W"),
        "domain": ("N", 2),
        "reference": ("N", 3, "h", "w"),
        "latent": ("N", 8),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": True},
        {"reference": {}},
        {"reference": REFERENCE | {"multiple": 0}},
        {"reference": REFERENCE | {"about": 1}},
        {"latent": 8},
        {"latent": {"length": 8}},
        {"latent": LATENT | {"length": 0}},
        {"latent": LATENT | {"length": 1 << 40}},
        {"latent": LATENT | {"distribution": "cauchy"}},
    ],
)
def test_a_wrong_description_is_an_error_that_names_its_key(changes):
    with pytest.raises(ModelError, match=repr(next(iter(changes)))):
        card(**changes)


@pytest.mark.parametrize(
    ("made", "described", "message"),
    [
        ({}, {"latent": LATENT}, "needs an input named 'latent'"),
        ({}, {"reference": REFERENCE}, "needs an input named 'reference'"),
        ({"latent": 5}, {"latent": LATENT}, "'latent' must have 8 columns, not 5"),
        ({"reference": 1}, {"reference": None}, "does not explain: 'reference'"),
    ],
)
def test_a_card_that_contradicts_the_network_is_refused(tmp_path, made, described, message):
    path = onnx_nets.styled(tmp_path / "net.onnx", **made, described=described)
    with pytest.raises(ModelError, match=message):
        load(path, device="cpu")


def test_a_missing_latent_is_zeros_also_in_files_whose_card_does_not_mention_it(tmp_path):
    image = noise(2, 3, 4, 5)
    for name, described in (("new", {}), ("old", {"latent": ...})):
        model = load(onnx_nets.styled(tmp_path / f"{name}.onnx", latent=3, described=described), device="cpu")
        assert np.allclose(model.infer(image), image / 2)
        given = np.array([[1, 0, 0]], np.float32)
        assert np.allclose(model.with_inputs(latent=given).infer(image)[:, 0], np.minimum(image[:, 0] / 2 + 0.1, 1))


def test_a_missing_reference_is_an_error_that_names_it(tmp_path):
    model = load(onnx_nets.styled(tmp_path / "net.onnx", reference=1), device="cpu")
    with pytest.raises(ModelError, match="reference"):
        model.infer(noise(1, 3, 4, 5))


def test_every_tile_gets_the_whole_reference_and_the_latent(tmp_path):
    model = load(onnx_nets.styled(tmp_path / "net.onnx", reference=2, latent=3), device="cpu")
    model.pixels_at_once = 1 << 20  # as on CUDA
    bound = model.with_inputs(reference=noise(1, 3, 6, 4), latent=np.array([[1, -1, 0.5]], np.float32))
    colour = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    whole = run_tiled(bound, colour, tile=None)
    assert np.array_equal(run_tiled(bound, colour, tile=16), whole)
    assert bound.pixels_at_once == 0, "several copies of the reference would take memory"
    assert not np.array_equal(whole, run_tiled(bound.with_inputs(reference=noise(1, 3, 8, 8) / 9), colour, tile=16))


def test_runs_on_kept_buffers_use_the_reference_and_code_of_each_run(tmp_path):
    path = onnx_nets.styled(tmp_path / "net.onnx", reference=1, latent=3)
    plain, kept = load(path, device="cpu"), load(path, device="cpu")
    kept._buffered = BufferedSession(kept._session, "cpu")  # as on CUDA
    for turn in range(6):
        given = {
            "reference": noise(1, 3, 4 + turn % 2, 5) / (turn + 1),
            "latent": np.full((1, 3), turn / 9, np.float32),
        }
        image = noise(1, 3, 6, 7)
        bound = kept.with_inputs(**given)
        assert np.array_equal(bound.infer(image), plain.infer(image, **given))


@pytest.mark.parametrize("further", [{"reference": 8}, {"latent": 5}, {"reference": 4, "latent": 2}])
def test_the_self_test_feeds_all_inputs_and_notices_a_change_of_one(tmp_path, further):
    path = onnx_nets.styled(tmp_path / "net.onnx", multiple=4, **further)
    model = load(path, device="cpu")
    made = selftest.create(path, model.card)
    tested = dataclasses.replace(model.card, selftest=made)
    assert selftest.check(tested, lambda given: model.infer(**given)) == "off by at most 0 of 255"
    for name in {"reference", "latent"} & set(model.card.inputs):
        changed = selftest.inputs(tested, made["height"], made["width"])
        changed[name] = changed[name] * 0
        with pytest.raises(ModelError, match="off by"):
            selftest.check(tested, lambda given: model.infer(**changed))  # noqa: B023
    assert verify.passed(verify.verify(path, device="cpu"))


def test_the_self_test_follows_its_description():
    made = selftest.inputs(card(reference=REFERENCE, latent=LATENT), 32, 48)
    assert made["latent"].tolist() == [[(5 * i % 9 - 4) / 4 for i in range(8)]]
    assert np.array_equal(made["reference"], selftest.picture(40, 24)[:, ::-1])


def test_the_speed_of_a_model_with_all_inputs_can_be_measured(tmp_path):
    path = onnx_nets.styled(tmp_path / "net.onnx", reference=8, latent=5)
    assert speed_process.measure(path, "cpu", 1, {})["seconds_per_megapixel"] > 0


def test_probing_finds_further_inputs_by_their_names(tmp_path):
    path = onnx_nets.styled(tmp_path / "bare.onnx", reference=4, latent=3, multiple=4, with_card=False)
    model = load(path, device="cpu")
    assert (model.card.scale, model.card.multiple, model.card.latent) == (1, 4, {"length": 3, "distribution": "normal"})
    assert model.card.reference == {"about": "", "multiple": 4, "minimum": 4}
    assert "a reference picture, a latent code of 3 values" in model.notes[0]
    reference = noise(1, 3, 8, 4)
    image = noise(1, 3, 8, 8)
    expected = image / 2 + reference.mean((2, 3), keepdims=True) / 2
    assert np.allclose(model.infer(image, reference=reference), expected, atol=1e-5)
