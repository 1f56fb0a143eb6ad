"""The JSON schema of a configuration: editors complete keys and underline mistakes with it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from img2img import methods
from img2img.methods.config import RunConfig, assign
from img2img.methods.schema import json_schema

SUPER_RESOLUTION = ("srgan", "esrgan", "real-esrgan")
CASES = [(name, "") for name in methods.METHODS] + [(name, "adversarial") for name in SUPER_RESOLUTION]
CASES += [("ip-gan", "identity"), ("dtn", "features"), ("pix2pixhd", "enhancer")]


def recipe_of(name: str, stage: str = "") -> type[RunConfig]:
    return methods.find(name).recipe.of_stage({"stage": stage} if stage else {})


def saved(folder: Path, name: str, stage: str = "", *assignments: str) -> Path:
    """Save the settings of a recipe, changed by `assignments`, as `config.toml`."""
    recipe = recipe_of(name, stage)
    values = recipe.with_defaults({"data": {"folders": ["photos"]}} | ({"stage": stage} if stage else {}))
    assign(values, list(assignments))
    recipe.parse(values, where="test").save(folder / "config.toml")
    return folder / "config.toml"


def faults(config: Path, **changes: Any) -> list[str]:
    """Apply `changes` (`section__key`) to the settings in `config`, and return the keys that its schema rejects."""
    values = tomllib.loads(config.read_text())
    for key, value in changes.items():
        *sections, last = key.split("__")
        place = values
        for section in sections:
            place = place[section]
        place[last] = value
    schema = json.loads(config.with_name("config.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return [".".join(map(str, error.path)) for error in jsonschema.Draft7Validator(schema).iter_errors(values)]


@pytest.mark.parametrize(("name", "stage"), CASES)
def test_a_saved_configuration_names_its_schema_and_is_valid(name: str, stage: str, tmp_path: Path) -> None:
    config = saved(tmp_path, name, stage)
    assert config.read_text().splitlines()[0] == "#:schema ./config.schema.json"
    assert faults(config) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.schema.json", "config.toml"]


def test_settings_that_are_none_are_valid(tmp_path: Path) -> None:
    config = saved(tmp_path, "pix2pix", "", "optimiser.clip=none", "workers=none", "adversarial.penalty=none")
    assert 'clip = "none"' in config.read_text()
    assert faults(config) == []


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("stpes", 3, ""),
        ("optimiser__rat", 1e-4, "optimiser"),
        ("optimiser__rate", -1.0, "optimiser.rate"),
        ("optimiser__rate", "none", "optimiser.rate"),
        ("optimiser__betas", [0.5], "optimiser.betas"),
        ("steps", "many", "steps"),
        ("generator__name", "unett", "generator.name"),
        ("adversarial__name", "lsgna", "adversarial.name"),
        ("adversarial__penalty", "r3", "adversarial.penalty"),
        ("objectives__l3", 1.0, "objectives"),
        ("data__crop", 0, "data.crop"),
    ],
)
def test_mistakes_are_found(key: str, value: object, fault: str, tmp_path: Path) -> None:
    assert faults(saved(tmp_path, "pix2pix"), **{key: value}) == [fault]


def test_a_file_may_leave_out_what_the_recipe_knows(tmp_path: Path) -> None:
    schema = json_schema(recipe_of("pix2pix"))
    values = {"generator": {"options": {"features": 32}}, "data": {"folders": ["pairs"]}}
    assert list(jsonschema.Draft7Validator(schema).iter_errors(values)) == []


@pytest.mark.parametrize(("name", "stage"), CASES)
def test_its_defaults_are_those_of_the_recipe(name: str, stage: str, tmp_path: Path) -> None:
    settings = tomllib.loads(saved(tmp_path, name, stage).read_text())
    del settings["data"]["folders"]  # it has no default
    compare(json_schema(recipe_of(name, stage))["properties"], settings)


def compare(properties: dict[str, Any], settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        found = properties[key]
        assert "title" in found
        if "properties" in found:
            compare(found["properties"], value)
        else:
            assert found["default"] == value, key
