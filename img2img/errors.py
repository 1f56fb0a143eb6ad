"""The error types of the project. Any module may import this one; it imports no other."""

import errno
import os
from enum import IntEnum
from pathlib import Path


class ExitStatus(IntEnum):
    """Exit status of a command. Scripts may rely on these values."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class Img2ImgError(Exception):
    """An expected failure. Its message is one line that says what is wrong, with which file, and what to do.

    Code that handles an error reads its attributes and never its message.

    Attributes:
        path: the file, folder or address that the error is about, if any.
        hint: what to do about it, for code that shows it separately. The message says it as well.
    """

    status = ExitStatus.SOME_FAILED

    def __init__(self, message: str, *, path: Path | str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    @property
    def reason(self) -> str:
        """The message without the path at its start and the hint at its end, for code that shows them separately."""
        text = str(self) if self.path is None else str(self).removeprefix(f"{self.path}: ")
        return text if self.hint is None else text.removesuffix(self.hint).rstrip(":; ")


class UsageError(Img2ImgError):
    """The command line asks for something impossible, whatever the files contain."""

    status = ExitStatus.USAGE


class PictureError(Img2ImgError):
    """A picture cannot be read, or cannot be written in the requested format."""


class NotAPicture(PictureError):
    """A file is no picture of a supported format."""


class TooManyPixels(PictureError):
    """A picture has more pixels than the limit allows."""


class ModelError(Img2ImgError):
    """A model file is missing, broken or unsafe, or cannot do what the command asks for."""

    status = ExitStatus.USAGE


class DeviceError(Img2ImgError):
    """The requested device (an onnxruntime provider) is not available."""

    status = ExitStatus.USAGE


class ConfigError(Img2ImgError):
    """A training configuration has an unknown key or a wrong value, or contradicts its run folder."""

    status = ExitStatus.USAGE


class DownloadError(ConfigError):
    """A published file that the configuration needs cannot be downloaded. `path` is its address."""


class DataError(Img2ImgError):
    """A data set cannot be used for training or evaluation."""

    status = ExitStatus.USAGE


class ExportError(Img2ImgError):
    """A network cannot be exported, or the exported file does not match the network."""


class CheckpointError(Img2ImgError):
    """A checkpoint is missing, broken, or belongs to a different network."""


class TrainingError(Img2ImgError):
    """Training cannot continue, for example because a loss is no longer finite."""


class Interrupted(Img2ImgError):
    """The user stopped a run. Finished work is saved."""

    status = ExitStatus.INTERRUPTED


OUT_OF_FILES = "Too many open files: raise the limit (ulimit -n), or use fewer --threads"

_FEW_FILES = 32  # a limit at which imports, which open files, may fail


def is_out_of_files(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is due to the limit on open files of the process or the system."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        # Python does not say why it finds no module.
        if isinstance(error, ImportError) and hasattr(os, "sysconf") and 0 < os.sysconf("SC_OPEN_MAX") < _FEW_FILES:
            return True
        error = error.__cause__ or error.__context__
    return False
