"""Names of files: paths on this machine and URIs such as s3://bucket/photo.jpg. `storage` reads and writes these."""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from img2img.errors import UsageError
from img2img.text import show

_URI = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)/?(.*?)(\?[a-z_]+=.*)?", re.DOTALL)  # not C:/
_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")
_FILE = "file://"


@dataclass(frozen=True, slots=True, repr=False)
class StorageFile:
    """The name of a file or folder in some storage, with the methods of `Path` that do no input or output.

    Its text is its URI without password and options.

    Attributes:
        root: the URI of the storage, with its options: `s3://bucket/?endpoint_override=...`.
        path: the path below the root, without a slash at either end. Nothing in it is decoded.
    """

    root: str
    path: str

    def __str__(self) -> str:
        return without_password(self.root.partition("?")[0]) + self.path

    def __repr__(self) -> str:
        return f"StorageFile({str(self)!r})"

    def __truediv__(self, inside: PurePath | str) -> StorageFile:
        text = inside if isinstance(inside, str) else inside.as_posix()
        return self if text in ("", ".") else StorageFile(self.root, posixpath.join(self.path, text))

    @property
    def scheme(self) -> str:
        return self.root.partition(":")[0]

    @property
    def bucket(self) -> str:
        """The bucket or host. Empty if the storage has none."""
        return self.root.partition("?")[0].split("/")[2]

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def stem(self) -> str:
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> StorageFile:
        return StorageFile(self.root, posixpath.dirname(self.path))

    def with_name(self, name: str) -> StorageFile:
        return self.parent / name


Location = Path | StorageFile
"""Where a file is."""


def without_password(text: str) -> str:
    """A text in which URIs keep the user and lose the password."""
    return _PASSWORD.sub(r"\1@", text)


def is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None


def parse(uri: str) -> StorageFile:
    """Raises UsageError."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise UsageError(f"{show(uri)}: no URI such as s3://bucket/photos/")
    scheme, bucket, path, query = match.groups()
    return StorageFile(f"{scheme}://{bucket}/{query or ''}", path.strip("/"))


def without_file_scheme(name: str) -> str:
    """`file:///a%20b/` -> `/a b/`; other names as they are. Raises UsageError."""
    if not name.startswith(_FILE):
        return name
    rest = name.removeprefix(_FILE).removeprefix("localhost")
    if not rest.startswith("/"):
        raise UsageError(f"{show(name)}: write the whole path: file:///folder/photo.jpg")
    return urllib.parse.unquote(rest, errors="surrogateescape")


def location(name: str) -> Location:
    """What a name stands for. Raises UsageError."""
    name = without_file_scheme(name)
    return parse(name) if is_uri(name) else Path(name)


def relative_to(file: Location, folder: Location) -> PurePath:
    """The path of a file below a folder that contains it."""
    if isinstance(file, Path) and isinstance(folder, Path):
        return file.relative_to(folder)
    assert isinstance(file, StorageFile) and isinstance(folder, StorageFile) and file.root == folder.root
    return PurePosixPath(file.path.removeprefix(folder.path).lstrip("/"))
