"""Find models: by name in the user's folder and among the bundled ones, by path, or by the wanted scale."""

import difflib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import ModelError, UsageError
from img2img.runtime.network import cpu, model_file
from img2img.runtime.network.card import METADATA_KEY, Card

SUFFIX = ".onnx"
# NAME.int8.onnx beside NAME.onnx is the same network in another precision, a model like others under its own name.
_INT8 = ".int8"
_PRECISIONS = ("int8", "fp16")
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
    package = Path(__file__).parents[2]
    inside = package / "weights"  # a wheel; in a source checkout they lie beside the package
    return inside if inside.is_dir() else package.parent / "weights"


def read_card(path: Path) -> Card | None:
    """The card in the ONNX file at `path`; None if it carries none. No session is created, no weights are read.

    Raises:
        ModelError: the file cannot be read, is no ONNX file, or its card is wrong.
    """
    text = model_file.metadata(path).get(METADATA_KEY)
    return None if text is None else Card.from_json(text, where=str(path))


def find(name_or_path: str | os.PathLike[str], *, direction: str | None = None) -> Path:
    """The file of a model. What contains a separator or ends in .onnx is a path, everything else is a name.

    A model in the user's folder wins over a bundled one of the same name. The path of a run's folder means the model in
    it; `direction` says which, where the run has left several (what stands between `model.` and `.onnx`).

    Raises:
        ModelError: there is no such model; the message lists the names there are.
    """
    wanted = os.fspath(name_or_path)
    separators = [one for one in (os.sep, os.altsep) if one]
    if isinstance(name_or_path, Path) or wanted.endswith(SUFFIX) or any(one in wanted for one in separators):
        path = Path(wanted).expanduser()
        if path.is_dir():
            return _in_run(path, direction)
        if direction is not None:
            raise UsageError(f"--direction {direction}: {path} is one model; name the folder of its run")
        if not path.is_file():
            raise ModelError(f"{path}: " + ("is not a model file" if path.exists() else "there is no such model file"))
        return path
    names = _files()
    if wanted in names:
        if direction is not None:
            raise UsageError(f"--direction {direction}: {wanted} is one model; name the folder of its run")
        return names[wanted]
    if Path(wanted).is_dir():
        return _in_run(Path(wanted), direction)
    raise ModelError(f"there is no model named {wanted!r}{_hint(wanted, list(names))}")


def _in_run(folder: Path, direction: str | None) -> Path:
    found = {path.stem.removeprefix("model").removeprefix("."): path for path in sorted(folder.glob(f"model*{SUFFIX}"))}
    if not found:
        raise ModelError(f"{folder}: there is no model.onnx in this folder; is the run at its end?")
    if direction is not None:
        if direction not in found:
            raise ModelError(f"{folder}: there is no model.{direction}.onnx, but {', '.join(map(str, found.values()))}")
        return found[direction]
    if "" in found or len(found) == 1:
        return found.get("") or next(iter(found.values()))
    raise ModelError(f"{folder}: this run made several models: say --direction {' or --direction '.join(found)}")


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


def candidates(task: str, scale: float | None = None, *, device: str = "auto") -> list[Path]:
    """Bundled models for a task, the best first: by parameters, and the float file before its 8-bit twin.

    A model in the user's folder stands in for the bundled one of its name; the user's other models are not among them,
    for what they were trained for only the user knows.

    Args:
        scale: of the models; where none has it, those that `for_scale` would choose from; None: any.
        device: where the 8-bit files are of no use (CUDA, or a processor without the instructions), they are left out.
    """
    bundled = {path.stem for path in _in(bundled_folder())}
    fitting = [
        one
        for one in installed()
        if one.name in bundled and one.card is not None and one.card.task == task and _runs_well(one.card, device)
    ]
    if scale is not None and task == "upscale":
        scales = {one.card.scale for one in fitting if one.card is not None}
        best = min((one for one in scales if one >= scale), default=max(scales, default=0))
        fitting = [one for one in fitting if one.card is not None and one.card.scale == best]

    def worse(one: Installed) -> tuple[int, bool]:
        assert one.card is not None
        return -one.card.parameters, one.card.precision != "fp32"

    return [one.path for one in sorted(fitting, key=worse)]


def for_device(path: Path, device: str) -> Path:
    """The file to run where the one at `path` is meant: its 8-bit twin on a processor that is made for it.

    Only where a person has said "cpu", and only for models that go by a name: what "auto" gives should not depend on
    the machine, and who names a file means that file.
    """
    if device != "cpu" or path.parent not in (bundled_folder(), user_folder()) or not cpu.has_int8():
        return path
    twin = path.with_name(f"{path.stem}{_INT8}{SUFFIX}")
    return twin if _is_twin(twin, path, "int8") else path


def full_precision(path: Path) -> Path | None:
    """The fp32 file beside a model in half or 8-bit precision (NAME.onnx for NAME.int8.onnx); None: there is none."""
    stem, _, precision = path.stem.rpartition(".")
    if not stem or precision not in _PRECISIONS:
        return None
    plain = path.with_name(f"{stem}{SUFFIX}")
    return plain if _is_twin(path, plain, precision) else None


def for_task(task: str) -> Path:
    """The model for a task where no name is given: the only one in the user's folder, else the only bundled one.

    Bundled models that translate stand for nothing but themselves, so one of them has to be named.

    Raises:
        ModelError: there is none, or there are several; the message says what to do.
    """
    fitting = [
        one
        for one in installed()
        if one.card is not None and one.card.task == task and full_precision(one.path) is None
    ]
    own = [one for one in fitting if not one.bundled]
    if len(own or fitting) == 1 and (own or task != "translate"):
        return (own or fitting)[0].path
    if not fitting:
        raise ModelError(
            f"no model to {task} with is installed: name a file that img2img train wrote (--model RUN/model.onnx)"
        )
    raise ModelError(f"say which model to {task} with (--model): {', '.join(one.name for one in own or fitting)}")


def _files() -> dict[str, Path]:
    """Name -> file; the user's folder comes last and so wins."""
    return {path.stem: path for folder in (bundled_folder(), user_folder()) for path in _in(folder)}


def _in(folder: Path) -> list[Path]:
    """The model files in a folder, which need not exist."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file()]


def _runs_well(card: Card, device: str) -> bool:
    if card.precision == "int8":
        return not device.startswith("cuda") and cpu.has_int8()
    return card.precision == "fp32" or device.startswith("cuda")  # half precision gains nothing on the CPU


def _is_twin(twin: Path, plain: Path, precision: str) -> bool:
    """Whether both are files, and by their cards one network. A file left over from an earlier training is none."""
    if not (twin.is_file() and plain.is_file()):
        return False
    try:
        ours, theirs = read_card(twin), read_card(plain)
    except ModelError:  # whoever asks for the file by its name will hear of it
        return False
    if ours is None or theirs is None or ours.precision != precision or theirs.precision != "fp32":
        return False
    return all(getattr(ours, key) == getattr(theirs, key) for key in ("name", "task", "scale", "parameters", "domains"))


def _hint(wanted: str, names: list[str]) -> str:
    if not names:
        return f"; none is installed (looked in {user_folder()} and {bundled_folder()})"
    close = difflib.get_close_matches(wanted, names, n=1)
    return (f"; did you mean {close[0]!r}?" if close else ";") + f" installed: {', '.join(sorted(names))}"
