"""Find models: by name in the user's folder and among the bundled ones, by path, or by the wanted scale."""

import difflib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import img2img
from img2img.errors import ModelError, UsageError
from img2img.runtime import modelfile
from img2img.runtime.card import METADATA_KEY, Card

SUFFIX = ".onnx"
# What `--scale` chooses from. Other models of the task are asked for by name.
DEFAULT_UPSCALERS = ("upscale-x2", "upscale-x3", "upscale-x4")


@dataclass(frozen=True)
class Installed:
    """A model that can be asked for by `name`."""

    name: str
    path: Path
    bundled: bool
    card: Card | None  # None: the file has none, or cannot be read
    problem: str | None = None  # why the file cannot be read, one line


def user_folder() -> Path:
    """Where a person's own models lie: $IMG2IMG_MODELS, else the platform's folder for such data. May not exist."""
    if chosen := os.environ.get("IMG2IMG_MODELS"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "img2img" / "models"


def bundled_folder() -> Path:
    """Where the models that ship with the package lie. May not exist."""
    package = Path(img2img.__file__).parent
    inside = package / "weights"  # a wheel; in a source checkout they lie beside the package
    return inside if inside.is_dir() else package.parent / "weights"


def read_card(path: Path) -> Card | None:
    """The card in the ONNX file at `path`; None if it carries none. No session is created, no weights are read.

    Raises:
        ModelError: the file cannot be read, is no ONNX file, or its card is wrong.
    """
    text = modelfile.metadata(path).get(METADATA_KEY)
    return None if text is None else Card.from_json(text, where=str(path))


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a model. What contains a separator or ends in .onnx is a path, everything else is a name.

    A model in the user's folder wins over a bundled one of the same name.

    Raises:
        ModelError: there is no such model; the message lists the names there are.
    """
    wanted = os.fspath(name_or_path)
    separators = [one for one in (os.sep, os.altsep) if one]
    if isinstance(name_or_path, Path) or wanted.endswith(SUFFIX) or any(one in wanted for one in separators):
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise ModelError(f"{path}: " + ("is not a model file" if path.exists() else "there is no such model file"))
        return path
    names = _files()
    if wanted in names:
        return names[wanted]
    raise ModelError(f"there is no model named {wanted!r}{_hint(wanted, list(names))}")


def installed() -> list[Installed]:
    """Every model that has a name, sorted by name. Files that cannot be read are listed with their problem."""
    found = []
    for name, path in sorted(_files().items()):
        card, problem = None, None
        try:
            card = read_card(path)
        except ModelError as error:
            problem = str(error)
        found.append(Installed(name, path, path.parent == bundled_folder(), card, problem))
    return found


def for_scale(scale: float) -> Path:
    """The default model for a wanted scale: of that scale, else the next larger one, else the largest there is.

    A Lanczos resize makes up for the rest, and shrinking a result loses less than enlarging it.

    Raises:
        UsageError: `scale` is not a positive finite number.
        ModelError: none of the default upscaling models is installed.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be a number above 0, not {scale}")
    files = _files()
    by_scale: dict[int, Path] = {}
    for name in DEFAULT_UPSCALERS:
        card = read_card(files[name]) if name in files else None
        if card is not None and card.task == "upscale":
            by_scale.setdefault(card.scale, files[name])
    if not by_scale:
        raise ModelError(f"no model for upscaling is installed (looked in {user_folder()} and {bundled_folder()})")
    return by_scale[min((one for one in by_scale if one >= scale), default=max(by_scale))]


def for_task(task: str) -> Path:
    """The model for a task where no name is given: the only one that is installed.

    Raises:
        ModelError: there is none, or there are several; the message says what to do.
    """
    fitting = [one for one in installed() if one.card is not None and one.card.task == task]
    if len(fitting) == 1:
        return fitting[0].path
    if not fitting:
        raise ModelError(
            f"no model to {task} with is installed: name a file that img2img train wrote (--model RUN/model.onnx)"
        )
    raise ModelError(f"several models can {task}, say which with --model: {', '.join(one.name for one in fitting)}")


def _files() -> dict[str, Path]:
    """Name -> file; the user's folder comes last and so wins."""
    return {
        path.stem: path
        for folder in (bundled_folder(), user_folder())
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix == SUFFIX and path.is_file()
    }


def _hint(wanted: str, names: list[str]) -> str:
    if not names:
        return f"; none is installed (looked in {user_folder()} and {bundled_folder()})"
    close = difflib.get_close_matches(wanted, names, n=1)
    return (f"; did you mean {close[0]!r}?" if close else ";") + f" installed: {', '.join(sorted(names))}"
