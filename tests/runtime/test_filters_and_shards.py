"""--include and --exclude choose files, and --shard divides them among machines."""

import warnings
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from img2img.errors import UsageError
from img2img.runtime.files.filters import Filters
from img2img.runtime.files.find import collect
from img2img.runtime.files.shards import owners, parse_shard, shard
from img2img.runtime.files.source import Source


def let_through(filters: Filters, file: str) -> bool:
    return filters.enter_down_to(file.rpartition("/")[0]) and filters.take(file)


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("*.png", ["a.png", "a.PNG", "deep/er/a.png", ".png"], ["a.jpg", "a.png.jpg", "a.pngx"]),
        ("IMG_??.jpg", ["img_01.jpg", "x/IMG_é1.JPG"], ["IMG_1.jpg", "IMG_123.jpg"]),
        ("a[0-9].png", ["a1.png", "x/A9.png"], ["ab.png", "a10.png"]),
        ("a[!0-9].png", ["ab.png"], ["a1.png", "a/.png"]),
        ("a[]x].png", ["a].png", "ax.png"], ["ay.png"]),
        ("a[.png", ["a[.png"], ["a.png"]),
        ("a[!].png", ["a[!].png"], ["ab.png"]),
        ("x/*.png", ["x/a.png", "X/b.png"], ["a.png", "y/x/a.png", "x/y/a.png"]),
        ("/a.png", ["a.png"], ["x/a.png"]),
        ("./x/a.png", ["x/a.png"], ["y/x/a.png"]),
        ("**/x/*.png", ["x/a.png", "y/z/x/a.png"], ["a.png", "yx/a.png"]),
        ("x/**/a.png", ["x/a.png", "x/y/z/a.png"], ["a.png", "x/b.png", "y/x/a.png"]),
        ("**", ["a.png", "x/y.png"], []),
        ("x/", ["x/a.png", "y/x/z/a.png", "X/a.png"], ["x", "x.png", "xx/a.png"]),
        ("**/x/**", ["x/a.png", "y/x/z/a.png"], ["x", "a.png", "xx/a.png"]),
        ("x/y/**", ["x/y/a.png", "x/y/z/a.png"], ["y/a.png", "z/x/y/a.png"]),
        ("é*", ["e\u0301a.png", "éb.png", "É.png"], ["e.png"]),
        ("a\nb*", ["a\nb\nc.png"], ["a b.png"]),
        ("a.p(n|)g+$", ["a.p(n|)g+$"], ["a.png"]),
    ],
)
def test_patterns_mean_what_they_mean_elsewhere(pattern: str, names: list[str], others: list[str]) -> None:
    include, exclude = Filters([pattern]), Filters(exclude=[pattern])
    for name in names:
        assert let_through(include, name) and not let_through(exclude, name), name
    for name in others:
        assert not let_through(include, name) and let_through(exclude, name), name


def test_exclude_wins_and_several_add_up() -> None:
    filters = Filters(["*.png", "keep/"], ["*_x4.*", "keep/not/"])
    files = ["a.png", "a_x4.png", "b.jpg", "keep/b.jpg", "keep/b_x4.jpg", "keep/not/b.png"]
    assert [file for file in files if let_through(filters, file)] == ["a.png", "keep/b.jpg"]


def test_exclude_means_folders_without_a_slash_as_well_and_include_does_not() -> None:
    assert not let_through(Filters(exclude=["20*"]), "2024/a.png")
    assert not let_through(Filters(["20*"]), "2024/a.png")


@pytest.mark.parametrize(
    ("pattern", "reason"), [("", "say a pattern"), ("/", "say a pattern"), ("[z-a]", "no pattern")]
)
def test_what_is_no_pattern_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"--include .*{reason}"):
        Filters([pattern])
    with pytest.raises(UsageError, match="--exclude"):
        Filters(exclude=[pattern])


PART = st.text("aAb.", min_size=1, max_size=3)
PIECE = st.one_of(
    st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]"]), min_size=1, max_size=3).map("".join)
)
PATH = st.lists(PART.filter(lambda part: part.strip(".")), min_size=1, max_size=4).map("/".join)
GLOB = st.lists(PIECE.filter(lambda piece: piece.strip(".")) | st.just("**"), min_size=1, max_size=4)


def matches(parts: list[str], pattern: list[str]) -> bool:
    """Part by part, the obvious way."""
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return True
        return matches(parts, pattern[1:]) or matches(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])


