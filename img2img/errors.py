"""What can go wrong, as types. Every room may import this module; it imports none of them."""

from enum import IntEnum
from pathlib import Path


class ExitStatus(IntEnum):
    """Exit status of every command; scripts may rely on it."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class Img2ImgError(Exception):
    """An expected failure. Its message is one line for a person: what is wrong, with which file, what to do.

    Code that handles an error reads its attributes and never its message.

    Attributes:
        path: the file, folder or address that the error is about, where there is one.
        hint: what to do about it, where code passes that on by itself. The message says it as well.
    """

    status = ExitStatus.SOME_FAILED

    def __init__(self, message: str, *, path: Path | str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint


class UsageError(Img2ImgError):
    """The command line asks for something that cannot be done, whatever the files hold."""

    status = ExitStatus.USAGE


class PictureError(Img2ImgError):
    """A picture cannot be read, or cannot be written in the wanted format."""


class ModelError(Img2ImgError):
    """A model file is missing, broken, unsafe, or does not do what is asked of it."""

    status = ExitStatus.USAGE


class DeviceError(Img2ImgError):
    """The wanted device (an onnxruntime provider) is not available."""

    status = ExitStatus.USAGE


class ConfigError(Img2ImgError):
    """A training configuration has an unknown key, a wrong value, or contradicts its run folder."""

    status = ExitStatus.USAGE


class DataError(Img2ImgError):
    """A data set cannot be trained on or measured with."""

    status = ExitStatus.USAGE


class ExportError(Img2ImgError):
    """A network could not be exported, or the exported file does not equal the network."""


class CheckpointError(Img2ImgError):
    """A checkpoint is missing, broken, or belongs to another network."""


class TrainingError(Img2ImgError):
    """Training cannot go on: for example, a loss is no longer finite."""


class Interrupted(Img2ImgError):
    """The user stopped a run; what was done is saved."""

    status = ExitStatus.INTERRUPTED
