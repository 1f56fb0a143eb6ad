"""Errors as HTTP answers: JSON with the message of the command line, and a status that programs understand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from starlette.responses import JSONResponse, Response

from img2img.errors import Img2ImgError, NotAPicture, PictureError, TooManyPixels, UsageError, is_out_of_files
from img2img.runtime.batch.event import explain
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.serve.catalogue import NoSuchModel
from img2img.serve.engine import Failed
from img2img.text import show
from img2img.threads import NoThreads


class Refused(Exception):
    """The server refuses a request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": MESSAGE}` with a status."""
    return JSONResponse({"error": show(message)}, status, headers)


def of_error(error: Exception) -> tuple[Response, str]:
    """The answer for an error of a request, and its message."""
    if isinstance(error, Refused):
        return response(error.status, str(error), error.headers), str(error)
    cause = error.__cause__ if isinstance(error, Failed) and error.__cause__ is not None else error
    message = explain(cause)
    return response(status_of(error), message), message


def status_of(error: Exception) -> int:
    """The HTTP status for an error of the engine."""
    causes = list(_causes(error))
    for kind, status in ((NoSuchModel, 404), (TooManyPixels, 413), (NotAPicture, 415)):
        if any(isinstance(one, kind) for one in causes):
            return status
    if any(isinstance(one, MemoryError | NoThreads | OutOfMemory) or is_out_of_files(one) for one in causes):
        return 503
    if any(isinstance(one, BrokenOutput) for one in causes):
        return 500
    if isinstance(error, Failed):
        return 422 if any(isinstance(one, UsageError | PictureError) for one in causes) else 500
    return 422 if isinstance(error, Img2ImgError) else 500


def is_bug(error: Exception) -> bool:
    """Whether an error is not one that the project expects."""
    return (
        not isinstance(error, Refused)
        and status_of(error) == 500
        and not any(isinstance(one, Img2ImgError) for one in _causes(error))
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__
