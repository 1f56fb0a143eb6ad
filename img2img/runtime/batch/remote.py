"""A batch whose pictures or results lie in storage that is named by URIs: from names to jobs, as `engine.prepare`.

Such jobs have `storage.RemoteFile`s where others have paths. They are resumed by what exists; there is no journal.
"""

from __future__ import annotations

import dataclasses
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from img2img.errors import PictureError, UsageError
from img2img.runtime.batch import storage
from img2img.runtime.batch.storage import FileInfo, RemoteFile
from img2img.runtime.files import filters, lists, shards, source
from img2img.runtime.files.jobs import Existing, Job
from img2img.runtime.files.naming import OutputPaths, is_template
from img2img.runtime.files.source import Source, natural
from img2img.runtime.tasks.settings import Engine, Settings
from img2img.text import show

if TYPE_CHECKING:
    from img2img.runtime.batch.prepare import Batch
    from img2img.runtime.tasks.task import Task

FEW = 64  # results that are looked for one by one, not in listings of their folders

_FILE = "file://"


def as_paths(inputs: Sequence[str], settings: Settings) -> tuple[list[str], Settings]:
    """The same where every file:// URI is the path that it stands for.

    Raises:
        UsageError: there is a URI, and the engine is none that reads them.
    """
    uris = [name for name in (*inputs, settings.output or "") if storage.is_uri(name)]
    if uris and settings.engine != Engine.RAY:
        raise UsageError(f"{show(uris[0])}: URIs are read and written with --engine ray")
    output = settings.output
    if output is not None and output.startswith(_FILE):
        settings = dataclasses.replace(settings, output=_path(output))
    return [_path(name) if name.startswith(_FILE) else name for name in inputs], settings


def are_meant(inputs: Sequence[str], settings: Settings) -> bool:
    """Whether an input or the output is a URI, or the file of --files-from holds one; after `as_paths`.

    A list that comes through stdin is not looked at: it can be read but once.
    """
    if settings.engine != Engine.RAY:
        return False
    listed: list[str] = []
    if settings.files_from not in (None, "-"):
        listed = lists.read(settings.files_from, null=settings.null, stdin=sys.stdin.buffer)
    return any(storage.is_uri(name) for name in (*inputs, settings.output or "", *listed))


def _path(uri: str) -> str:
    """file:///a%20b/ -> /a b/"""
    rest = uri.removeprefix(_FILE).removeprefix("localhost")
    if not rest.startswith("/"):
        raise UsageError(f"{show(uri)}: of this machine's files the whole path is said: file:///folder/photo.jpg")
    return urllib.parse.unquote(rest, errors="surrogateescape")


@dataclass(frozen=True)
class _Photo:
    """`source` calls the file by a path that stands for its URI, so that names are made and dealt out as for others."""

    source: Source
    file: RemoteFile
    modified: int | None = None


def prepare(
    inputs: Sequence[str],
    task: Task,
    settings: Settings,
    *,
    notify: Callable[[str], None] | None = None,
    stdin: BinaryIO | None = None,
) -> Batch:
    """As `engine.prepare`, where an input or the output is a URI; the rest are paths that all workers can see.

    Raises:
        UsageError, ModelError: as there; and for stdin, globs, templates and mask files, which are not for URIs.
    """
    from img2img.runtime.batch.prepare import Batch, choose

    if getattr(task, "mask", None) not in (None, "alpha"):
        raise UsageError("--mask FILE goes with photos on this machine; for URIs: --mask alpha, --mask-color or --box")
    output, named = _output(settings.output)
    photos = _collected(inputs, settings, output, stdin)

    def pixels() -> float:
        return float(sum(width * height for width, height in header_sizes([photo.file for photo in photos])))

    model_choice = choose(task, settings, pixels, notify)
    task = task.with_card(model_choice.card)
    namings = task.namings(model_choice.card, dataclasses.replace(settings, output=named))
    places = [OutputPaths(naming) for naming in namings]
    _refuse_contradictions(photos, places, settings)
    kept = {id(photo.source) for photo in photos}
    if settings.shard is not None:
        part, of = shards.parse_shard(settings.shard)
        kept = {id(one) for one in shards.shard([photo.source for photo in photos], part, of)}
    planned = [
        (_job(photo, place, output, settings.existing), photo)
        for photo in photos
        for place in (places if photo.source.problem is None else places[:1])
    ]
    _refuse_collisions([job for job, _ in planned], settings.existing)
    jobs = _look_at_targets([(job, photo) for job, photo in planned if id(photo.source) in kept], settings.existing)
    return Batch(jobs, [None] * len(jobs), task, model_choice, settings)


