"""Plans of batches whose pictures or results are in storage, and reading and writing there."""

import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from img2img.errors import PictureError, UsageError
from img2img.runtime.batch import plan as planning
from img2img.runtime.batch import run
from img2img.runtime.batch.event import Event
from img2img.runtime.batch.sharing import sizes_of
from img2img.runtime.files import shards, storage_uri
from img2img.runtime.files import storage as stores
from img2img.runtime.files.jobs import Existing, Job
from img2img.runtime.files.source import Source
from img2img.runtime.files.storage_uri import StorageFile, location
from img2img.runtime.tasks.inpaint import InpaintTask
from img2img.runtime.tasks.settings import Engine, FileFormat, Settings
from img2img.runtime.tasks.upscale import UpscaleTask

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("fsspec") is None,
    reason="needs pyarrow and fsspec: pip install 'img2img[ray]'",
)

Photo = Callable[..., Path]


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from fake_buckets import buckets

    with buckets(tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("storage")) as top:
        yield top


@pytest.fixture
def storage(top: Path, request: pytest.FixtureRequest) -> Path:
    """The folder behind the bucket `b`, which is empty."""
    import shutil

    shutil.rmtree(top / "b", ignore_errors=True)
    (top / "b").mkdir()
    return top / "b"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    import onnx_nets

    return onnx_nets.compact(tmp_path / "tiny.onnx", scale=2)


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def plan(model: Path, *inputs: str, task: Any = None, **options: Any) -> list[Job]:
    settings = Settings(**{"model": str(model), "engine": Engine.RAY} | options)
    return planning.prepare(list(inputs), task or UpscaleTask(), settings).jobs


def pairs(jobs: list[Job]) -> list[tuple[str, str]]:
    return [(str(job.source).removeprefix("bucket://b/"), str(job.target).removeprefix("bucket://b/")) for job in jobs]


@pytest.mark.parametrize(
    ("uri", "root", "path", "shown"),
    [
        ("s3://b/photos/", "s3://b/", "photos", "s3://b/photos"),
        ("s3://b", "s3://b/", "", "s3://b/"),
        ("s3://b/a b/ü%20.jpg", "s3://b/", "a b/ü%20.jpg", "s3://b/a b/ü%20.jpg"),
        ("s3://b/x?endpoint_override=h:1&scheme=http", "s3://b/?endpoint_override=h:1&scheme=http", "x", "s3://b/x"),
        ("s3://b/what?.jpg", "s3://b/", "what?.jpg", "s3://b/what?.jpg"),
        ("s3://key:secret@b/x", "s3://key:secret@b/", "x", "s3://key@b/x"),
        ("hdfs://h:9000/x", "hdfs://h:9000/", "x", "hdfs://h:9000/x"),
    ],
)
def test_a_uri_is_a_storage_and_a_path(uri: str, root: str, path: str, shown: str) -> None:
    assert storage_uri.parse(uri) == StorageFile(root, path) and str(storage_uri.parse(uri)) == shown


@pytest.mark.parametrize("name", ["photo.jpg", "/a/b", "C:/x", "C:\\x", "s3:/b", "-", ""])
def test_a_path_is_no_uri(name: str) -> None:
    assert not storage_uri.is_uri(name)


def test_file_uris_are_paths(tmp_path: Path, model: Path) -> None:
    for uri, path in (("file:///a%20b/c.jpg", "/a b/c.jpg"), ("file://localhost/d", "/d"), ("e", "e")):
        assert location(uri) == Path(path)
    with pytest.raises(UsageError, match="the whole path"):
        location("file://photos/a.jpg")
    fill(tmp_path, "in put/a.png")
    (job,) = plan(model, f"file://{tmp_path}/in%20put/*.png", output=f"file://{tmp_path}/new%20folder/")
    assert (job.source, job.target) == (tmp_path / "in put/a.png", tmp_path / "new folder/a.png")


def test_a_list_may_name_uris(tmp_path: Path, storage: Path, model: Path) -> None:
    fill(storage, "a.png", "b.png")
    (tmp_path / "list").write_text("bucket://b/b.png\n")
    assert pairs(plan(model, files_from=str(tmp_path / "list"))) == [("b.png", "b_x2.png")]


def test_a_folder_gives_its_pictures_in_order(storage: Path, model: Path) -> None:
    fill(storage, "p/10.png", "p/9.png", "p/x.txt", "p/.hidden.png", "p/Thumbs.db", "p/sub/1.JPG", "p/.git/1.png")
    fill(storage, "p/__MACOSX/1.png")
    assert pairs(plan(model, "bucket://b/p/")) == [("p/9.png", "p_x2/9.png"), ("p/10.png", "p_x2/10.png")]
    deep = plan(model, "bucket://b/p", recursive=True, output="bucket://b/new/")
    assert pairs(deep) == [("p/9.png", "new/9.png"), ("p/10.png", "new/10.png"), ("p/sub/1.JPG", "new/sub/1.JPG")]


