"""The description of the API, as OpenAPI, made from the tables of operations."""

from __future__ import annotations

from typing import Any

from img2img.serve.operations import OPERATIONS, Field, Operation
from img2img.serve.replies import TYPES
from img2img.version import __version__

_STATUSES = {
    "400": "The form is broken, or there is no image.",
    "401": "The token is missing or wrong.",
    "403": "The Host or Origin header names another site.",
    "404": "There is no such model.",
    "408": "The upload took too long.",
    "413": "The request has too many bytes, or a picture too many pixels.",
    "415": "The file is no picture, or the request is no form.",
    "422": "A field has a wrong value, or the picture is damaged.",
    "429": "Too many requests are waiting. Retry-After says when to try again.",
    "500": "The network failed.",
    "503": "Memory ran out, or the server is stopping.",
    "504": "The work took too long.",
}
_TEXT = {"type": "string"}


def describe(*, with_token: bool = False) -> dict[str, Any]:
    """The whole description as JSON."""
    paths: dict[str, Any] = {f"/{one.name}": {"post": _operation(one)} for one in OPERATIONS.values()}
    paths["/models"] = {
        "get": {
            "summary": "List the models, with the main facts of their cards.",
            "operationId": "models",
            "responses": {"200": _json("The models.", {"$ref": "#/components/schemas/Models"})},
        }
    }
    paths["/jobs/{id}"] = {
        "get": {
            "summary": "Tell how far a request is that was sent with the header Img2img-Job.",
            "operationId": "job",
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}],
            "responses": {"200": _json("How far it is.", {"$ref": "#/components/schemas/Job"})},
        }
    }
    paths["/health"] = {
        "get": {
            "summary": "Tell whether the server is well, and how many requests it has.",
            "operationId": "health",
            "security": [],
            "responses": {"200": _json("It is well.", {"type": "object"}), "503": _error("The server is stopping.")},
        }
    }
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "img2img",
            "version": __version__,
            "description": "Image-to-image translation with GANs. Fields have the names of the command-line options.",
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if with_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _operation(operation: Operation) -> dict[str, Any]:
    properties = {one.name: _schema(one) for one in operation.fields}
    form = {"type": "object", "properties": properties, "required": ["image"], "additionalProperties": False}
    binary = {"schema": {"type": "string", "format": "binary"}}
    kinds = [*TYPES.values(), *(["application/zip"] if operation.name == "translate" else [])]
    job = {"name": "Img2img-Job", "in": "header", "required": False, "schema": {"type": "string", "pattern": JOB}}
    job["description"] = "A random name of your own; GET /jobs/NAME then tells how far the request is."
    return {
        "summary": operation.summary,
        "operationId": operation.name,
        "parameters": [job],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": {
                "description": "The result, in the format of the image unless `format` names another.",
                "headers": {
                    "Img2img-Model": {"description": "Name of the model.", "schema": _TEXT},
                    "Img2img-Notes": {"description": "What could not be kept: a JSON list of texts.", "schema": _TEXT},
                },
                "content": dict.fromkeys(kinds, binary),
            },
            **{status: _error(text) for status, text in _STATUSES.items()},
        },
    }


JOB = "^[A-Za-z0-9_-]{16,64}$"
"""What names of requests look like. They are long so that nobody guesses those of others."""


def _schema(field: Field) -> dict[str, Any]:
    kinds = {"text": "string", "file": "string", "flag": "boolean", "number": "number", "integer": "integer"}
    schema: dict[str, Any] = {"type": kinds[field.kind]}
    if field.kind == "file":
        schema["format"] = "binary"
    limits = {"minimum": field.low, "maximum": field.high, "enum": list(field.choices) or None}
    schema |= {key: value for key, value in limits.items() if value is not None}
    if field.repeatable:
        schema = {"type": "array", "items": schema}
    return {**schema, "description": field.help}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error(description: str) -> dict[str, Any]:
    return _json(description, {"$ref": "#/components/schemas/Error"})


def _schemas() -> dict[str, Any]:
    error = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}
    model = {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]}
    job = {
        "state": {"type": "string", "enum": ["unknown", "waiting", "working"]},
        "ahead": {"type": "integer", "description": "Number of requests before it."},
        "share": {"type": "number", "minimum": 0, "maximum": 1, "description": "The part of its tiles that is done."},
    }
    return {
        "Error": error,
        "Models": {"type": "object", "properties": {"models": {"type": "array", "items": model}}},
        "Job": {"type": "object", "properties": job},
    }
