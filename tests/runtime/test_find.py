"""Which files are inputs, and in which order."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.files.filters import Filters
from img2img.runtime.files.find import collect
from img2img.runtime.files.source import Source, ignores_case, natural
from img2img.text import show


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


@pytest.mark.parametrize(
    "folder", ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "lost+found", ".ipynb_checkpoints"]
)
def test_what_a_system_keeps_for_itself_is_passed_over_in_patterns_as_well(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "a.png", "deep/b.png", f"{folder}/a.png", f"deep/{folder}/a.png/thumb.jpg", "deep/._b.png")
    assert names(collect([str(tmp_path)], recursive=True), tmp_path) == ["a.png", "deep/b.png"]
    assert names(collect([f"{tmp_path}/**/*.[pj]*g"]), tmp_path) == ["a.png", "deep/b.png"]
    assert names(collect([f"{tmp_path}/{folder}/*.png"]), tmp_path / folder) == ["a.png"]  # meant by its name


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
def test_a_single_input_without_pictures_is_a_usage_error(tmp_path: Path, given: str, expected: str) -> None:
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


def test_a_pattern_does_not_reach_into_the_output_folder_either(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "out/a.png", "out/deep/b.png", "other/c.png")
    found = collect([f"{tmp_path}/**/*.png"], exclude=tmp_path / "out")
    assert names(found, tmp_path) == ["a.png", "other/c.png"]
    found = collect([f"{tmp_path}/out/*.png"], exclude=tmp_path / "out")
    assert names(found, tmp_path) == ["out/a.png"]


def test_what_is_listed_is_a_file_or_a_folder_and_never_a_pattern_or_stdin(here: Path) -> None:
    touch(here, "a.png", "[ab].png", "-", "folder/2.png", "folder/10.png", "given.png")
    found = collect(["given.png"], listed=["-", "[ab].png", "*.png", "folder", "a.png", "given.png"])
    assert [str(source.path) for source in found] == [
        "given.png", "-", "[ab].png", "*.png", "folder/2.png", "folder/10.png", "a.png",
    ]  # fmt: skip
    assert [str(source.problem) for source in found if source.problem] == ["*.png: no such file or folder"]


def test_a_list_without_anything_is_a_usage_error_and_one_missing_file_is_that_files_problem(here: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        collect([], listed=[])
    (source,) = collect([], listed=["gone.png"])
    assert "no such file" in str(source.problem)


def test_include_and_exclude_hold_for_folders_and_patterns_and_not_for_files_named_outright(here: Path) -> None:
    touch(here, "in/a.png", "in/b.jpg", "in/cache/c.png", "in/deep/a_x4.PNG", "in/deep/d.png", "a_x4.png")
    filters = Filters(["*.png"], ["cache/", "*_x4.*"])
    expected = [Path("in/a.png"), Path("in/deep/d.png")]
    assert [source.path for source in collect(["in"], recursive=True, filters=filters)] == expected
    assert [source.path for source in collect(["in/**/*.*"], filters=filters)] == expected
    assert [source.path for source in collect(["*"], recursive=True, filters=filters)] == expected
    assert [source.path for source in collect(["a_x4.png"], filters=filters)] == [Path("a_x4.png")]


def test_a_path_in_a_filter_begins_below_the_folder_that_was_named(here: Path) -> None:
    touch(here, "in/day 1/a.png", "in/day 2/a.png", "in/b.png")
    for named in ("in", f"{here}/in", "in/*", "in/**/*.png"):
        found = collect([named], recursive=True, filters=Filters(["day 1/*.png"]))
        assert [source.path for source in found] == [Path(named.partition("/*")[0]) / "day 1/a.png"]


def test_an_excluded_folder_is_not_even_looked_into(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(here, "in/a.png", "in/cache/x/b.png", "in/deep/cache/c.png", "in/deep/d.png")
    looked_into: list[Path] = []
    scandir = os.scandir

    def watch(path: Path) -> object:
        looked_into.append(Path(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watch)
    for pattern in ("cache/", "cache", "**/cache/**"):
        looked_into.clear()
        found = collect(["in"], recursive=True, filters=Filters(exclude=[pattern]))
        assert [source.path for source in found] == [Path("in/a.png"), Path("in/deep/d.png")]
        assert looked_into == [Path("in"), Path("in/deep")]


@pytest.mark.parametrize("given", ["in", "in/*.png"])
def test_where_filters_leave_nothing_they_are_named(here: Path, given: str) -> None:
    touch(here, "in/a.png")
    with pytest.raises(UsageError, match="--include"):
        collect([given], filters=Filters(["*.jpg"]))
    touch(here, "other/b.jpg")
    assert [source.path for source in collect([given, "other"], filters=Filters(["*.jpg"]))] == [Path("other/b.jpg")]
    touch(here, "empty/notes.txt")
    found = collect(["empty", "other"], filters=Filters(["*.jpg"]))
    assert [source.problem is None for source in found] == [False, True]


def test_a_folder_that_may_not_be_read_is_a_problem_of_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(here, "in/a.png", "in/locked/b.png", "in/open/c.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":  # a real one is no hindrance to root
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = collect(["in"], recursive=True)
    assert [source.path for source in found] == [Path("in/a.png"), Path("in/locked"), Path("in/open/c.png")]
    assert [str(source.problem) for source in found if source.problem] == ["in/locked: Permission denied"]
    with pytest.raises(UsageError, match="in/locked: Permission denied"):
        collect(["in/locked"])


COMPOSED, SEPARATE = (unicodedata.normalize(form, "Café/é.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("listed", "stored"), [(COMPOSED, SEPARATE), (SEPARATE, COMPOSED)])
def test_a_listed_name_finds_the_file_with_its_accents_stored_in_another_way(
    here: Path, listed: str, stored: str
) -> None:
    touch(here, stored)
    assert [str(source.path) for source in collect([], listed=[listed])] == [stored]
    assert [source.problem for source in collect([listed])] == [None]


def test_of_two_files_that_differ_only_in_their_accents_each_name_means_its_own(here: Path) -> None:
    touch(here, COMPOSED, str(Path(COMPOSED).with_name(Path(SEPARATE).name)))
    both = [str(path.relative_to(here)) for path in here.glob("*/*")]
    assert sorted(str(source.path) for source in collect([], listed=both)) == sorted(both) and len(both) == 2


def test_a_name_that_no_file_can_have_is_a_problem_of_its_own(here: Path) -> None:
    found = collect(["a\0b.png", "x" * 300 + ".png"])
    assert all(source.problem is not None for source in found) and len(found) == 2


def test_each_folder_is_looked_up_once_however_much_it_holds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(here, *(f"in/{folder}/{number}.png" for folder in range(3) for number in range(50)))
    looked_up: list[str] = []
    realpath = os.path.realpath

    def watch(path: str) -> str:
        looked_up.append(path)
        return realpath(path)

    monkeypatch.setattr(os.path, "realpath", watch)
    assert len(collect(["in"], recursive=True)) == 150
    assert len(looked_up) <= 4


def test_whether_case_counts_is_found_out_without_writing(tmp_path: Path) -> None:
    touch(tmp_path, "probe/a.png", "Folder/1")
    ignored = (tmp_path / "probe/A.PNG").exists()
    assert ignores_case(tmp_path / "probe") is ignored
    assert ignores_case(tmp_path / "Folder") is ignored  # nothing in it has a case
    assert ignores_case(tmp_path / "not/yet/there") is ignored


def test_a_dash_is_stdin() -> None:
    assert collect(["-"]) == [Source(None)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
def test_names_with_anything_in_them_are_found(tmp_path: Path) -> None:
    strange = [b"with \"quotes'.png", b"line\nfeed.png", b"a b.png", "🎈.png".encode(), b"latin-\xe9.png", b"-.png"]
    strange += [b" .png", b"end .png", b"back\\slash.png", b"*.png", b"{stem}.png", "e\u0301.png".encode()]
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


def test_a_folder_sorts_before_what_it_holds() -> None:
    paths = ["x/a.png/1.png", "x/a.png", "x", "x/a.png/10.png", "x/2", "x/a.png/2"]
    assert sorted(paths, key=natural) == ["x", "x/2", "x/a.png", "x/a.png/1.png", "x/a.png/2", "x/a.png/10.png"]
