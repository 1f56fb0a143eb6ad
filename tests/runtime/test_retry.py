"""Broken results are computed again, and a note says so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from img2img.runtime.files.jobs import Job
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.runtime.tasks.checked import CheckedTask
from img2img.runtime.tasks.retry import RETRY_TILE
from img2img.runtime.tasks.task import Task

JOB = Job(Path("a.png"), Path("b.png"))
PHOTO = Picture(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
BLACK = np.zeros((16, 16, 3), np.uint8)

Answer = Callable[[Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Scripted(Task):
    """A task whose result is what `answer` says of the model and the tile; an exception is raised."""

    name = "translate"
    answer: Answer

    def find_model(self, settings: Any, pixels: Any) -> Path:
        raise NotImplementedError

    def namings(self, card: Any, settings: Any) -> list[Any]:
        return []

    def apply(self, model: Any, job: Job, picture: Picture, progress: Callable[[int], None]) -> Picture:
        progress(100)
        found = self.answer(model, self.tile)
        if isinstance(found, Exception):
            raise found
        progress(156)
        return replace(picture, colour=found)


def careful(answer: Answer, *, precision: str = "fp16", device: str = "cuda:0", spare: Any = None) -> CheckedTask:
    card = SimpleNamespace(context=4, precision=precision, name="net")
    model = SimpleNamespace(card=card, device=device)
    chosen = SimpleNamespace(load=lambda: model, spare=lambda: spare)
    return CheckedTask(Scripted(answer=answer), chosen)  # type: ignore[arg-type]


def run(work: CheckedTask) -> tuple[Picture, int]:
    """The result, and the sum of what progress was told."""
    told: list[int] = []
    return work(JOB, PHOTO, told.append), sum(told)


def test_a_good_result_is_kept_without_a_word() -> None:
    result, told = run(careful(lambda model, tile: PHOTO.colour))
    assert result.notes == () and told == 256


@pytest.mark.parametrize("bad", [BLACK, BrokenOutput("NaN"), OutOfMemory("too large")])
def test_a_broken_result_is_made_again_in_small_tiles(bad: Any) -> None:
    result, told = run(careful(lambda model, tile: PHOTO.colour if tile == RETRY_TILE else bad))
    assert (result.colour == PHOTO.colour).all() and told == 256
    (note,) = result.notes
    assert note.startswith("first try: ") and note.endswith(f"done again in tiles of {RETRY_TILE}")


def test_where_there_is_a_full_precision_file_that_is_taken() -> None:
    spare = SimpleNamespace(card=SimpleNamespace(context=None, precision="fp32", name="net"), device="cpu")
    result, _ = run(careful(lambda model, tile: PHOTO.colour if model is spare else BLACK, spare=spare))
    assert (result.colour == PHOTO.colour).all() and "in full precision on the CPU" in result.notes[0]


def test_what_is_as_strange_the_second_time_is_kept_with_a_warning() -> None:
    result, told = run(careful(lambda model, tile: BLACK))
    assert not result.colour.any() and "what the network makes of this picture" in result.notes[0] and told == 256


def test_full_precision_on_the_cpu_is_not_tried_again() -> None:
    calls = []
    result, _ = run(careful(lambda model, tile: calls.append(tile) or BLACK, precision="fp32", device="cpu"))
    assert len(calls) == 1 and "what the network makes of this picture" in result.notes[0]


def test_a_second_failure_is_the_error() -> None:
    with pytest.raises(BrokenOutput, match="NaN"):
        run(careful(lambda model, tile: BrokenOutput("NaN")))
    with pytest.raises(OutOfMemory):
        run(careful(lambda model, tile: OutOfMemory("too large"), precision="fp32", device="cpu"))
