"""Looks up the class behind a name in the configuration. Imports only the module that defines it."""

import importlib
from collections.abc import Mapping
from typing import Any

from img2img.errors import ConfigError


def lookup(kind: str, table: Mapping[str, str], name: str) -> Any:
    """Return the attribute that `table` lists for `name`.

    Args:
        kind: what the table lists, for the error message, such as "network".
        table: name to "module:attribute".

    Raises:
        ConfigError: the name is unknown; the message lists the known names.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} '{name}'; choose from {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
