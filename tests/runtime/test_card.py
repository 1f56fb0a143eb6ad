import dataclasses
import json

import onnx_nets
import pytest

from img2img.errors import ModelError
from img2img.runtime.card import Card


def read(**changes):
    return Card.from_json(json.dumps(onnx_nets.card(**changes)), where="net.onnx")


def test_a_card_comes_back_as_it_was_written():
    card = read(
        scale=4,
        context=None,
        domains=["blond", "male"],
        exclusive=True,
        trained_on=["photos (CC0)"],
        metrics={"Set5": {"psnr_y": 31.3, "command": "img2img evaluate"}},
        licence="CC BY 4.0 — Müller",
    )
    assert card.domains == ("blond", "male")
    assert card.context is None
    assert Card.from_json(card.to_json(), where="x") == card
    assert "Müller" in card.to_json()


def test_keys_of_a_later_version_are_kept():
    card = read(tiles_at={"y": 3})
    assert card.extra == {"tiles_at": {"y": 3}}
    assert json.loads(card.to_json())["tiles_at"] == {"y": 3}
    assert Card.from_json(card.to_json(), where="x") == card


def test_a_short_card_gets_safe_defaults():
    card = Card.from_json('{"format": 1, "name": "n", "task": "translate", "scale": 1}', where="x")
    assert (card.multiple, card.minimum, card.context, card.domains) == (1, 1, None, ())


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"task": "upsale"}, "task"),
        ({"task": ["upscale"]}, "task"),
        ({"scale": 0}, "scale"),
        ({"scale": 2.0}, "scale"),
        ({"scale": True}, "scale"),
        ({"scale": 10**9}, "scale"),
        ({"multiple": 0}, "multiple"),
        ({"multiple": None}, "multiple"),
        ({"minimum": -1}, "minimum"),
        ({"context": -1}, "context"),
        ({"context": "12"}, "context"),
        ({"domains": "blond"}, "domains"),
        ({"domains": ["a", 1]}, "domains"),
        ({"exclusive": 1}, "exclusive"),
        ({"parameters": 1.5}, "parameters"),
        ({"trained_on": [1]}, "trained_on"),
        ({"metrics": {"Set5": 31.3}}, "metrics"),
        ({"metrics": {"Set5": {"psnr": None}}}, "metrics"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(changes, key):
    with pytest.raises(ModelError, match=rf"net\.onnx: card: '{key}' must be") as error:
        read(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["name", "task", "scale"])
def test_a_missing_key_is_named(key):
    with pytest.raises(ModelError, match=rf"net\.onnx.*lacks '{key}'"):
        read(**{key: ...})


@pytest.mark.parametrize("version", [2, 0, "1", None, True, ...])
def test_another_format_is_refused(version):
    with pytest.raises(ModelError, match="reads format 1"):
        read(format=version)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", "[" * 100_000])
def test_what_is_not_a_json_object_is_refused(text):
    with pytest.raises(ModelError, match=r"net\.onnx: the model's card is not"):
        Card.from_json(text, where="net.onnx")


def test_figures_that_json_does_not_have_are_refused_when_the_card_is_made():
    with pytest.raises(ModelError, match="metrics"):
        Card(name="n", task="upscale", scale=2, metrics={"Set5": {"psnr": float("nan")}})


def test_a_card_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().scale = 3
