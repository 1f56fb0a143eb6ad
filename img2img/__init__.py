"""Image-to-image translation with GANs: train on your own pictures, export one ONNX file, run it anywhere.

>>> import img2img
>>> img2img.load("upscale-x4").run("photo.jpg").save("large.png")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2img.runtime.session import Model, load

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Late, so that `import img2img` costs nothing: the command line pays for numpy and onnxruntime only if it runs.
    if name in ("Model", "load"):
        from img2img.runtime import session

        return getattr(session, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
