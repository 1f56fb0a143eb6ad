"""A batch can be killed at any time: its files are complete or absent, and the next call does the rest.

36 kills; benchmarks/killed.py does as many as are wanted.
"""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from conftest import environment

pytest.importorskip("onnx")

from killing import Scene, kill_again_and_again, make_model, make_photos, visible

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    photos = make_photos(folder / "photos", 12, (160, 120))
    return Scene.undisturbed(photos, make_model(folder / "tiny.onnx"), folder / "out", environment())


@pytest.fixture(scope="module")
def other(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The same pictures with another model."""
    folder = tmp_path_factory.mktemp("other")
    return Scene.undisturbed(scene.photos, make_model(folder / "other.onnx", "Sqrt"), folder / "out", environment())


def test_kill_9_at_random_moments_leaves_whole_files_and_calls_go_on_to_the_same_results(
    scene: Scene, tmp_path: Path
) -> None:
    torn, folders = kill_again_and_again(scene, tmp_path, 24)
    assert torn > 0 and folders > 1  # or the moments were none of writing


def test_kill_9_while_results_are_replaced_leaves_the_old_file_or_the_new_one(
    scene: Scene, other: Scene, tmp_path: Path
) -> None:
    assert not set(scene.expected.values()) & set(other.expected.values())
    kill_again_and_again(other, tmp_path, 8, earlier=scene)


def test_of_two_processes_on_one_folder_one_is_killed_and_the_other_makes_everything(
    scene: Scene, tmp_path: Path
) -> None:
    alone = 0
    for round_ in range(4):
        out = tmp_path / str(round_)
        victim, survivor = scene.start(out), scene.start(out)
        scene.wait_at_random(victim, at_work=True)
        victim.kill()
        scene.check(out)
        said, error = survivor.communicate(timeout=120)
        victim.communicate(timeout=120)
        assert survivor.returncode == 0, error
        records = [json.loads(line) for line in said.splitlines()]
        busy = [record for record in records if "another process" in str(record.get("warnings"))]
        assert set(scene.expected) - visible(out) <= {os.path.relpath(record["output"], out) for record in busy}
        if busy:  # it had come to its end when the victim was still alive
            scene.finish(out)
        else:
            alone += 1
            scene.check_complete(out)
    assert alone > 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_end_a_batch_with_130_and_without_half_written_files(scene: Scene, tmp_path: Path, name: str) -> None:
    interrupted = 0
    for _ in range(4):
        process = scene.start(tmp_path)
        under_way = scene.wait_at_random(process, at_work=True)
        process.send_signal(getattr(signal, name))
        assert process.stdout is not None and process.stderr is not None
        said, error = process.stdout.read(), process.stderr.read()
        process.wait()
        assert scene.check(tmp_path) == set()
        if not under_way or '"summary"' in said:  # it was done when the signal came
            break
        assert (process.returncode, error) == (130, "interrupted\n")
        interrupted += 1
    assert interrupted > 0
    scene.finish(tmp_path)
