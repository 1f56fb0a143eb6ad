"""Lists of files in every common encoding and line ending."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.files import lists


def read(data: bytes, *, null: bool = False) -> list[str]:
    return lists.read("-", null=null, stdin=io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.png\nb c.png\n", ["a.png", "b c.png"]),
        (b"a.png\nlast without an end", ["a.png", "last without an end"]),
        (b"a.png\r\nb.png\r\n", ["a.png", "b.png"]),
        (b"\n\na.png\n\r\n\nb.png", ["a.png", "b.png"]),
        (b"#1.png\n end .png \n\tb\rc\n", ["#1.png", " end .png ", "\tb\rc"]),
        (b"\xef\xbb\xbfa.png\n", ["a.png"]),
        ("\ufeffä.png\r\nb.png\r\n".encode("utf-16-le"), ["ä.png", "b.png"]),
        ("\ufeffä.png\n".encode("utf-16-be"), ["ä.png"]),
        (b"", []),
    ],
)
def test_a_name_a_line_whatever_wrote_it(data: bytes, expected: list[str]) -> None:
    assert read(data) == expected


def test_with_zero_bytes_a_name_may_hold_anything_else() -> None:
    assert read(b"line\nfeed.png\0a.png\0\0b\r\0last", null=True) == ["line\nfeed.png", "a.png", "b\r", "last"]
    assert read(b"\xef\xbb\xbfa.png\0", null=True) == ["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda name: b"\0" not in name)))
def test_every_name_comes_back_byte_for_byte(names: list[bytes]) -> None:
    data = b"start\0" + b"".join(name + b"\0" for name in names)
    assert [os.fsencode(name) for name in read(data, null=True)] == [b"start", *names]


def test_zero_bytes_where_lines_were_expected_are_explained() -> None:
    with pytest.raises(UsageError, match="say -0"):
        read(b"a.png\0b.png\0")


def test_a_list_in_a_file(here: Path) -> None:
    Path("list.txt").write_text("sub/a.png\n-\n", "utf-8")
    assert lists.read("list.txt", null=False, stdin=io.BytesIO(), inputs=["-"]) == ["sub/a.png", "-"]


@pytest.mark.parametrize(("where", "reason"), [("gone.txt", "no such list"), (".", "--files-from")])
def test_a_list_that_cannot_be_read_is_a_usage_error(here: Path, where: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lists.read(where, null=False, stdin=io.BytesIO())


def test_text_that_breaks_off_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot be decoded"):
        read(b"\xff\xfea")


def test_stdin_cannot_be_picture_and_list_at_once() -> None:
    stdin = io.BytesIO(b"a.png\n")
    with pytest.raises(UsageError, match="stdin cannot be a picture"):
        lists.read("-", null=False, stdin=stdin, inputs=["b.png", "-"])
    assert stdin.tell() == 0
