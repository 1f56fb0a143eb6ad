"""The JSON schema of a configuration, with which editors complete keys and underline mistakes in `config.toml`."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from img2img.section import NONE, Section, none_to_text

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest draft that TOML editors (Taplo, Even Better TOML) know well."""


def json_schema(recipe: type[Section]) -> dict[str, Any]:
    """The schema of the configuration `recipe`. Its defaults are those of the recipe.

    Sections are nested and not referenced, because one class of section has other defaults in another recipe.
    """
    schema = recipe.model_json_schema(schema_generator=_Generator)
    definitions = schema.pop("$defs", {})
    words = [str(recipe.model_fields[key].default) for key in ("method", "stage") if key in recipe.model_fields]
    return {
        "$schema": DIALECT,
        "$id": ":".join(("urn:img2img:train", *words)),
        **_nest(schema, definitions),
        "title": f"Settings of img2img train {', '.join(words)}",
    }


class _Generator(GenerateJsonSchema):
    """Writes None as the files do, and tuples in the form that every draft understands."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.get_union_of_schemas([self.generate_inner(schema["schema"]), {"const": NONE}])

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        result = super().tuple_schema(schema)
        items = result.pop("prefixItems", None)
        if items is not None:
            all_equal = all(item == items[0] for item in items)
            result["items"] = items[0] if all_equal else items
        return result

    def encode_default(self, dft: Any) -> Any:
        return none_to_text(super().encode_default(dft))


def _nest(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`schema` with every reference replaced by the section that it names."""
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **beside}
    if "properties" in schema:
        schema = _with_defaults(schema)
    return {key: _nest_value(value, definitions) for key, value in schema.items()}


def _nest_value(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return _nest(value, definitions)
    if isinstance(value, list):
        return [_nest_value(one, definitions) for one in value]
    return value


def _with_defaults(section: dict[str, Any]) -> dict[str, Any]:
    """`section` with its own default handed down to its keys, where it replaces that of the section's class."""
    section = dict(section)
    defaults = section.pop("default", {})
    properties = {}
    for key, value in section["properties"].items():
        properties[key] = {**value, "title": _title(key)}
        if key in defaults:
            properties[key]["default"] = defaults[key]
    section["properties"] = properties
    required = [key for key in section.pop("required", []) if key not in defaults]
    if required:
        section["required"] = required
    return section


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()
