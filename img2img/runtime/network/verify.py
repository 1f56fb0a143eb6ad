"""Is a model file whole, what its card says, safe, and does it compute here what it did where it was made?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from img2img.errors import Img2ImgError, ModelError, UsageError
from img2img.runtime.network import devices, header, interface, model_file, models, selftest, session
from img2img.runtime.network.card import Card
from img2img.runtime.network.session import LoadedModel


@dataclass(frozen=True)
class Check:
    """One check: its name, how it went, and a line for a person."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    detail: str


def verify(path: Path, *, device: str = "auto") -> list[Check]:
    """Check a model file: `file`, `card`, `origin` (bundled ones), `weights`, `digest`, `load`, `face`, `self-test`.

    They build on each other: after one that failed the rest are not done, and nothing loads a file that is damaged or
    reaches outside its folder. A file without a card, or with one of an older version, has less to be checked; what
    cannot be is "skipped", which is no failure.

    Args:
        device: as `session.load` takes it.

    Raises:
        DeviceError, UsageError: `device` makes no sense or does not work; which says nothing about the model.
    """
    subject = _Subject(path, device)
    checks = []
    for name, step in subject.steps().items():
        try:
            checks.append(Check(name, "ok", step()))
        except _Skipped as reason:
            checks.append(Check(name, "skipped", str(reason)))
        except Img2ImgError as error:
            if not isinstance(error, ModelError | MemoryError):
                raise
            said = str(error).removeprefix(f"{path}: ").replace(f"Load model from {path} failed:", "")
            checks.append(Check(name, "failed", said))
            if name != "origin":  # which says nothing about whether it works
                break
    return checks


def passed(checks: list[Check]) -> bool:
    """None of them failed."""
    return all(check.status != "failed" for check in checks)


class _Skipped(Exception):
    """There is nothing to check; the message says why."""


class _Subject:
    """The model that is looked at, and what the checks have found so far."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self.device = device
        self.header = header.Header(0, {}, (), ())
        self.card: Card | None = None
        self.session: Any = None
        self.model: LoadedModel | None = None

    def steps(self) -> dict[str, Callable[[], str]]:
        bundled = {"origin": self.origin} if self.path.parent.resolve() == models.bundled_folder().resolve() else {}
        return {
            "file": self.file,
            "card": self.read_card,
            **bundled,
            "weights": self.weights,
            "digest": self.digest,
            "load": self.load,
            "face": self.face,
            "self-test": self.selftest,
        }

    def file(self) -> str:
        self.header = header.read(self.path)
        return f"ONNX, {self.header.versions()}, {self.path.stat().st_size:,} bytes"

    def read_card(self) -> str:
        self.card = models.read_card(self.path)
        if self.card is None:
            raise _Skipped("it has none")
        return f"format {self.card.format}: {self.card.name}, {self.card.task} x{self.card.scale}"

    def origin(self) -> str:
        values = {key: getattr(self.card, key, None) for key in ("licence", "trained_on", "metrics")}
        if lacking := [key for key, value in values.items() if not value]:
            raise ModelError(f"a bundled model must say its {', '.join(lacking)}")
        return f"{values['licence']}, trained on {', '.join(values['trained_on'] or ())}"

    def weights(self) -> str:
        model_file.require_safe(self.path)
        files = model_file.external_files(self.path)
        return f"beside it: {', '.join(sorted(files))}" if files else "in the file"

    def digest(self) -> str:
        if self.card is None or self.card.sha256 is None:
            raise _Skipped("none in its card to compare with")
        model_file.require_whole(self.path, self.card)
        return f"sha256 {self.card.sha256}"

    def load(self) -> str:
        import onnxruntime

        self.session, self.device, notes = devices.create(self.path, self.device, None)
        return ", ".join([f"onnxruntime {onnxruntime.__version__} on {self.device}", *notes])

    def face(self) -> str:
        if self.card is not None:
            fixed = interface.check(self.session, self.card, self.path)
            self.model = LoadedModel(self.path, self.card, self.session, self.device, fixed=fixed)
            return ", ".join(one.name for one in (*self.header.inputs, *self.header.outputs)) + " as the card has it"
        try:
            self.model = session.load(self.path, device=self.device)
        except (UsageError, ModelError) as error:  # it can be used where more is said on the command line
            if "--assume" not in str(error):
                raise
            raise _Skipped(str(error).removeprefix(f"{self.path}: ")) from error
        card = self.model.card
        return f"probed: scale {card.scale}, multiple {card.multiple}"

    def selftest(self) -> str:
        model = self.model
        if model is None:
            raise _Skipped("not run")
        return selftest.passed(model.card, lambda given: model.infer(**given), model.fixed)
