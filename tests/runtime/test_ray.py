"""Batches on a local Ray cluster of two workers: same results as in one process, even if a worker dies."""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from img2img.atomic import temporary_name
from img2img.errors import DeviceError, ModelError, UsageError
from img2img.runtime.batch import plan, run, run_job
from img2img.runtime.batch.event import Event, Skipped
from img2img.runtime.batch.ray import cluster as ray_cluster
from img2img.runtime.batch.ray import driver
from img2img.runtime.batch.run_job import PictureFiles
from img2img.runtime.files import digests
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.storage_uri import StorageFile
from img2img.runtime.network import model_digest
from img2img.runtime.tasks.settings import Engine, Settings
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.runtime.tasks.translate import TranslateTask
from img2img.runtime.tasks.upscale import UpscaleTask

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'img2img[ray]'"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

Photo = Callable[..., Path]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `bucket://` is about."""
    pytest.importorskip("fsspec")
    from fake_buckets import buckets

    with buckets(tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("storage")) as top:
        yield top


@pytest.fixture(scope="module")
def cluster(storage: Path) -> Iterator[Any]:
    """Ray on this machine, with two cores whatever it has; its workers find what is defined here."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    with ray_cluster.quiet(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        import ray
        import ray.data

        on_term = signal.getsignal(signal.SIGTERM)
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
            logging_level="ERROR",
        )
        signal.signal(signal.SIGTERM, on_term)
    yield ray
    ray.shutdown()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    import onnx_nets

    return onnx_nets.compact(tmp_path / "tiny.onnx", scale=2)


@pytest.fixture
def photos(tmp_path: Path, photo: Photo) -> Path:
    """Eight pictures in two folders, and one that is none."""
    for number in range(8):
        photo(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", (20 + number, 14), seed=number)
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def batch(
    inputs: Path | str, output: Path | str, model: Path, *, task: Task | None = None, **options: Any
) -> run_job.Batch:
    settings = Settings(
        **{"output": f"{output}/", "model": str(model), "threads": 1, "recursive": True, "engine": Engine.RAY} | options
    )
    return plan.prepare([str(inputs)], task or UpscaleTask(strength=settings.strength), settings)


def events(*arguments: Any, **options: Any) -> list[Event]:
    return list(run.run(batch(*arguments, **options)))


def told(events: list[Event], root: Path | str, output: Path | str) -> list[tuple[Any, ...]]:
    """What an event tells beside the time, with names below the folders that were named."""
    return sorted(
        (
            str(event.job.source).removeprefix(str(root)),
            str(event.job.target).removeprefix(str(output)),
            event.status,
            event.size,
            event.result_size,
            event.notes,
            event.digest,
            event.message.replace(str(root), "").replace(str(output), ""),
        )
        for event in events
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is no journal."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".img2img")
    }


@pytest.mark.parametrize(
    "options",
    [{}, {"strength": 0.5, "color_fix": True, "max_pixels": 24 * 14, "check_seams": True, "format": "jpg"}],
    ids=["plain", "with options"],
)
@pytest.mark.usefixtures("cluster")
def test_files_and_events_are_those_of_one_process(
    tmp_path: Path, photos: Path, model: Path, options: dict[str, Any]
) -> None:
    here = events(photos, tmp_path / "here", model, engine=Engine.LOCAL, **options)
    there = events(photos, tmp_path / "there", model, **options)
    assert told(there, photos, tmp_path / "there") == told(here, photos, tmp_path / "here")
    assert contents(tmp_path / "there") == contents(tmp_path / "here") != {}
    failed = [event for event in there if event.status == "failed"]
    assert any(str(photos / "a" / "bad.png") in event.message for event in failed)
    assert len(failed) == (4 if options else 1)


@pytest.mark.usefixtures("cluster")
def test_metadata_permissions_and_times_are_those_of_one_process(tmp_path: Path, model: Path, photo: Photo) -> None:
    source = photo(tmp_path / "photos" / "a.jpg")
    with Image.open(source) as image:
        image.save(source, comment=b"hello", dpi=(300, 300))
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 10**18))
    for strip in (False, True):
        here, there = tmp_path / f"here{strip}", tmp_path / f"there{strip}"
        events(source.parent, here, model, engine=Engine.LOCAL, strip=strip, keep_times=True)
        events(source.parent, there, model, strip=strip, keep_times=True)
        assert contents(there) == contents(here) and (b"hello" in contents(there)["a.jpg"]) is not strip
        status = (there / "a.jpg").stat()
        assert status.st_mtime_ns == 10**18 and status.st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("cluster")
