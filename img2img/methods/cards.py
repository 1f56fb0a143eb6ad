"""The card of an exported model."""

from typing import Any

from torch import nn

from img2img.runtime.network.card import Card


def card_of(
    config: Any, network: nn.Module, *, name: str, task: str, method: str, suffix: str = "", **facts: Any
) -> Card:
    """Return the card of `network`. Export measures its context.

    `data.white` becomes the card's key `white`, so that evaluation reads pictures as training did.

    If inputs are made from the targets, the card's key `input` says which kind they are, so that evaluation makes them
    as training did.

    If the data section resizes whole pictures before it crops them (`load`), the card's `side` is the size of the crop,
    unless the network `keeps_luminance`. Such a network resizes pictures itself.

    Args:
        config: the run's `RunConfig`, whose data section has `folders`. Its `card` section takes priority.
        name: model name, if the configuration has none.
        suffix: appended to the name, for methods that write several models.
        facts: further fields of the card. The network may state its own `multiple`, `minimum` and `resizes`.
    """
    keeps_luminance = getattr(network, "keeps_luminance", False)
    extra = {
        "white": getattr(config.data, "white", None),
        "input": getattr(config.data, "derived", None),
        "keeps": "luminance" if keeps_luminance else None,
    }
    known: dict[str, Any] = {
        "scale": 1,
        "multiple": getattr(network, "multiple", 1),
        "minimum": getattr(network, "minimum", 1),
        "resizes": getattr(network, "resizes", False),
        "side": config.data.crop if getattr(config.data, "load", 0) > 0 and not keeps_luminance else None,
    }
    return Card(
        name=f"{config.card.name or name}{suffix}",
        task=task,
        method=method,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        licence=config.card.licence or "",
        trained_on=config.card.trained_on or tuple(folder.name for folder in config.data.folders),
        extra={key: value for key, value in extra.items() if value is not None},
        **(known | facts),
    )
