"""Converts progress between two pixel counts, such as those of the network and those of the picture."""

from collections.abc import Callable

Progress = Callable[[int], None]


def rescaled(progress: Progress, work: int, shown: int) -> Progress:
    """Return a callback for work of `work` pixels that reports `shown` pixels in total to `progress`.

    Fractions of a pixel are carried over to the next report. Negative reports (work that must be repeated) work, too.
    """
    done = reported = 0

    def report(pixels: int) -> None:
        nonlocal done, reported
        done += pixels
        now = done * shown // work
        progress(now - reported)
        reported = now

    return report
