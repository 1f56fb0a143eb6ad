"""The order of training items, and the loader that reads them in that order."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from img2img.errors import Img2ImgError
from img2img.methods.method import Batch


class Steps(Sampler[list[int]]):
    """Batches of indices for the steps from `start` to before `stop`.

    Step `s` holds the items `s * batch` to `(s + 1) * batch - 1`, and each process takes its share of every batch.
    Stopping and resuming does not change which items a step sees.

    Args:
        start, stop: the first step, and the step after the last one.
        batch: items per step over all processes, a multiple of `processes`.
        process, processes: index of this process, and number of processes.
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


def load_batches(dataset: Dataset[Batch], order: Steps, *, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """Read the batches of `order` from `dataset`.

    Args:
        workers: processes that read; 0 reads in this process.
        pin_memory: put batches into page-locked memory, from which they are copied to a GPU faster.

    Raises:
        Img2ImgError: an item cannot be read. The error is the one that the data set raised, also in a worker process.
    """
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsItems(dataset),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
    )
    for batch in loader:
        if isinstance(batch, Img2ImgError):
            raise batch
        yield batch


class _ErrorsAsItems(Dataset[Batch | Img2ImgError]):
    """A data set that returns its errors instead of raising them.

    torch does not hand over an exception that a worker raises. It raises a new one, whose message is the worker's
    traceback.
    """

    def __init__(self, dataset: Dataset[Batch]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Batch | Img2ImgError:
        try:
            return self.dataset[index]
        except Img2ImgError as error:
            return error


def _collate(items: list[Any]) -> Any:
    """Return a batch of `items`, or the first error among them."""
    for item in items:
        if isinstance(item, Img2ImgError):
            return item
    return default_collate(items)
