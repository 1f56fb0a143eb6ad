"""Remote storage for tests: an fsspec scheme `bucket://NAME/...` that is backed by a local folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from img2img.runtime.files import storage

_MODULE = """
import os

from fsspec.implementations.local import LocalFileSystem


class Bucket(LocalFileSystem):
    protocol = "bucket"

    @classmethod
    def _strip_protocol(cls, path):
        path = str(path)
        if path.startswith("bucket://"):
            path = os.environ["BUCKETS"] + "/" + path.removeprefix("bucket://")
        return super()._strip_protocol(path)
"""


@contextmanager
def buckets(package: Path, top: Path) -> Iterator[Path]:
    """Make `bucket://NAME` mean `top/NAME`, here and in processes that are started within the block."""
    import fsspec

    (package / "bucket_storage.py").write_text(_MODULE)
    about = package / "bucket_storage-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bucket-storage\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fsspec.specs]\nbucket = bucket_storage.Bucket\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUCKETS", str(top))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")])))
        patch.setattr(sys, "path", [str(package), *sys.path])
        # This process has imported fsspec, which looks for such packages once.
        fsspec.register_implementation("bucket", "bucket_storage.Bucket", clobber=True)
        storage._filesystem.cache_clear()
        yield top
        storage._filesystem.cache_clear()
