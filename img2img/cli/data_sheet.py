"""`img2img data check --sheet`: training pictures as the method sees them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2img.data.check import Report

ITEMS = 24
SIDE = 192
"""Longest side of a picture, in pixels."""


def write(target: Path, method: str, config: Any, report: Report) -> None:
    """Write the sheet for a checked data set: a picture, or an HTML page that also has the findings.

    Raises:
        DataError, ConfigError: the method cannot be built, or cannot read its data.
        PictureError: the file cannot be written.
    """
    from img2img import methods
    from img2img.atomic import atomic
    from img2img.data.seen import look
    from img2img.evaluation.sheet_rows import save
    from img2img.training import seen

    # Reads the data as `train` does. Its networks are built as well, and not used.
    dataset = methods.find(method)(config).load()
    items = look(dataset, crop=config.data.crop, count=ITEMS, known=report.odd)
    drawn = seen.draw(items, side=SIDE)
    with atomic(target) as file:
        if target.suffix.lower() == ".html":
            from img2img.evaluation.report.data_page import build

            file.write(build(method, drawn, seen.record(items), report.record()).encode())
        else:
            save(drawn, file, target)
