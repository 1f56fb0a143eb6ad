"""Watching a folder: which pictures count as complete, and what is processed again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2img.errors import PictureError, UsageError
from img2img.runtime.batch import run
from img2img.runtime.batch.watch import Watch
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.upscale import UpscaleTask

Photo = Callable[..., Path]


@pytest.fixture
def watch(here: Path) -> Callable[..., Watch]:
    pytest.importorskip("onnx")
    import onnx_nets

    model = onnx_nets.compact(here / "tiny.onnx", scale=2)
    (here / "in").mkdir()

    def make(*inputs: str, **options: Any) -> Watch:
        settings = Settings(**{"model": str(model), "threads": 1, "recursive": True, "output": "out/"} | options)
        return Watch(inputs or ("in",), UpscaleTask(), settings)

    return make


def work(watched: Watch) -> list[str]:
    """Look once, process what has become complete, and return `status name` of each picture."""
    batch = watched.look()
    if batch is None:
        return []
    return sorted(f"{event.status} {Path(str(event.job.source)).name}" for event in run.run(batch))


def test_a_picture_is_taken_once_it_has_not_changed_between_two_looks(
    here: Path, watch: Callable[..., Watch], photo: Photo
) -> None:
    watched = watch()
    assert work(watched) == []
    photo(here / "in" / "sub" / "a.png", (8, 6))
    assert work(watched) == []
    assert work(watched) == ["done a.png"] and (here / "out" / "sub" / "a.png").exists()
    assert work(watched) == []


def test_a_growing_file_and_an_empty_one_wait(here: Path, watch: Callable[..., Watch], photo: Photo) -> None:
    whole = photo(here / "whole.png", (8, 6)).read_bytes()
    watched, growing, empty = watch(), here / "in" / "growing.png", here / "in" / "empty.png"
    empty.touch()
    for end in (10, 20, len(whole)):
        growing.write_bytes(whole[:end])
        assert work(watched) == []
    assert work(watched) == ["done growing.png"]
    empty.write_bytes(whole)
    assert work(watched) == [] and work(watched) == ["done empty.png"]


def test_a_changed_picture_is_done_again_and_one_with_a_new_time_only_is_not(
    here: Path, watch: Callable[..., Watch], photo: Photo
) -> None:
    watched, picture = watch(), photo(here / "in" / "a.png", (8, 6))
    assert work(watched) == [] and work(watched) == ["done a.png"]
    os.utime(picture, (1, 1))
    assert work(watched) == [] and work(watched) == ["skipped a.png"]
    photo(picture, (6, 8), seed=1)
    assert work(watched) == [] and work(watched) == ["done a.png"]


def test_a_damaged_picture_fails_once_and_the_others_are_done(
    here: Path, watch: Callable[..., Watch], photo: Photo
) -> None:
    watched = watch()
    photo(here / "in" / "a.png", (8, 6))
    (here / "in" / "b.png").write_bytes(b"no picture")
    assert work(watched) == [] and work(watched) == ["done a.png", "failed b.png"]
    assert work(watched) == [] == work(watched)
    shutil.copy(here / "in" / "a.png", here / "in" / "b.png")
    assert work(watched) == [] and work(watched) == ["done b.png"]


def test_a_new_watch_goes_on_where_the_last_one_ended(here: Path, watch: Callable[..., Watch], photo: Photo) -> None:
    photo(here / "in" / "a.png", (8, 6))
    first = watch()
    assert work(first) == [] and work(first) == ["done a.png"]
    photo(here / "in" / "b.png", (8, 6))
    second = watch()
    assert work(second) == [] and work(second) == ["done b.png", "skipped a.png"]


def test_results_in_the_watched_folder_are_not_taken_for_pictures(
    here: Path, watch: Callable[..., Watch], photo: Photo
) -> None:
    photo(here / "in" / "a.png", (8, 6))
    watched = watch(output="in/large/")
    assert work(watched) == [] and work(watched) == ["done a.png"]
    assert work(watched) == [] == work(watched)


def test_a_picture_that_disappears_is_forgotten(here: Path, watch: Callable[..., Watch], photo: Photo) -> None:
    watched, picture = watch(), photo(here / "in" / "a.png", (8, 6))
    assert work(watched) == []
    picture.unlink()
    assert work(watched) == [] == work(watched)


def test_a_folder_that_disappears_is_an_error(here: Path, watch: Callable[..., Watch]) -> None:
    watched = watch()
    (here / "in").rmdir()
    with pytest.raises(PictureError, match="in: the folder is gone"):
        watched.look()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"journal": False}, "--no-journal"),
        ({"existing": "overwrite"}, "--existing overwrite"),
        ({"engine": "ray"}, "--engine ray"),
        ({"files_from": "list.txt"}, "--files-from"),
        ({"output": "new.png"}, "needs a folder for the results"),
        ({"output": "-"}, "needs a folder for the results"),
        ({"output": "{stem}.png"}, "needs a folder for the results"),
    ],
)
def test_what_does_not_go_with_a_watch_is_named(
    watch: Callable[..., Watch], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        watch(**options)


@pytest.mark.parametrize("given", ["-", "missing", "tiny.onnx", "s3://bucket/photos/", "in/*.png"])
def test_only_folders_can_be_watched(watch: Callable[..., Watch], given: str) -> None:
    with pytest.raises(UsageError, match="takes folders on this machine"):
        watch(given)
