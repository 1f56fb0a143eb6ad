"""What is taken for an input, and in which order."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.files import Source, collect, natural
from img2img.runtime.naming import show


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(sources: list[Source], folder: Path) -> list[str]:
    return [source.path.relative_to(folder).as_posix() for source in sources if source.path is not None]


def test_a_folder_gives_its_pictures_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "photo10.jpg", "photo2.JPG", "Photo1.png", "notes.txt", "deep/below.png")
    assert names(collect([str(tmp_path)]), tmp_path) == ["Photo1.png", "photo2.JPG", "photo10.jpg"]


def test_recursive_takes_the_tree_a_folders_own_pictures_first(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/1.png", "z.png", "a/x/y.png")
    found = collect([str(tmp_path)], recursive=True)
    assert names(found, tmp_path) == ["z.png", "a/x/y.png", "b/1.png", "b/2.png"]
    assert {source.root for source in found} == {tmp_path}


def test_hidden_and_system_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "Thumbs.db", ".DS_Store", "._a.png", ".a.png.17.ff.part", "__MACOSX/a.png", ".git/b.png", "a.png")
    assert names(collect([str(tmp_path)], recursive=True), tmp_path) == ["a.png"]


def test_a_system_file_among_the_matches_of_a_shells_star_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "Thumbs.db", "a.png")
    assert names(collect([str(tmp_path / "Thumbs.db"), str(tmp_path / "a.png")]), tmp_path) == ["a.png"]


def test_a_pattern_that_the_shell_left_alone_is_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "a2.png", "a10.png", "b.png", "a3.txt")
    assert names(collect([str(tmp_path / "a*")]), tmp_path) == ["a2.png", "a10.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "photo[1].png", "photo1.png")
    assert names(collect([str(tmp_path / "photo[1].png")]), tmp_path) == ["photo[1].png"]


def test_the_same_file_twice_is_one_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(collect(["a.png", "./a.png", str(tmp_path / "a.png"), "."])) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [("none.png", "no such file"), ("empty", "no pictures"), ("*.gif", "matches nothing"), ("t*.txt", "no pictures")],
)
def test_a_single_input_without_pictures_is_wrong_use(tmp_path: Path, given: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "text.txt")
    with pytest.raises(UsageError, match=expected):
        collect([str(tmp_path / given)])


def test_a_folder_whose_pictures_lie_deeper_hints_at_recursive(tmp_path: Path) -> None:
    touch(tmp_path, "deep/a.png")
    with pytest.raises(UsageError, match="--recursive"):
        collect([str(tmp_path)])


def test_a_missing_file_among_others_is_a_problem_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "c.png")
    found = collect([str(tmp_path / name) for name in ("a.png", "b.png", "c.png")])
    assert [source.problem is None for source in found] == [True, False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "elsewhere/b.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/c.png").symlink_to(tmp_path / "elsewhere/b.png")
    (tmp_path / "in/self").symlink_to("self")
    found = names(collect([str(tmp_path / "in")], recursive=True), tmp_path / "in")
    assert found == ["a.png", "c.png", "again/b.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_dead_link_is_reported_not_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "dead.png").symlink_to("nowhere.png")
    assert names(collect([str(tmp_path)]), tmp_path) == ["a.png", "dead.png"]
    with pytest.raises(UsageError, match="link to something that does not exist"):
        collect([str(tmp_path / "dead.png")])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_folder_is_no_picture(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    assert names(collect([str(tmp_path)]), tmp_path) == ["a.png"]


def test_the_output_folder_inside_the_input_folder_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "out/a.png")
    assert names(collect([str(tmp_path)], recursive=True, exclude=tmp_path / "out"), tmp_path) == ["a.png"]
    assert len(collect([str(tmp_path / "out")], recursive=True, exclude=tmp_path / "out")) == 1


def test_a_dash_is_stdin() -> None:
    assert collect(["-"]) == [Source(None)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
def test_names_with_anything_in_them_are_found(tmp_path: Path) -> None:
    strange = [b"with \"quotes'.png", b"line\nfeed.png", b"a b.png", "🎈.png".encode(), b"latin-\xe9.png", b"-.png"]
    for name in strange:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    found = collect([str(tmp_path)])
    assert {os.fsencode(source.path.name) for source in found if source.path} == set(strange)


@given(st.text())
def test_whatever_is_shown_is_one_line_and_printable_anywhere(text: str) -> None:
    shown = show(text)
    assert f"x{shown}x".splitlines() == [f"x{shown}x"] and "\x1b" not in shown
    shown.encode()  # lone surrogates would raise


def test_bytes_that_are_no_unicode_are_shown_as_escapes() -> None:
    assert show(os.fsdecode(b"caf\xe9\n.png")) == r"caf\xe9\n.png"


@given(st.lists(st.integers(0, 10**12), min_size=2, unique=True))
def test_numbers_in_names_sort_by_value(numbers: list[int]) -> None:
    assert sorted((f"shot {n}.png" for n in numbers), key=natural) == [f"shot {n}.png" for n in sorted(numbers)]
