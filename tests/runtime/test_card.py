import dataclasses
import json
from pathlib import Path

import onnx_nets
import pytest

import img2img
from img2img.errors import ModelError
from img2img.runtime.network.card import Card, fits, json_schema

WEIGHTS = Path(__file__).parents[2] / "weights"
SELFTEST = {"height": 32, "width": 48, "result": "0f" * 96}


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
        sha256="0" * 64,
        selftest=SELFTEST,
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
        ({"metrics": {"Set5": {"psnr": True}}}, "metrics"),
        ({"sha256": ""}, "sha256"),
        ({"sha256": "0" * 64 + "\n"}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"selftest": "0f" * 96}, "selftest"),
        ({"selftest": SELFTEST | {"result": "0f" * 95}}, "selftest"),
        ({"selftest": SELFTEST | {"height": 10**6}}, "selftest"),
        ({"selftest": {"height": 32, "width": 48}}, "selftest"),
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


def test_a_later_format_is_refused_with_the_version_that_reads_it():
    with pytest.raises(ModelError) as error:
        read(format=2, created_with="img2img 0.9.0, torch 2.14.1, opset 18")
    assert str(error.value) == (
        f"net.onnx: its card has format 2, but this img2img {img2img.__version__} reads format 1:"
        " img2img 0.9.0 wrote it, so install that version or newer (pip install -U 'img2img>=0.9.0')"
    )


@pytest.mark.parametrize("writer", ["", "by hand", None, 7, "img2img $(reboot)"])
def test_a_later_format_of_an_unknown_writer_asks_for_a_newer_version(writer):
    with pytest.raises(ModelError, match=r"reads format 1: install a newer version \(pip install -U img2img\)"):
        read(format=2, created_with=writer)


def test_a_card_of_an_older_version_has_no_digest_and_no_self_test():
    assert (read().sha256, read().selftest) == (None, None)


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", "[" * 100_000])
def test_what_is_not_a_json_object_is_refused(text):
    with pytest.raises(ModelError, match=r"net\.onnx: the model's card (is not|must be)"):
        Card.from_json(text, where="net.onnx")


def test_figures_that_json_does_not_have_are_refused_when_the_card_is_made():
    with pytest.raises(ModelError, match="metrics"):
        Card(name="n", task="upscale", scale=2, metrics={"Set5": {"psnr": float("nan")}})


def test_a_card_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().scale = 3


def test_the_schema_that_ships_is_that_of_the_code():
    text = (WEIGHTS / "card.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == json_schema()
    assert text == json.dumps(json_schema(), indent=2) + "\n"  # as `img2img models schema` writes it


def test_every_key_of_a_card_is_described_and_has_a_type():
    properties = json_schema()["properties"]
    assert list(properties) == list(json.loads(read().to_json()))
    assert all(len(one["description"]) > 15 and one["type"] for one in properties.values())


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (2, {"type": "integer", "minimum": 2}, True),
        (1, {"type": "integer", "minimum": 2}, False),
        (3, {"type": "integer", "maximum": 2}, False),
        (2.0, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean"}, True),
        (float("nan"), {"type": "number"}, False),
        (None, {"type": ["integer", "null"], "minimum": 0}, True),
        ("a", {"enum": ["a", "b"]}, True),
        ("c", {"enum": ["a", "b"]}, False),
        (1, {"const": 1}, True),
        (2, {"const": 1}, False),
        ("", {"minLength": 1}, False),
        ("ab", {"pattern": "^[ab]+$"}, True),
        ("abc", {"pattern": "^[ab]+$"}, False),
        (["a", 1], {"type": "array", "items": {"type": "string"}}, False),
        (("a", "b"), {"type": "array", "items": {"type": "string"}}, True),
        ({"a": 1}, {"required": ["b"]}, False),
        ({"a": "1"}, {"properties": {"a": {"type": "integer"}}}, False),
        ({"a": "1", "b": 1}, {"properties": {"a": {"type": "string"}}, "additionalProperties": True}, True),
        ({"b": "1"}, {"additionalProperties": {"type": "integer"}}, False),
        ({1: "1"}, {"type": "object"}, False),
    ],
)
def test_what_fits_a_schema(value, schema, expected):
    assert fits(value, schema) is expected
