"""Which items each step and process gets. Batches arrive in order, and errors of a data set arrive as raised."""

import pytest
import torch
from torch.utils.data import Dataset

from img2img.errors import DataError
from img2img.methods.method import Batch
from img2img.training.stream import Steps, load_batches


class Numbers(Dataset[Batch]):
    """Item i holds the number i; item 5 is broken."""

    def __getitem__(self, index: int) -> Batch:
        if index == 5:
            raise DataError("5.png: broken", path="5.png", hint="remove it")
        return {"number": torch.tensor(index)}


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_arrive_in_order_until_an_item_cannot_be_read(workers: int) -> None:
    batches = load_batches(Numbers(), Steps(0, 3, 2), workers=workers, pin_memory=False)
    assert [next(batches)["number"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError) as caught:
        next(batches)
    assert (str(caught.value), caught.value.path, caught.value.hint) == ("5.png: broken", "5.png", "remove it")


def test_steps_continue_where_they_stopped() -> None:
    whole = list(Steps(0, 10, 4))
    assert list(Steps(0, 3, 4)) + list(Steps(3, 10, 4)) == whole
    assert sorted(i for batch in whole for i in batch) == list(range(40))


def test_processes_share_a_batch() -> None:
    shares = [list(Steps(2, 5, 6, process=p, processes=3)) for p in range(3)]
    together = [sorted(a + b + c) for a, b, c in zip(*shares, strict=True)]
    assert together == list(Steps(2, 5, 6))
