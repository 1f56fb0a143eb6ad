"""The order of items: which indices make up which step, for one process or many."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class Steps(Sampler[list[int]]):
    """Batches of indices from step `start` to step `stop`: step `s` holds items `s * batch` to `(s + 1) * batch - 1`.

    Each of `processes` takes its own share of every batch. Where training stops and starts again does not
    change which items a step sees.

    Args:
        start, stop: first step, and the step after the last.
        batch: items a step over all processes, a multiple of `processes`.
        process, processes: which one this is, of how many.
    """

    def __init__(self, start: int, stop: int, batch: int, *, process: int = 0, processes: int = 1) -> None:
        self.start, self.stop = start, stop
        self.share = batch // processes
        self.batch = batch
        self.process = process

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            first = step * self.batch + self.process * self.share
            yield list(range(first, first + self.share))