def test_filters_see_paths_below_the_folder(storage: Path, model: Path) -> None:
    fill(storage, "p/a.png", "p/a.jpg", "p/best/b.png", "p/cache/c.png", "p/cache/deep/d.png")
    jobs = plan(model, "bucket://b/p", recursive=True, include=("*.png",), exclude=("cache/",))
    assert [source for source, _ in pairs(jobs)] == ["p/a.png", "p/best/b.png"]
    jobs = plan(model, "bucket://b/p", recursive=True, include=("cache/**",))
    assert [source for source, _ in pairs(jobs)] == ["p/cache/c.png", "p/cache/deep/d.png"]


def test_an_output_folder_inside_is_not_read(storage: Path, model: Path) -> None:
    fill(storage, "p/a.png", "p/new/a.png")
    jobs = plan(model, "bucket://b/p", recursive=True, output="bucket://b/p/new", existing=Existing.OVERWRITE)
    assert pairs(jobs) == [("p/a.png", "p/new/a.png")]


@pytest.mark.parametrize(
    ("output", "format", "expected"),
    [
        (None, None, "p/a_x2.png"),
        (None, FileFormat.JPG, "p/a_x2.jpg"),
        ("bucket://b/new", None, "new/a.png"),
        ("bucket://b/new.d/", None, "new.d/a.png"),
        ("bucket://b/new/b.webp", None, "new/b.webp"),
    ],
)
def test_results_are_called_as_in_folders(
    storage: Path, model: Path, output: str | None, format: FileFormat | None, expected: str
) -> None:
    fill(storage, "p/a.png")
    assert pairs(plan(model, "bucket://b/p/a.png", output=output, format=format)) == [("p/a.png", expected)]


def test_photos_here_may_go_to_storage_and_back(tmp_path: Path, storage: Path, model: Path) -> None:
    fill(tmp_path, "photos/a.png")
    fill(storage, "p/b.png")
    (job,) = plan(model, str(tmp_path / "photos"), output="bucket://b/new/")
    assert (job.source, str(job.target)) == (tmp_path / "photos/a.png", "bucket://b/new/a.png")
    (job,) = plan(model, "bucket://b/p", output=str(tmp_path / "new"))
    assert (str(job.source), job.target) == ("bucket://b/p/b.png", tmp_path / "new/b.png")


def test_shards_are_those_of_the_same_tree_in_a_folder(storage: Path, model: Path) -> None:
    names = [f"p/{number}.png" for number in range(30)]
    fill(storage, *names)
    parts = [plan(model, "bucket://b/p", shard=f"{part}/3") for part in (1, 2, 3)]
    sources = [Source(storage / name, storage / "p") for name in names]
    expected = [[source.path for source in shards.shard(sources, part, 3)] for part in (1, 2, 3)]
    got = [sorted(source for source, _ in pairs(jobs)) for jobs in parts]
    assert got == [sorted(path.relative_to(storage).as_posix() for path in part if path) for part in expected]


@pytest.mark.parametrize("count", [3, stores.FEW + 1])
def test_what_exists_is_skipped_or_not(storage: Path, model: Path, count: int) -> None:
    fill(storage, *(f"p/{number}.png" for number in range(count)), "new/1.png", "new/2.png", "new/other.png")
    os.utime(storage / "new" / "1.png", (1, 1))
    os.utime(storage / "p" / "2.png", (1, 1))

    def open_jobs(existing: Existing) -> list[str]:
        jobs = plan(model, "bucket://b/p", output="bucket://b/new", existing=existing)
        return [job.label.rpartition("/")[2] for job in jobs if job.skip is None]

    every = [f"{number}.png" for number in range(count)]
    assert open_jobs(Existing.SKIP) == [name for name in every if name not in ("1.png", "2.png")]
    assert open_jobs(Existing.NEWER) == [name for name in every if name != "2.png"]
    assert open_jobs(Existing.OVERWRITE) == every
    with pytest.raises(UsageError, match=r"bucket://b/new/[12]\.png exists \(and 1 more\)"):
        open_jobs(Existing.FAIL)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["bucket://b/none"], {}, "bucket://b/none: no such file or folder"),
        (["bucket://b/p/*.png"], {}, "--include PATTERN"),
        (["bucket://b/empty"], {}, "no pictures"),
        (["bucket://b/p"], {"output": "bucket://b/{stem}.png"}, "templates"),
        (["bucket://b/p"], {"output": "bucket://b/one.png"}, "one file, but 2 results"),
        (["bucket://b/p/a.png", "bucket://b/q/a.png"], {"output": "bucket://b/new/"}, "would both become"),
        (["bucket://b/p"], {"output": "bucket://b/p"}, "replaced by its own result"),
        (["bucket://b/p", "-"], {}, "stdin"),
        (["bucket://b"], {"recursive": True}, "whole bucket"),
        (["nonsense://b/p"], {}, "nonsense"),
        (["bucket://b/p"], {"task": InpaintTask(mask="mask.png")}, "--mask FILE"),
    ],
)
def test_what_cannot_be_meant_is_said(
    storage: Path, model: Path, inputs: list[str], options: dict[str, Any], message: str
) -> None:
    fill(storage, "p/a.png", "p/b.png", "q/a.png", "empty/x.txt")
    with pytest.raises(UsageError, match=message.replace("*", r"\*")):
        plan(model, *inputs, **options)


