"""Reads and writes storage such as s3://, gs:// and hdfs:// through fsspec, which is imported when it is needed.

If the package of fsspec for a storage is missing (s3fs, gcsfs, ...), pyarrow replaces it where it can.
"""

from __future__ import annotations

import datetime
import functools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from img2img.atomic import temporary_name
from img2img.errors import PictureError, UsageError
from img2img.runtime.files.storage_uri import StorageFile, without_password
from img2img.text import show

FEW = 64  # from this many files on, their folders are listed instead
AT_ONCE = 16  # requests
BLOCK = 1 << 16  # bytes that reading a header fetches

# Here an object appears when its last byte has arrived, and moving it would copy it.
_OBJECT_STORES = frozenset(
    ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "cos", "obs", "hf")
)
_KNOWN_TO_PYARROW = frozenset(("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"))


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known of a file. `modified`: nanoseconds since 1970; None if the storage does not tell."""

    is_folder: bool
    modified: int | None = None


def look(files: Sequence[StorageFile]) -> list[FileInfo | None]:
    """What each name stands for; None: nothing has that name. Raises UsageError if a storage does not answer."""
    for root in {file.root for file in files}:
        _filesystem(root)[0].invalidate_cache()
    if len(files) < 2:
        return [_look(file) for file in files]
    from img2img.pool import Pool

    with Pool(AT_ONCE) as pool:
        return list(pool.map(_look, files))


def _look(file: StorageFile) -> FileInfo | None:
    filesystem, path = _opened(file)
    try:
        return _info(filesystem.info(path))
    except FileNotFoundError:
        return None
    except Exception as error:  # each storage has its own
        raise UsageError(f"{show(file)}: {_reason(error)}", path=str(file)) from error


def existing(files: Iterable[StorageFile]) -> dict[StorageFile, FileInfo]:
    """Those of the files that exist. Raises UsageError if a storage does not answer."""
    wanted = list(dict.fromkeys(files))
    if len(wanted) <= FEW:
        return {file: info for file, info in zip(wanted, look(wanted), strict=True) if info is not None}
    folders = dict.fromkeys(file.parent for file in wanted)
    found = {folder / name: info for folder in folders for name, info in listing(folder, recursive=False)}
    return {file: found[file] for file in wanted if file in found}


def listing(folder: StorageFile, *, recursive: bool) -> Iterator[tuple[str, FileInfo]]:
    """The path below the folder of each file in it, and unless `recursive` of each folder; nothing if there is none.

    Raises UsageError if the storage does not answer.
    """
    filesystem, path = _opened(folder)
    try:
        filesystem.invalidate_cache()
        entries = _list(filesystem, path, recursive)
    except FileNotFoundError:
        return
    except Exception as error:
        raise UsageError(f"{show(folder)}: {_reason(error)}", path=str(folder)) from error
    top = filesystem._strip_protocol(path).strip("/")
    for entry in entries:
        inside = entry["name"].strip("/").removeprefix(top).strip("/")
        if inside:  # some storages list the folder itself
            yield inside, _info(entry)


def _list(filesystem: Any, path: str, recursive: bool) -> Iterable[Mapping[str, Any]]:
    from fsspec.implementations.arrow import ArrowFSWrapper

    if not recursive:
        return cast("list[Mapping[str, Any]]", filesystem.ls(path, detail=True))
    if not isinstance(filesystem, ArrowFSWrapper):
        return cast("dict[str, Mapping[str, Any]]", filesystem.find(path, detail=True)).values()
    from pyarrow import fs

    # Its `find` asks for every folder by itself.
    found = filesystem.fs.get_file_info(fs.FileSelector(path, recursive=True))
    return [{"name": info.path, "type": info.type.name.lower(), "mtime": info.mtime} for info in found]


def read(file: StorageFile) -> bytes:
    """The whole content. Raises PictureError."""
    filesystem, path = _opened(file)
    try:
        return cast(bytes, filesystem.cat_file(path))
    except Exception as error:
        raise _unreadable(file, error) from error


def open_file(file: StorageFile) -> BinaryIO:
    """Open a file to read parts of it. Raises PictureError."""
    filesystem, path = _opened(file)
    try:
        return cast(BinaryIO, filesystem.open(path, "rb", block_size=BLOCK))
    except Exception as error:
        raise _unreadable(file, error) from error


def write(file: StorageFile, data: bytes) -> None:
    """Create or replace a file. It appears whole or not at all: by one upload, or under another name first.

    Raises PictureError.
    """
    filesystem, path = _opened(file)
    try:
        if file.scheme in _OBJECT_STORES:
            filesystem.pipe_file(path, data)
            return
        folder, name = posixpath.split(path)
        filesystem.makedirs(folder, exist_ok=True)
        temporary = posixpath.join(folder, temporary_name(name))
        try:
            filesystem.pipe_file(temporary, data)
            filesystem.mv(temporary, path)
        except BaseException:
            with suppress(Exception):  # the first exception says what is wrong
                filesystem.rm_file(temporary)
            raise
    except Exception as error:
        raise PictureError(f"cannot write {show(file)}: {_reason(error)}", path=str(file)) from error


def _unreadable(file: StorageFile, error: Exception) -> PictureError:
    return PictureError(f"cannot read {show(file)}: {_reason(error)}", path=str(file))


def _info(entry: Mapping[str, Any]) -> FileInfo:
    times = (entry.get(key) for key in ("mtime", "LastModified", "last_modified", "modified", "updated"))
    modified = next((time for time in times if time is not None), None)
    if isinstance(modified, datetime.datetime):
        modified = modified.timestamp()
    nanoseconds = int(modified * 1e9) if isinstance(modified, int | float) else None
    return FileInfo(entry["type"] == "directory", nanoseconds)


def _opened(file: StorageFile) -> tuple[Any, str]:
    """fsspec's file system and the path in it. Raises UsageError."""
    filesystem, base = _filesystem(file.root)
    path = f"{base.rstrip('/')}/{file.path}" if base else file.path
    return filesystem, path if file.path else base


@functools.lru_cache(maxsize=64)
def _filesystem(root: str) -> tuple[Any, str]:
    import fsspec.core

    scheme, shown = root.partition(":")[0], show(StorageFile(root, ""))
    # Keys and options in a URI are pyarrow's: fsspec's packages take them from the environment.
    has_options = scheme in _KNOWN_TO_PYARROW and ("@" in root or "?" in root)
    try:
        if not has_options:
            return cast("tuple[Any, str]", fsspec.core.url_to_fs(root))
    except ImportError as error:
        if scheme not in _KNOWN_TO_PYARROW:
            raise UsageError(f"{shown}: {_reason(error)}") from error
    except Exception as error:
        raise UsageError(f"{shown}: {_reason(error)}") from error
    try:
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow import fs
    except ImportError as error:
        raise UsageError(f"{shown}: {scheme}:// needs pyarrow: pip install 'img2img[storage]'") from error
    try:
        filesystem, path = fs.FileSystem.from_uri(_with_single_put(root))
    except Exception as error:
        raise UsageError(f"{shown}: {_reason(error)}") from error
    return ArrowFSWrapper(filesystem), path


def _with_single_put(root: str) -> str:
    """By default pyarrow opens a multipart upload on S3 for every file, and an interrupted one stays there."""
    option = "allow_delayed_open"
    if not root.startswith("s3://") or option in root:
        return root
    return f"{root}{'&' if '?' in root else '?'}{option}=true"


def _reason(error: Exception) -> str:
    """One line without a password."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    text = without_password(text)
    return text if len(text) <= 300 else f"{text[:300]}…"
