"""The base class of the networks that tests define. It passes everything on to another network."""

from types import SimpleNamespace
from typing import Any

from img2img.threads import Cores


class StubNetwork:
    """Behaves like `model`. Subclasses override `infer`."""

    fixed = None
    is_foreign = False
    pixels_at_once = 0
    cores = Cores()

    def __init__(self, model: Any) -> None:
        self.model, self.card, self.path = model, model.card, model.path

    def infer(self, image: Any, **others: Any) -> Any:
        return self.model.infer(image, **others)


def stub(**given: Any) -> SimpleNamespace:
    """An object with the attributes of a `Network`."""
    return SimpleNamespace(**{"fixed": None, "is_foreign": False, "pixels_at_once": 0, "cores": Cores(), **given})
