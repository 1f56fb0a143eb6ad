"""Reads the picture of a job and writes its result: files, storage, stdin and stdout."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from img2img.errors import PictureError
from img2img.runtime.batch.event import Skipped, Written
from img2img.runtime.files import digests, storage
from img2img.runtime.files.digests import Fingerprint
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.storage_uri import StorageFile
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.pictures import Picture
from img2img.text import show


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """How pictures are read and written. `stdin`: its bytes, if a job reads them."""

    max_pixels: int = pictures.DEFAULT_MAX_PIXELS
    first_frame: bool = False
    quality: int | None = None
    stdin: bytes = b""

    def read(self, job: Job) -> Picture:
        """Decode the job's source.

        Raises PictureError; Skipped if another process has written the target to storage in the meantime.
        """
        source, target = job.source, job.target
        if isinstance(target, StorageFile) and not job.overwrite and storage.look([target])[0] is not None:
            raise Skipped(f"{show(target)} was made in the meantime")
        if isinstance(source, Path):
            stream: Path | BinaryIO = source
        else:
            stream = io.BytesIO(self.stdin if source is None else storage.read(source))
        name = None if source is None else show(source)
        try:
            return pictures.read(stream, name=name, max_pixels=self.max_pixels, first_frame=self.first_frame)
        except PictureError as error:
            error.path = None if source is None else str(source)
            raise

    def write(self, job: Job, picture: Picture, finished: Callable[[Fingerprint], None] | None = None) -> Written:
        """Encode to the job's target, which appears whole or not at all. For stdout, to bytes for the consumer.

        `finished` receives the fingerprint of a local file before the file gets its name; if it raises, the file gets
        none.

        Raises PictureError, also if another process has written a target that may not be replaced.
        """
        target = job.target
        if isinstance(target, Path) and not job.overwrite and target.is_file():
            raise PictureError(f"{show(target)}: appeared while the picture was being made; left as it is")
        stream: Path | io.BytesIO = target if isinstance(target, Path) else io.BytesIO()
        name = None if target is None else show(target)
        seen: list[Fingerprint] = []

        def look(file: BinaryIO) -> None:
            seen.append(digests.of_stream(file))
            if finished is not None:
                finished(seen[0])

        notes = writing.write(picture, stream, name=name, format=job.format, quality=self.quality, finished=look)
        data = stream.getvalue() if isinstance(stream, io.BytesIO) else None
        if isinstance(target, StorageFile) and data is not None:
            storage.write(target, data)
            data = None
        return Written(notes, data, seen[0].sha256)