def header_sizes(remote: Sequence[RemoteFile]) -> list[tuple[int, int]]:
    """Width and height of the pictures whose headers notify them; only those are fetched."""
    from PIL import Image

    found = []
    for file in remote:
        try:
            with file.open() as stream, Image.open(stream) as image:
                found.append(image.size)
        except (PictureError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # reading it says why
    return found


def _output(output: str | None) -> tuple[RemoteFile | None, str | None]:
    """The place that -o names, and the path that stands for it; a folder's ends in a slash."""
    if output is None or output == "-":
        return None, output
    if is_template(output):
        raise UsageError(f"-o {show(output)}: templates are for paths, not for URIs: name a folder")
    file = _remote(output)
    is_folder = output.endswith("/") or not PurePosixPath(file.path).suffix
    if not is_folder:
        found = storage.look([file])[0]
        is_folder = found is not None and found.is_folder
    return file, f"{_stand_in(file).as_posix()}/" if is_folder else _stand_in(file).as_posix()


def _remote(name: str) -> RemoteFile:
    if storage.is_uri(name) and not name.startswith(_FILE):
        return storage.parse(name)
    path = Path(_path(name) if name.startswith(_FILE) else name)
    return RemoteFile(f"{_FILE}/", path.absolute().as_posix().strip("/"))


def _stand_in(file: RemoteFile) -> Path:
    return Path("/", file.scheme, file.place, file.path)


def _stood_for(path: Path, root: str) -> RemoteFile:
    try:
        inside = path.relative_to(_stand_in(RemoteFile(root, ""))).as_posix()
    except ValueError:
        raise UsageError("a whole bucket has no folder beside it for the results: say where with -o") from None
    return RemoteFile(root, inside)


def _collected(
    inputs: Sequence[str], settings: Settings, output: RemoteFile | None, stdin: BinaryIO | None
) -> list[_Photo]:
    names = list(inputs)
    if settings.files_from is not None:
        stream = stdin or sys.stdin.buffer
        names += lists.read(settings.files_from, null=settings.null, stdin=stream, inputs=inputs)
    if "-" in names:
        raise UsageError("a picture from stdin does not go with URIs: give it alone, and name a file with -o")
    if not names:
        raise UsageError("name pictures or folders")
    given = [_remote(name) for name in names]
    photos: dict[RemoteFile, _Photo] = {}
    for file, found in zip(given, storage.look(given), strict=True):
        for photo in _photos(file, found, settings, output):
            photos.setdefault(photo.file, photo)
    found_all = list(photos.values())
    if len(names) == 1 and len(found_all) == 1 and (problem := found_all[0].source.problem) is not None:
        raise UsageError(str(problem))
    return found_all


def _photos(file: RemoteFile, found: FileInfo | None, settings: Settings, output: RemoteFile | None) -> list[_Photo]:
    stand_in = _stand_in(file)
    if found is None:
        glob = any(one in file.path for one in "*?[")
        hint = ": for a pattern, name the folder and say --include PATTERN" if glob else ""
        problem = PictureError(f"{show(str(file))}: no such file or folder{hint}")
        return [_Photo(Source(stand_in, problem=problem), file)]
    if not found.is_folder:
        return [_Photo(Source(stand_in), file, found.modified)]
    inside = _pictures(file, settings, output)
    if not inside:
        problem = PictureError(f"{show(str(file))}: no pictures that are meant in this folder")
        return [_Photo(Source(stand_in, problem=problem), file)]
    return [_Photo(Source(stand_in / name, root=stand_in), file.within(name), found.modified) for name, found in inside]


def _pictures(folder: RemoteFile, settings: Settings, output: RemoteFile | None) -> list[tuple[str, FileInfo]]:
    """Path below `folder` and what is known of it, in natural order: what `find.collect` takes from a folder."""
    wanted = filters.Filters(settings.include, settings.exclude)

    @cache
    def covered(inside: str) -> bool | None:
        """What the filters say of a folder; None: nothing in it is meant."""
        parts = PurePosixPath(inside).parts
        if any(part.startswith(".") or part.casefold() in source.SYSTEM_FOLDERS for part in parts):
            return None
        if output is not None and inside and folder.within(inside) == output:
            return None
        above = str(PurePosixPath(inside).parent) if len(parts) > 1 else ""
        if parts and covered(above) is None:
            return None
        return wanted.enter_down_to(inside)

    def is_meant(name: str, found: FileInfo) -> bool:
        path = PurePosixPath(name)
        if found.is_folder or path.name.startswith(".") or path.suffix.casefold() not in source.PICTURE_SUFFIXES:
            return False
        above = covered("" if path.parent == PurePosixPath() else path.parent.as_posix())
        return above is not None and wanted.take(name, above)

    meant = [(name, found) for name, found in storage.listing(folder, recursive=settings.recursive)]
    return sorted(((name, found) for name, found in meant if is_meant(name, found)), key=lambda pair: natural(pair[0]))


def _refuse_contradictions(photos: Sequence[_Photo], places: Sequence[OutputPaths], settings: Settings) -> None:
    results = len(photos) * len(places)
    if results > 1 and settings.output is not None and any(place.folder is None for place in places):
        what = "stdout" if settings.output == "-" else "one file"
        raise UsageError(f"-o {show(settings.output)} is {what}, but {results} results are wanted: name a folder")


def _job(photo: _Photo, place: OutputPaths, output: RemoteFile | None, existing: Existing) -> Job:
    """A job whose source and target are `RemoteFile`s: whoever does more than print them is on Ray, and knows."""
    source, domain = cast(Path, photo.file), place.naming.domain
    if photo.source.problem is not None:
        return Job(source, None, problem=photo.source.problem, domain=domain)
    target = place.of(photo.source)
    file = None if target is None else _stood_for(target, photo.file.root if output is None else output.root)
    overwrite = existing in (Existing.OVERWRITE, Existing.NEWER)
    return Job(source, cast(Path, file), place.format_of(target), overwrite=overwrite, domain=domain)


def _refuse_collisions(jobs: Sequence[Job], existing: Existing) -> None:
    makers: dict[object, Job] = {}
    for job in jobs:
        if job.target is None:
            continue
        first = makers.setdefault(job.target, job)
        if first is not job:
            raise UsageError(
                f"{first.label} and {job.label} would both become {show(job.target)}: do them one after the other"
            )
        if job.target == job.source and existing is not Existing.OVERWRITE:
            raise UsageError(
                f"{job.label} would be replaced by its own result: give another -o, or say --existing overwrite"
            )


def _look_at_targets(planned: Sequence[tuple[Job, _Photo]], existing: Existing) -> list[Job]:
    there = _existing([cast(RemoteFile, job.target) for job, _ in planned if job.target is not None])
    if existing is Existing.FAIL and there:
        first = next(iter(there))
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UsageError(f"{show(str(first))} exists{more}: move it away, or say --existing skip|overwrite|newer")

    def judged(job: Job, photo: _Photo) -> Job:
        found = there.get(cast(RemoteFile, job.target))
        if found is None:
            return job
        if found.is_folder:
            return dataclasses.replace(job, problem=PictureError(f"{show(job.target or '')}: it is a folder"))
        if existing is Existing.SKIP:
            return dataclasses.replace(job, skip=f"{show(job.target or '')} exists")
        is_newer = photo.modified is None or found.modified is None or photo.modified > found.modified
        if existing is Existing.NEWER and not is_newer:
            return dataclasses.replace(job, skip=f"{show(job.target or '')} is not older than its input")
        return job

    return [judged(job, photo) for job, photo in planned]


def _existing(targets: Sequence[RemoteFile]) -> dict[RemoteFile, FileInfo]:
    """Those of `targets` that are there."""
    if len(targets) <= FEW:
        return {file: found for file, found in zip(targets, storage.look(targets), strict=True) if found is not None}
    wanted = set(targets)
    folders = {RemoteFile(file.root, PurePosixPath(file.path).parent.as_posix().removeprefix(".")) for file in targets}
    listed = {
        folder.within(name): found for folder in folders for name, found in storage.listing(folder, recursive=False)
    }
    return {file: found for file, found in listed.items() if file in wanted}
