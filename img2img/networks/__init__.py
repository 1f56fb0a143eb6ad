"""Generators and discriminators: plain torch modules with the state-dict layouts of the official repositories.

A network is built by its name, `build("compact", features=48)`; only the module that holds it is imported.
"""

import inspect
from typing import Any

from torch import nn

from img2img.errors import ConfigError
from img2img.lookup import lookup

NETWORKS = {
    "compact": "img2img.networks.compact:Compact",
    "collapsible-compact": "img2img.networks.collapsible:CollapsibleCompact",
    "rrdb": "img2img.networks.rrdb:RRDBNet",
    "srresnet": "img2img.networks.srresnet:SRResNet",
}


def build(name: str, **options: Any) -> nn.Module:
    """Build the network called `name`; `options` are its constructor's arguments.

    Raises:
        ConfigError: the name or an option is unknown; the message lists those that exist.
    """
    network = lookup("network", NETWORKS, name)
    known = list(inspect.signature(network).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(f"network '{name}' has no option '{option}'; it has {', '.join(known)}")
    built: nn.Module = network(**options)
    return built
