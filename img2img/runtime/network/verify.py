"""Verifies a model file: it is complete and safe, matches its card, and computes the same result on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from img2img.errors import Img2ImgError, ModelError, UsageError
from img2img.runtime.network import card_writing, devices, header, model_file, models, selftest, session
from img2img.runtime.network.card import Card
from img2img.runtime.network.session import LoadedModel


@dataclass(frozen=True)
class Check:
    """The outcome of one check, with one line for the user."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    detail: str


def verify(path: Path, *, device: str = "auto") -> list[Check]:
    """Run the checks `file`, `card`, `origin` (bundled models), `weights`, `digest`, `load`, `interface`, `self-test`.

    Each check builds on the ones before: the first failure ends the verification, and a file that is damaged or reaches
    outside its folder is never loaded. A check that is impossible, for example because the file has no card or an old
    one, is "skipped", which is not a failure.

    Args:
        device: see `session.load`.

    Raises:
        DeviceError, UsageError: `device` is invalid or does not work, which is not the model's fault.
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
            checks.append(Check(name, "failed", _detail(error, path)))
            if name != "origin":  # the model may still work
                break
    return checks


def passed(checks: list[Check]) -> bool:
    """Whether no check failed."""
    return all(check.status != "failed" for check in checks)


def _detail(error: Img2ImgError, path: Path) -> str:
    """The message of an error without the path, which reports show already."""
    error.path = path
    return error.reason if error.hint is None else f"{error.reason}: {error.hint}"


class _Skipped(Exception):
    """A check is impossible; the message gives the reason."""


class _Subject:
    """The model under verification, and the findings of the checks so far."""

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
            "interface": self.interface,
            "self-test": self.selftest,
        }

    def file(self) -> str:
        self.header = header.read(self.path)
        return f"ONNX, {self.header.versions()}, {self.path.stat().st_size:,} bytes"

    def read_card(self) -> str:
        self.card = models.read_card(self.path)
        if self.card is None:
            raise _Skipped("the file has no card")
        return f"format {self.card.format}: {self.card.name}, {self.card.task} x{self.card.scale}"

    def origin(self) -> str:
        values = {key: getattr(self.card, key, None) for key in ("licence", "trained_on", "metrics")}
        if missing := [key for key, value in values.items() if not value]:
            raise ModelError(f"the card of a bundled model must have {', '.join(missing)}")
        return f"{values['licence']}, trained on {', '.join(values['trained_on'] or ())}"

    def weights(self) -> str:
        model_file.require_safe(self.path)
        files = model_file.external_files(self.path)
        return f"in other files: {', '.join(sorted(files))}" if files else "in the file"

    def digest(self) -> str:
        if self.card is None or self.card.sha256 is None:
            raise _Skipped("its card has no digest")
        card_writing.require_whole(self.path, self.card)
        return f"sha256 {self.card.sha256}"

    def load(self) -> str:
        import onnxruntime

        self.session, self.device, notes = devices.create(self.path, self.device, None)
        return ", ".join([f"onnxruntime {onnxruntime.__version__} on {self.device}", *notes])

    def interface(self) -> str:
        if self.card is not None:
            fixed = session.check_interface(self.session, self.card, self.path)
            self.model = LoadedModel(self.path, self.card, self.session, self.device, fixed=fixed)
            return ", ".join(one.name for one in (*self.header.inputs, *self.header.outputs)) + " match the card"
        try:
            self.model = session.load(self.path, device=self.device)
        except (UsageError, ModelError) as error:  # the model works if the user passes --assume
            if error.hint is None:
                raise
            raise _Skipped(_detail(error, self.path)) from error
        card = self.model.card
        return f"probed: scale {card.scale}, multiple {card.multiple}"

    def selftest(self) -> str:
        model = self.model
        if model is None:
            raise _Skipped("not run")
        with self.session.limited():
            return selftest.check(model.card, lambda given: model.infer(**given), model.fixed)
