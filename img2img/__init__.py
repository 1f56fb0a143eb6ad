"""Image-to-image translation with GANs: train on your own pictures, export one ONNX file, run it anywhere.

>>> import img2img
>>> img2img.load("upscale-x4").run("photo.jpg").save("large.png")  # doctest: +SKIP
>>> for event in img2img.batch("photos/", output="large/", recursive=True):  # doctest: +SKIP
...     print(event.status, event.job.source, event.message)
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from img2img.version import __version__

if TYPE_CHECKING:
    from img2img.runtime.api import Event, Model, batch, load

# Otherwise `import onnxruntime` writes to ~/.cache/Microsoft, and warns on stderr where it cannot.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Event", "Model", "__version__", "batch", "load"]


def __getattr__(name: str) -> Any:
    # Late, so that `import img2img` costs nothing: the command line pays for numpy and onnxruntime only if it runs.
    if name in __all__:
        return getattr(importlib.import_module("img2img.runtime.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
