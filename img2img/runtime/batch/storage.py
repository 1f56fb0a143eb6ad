"""Files in storage that is no folder of this machine: s3://, gs://, hdfs://, and whatever pyarrow or fsspec opens.

pyarrow comes with the extra `ray`, and is imported when it is needed.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from img2img.atomic import temporary_name
from img2img.errors import PictureError, UsageError
from img2img.text import show

_URI = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)/?(.*?)(\?[a-z_]+=.*)?", re.DOTALL)  # C:/ is no scheme
_PASSWORD = re.compile(r":[^/@]*@")

# Where an object appears when its last byte has arrived, and moving it would be copying it.
_OBJECT_STORES = frozenset(
    ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "cos", "obs", "hf")
)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file or a folder in some storage; its text is its URI, without a password.

    Attributes:
        root: URI of the storage as a whole, with what its opening needs: `s3://bucket/?endpoint_override=...`.
        path: below it, without a slash at either end; nothing in it is decoded.
    """

    root: str
    path: str

    def __str__(self) -> str:
        return f"{_PASSWORD.sub('@', self.root.partition('?')[0])}{self.path}"

    def __fspath__(self) -> str:
        # Who takes it for a file of this machine (the progress bar, for the picture's size) finds none of that name.
        return str(self)

    @property
    def scheme(self) -> str:
        return self.root.partition(":")[0]

    @property
    def place(self) -> str:
        """The bucket or the host; empty where the storage has none."""
        return self.root.partition("?")[0].split("/")[2]

    def within(self, inside: str) -> RemoteFile:
        return RemoteFile(self.root, posixpath.join(self.path, inside))

    def open(self) -> BinaryIO:
        """Open it for reading anywhere in it. Raises PictureError."""
        filesystem, path = _place_of(self)
        try:
            return cast(BinaryIO, filesystem.open_input_file(path))
        except Exception as error:  # each storage has its own
            raise PictureError(f"cannot read {show(str(self))}: {_reason(error)}") from error


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What lies at a place. `modified`: in ns since 1970, None where the storage does not notify."""

    is_folder: bool
    modified: int | None = None


def is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None


def parse(uri: str) -> RemoteFile:
    """`s3://bucket/photos/` -> the storage and the path in it. Raises UsageError."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise UsageError(f"{show(uri)}: no URI such as s3://bucket/photos/")
    scheme, place, path, query = match.groups()
    return RemoteFile(f"{scheme}://{place}/{query or ''}", path.strip("/"))


def look(files: Sequence[RemoteFile]) -> list[FileInfo | None]:
    """What lies at each place; None: nothing. Raises UsageError where a storage cannot be asked."""
    found: list[FileInfo | None] = [None] * len(files)
    by_root: dict[str, list[int]] = {}
    for number, file in enumerate(files):
        by_root.setdefault(file.root, []).append(number)
    for numbers in by_root.values():
        places = [_place_of(files[number]) for number in numbers]
        try:
            infos = places[0][0].get_file_info([path for _, path in places])
        except Exception as error:
            raise UsageError(f"{show(str(files[numbers[0]]))}: {_reason(error)}") from error
        for number, info in zip(numbers, infos, strict=True):
            found[number] = _found(info)
    return found


def listing(folder: RemoteFile, *, recursive: bool) -> Iterator[tuple[str, FileInfo]]:
    """What a folder holds, with the path of each below it; nothing where there is no such folder. Raises UsageError."""
    from pyarrow import fs

    filesystem, path = _place_of(folder)
    try:
        infos = filesystem.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
    except Exception as error:
        raise UsageError(f"{show(str(folder))}: {_reason(error)}") from error
    top = path.strip("/")
    for info in infos:
        found, inside = _found(info), info.path.strip("/").removeprefix(top).strip("/")
        if found is not None and inside:  # some storages list the folder itself
            yield inside, found


def read(file: RemoteFile) -> bytes:
    """All of a file. Raises PictureError."""
    filesystem, path = _place_of(file)
    try:
        with filesystem.open_input_stream(path, compression=None) as stream:
            return cast(bytes, stream.read())
    except Exception as error:
        raise PictureError(f"cannot read {show(str(file))}: {_reason(error)}") from error


def write(file: RemoteFile, data: bytes) -> None:
    """Make or replace a file, which appears whole or not at all: by one PUT, or under another name first.

    Raises PictureError.
    """
    filesystem, path = _place_of(file)
    try:
        if file.scheme in _OBJECT_STORES:
            _put(filesystem, path, data)
            return
        folder, name = posixpath.split(path)
        filesystem.create_dir(folder, recursive=True)
        temporary = posixpath.join(folder, temporary_name(name))
        try:
            _put(filesystem, temporary, data)
            filesystem.move(temporary, path)
        except BaseException:
            with suppress(Exception):  # the exception on its way says what is wrong
                filesystem.delete_file(temporary)
            raise
    except Exception as error:
        raise PictureError(f"cannot write {show(str(file))}: {_reason(error)}") from error


def _put(filesystem: Any, path: str, data: bytes) -> None:
    with filesystem.open_output_stream(path, compression=None) as stream:
        stream.write(data)


def _found(info: Any) -> FileInfo | None:
    from pyarrow import fs

    if info.type == fs.FileType.NotFound:
        return None
    return FileInfo(info.type == fs.FileType.Directory, info.mtime_ns)


def _place_of(file: RemoteFile) -> tuple[Any, str]:
    """pyarrow's file system and the path in it. Raises UsageError."""
    filesystem, base = _opened(file.root)
    path = f"{base.rstrip('/')}/{file.path}" if base else file.path
    return filesystem, path if file.path else base


@functools.lru_cache(maxsize=64)
def _opened(root: str) -> tuple[Any, str]:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise UsageError("remote storage needs pyarrow: pip install 'img2img[ray]'") from error
    try:
        return cast(tuple[Any, str], fs.FileSystem.from_uri(_with_single_put(root)))
    except Exception as error:
        unknown = isinstance(error, NotImplementedError) or "Unrecognized filesystem type" in str(error)
        if not unknown:  # otherwise fsspec has a turn
            raise UsageError(f"{show(str(RemoteFile(root, '')))}: {_reason(error)}") from error
    try:
        import fsspec

        found, path = fsspec.core.url_to_fs(root)
    except Exception as error:  # the scheme is unknown, or its package is not installed: the text says which
        raise UsageError(f"{show(str(RemoteFile(root, '')))}: {_reason(error)}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(found)), path


def _with_single_put(root: str) -> str:
    """By itself pyarrow opens a multipart upload on S3 for every file, and one that is broken off stays there."""
    option = "allow_delayed_open"
    if not root.startswith("s3://") or option in root:
        return root
    return f"{root}{'&' if '?' in root else '?'}{option}=true"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text if len(text) <= 300 else f"{text[:300]}…"
