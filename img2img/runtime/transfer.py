"""A job's picture in, a job's result out: files, stdin and stdout, for the first and the last stage of a batch."""

from __future__ import annotations

import io
from dataclasses import dataclass

from img2img.errors import PictureError
from img2img.runtime import pictures, writing
from img2img.runtime.batch import Written
from img2img.runtime.naming import show
from img2img.runtime.pictures import Picture
from img2img.runtime.targets import Job


@dataclass(frozen=True, slots=True)
class Transfer:
    """How pictures are read and written. `stdin` holds the bytes that came in there, where a job wants them."""

    max_pixels: int = pictures.DEFAULT_MAX_PIXELS
    first_frame: bool = False
    quality: int | None = None
    stdin: bytes = b""

    def read(self, job: Job) -> Picture:
        """Decode the job's source. Raises PictureError."""
        source = io.BytesIO(self.stdin) if job.source is None else job.source
        return pictures.read(source, max_pixels=self.max_pixels, first_frame=self.first_frame)

    def write(self, job: Job, picture: Picture) -> Written:
        """Encode to the job's target, a whole file or none; for stdout, to bytes that the consumer writes.

        Raises PictureError, also where a target that may not be replaced has appeared in the meantime.
        """
        if job.target is None:
            buffer = io.BytesIO()
            notes = writing.write(picture, buffer, format=job.format, quality=self.quality)
            return Written(notes, buffer.getvalue())
        if not job.overwrite and job.target.is_file():
            raise PictureError(f"{show(job.target)}: appeared while the picture was being made; left as it is")
        return Written(writing.write(picture, job.target, format=job.format, quality=self.quality))
