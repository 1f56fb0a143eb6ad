"""A job's picture in, a job's result out: files, stdin and stdout, for the first and the last stage of a batch."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from img2img.errors import PictureError
from img2img.runtime.batch.event import Written
from img2img.runtime.files import digests
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.files.jobs import Job
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.pictures import Picture
from img2img.text import show


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """How pictures are read and written. `stdin` holds the bytes that came in there, where a job wants them."""

    max_pixels: int = pictures.DEFAULT_MAX_PIXELS
    first_frame: bool = False
    quality: int | None = None
    stdin: bytes = b""

    def read(self, job: Job) -> Picture:
        """Decode the job's source. Raises PictureError."""
        source = io.BytesIO(self.stdin) if job.source is None else job.source
        return pictures.read(source, max_pixels=self.max_pixels, first_frame=self.first_frame)

    def write(self, job: Job, picture: Picture, finished: Callable[[Fingerprint], None] | None = None) -> Written:
        """Encode to the job's target, a whole file or none; for stdout, to bytes that the consumer writes.

        `finished` is told of the file before it gets its name; what it raises keeps it from getting one.

        Raises PictureError, also where a target that may not be replaced has appeared in the meantime.
        """
        target: Path | io.BytesIO = io.BytesIO() if job.target is None else job.target
        if job.target is not None and not job.overwrite and job.target.is_file():
            raise PictureError(f"{show(job.target)}: appeared while the picture was being made; left as it is")
        seen: list[Fingerprint] = []

        def look(file: BinaryIO) -> None:
            seen.append(digests.of_stream(file))
            if finished is not None:
                finished(seen[0])

        notes = writing.write(picture, target, format=job.format, quality=self.quality, finished=look)
        data = target.getvalue() if isinstance(target, io.BytesIO) else None
        return Written(notes, data, seen[0].sha256)
