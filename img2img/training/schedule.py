"""Learning rates as a pure function of the step: nothing to save, and a resume continues exactly."""

import math

from img2img.methods.config import ScheduleConfig


def factor(config: ScheduleConfig, step: int, steps: int) -> float:
    """What the highest rate is multiplied with at `step` (0-based) of `steps`: linear rise, then the shape's fall."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.shape == "constant":
        return 1.0
    progress = (step - config.warmup) / max(steps - config.warmup, 1)
    return config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
