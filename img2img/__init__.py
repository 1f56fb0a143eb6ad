"""Image-to-image translation with GANs: train on your own pictures, export one ONNX file, run it anywhere.

>>> import img2img
>>> img2img.load("upscale-x4").run("photo.jpg").save("large.png")  # doctest: +SKIP
>>> for event in img2img.batch("photos/", output="large/", recursive=True):  # doctest: +SKIP
...     print(event.status, event.job.source, event.message)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2img.runtime.batches.api import batch
    from img2img.runtime.batches.batch import Event
    from img2img.runtime.network.session import Model, load

__version__ = "0.1.0"
__all__ = ["Event", "Model", "__version__", "batch", "load"]

_HOMES = {"Event": "batches.batch", "Model": "network.session", "batch": "batches.api", "load": "network.session"}


def __getattr__(name: str) -> Any:
    # Late, so that `import img2img` costs nothing: the command line pays for numpy and onnxruntime only if it runs.
    if name in _HOMES:
        return getattr(importlib.import_module(f"img2img.runtime.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