def test_one_missing_input_of_several_is_a_job_that_failed(storage: Path, model: Path) -> None:
    fill(storage, "p/a.png")
    missing, there = plan(model, "bucket://b/none.png", "bucket://b/p/a.png")
    assert isinstance(missing.problem, PictureError) and there.problem is None


def test_sizes_come_from_headers(storage: Path, photo: Photo) -> None:
    photo(storage / "a.png", (12, 8))
    fill(storage, "bad.png")
    files = [StorageFile("bucket://b/", name) for name in ("a.png", "bad.png", "none.png")]
    assert sizes_of(files, b"", 1000) == [(12, 8)]


@pytest.mark.parametrize("is_object_store", [True, False])
def test_a_file_in_storage_is_whole_or_not_there(
    storage: Path, is_object_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (storage / "new").mkdir()
    if is_object_store:
        monkeypatch.setattr(stores, "_OBJECT_STORES", {"bucket"})
    file = StorageFile("bucket://b/", "new/a.png")
    for data in (b"first", b"second"):
        stores.write(file, data)
        assert stores.read(file) == data
    with monkeypatch.context() as patch:
        if not is_object_store:  # an object store itself forgets what has not come to its end
            patch.setattr("bucket_storage.Bucket.mv", _full)
            patch.setattr("bucket_storage.Bucket.mv_file", _full, raising=False)
            with pytest.raises(PictureError, match=r"cannot write bucket://b/new/a\.png: .*full"):
                stores.write(file, b"third")
    assert [path.name for path in (storage / "new").iterdir()] == ["a.png"] and stores.read(file) == b"second"


def _full(*arguments: Any, **options: Any) -> None:
    raise OSError("the disk is full")


def test_pictures_in_a_bucket_become_those_that_a_folder_gives(
    tmp_path: Path, storage: Path, model: Path, photo: Photo
) -> None:
    for number in range(3):
        photo(storage / f"p/{number}.png", (20 + number, 14), seed=number)
    fill(storage, "p/bad.png")
    here = upscale(str(storage / "p"), model, output=str(tmp_path / "here"))
    there = upscale("bucket://b/p", model, output="bucket://b/new")
    back = upscale("bucket://b/p", model, output=str(tmp_path / "back"))
    assert [event.status for event in there] == [event.status for event in here] == ["done"] * 3 + ["failed"]
    messages = [[event.message for event in events] for events in (there, back)]
    assert messages[0] == messages[1] == [event.message.replace(str(storage), "bucket://b") for event in here]
    for folder in (storage / "new", tmp_path / "back"):
        assert contents(folder) == contents(tmp_path / "here") != {}
    assert [event.status for event in upscale("bucket://b/p", model, output="bucket://b/new")] == ["skipped"] * 3 + [
        "failed"
    ]


def upscale(input: str, model: Path, **options: Any) -> list[Event]:
    batch = planning.prepare([input], UpscaleTask(), Settings(model=str(model), **options))
    return sorted(run.run(batch), key=lambda event: event.index)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_picture_from_stdin_may_go_to_storage(storage: Path, model: Path, photo: Photo, tmp_path: Path) -> None:
    data = io.BytesIO(photo(tmp_path / "a.png").read_bytes())
    settings = Settings(model=str(model), output="bucket://b/new/a.png")
    (event,) = run.run(planning.prepare(["-"], UpscaleTask(), settings, stdin=data))
    assert event.status == "done" and event.data is None and (storage / "new/a.png").is_file()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    stores._filesystem.cache_clear()
    with pytest.raises(UsageError, match=r"s3://b/: s3:// needs pyarrow: pip install 'img2img\[storage\]'"):
        stores.look([StorageFile("s3://b/", "x")])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [("s3://key:secret@b/x", "s3://key@b/x"), ("hdfs://me:secret@h:9/x?kerb_ticket=y", "hdfs://me@h:9/x")],
)
def test_no_message_tells_a_password(uri: str, shown: str) -> None:
    assert str(location(uri)) == shown and repr(location(uri)) == f"StorageFile({shown!r})"
    assert "secret" not in stores._reason(OSError(f"cannot open {uri} now"))


def test_what_cannot_be_read_is_named(storage: Path) -> None:
    with pytest.raises(PictureError, match="cannot read bucket://b/none: no such file"):
        stores.read(StorageFile("bucket://b/", "none"))
