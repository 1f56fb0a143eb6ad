"""`/docs`: the description of the API as a page, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from img2img.pages.page import escape

_CURL = {
    "upscale": "curl -F image=@photo.jpg -F scale=2 {address}/upscale > large.jpg",
    "restore": "curl -F image=@photo.jpg -F strength=0.7 {address}/restore > restored.jpg",
    "translate": "curl -F image=@emoji.png -F model=emoji-styles -F to=openmoji {address}/translate > emoji.png",
    "inpaint": "curl -F image=@photo.jpg -F mask=@mask.png {address}/inpaint > filled.jpg",
}


def build(api: dict[str, Any], address: str) -> str:
    """The HTML of the page for an OpenAPI description. `address`: of the server, for examples."""
    parts = []
    for path, methods in api["paths"].items():
        for method, about in methods.items():
            parts.append(_operation(path, method.upper(), about, address))
    title = escape(f"{api['info']['title']} {api['info']['version']}: HTTP API")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        '<link rel="stylesheet" href="/assets/base.css">\n<link rel="stylesheet" href="/assets/docs.css">\n'
        f"<title>{title}</title>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f'<p>{escape(api["info"]["description"])} <a href="/openapi.json">openapi.json</a> is the same for programs. '
        f'<a href="/">Back to the page</a></p>\n{"".join(parts)}</main>\n</body>\n</html>\n'
    )


def _operation(path: str, method: str, about: dict[str, Any], address: str) -> str:
    name = escape(about["operationId"])
    found = [
        f'<section aria-labelledby="{name}">\n<h2 id="{name}"><code>{method} {escape(path)}</code></h2>\n',
        f"<p>{escape(about['summary'])}</p>\n",
    ]
    if about["operationId"] in _CURL:
        found.append(f'<pre tabindex="0">{escape(_CURL[about["operationId"]].format(address=address))}</pre>\n')
    body = about.get("requestBody")
    if body is not None:
        form = body["content"]["multipart/form-data"]["schema"]
        rows = [
            (key, _type(one, key in form["required"]), one["description"]) for key, one in form["properties"].items()
        ]
        found.append(_table(("field", "value", "meaning"), rows))
    answers = [(status, one["description"]) for status, one in about["responses"].items()]
    found.append(
        f"<details><summary>Answers</summary>\n{_table(('status', 'meaning'), answers)}</details>\n</section>\n"
    )
    return "".join(found)


def _type(schema: dict[str, Any], required: bool) -> str:
    if schema["type"] == "array":
        return f"{_type(schema['items'], required)}, repeatable"
    name = "file" if schema.get("format") == "binary" else schema["type"]
    if "enum" in schema:
        name = " | ".join(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    limits = "" if low is None and high is None else f" {'' if low is None else low}..{'' if high is None else high}"
    return f"{name}{limits}{', required' if required else ''}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    names = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "".join(
        f"<tr><td><code>{escape(first)}</code></td>{''.join(f'<td>{escape(one)}</td>' for one in rest)}</tr>\n"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{head[0]}s">'
        f"<table><thead><tr>{names}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
