"""Learning rates as a pure function of the step. There is nothing to save, and a resumed run continues exactly."""

import math

from img2img.methods.config import ScheduleConfig


def factor(config: ScheduleConfig, step: int, steps: int) -> float:
    """Return the factor on the peak rate at `step` (0-based) of `steps`.

    The rate rises linearly over `warmup` steps. With `linear` and `cosine`, it then stays at the peak for the fraction
    `flat` of all steps and falls to `floor`. `linear` with `flat = 0.5` is the schedule of pix2pix, CycleGAN and
    StarGAN.
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.shape == "constant":
        return 1.0
    if config.shape == "multi-step":
        return config.gamma ** sum(step >= share * steps for share in config.milestones)
    begin = max(config.warmup, config.flat * steps)
    progress = min(max((step - begin) / max(steps - begin, 1), 0.0), 1.0)
    left = 1 - progress if config.shape == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return config.floor + (1 - config.floor) * left
