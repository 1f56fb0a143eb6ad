"""Results as HTTP answers: a picture, or several of them in a ZIP file or a form."""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from urllib.parse import quote

from starlette.responses import Response

from img2img.serve.engine import Answer, Result

TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
FORM = "multipart/form-data"


def of_answer(answer: Answer, *, accept: str, seconds: float) -> Response:
    """One result is sent as it is. Several are a ZIP file, or a form for clients whose `accept` begins with that.

    The headers `Img2img-Model` and `Img2img-Notes` (a JSON list) tell of the model and what could not be kept.
    """
    headers = {
        "Img2img-Model": quote(answer.model, safe=" ()+,"),
        "Img2img-Notes": json.dumps(answer.notes),  # in ASCII
        "Server-Timing": f"work;dur={1000 * seconds:.0f}",
    }
    if len(answer.results) == 1:
        (result,) = answer.results
        size = "{}x{}".format(*result.size)
        headers |= {"Img2img-Size": size, "Content-Disposition": _disposition("inline", result.name)}
        return Response(result.data, media_type=TYPES[result.format], headers=headers)
    if accept.startswith(FORM):
        boundary = secrets.token_hex(16)
        return Response(_form(answer.results, boundary), headers=headers, media_type=f"{FORM}; boundary={boundary}")
    name = answer.results[0].name.rpartition(".")[0] + ".zip"
    headers["Content-Disposition"] = _disposition("attachment", name)
    return Response(_zipped(answer.results), headers=headers, media_type="application/zip")


def _disposition(kind: str, name: str, field: str = "") -> str:
    """A header that names a file, for old and new clients (RFC 6266)."""
    plain = "".join(one if one.isascii() and one.isprintable() and one not in '"\\%' else "_" for one in name)
    return f"{kind}{field}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _zipped(results: tuple[Result, ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for result in results:
            archive.writestr(result.name, result.data)
    return buffer.getvalue()


def _form(results: tuple[Result, ...], boundary: str) -> bytes:
    parts = []
    for result in results:
        name = "".join("_" if one in '"\\\r\n' else one for one in result.name)
        head = (
            f'Content-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: {TYPES[result.format]}'
        )
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + result.data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()
