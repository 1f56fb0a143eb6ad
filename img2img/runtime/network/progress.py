"""Progress in the pixels that the caller knows of, from work that counts others."""

from collections.abc import Callable

Progress = Callable[[int], None]


def rescaled(progress: Progress, work: int, shown: int) -> Progress:
    """What work of `work` pixels is to report to, so that `progress` is told of `shown` pixels in all.

    Parts of a pixel are carried over to the next report; negative reports (done again) pass through.
    """
    done = reported = 0

    def report(pixels: int) -> None:
        nonlocal done, reported
        done += pixels
        now = done * shown // work
        progress(now - reported)
        reported = now

    return report
