"""The card of a model that a method leaves."""

from typing import Any

from torch import nn

from img2img.runtime.network.card import Card


def card_of(
    config: Any, network: nn.Module, *, name: str, task: str, method: str, suffix: str = "", **facts: Any
) -> Card:
    """What a run knows of `network`, in a card; its context is measured at export.

    Where the data section resizes whole pictures before it crops them (`load`), the card's `side` is that of the crop.

    Args:
        config: of the run (a `RunConfig` with a data section that has `folders`); its `card` section wins.
        name: of the model, where the configuration has none.
        suffix: put behind either, by methods that leave several models.
        facts: further fields of the card; those that the network says about itself are `multiple` and `minimum`.
    """
    known: dict[str, Any] = {
        "scale": 1,
        "multiple": getattr(network, "multiple", 1),
        "minimum": getattr(network, "minimum", 1),
        "side": config.data.crop if getattr(config.data, "load", 0) > 0 else None,
    }
    return Card(
        name=f"{config.card.name or name}{suffix}",
        task=task,
        method=method,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        licence=config.card.licence or "",
        trained_on=config.card.trained_on or tuple(folder.name for folder in config.data.folders),
        **(known | facts),
    )
