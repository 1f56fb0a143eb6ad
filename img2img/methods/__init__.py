"""One module a published method: which networks, which objectives, one step. Adding a paper is adding one line here."""

from typing import TYPE_CHECKING

from img2img.lookup import lookup

if TYPE_CHECKING:
    from img2img.methods.method import Method

METHODS = {"esrgan": "img2img.methods.esrgan:ESRGAN"}


def find(name: str) -> "type[Method]":
    """The method called `name`.

    Raises:
        ConfigError: there is no such method.
    """
    method: type[Method] = lookup("method", METHODS, name)
    return method
