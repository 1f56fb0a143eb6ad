"""From a word of the configuration to the class it stands for. Only the module that holds the class is imported."""

import importlib
from collections.abc import Mapping
from typing import Any

from img2img.errors import ConfigError


def lookup(kind: str, table: Mapping[str, str], name: str) -> Any:
    """The attribute that `table` has for `name`, written there as "module:attribute"; `kind` is used in the message.

    Raises:
        ConfigError: there is no such name; the message lists those that exist.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} '{name}'; there are {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
