"""What a batch reports: one event for each job, and progress inside a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from img2img.errors import OUT_OF_FILES, Img2ImgError, is_out_of_files
from img2img.runtime.files.jobs import Job

COMPRESSED = 85
"""JPEGs below this quality have artefacts that enlarging makes visible."""


class Cancelled(BaseException):
    """The batch is being stopped. No Exception, so that nothing on the way takes it for a failed tile or file."""


class Skipped(Exception):
    """Raised by a reader: the job need not be done after all, and why."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the writer made of a picture.

    Attributes:
        notes: on what could not be kept.
        data: the bytes, where the target is stdout.
        digest: sha256 of the file, hexadecimal.
    """

    notes: tuple[str, ...] = ()
    data: bytes | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The end of one job.

    Attributes:
        size, result_size: (width, height) of the picture and of its result, if known.
        seconds: time spent working on the job, without the time it waited.
        digest: sha256 of the output file, hexadecimal.
        index: place of the job in its batch.
        jpeg_quality: estimated quality of the picture if it is a JPEG, 1 to 100.
        suggestion: name of a model that also removes compression artefacts, if the picture is a JPEG with a quality
            below 85 and the batch uses a model for clean photos.
    """

    job: Job
    status: Literal["done", "skipped", "failed"]
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    data: bytes | None = None
    error: BaseException | None = None
    digest: str | None = None
    index: int = 0
    jpeg_quality: int | None = None
    suggestion: str | None = None

    @property
    def message(self) -> str:
        """Why it failed or was skipped, for a person; empty for a job that is done."""
        if self.status == "skipped":
            return self.job.skip or str(self.error or "")
        if self.error is None:
            return ""
        about = self.error.path if isinstance(self.error, Img2ImgError) else getattr(self.error, "filename", None)
        return self.job.with_label(explain(self.error), about=about)


Notify = Callable[[str], None]


class ProgressListener(Protocol):
    """Receives the progress inside pictures. Worker threads call it; several pictures may be in work at once.

    `index` is the place of the job in its batch, `pixels` counts pixels of the input.
    """

    def begin(self, index: int, pixels: int) -> None: ...
    def advance(self, index: int, pixels: int) -> None: ...


class SilentListener:
    """Ignores all progress."""

    def begin(self, index: int, pixels: int) -> None:
        pass

    def advance(self, index: int, pixels: int) -> None:
        pass


def explain(error: BaseException) -> str:
    """An exception as one line for a person; errors of the program itself keep the name of their type."""
    if is_out_of_files(error):
        where = error.path if isinstance(error, Img2ImgError) else getattr(error, "filename", None)
        return f"{where}: {OUT_OF_FILES}" if where else OUT_OF_FILES
    text = " ".join(str(error).split())
    if isinstance(error, Img2ImgError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory" + (f" ({text})" if text else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
