"""One module a published method: which networks, which objectives, one step. Adding a paper is adding one line here."""

import importlib
from typing import TYPE_CHECKING

from img2img.errors import ConfigError

if TYPE_CHECKING:
    from img2img.methods.method import Method

METHODS = {"esrgan": "img2img.methods.esrgan:ESRGAN"}


def find(name: str) -> "type[Method]":
    """The method called `name`.

    Raises:
        ConfigError: there is no such method.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method '{name}'; there are {', '.join(METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    method: type[Method] = getattr(importlib.import_module(module), attribute)
    return method
