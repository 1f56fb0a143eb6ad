"""Training curves as one picture, with a small panel for every figure of log.jsonl."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 250, 150
"""Size of a panel, in pixels."""

COLUMNS = 4
LEFT, TOP, RIGHT, BOTTOM = 8, 22, 8, 18
TRAINING, VALIDATION = (40, 100, 180), (210, 110, 20)

Points = list[tuple[int, float]]


def curves(lines: Iterable[str]) -> Image.Image | None:
    """Draw one panel per figure, in the order in which they first appear. Training is blue, validation orange.

    Args:
        lines: the lines of log.jsonl.

    Returns:
        The picture, or None if no figure has two points yet.
    """
    found = _figures(lines)
    shown = {name: points for name, points in found.items() if len(points) > 1}
    if not shown:
        return None
    rows = math.ceil(len(shown) / COLUMNS)
    sheet = Image.new("RGB", (min(len(shown), COLUMNS) * WIDTH, rows * HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (name, points) in enumerate(shown.items()):
        _panel(draw, place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT, name, points)
    return sheet


def _figures(lines: Iterable[str]) -> dict[tuple[str, bool], Points]:
    """Return the points of each (name, whether it is a validation figure)."""
    found: dict[tuple[str, bool], Points] = {}
    for line in lines:
        entry: Mapping[str, Any] = json.loads(line)
        validation = isinstance(entry.get("validation"), dict)
        for name, value in (entry["validation"] if validation else entry).items():
            if name != "step" and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault((name, validation), []).append((entry["step"], float(value)))
    return found


def _panel(draw: ImageDraw.ImageDraw, left: int, top: int, name: tuple[str, bool], points: Points) -> None:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    first, last = points[0][0], points[-1][0]
    across, down = (last - first) or 1, (high - low) or 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    line = [
        (left + LEFT + width * (step - first) / across, top + TOP + height * (1 - (value - low) / down))
        for step, value in points
    ]
    box = (left + LEFT, top + TOP, left + LEFT + width, top + TOP + height)
    draw.rectangle(box, outline=(220, 220, 220))
    draw.line(line, fill=VALIDATION if name[1] else TRAINING, width=2)
    draw.text((left + LEFT, top + 6), f"{name[0]}  {values[-1]:.4g}", fill="black")
    draw.text((left + LEFT + 3, top + TOP + 1), f"{high:.3g}", fill=(120, 120, 120))
    draw.text((left + LEFT + 3, top + TOP + height - 12), f"{low:.3g}", fill=(120, 120, 120))
    draw.text((left + LEFT, top + HEIGHT - 16), f"{first}", fill=(120, 120, 120))
    end = f"{last}"
    draw.text((left + LEFT + width - draw.textlength(end), top + HEIGHT - 16), end, fill=(120, 120, 120))
