"""Reads the form of a request. Files stay in memory or in temporary files without a name; nothing else is written."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath, PureWindowsPath

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive

from img2img.errors import UsageError
from img2img.serve.operations import Operation, parse
from img2img.serve.refusals import Refused
from img2img.serve.requests import Request
from img2img.text import show, show_duration, show_memory

MOST_FIELDS = 64
LONGEST_FIELD = 16 << 10  # bytes of a field that is no file
LONGEST_NAME = 100  # characters of a file name

_HINT = "send a form with the file as 'image', such as curl -F image=@photo.jpg"
_ALIASES = {"file": "image"}  # as clients of rembg call it
_DISCARD = 5.0  # seconds to read and discard the rest of a refused request
_KEYWORD = "alpha"


async def read(http: HttpRequest, operation: Operation, *, most: int, seconds: float) -> Request:
    """Read the request for an operation.

    Args:
        most: the most bytes of the body.
        seconds: time limit for the upload.

    Raises:
        Refused: the body is no form, too large or too slow, or lacks the image.
        UsageError: a field is unknown, or its value is not valid.
    """
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        await discard(http, most)
        raise Refused(415, f"the request is {show(kind or 'without a type')[:100]}, not multipart/form-data: {_HINT}")
    length = http.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        await discard(http, most)
        raise _too_large(most)
    limited = HttpRequest(http.scope, _limited(http.receive, most))
    try:
        async with asyncio.timeout(seconds):
            form = await limited.form(max_files=3, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD)
    except TimeoutError as error:
        raise Refused(408, f"the upload took longer than {show_duration(seconds)}, the limit here") from error
    except (MultiPartException, HTTPException) as error:
        what = error.message if isinstance(error, MultiPartException) else error.detail
        raise Refused(400, f"the form is broken ({show(what)}): {_HINT}") from error
    try:
        return await _request(form, operation)
    finally:
        await form.close()


async def discard(http: HttpRequest, most: int) -> None:
    """Read the body of a request that is refused, up to a limit: many clients read no answer before they have sent all.

    Clients that wait for `100 Continue`, as curl does with large files, are answered at once.
    """
    if "100-continue" in http.headers.get("expect", "").lower():
        return
    seen = 0
    try:
        async with asyncio.timeout(_DISCARD):
            async for piece in http.stream():
                seen += len(piece)
                if seen > most:
                    return
    except TimeoutError:
        return


async def _request(form: FormData, operation: Operation) -> Request:
    files: dict[str, UploadFile] = {}
    texts: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        name = _ALIASES.get(name, name)
        if isinstance(value, str):
            texts.setdefault(name, []).append(value)
            continue
        if operation.field(name).kind != "file":
            raise UsageError(f"--{name} takes no file")
        if not value.filename and not value.size:  # a file input of a browser's form without a choice
            continue
        if name in files:
            raise UsageError(f"--{name} is given twice; send one file in each request")
        files[name] = value
    values = parse(operation, texts)
    if "image" not in files:
        raise Refused(400, f"there is no image: {_HINT}")
    data = {name: await file.read() for name, file in files.items()}
    return Request(
        operation.name,
        data["image"],
        plain_name(files["image"].filename),
        values,
        mask=data.get("mask"),
        reference=data.get("reference"),
    )


def plain_name(given: str | None) -> str:
    """The name that a client gives to a file: printable, without folders, and not too long."""
    name = show(PurePosixPath(PureWindowsPath(given or "").name).name)
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix) < 8:
        return f"{stem[:LONGEST_NAME] or 'image'}.{suffix}"
    return name[:LONGEST_NAME] or "image"


def _limited(receive: Receive, most: int) -> Receive:
    """`receive`, which raises Refused once the body has more than `most` bytes."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return limited


def _too_large(most: int) -> Refused:
    return Refused(413, f"the request has more than {show_memory(most)}, the limit here (--max-body)")