@given(PATH, GLOB)
def test_a_pattern_of_a_path_is_compared_part_by_part(path: str, pattern: list[str]) -> None:
    assume(not any("**" in piece and piece != "**" for piece in pattern))
    expected = matches(path.lower().split("/"), pattern)
    assert let_through(Filters(["/" + "/".join(pattern)]), path) is expected


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_is_refused(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            filters = Filters([pattern], [pattern])
        except UsageError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert not let_through(filters, "a/b.png") or not let_through(Filters([pattern]), "a/b.png")


@given(st.text("aé[]*?!-\\&~|^.x", min_size=1, max_size=8))
def test_a_name_with_its_wildcards_in_brackets_matches_itself(name: str) -> None:
    assume(name.strip("."))
    quoted = "".join(f"[{one}]" if one in "*?[" else one for one in name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert let_through(Filters([quoted]), name)


def test_what_is_pruned_on_the_way_is_what_would_have_been_left_out(here: Path) -> None:
    paths = [f"{one}/{two}/{three}.png" for one in "abc" for two in ("a", "b", "cache") for three in "ax"]
    for path in (*paths, "a.png", "cache.png"):
        Path("in", path).parent.mkdir(parents=True, exist_ok=True)
        Path("in", path).touch()
    every = collect(["in"], recursive=True)

    @given(st.lists(GLOB.map("/".join) | st.sampled_from(["cache/", "a/", "b"]), max_size=2), st.data())
    def check(exclude: list[str], data: st.DataObject) -> None:
        include = data.draw(st.lists(st.sampled_from(["*.png", "a/", "**/x.*", "b/**", "c/*/a.png"]), max_size=2))
        filters = Filters(include, exclude)
        expected = [s for s in every if s.path and let_through(filters, s.path.relative_to("in").as_posix())]
        try:
            assert collect(["in"], recursive=True, filters=filters) == expected
        except UsageError:
            assert expected == []

    check()


@pytest.mark.parametrize(("text", "expected"), [("3/16", (3, 16)), ("1/1", (1, 1)), (" 16/16 ", (16, 16))])
def test_a_shard_is_a_part_of_so_many(text: str, expected: tuple[int, int]) -> None:
    assert parse_shard(text) == expected


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "3/", "/4", "a/b", "-1/4", "1/0", "1.5/4", "1/4/5", "", "²/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def sources(paths: list[str], root: str | None = None) -> list[Source]:
    if root is None:
        return [Source(Path(path)) for path in paths]
    return [Source(Path(root, path), root=Path(root)) for path in paths]


PATHS = st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name.strip(".")), unique=True, max_size=40)  # fmt: skip


@given(PATHS, st.integers(1, 20), st.sampled_from([None, "in", "/mnt/in"]))
def test_shards_share_the_whole_and_keep_its_order(paths: list[str], of: int, root: str | None) -> None:
    every = sources(paths, root)
    parts = [shard(every, part, of) for part in range(1, of + 1)]
    assert sorted((source for part in parts for source in part), key=every.index) == every
    for part in parts:
        assert [source for source in every if source in part] == part


@given(PATHS, PATHS, st.integers(1, 20), st.sampled_from([None, "in", "/mnt/in"]))
def test_a_list_that_has_grown_or_another_order_gives_no_file_to_another_shard(
    paths: list[str], more: list[str], of: int, root: str | None
) -> None:
    grown = list(dict.fromkeys([*more, *reversed(paths)]))
    for part in range(1, of + 1):
        before = {source.path for source in shard(sources(paths, root), part, of)}
        after = {source.path for source in shard(sources(grown, root), part, of)}
        assert {path for path in after if path in {source.path for source in sources(paths, root)}} == before


@given(PATHS, st.integers(2, 20))
def test_where_the_files_are_mounted_does_not_matter(paths: list[str], of: int) -> None:
    def of_each(*every: Source) -> list[list[str]]:
        return [[source.path.name for source in shard(every, part, of) if source.path] for part in range(1, of + 1)]

    there, elsewhere = sources(paths, "/mnt/data/photos"), sources(paths, "/in")
    assert of_each(*there) == of_each(*elsewhere) == of_each(*sources(paths, "photos"))
    single = [Source(source.path) for source in there]
    single_elsewhere = [Source(source.path) for source in elsewhere]
    assert of_each(*single) == of_each(*single_elsewhere) == of_each(*there)


@pytest.mark.parametrize(
    ("path", "root"),
    [("in/{:05d}.jpg", "in"), ("/data/{}/image.png", None), ("in/{}/image.png", "in/{}")],
    ids=["one folder", "one name in many folders", "many folders named"],
)
def test_shards_are_even(path: str, root: str | None) -> None:
    every = [Source(Path(path.format(n)), root=None if root is None else Path(root.format(n))) for n in range(8000)]
    sizes = Counter(owners(every, 16))
    assert sorted(sizes) == list(range(1, 17))
    assert min(sizes.values()) >= 400 and max(sizes.values()) <= 600  # 500, and 4.6 times the deviation of chance


def test_machines_of_any_kind_and_release_agree() -> None:
    names = ["a.png", "deep/b.jpg", "e\u0301.png", "é.png", "c d.tif"]
    dealt = {name: part for part in range(1, 17) for name in names if shard(sources([name], "in"), part, 16)}
    assert dealt == {"a.png": 7, "deep/b.jpg": 6, "e\u0301.png": 15, "é.png": 15, "c d.tif": 13}