def test_workers_get_the_reference_and_draw_the_same_samples(tmp_path: Path, photos: Path) -> None:
    import onnx_nets

    model = onnx_nets.styled(tmp_path / "both.onnx", reference=1, latent=3)
    Image.new("RGB", (9, 5), (200, 100, 0)).save(tmp_path / "style.png")
    task = TranslateTask(reference=str(tmp_path / "style.png"), samples=2, seed=3)
    for engine in Engine:
        made = batch(photos, tmp_path / engine, model, task=task, engine=engine)
        (tmp_path / "style.png").rename(tmp_path / "away.png")  # it was read when the batch was planned
        assert sum(event.status == "done" for event in run.run(made)) == 16
        (tmp_path / "away.png").rename(tmp_path / "style.png")
    names = [path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*.png")]
    assert len(names) == 16
    assert all((tmp_path / "local" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes() for name in names)


@pytest.mark.usefixtures("cluster")
def test_a_second_call_does_what_has_changed_whichever_engine_made_the_rest(
    tmp_path: Path, photos: Path, model: Path, photo: Photo
) -> None:
    output = tmp_path / "new"
    events(photos, output, model, engine=Engine.LOCAL)
    photo(photos / "a" / "2.png", (33, 9), seed=99)
    (output / "b" / "3.png").unlink()
    again = {event.job.label: event.status for event in events(photos, output, model)}
    made = {str(photos / "a" / "2.png"), str(photos / "b" / "3.png")}
    assert {name for name, status in again.items() if status == "done"} == made
    local = events(photos, output, model, engine=Engine.LOCAL)
    assert sorted(event.status for event in local) == ["failed"] + ["skipped"] * 8
    assert all("was made before" in event.message for event in local if event.status == "skipped")


@pytest.mark.usefixtures("cluster")
def test_shards_together_are_the_whole(tmp_path: Path, photos: Path, model: Path) -> None:
    parts = [
        events(photos, tmp_path / "new", model, shard=f"{part}/2", engine=kind)
        for part, kind in ((1, Engine.RAY), (2, Engine.LOCAL))
    ]
    names = [{event.job.label for event in part} for part in parts]
    assert names[0] and names[1] and not names[0] & names[1]
    assert len(names[0] | names[1]) == 9 and len(contents(tmp_path / "new")) == 8


@pytest.mark.usefixtures("cluster")
def test_fail_fast_ends_the_batch(tmp_path: Path, photos: Path, model: Path) -> None:
    got = events(photos, tmp_path / "new", model, fail_fast=True)
    assert got[-1].status == "failed" and [event.status for event in got].count("failed") == 1


@pytest.mark.usefixtures("cluster")
def test_a_picture_may_come_through_stdin_and_leave_through_stdout(tmp_path: Path, photos: Path, model: Path) -> None:
    import io

    settings = Settings(output="-", model=str(model), engine=Engine.RAY)
    data = (photos / "a" / "0.png").read_bytes()
    (there,) = run.run(plan.prepare(["-"], UpscaleTask(), settings, stdin=io.BytesIO(data)))
    local = dataclasses.replace(settings, engine=Engine.LOCAL)
    (here,) = run.run(plan.prepare(["-"], UpscaleTask(), local, stdin=io.BytesIO(data)))
    assert there.data == here.data is not None


# --- what goes wrong with workers


class Deadly(UpscaleTask):
    """Ends its process where a picture has this width, as if while writing, and takes its time for the others."""

    deadly_width = 23

    def apply(self, model: Any, job: Any, picture: Any, progress: Any) -> Any:
        if picture.size[0] == self.deadly_width:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            job.target.with_name(temporary_name(job.target.name)).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return super().apply(model, job, picture, progress)


@pytest.mark.usefixtures("cluster")
def test_a_picture_that_kills_every_worker_is_named_and_the_others_are_done(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    got = events(photos, tmp_path / "new", model, task=Deadly())
    assert len(got) == 9 == len({event.job.label for event in got})
    failed = {event.job.label: event.message for event in got if event.status == "failed"}
    assert set(failed) == {str(photos / "a" / "bad.png"), str(photos / "b" / "3.png")}
    assert "the worker that was at it died" in failed[str(photos / "b" / "3.png")]
    assert set(contents(tmp_path / "new")) == {f"{'ab'[number % 2]}/{number}.png" for number in range(8) if number != 3}


class Slow(UpscaleTask):
    def apply(self, model: Any, job: Any, picture: Any, progress: Any) -> Any:
        time.sleep(0.3)
        return super().apply(model, job, picture, progress)


def workers() -> list[int]:
    """Processes of Ray actors that are below this process."""
    import psutil

    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "MapWorker" in "".join(one.cmdline()):
                found.append(one.pid)
    return sorted(found)


def no_more_workers() -> bool:
    deadline = time.monotonic() + 30
    while workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not workers()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers by what they are called")
@pytest.mark.usefixtures("cluster")
def test_what_a_killed_worker_was_at_is_done_by_the_next(tmp_path: Path, photos: Path, model: Path) -> None:
    pytest.importorskip("psutil")
    running = run.run(batch(photos, tmp_path / "new", model, task=Slow()))
    got = [next(running)]
    seen = workers()
    os.kill(seen[0], signal.SIGKILL)
    got += running
    assert len(got) == 9 == len({event.job.label for event in got})
    assert {event.job.label for event in got if event.status == "failed"} == {str(photos / "a" / "bad.png")}
    here = events(photos, tmp_path / "here", model, engine=Engine.LOCAL)
    assert len(here) == 9 and contents(tmp_path / "new") == contents(tmp_path / "here")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers by what they are called")
@pytest.mark.usefixtures("cluster")
def test_two_workers_share_the_work_and_end_with_it(tmp_path: Path, photos: Path, model: Path) -> None:
    pytest.importorskip("psutil")
    assert no_more_workers()
    seen: set[int] = set()
    for _ in run.run(batch(photos, tmp_path / "new", model, task=Slow())):
        seen |= set(workers())
    assert len(seen) == 2
    assert no_more_workers()


@pytest.mark.usefixtures("cluster")
def test_a_model_that_does_not_load_is_one_error(tmp_path: Path, photos: Path) -> None:
    onnx_nets = pytest.importorskip("onnx_nets")
    declared = {"length": 4, "distribution": "normal"}
    broken = onnx_nets.compact(tmp_path / "broken.onnx", scale=2, latent=declared)  # without that input
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        events(photos, tmp_path / "new", broken)
    assert not (tmp_path / "new" / "a").exists()


def test_a_device_that_no_node_has_is_said_at_once(tmp_path: Path, photos: Path, model: Path, cluster: Any) -> None:
    if cluster.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="no node of the Ray cluster has a GPU"):
        events(photos, tmp_path / "new", model, device="cuda")
    with pytest.raises(UsageError, match="use --device cuda"):
        events(photos, tmp_path / "new", model, device="cuda:1")


def test_an_actor_gets_a_gpu_or_a_group_of_cores_that_a_node_has(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pool(nodes: list[dict[str, float]], jobs: int = 100, **options: Any) -> tuple[int, int, int]:
        monkeypatch.setattr(cluster, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
        found = driver._pool(Settings(**options), jobs)
        return found.workers, found.cores, found.gpus

    small, large, gpus = {"CPU": 2.0}, {"CPU": 32.0}, {"CPU": 16.0, "GPU": 4.0}
    assert pool([small]) == (1, 2, 0)
    assert pool([small], threads=1) == (2, 1, 0)
    assert pool([small], threads=64) == (1, 2, 0)
    assert pool([large, small]) == (8, 4, 0)
    assert pool([large], jobs=3) == (3, 4, 0)
    assert pool([gpus, large], device="cuda") == (4, 1, 1)
    assert pool([gpus, gpus], device="cuda", threads=8) == (8, 4, 1)
    assert pool([gpus], device="cpu", threads=2) == (8, 2, 0)
    assert pool([]) == (1, 1, 0)


def test_a_node_without_the_model_is_sent_it(tmp_path: Path, model: Path, cluster: Any) -> None:
    from img2img.runtime.batch.ray import worker

    setup = worker.WorkerSetup(
        UpscaleTask(),
        ModelChoice(model, "upscale"),
        Settings(),
        b"",
        [],
        str(tmp_path),
        model_digest.of_model(model),
        {model.name: cluster.put(model.read_bytes())},
    )
    assert worker._model_on_this_node(setup) == model
    before = model.read_bytes()
    model.write_bytes(b"another model, where the driver has that one")
    sent = worker._model_on_this_node(setup)
    try:
        assert sent != model and sent.read_bytes() == before
    finally:
        sent.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is swept where nobody can ask who lives")
def test_what_killed_workers_left_is_taken_away_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "PATIENCE", 0.1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ours, another = f".a.png.{dead.pid}.0123abcd.part", f".b.png.{dead.pid}.0123abcd.part"
    living = f".a.png.{os.getpid()}.0123abcd.part"
    for name in (ours, another, living, "a.png"):
        (tmp_path / name).write_bytes(b"half")
    driver._sweep([Job(tmp_path / "in.png", tmp_path / "a.png")])
    assert {path.name for path in tmp_path.iterdir()} == {another, living, "a.png"}


def test_without_ray_it_is_said_what_to_install(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'img2img\[ray\]'"):
        events(photos, tmp_path / "new", model)


# --- storage


@pytest.mark.usefixtures("cluster")
def test_pictures_in_a_bucket_become_those_that_a_folder_gives(
    tmp_path: Path, photos: Path, model: Path, storage: Path
) -> None:
    photos.rename(storage / "shop")
    here = events(storage / "shop", tmp_path / "here", model, engine=Engine.LOCAL)
    there = events("bucket://shop", "bucket://new/large", model)
    assert told(there, "bucket://shop", "bucket://new/large") == told(here, storage / "shop", tmp_path / "here")
    assert contents(storage / "new" / "large") == contents(tmp_path / "here") != {}
    (storage / "new" / "large" / "a" / "0.png").unlink()
    again = events("bucket://shop", "bucket://new/large", model)
    assert [event.job.label for event in again if event.status == "done"] == ["bucket://shop/a/0.png"]
    assert sorted(event.status for event in again) == ["done", "failed"] + ["skipped"] * 7


def test_what_another_makes_meanwhile_is_left_alone(photo: Photo, storage: Path) -> None:
    photo(storage / "meanwhile" / "a.png")
    (storage / "meanwhile" / "b.png").write_bytes(b"another's")
    job = Job(StorageFile("bucket://meanwhile/", "a.png"), StorageFile("bucket://meanwhile/", "b.png"))
    files = PictureFiles()
    with pytest.raises(Skipped, match=r"bucket://meanwhile/b\.png was made in the meantime"):
        files.read(job)
    written = files.write(replaced := dataclasses.replace(job, overwrite=True), files.read(replaced))
    assert (storage / "meanwhile" / "b.png").read_bytes() != b"another's"
    assert written.digest == digests.of_file(storage / "meanwhile" / "b.png").sha256
