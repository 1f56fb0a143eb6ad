"""Builds a page that is one file and loads nothing: styles, scripts, data and pictures are inside."""

import base64
import hashlib
import html
import io
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from PIL import Image

END = "</body>\n</html>\n"
"""How a page ends. What is inserted before it comes after the scripts."""


def build(title: str, body: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = (), data: Any = None) -> str:
    """Return the HTML of a page.

    A content security policy in the page allows its own scripts and styles and nothing else, so that a hostile file
    name cannot run code and no request leaves the page.

    Args:
        title: plain text.
        body: HTML. Escape names and other text from outside with `escape`.
        styles: names of style sheets in `assets/`, after `base.css`.
        scripts: names of scripts in `assets/`, which run in this order when the body is there.
        data: what `JSON.parse(document.getElementById("data").textContent)` gives the scripts; None: no such element.
    """
    style = "\n".join(asset(name) for name in ("base.css", *styles))
    codes = [asset(name) for name in scripts]
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data: blob:",
            f"style-src {_hash(style)}",
            f"script-src {' '.join(map(_hash, codes)) or chr(39) + 'none' + chr(39)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    inside = "" if data is None else f'<script type="application/json" id="data">{_json(data)}</script>\n'
    code = "".join(f"<script>{one}</script>\n" for one in codes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n{inside}{code}{END}"
    )


def escape(text: object) -> str:
    """Return `text` as HTML, also inside attributes with quotes."""
    return html.escape(str(text))


def asset(name: str) -> str:
    """Return the text of the file `name` in `assets/`."""
    return resources.files("img2img.pages").joinpath("assets", name).read_text(encoding="utf-8")


def picture_url(picture: Image.Image, kind: str = "png", **options: Any) -> str:
    """Return a picture as a `data:` URL. `kind` is "png", "jpeg" or "webp"; `options` go to Pillow's `save`."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _json(data: Any) -> str:
    """JSON that cannot end the element that it is in. NaN is not JSON, so that it raises ValueError."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
