"""SHA-256 of a model file, so that the journal sees whether results were made with the same model."""

from __future__ import annotations

import functools
from pathlib import Path

from img2img.errors import ModelError
from img2img.runtime.files import digests
from img2img.runtime.network import model_file
from img2img.text import show


def of_model(path: Path) -> str:
    """The digest of a model file, including its card (tiles depend on it) and the weight files beside it.

    A process reads a file once, as long as its size and time stay the same.

    Raises ModelError.
    """
    try:
        status = path.stat()
        return _of_model(path.absolute(), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ModelError(f"{show(path)}: cannot be read: {error.strerror or error}") from error


@functools.lru_cache(maxsize=64)
def _of_model(path: Path, size: int, mtime_ns: int) -> str:
    model_file.require_safe(path)  # before reading anything outside the model's folder
    own = digests.of_file(path).sha256
    beside = {name: digests.of_file(path.parent / name).sha256 for name in model_file.external_files(path)}
    return digests.of_options({"model": own, "weights": beside}) if beside else own
