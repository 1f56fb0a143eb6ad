"""Where results are written, and which requests are refused before any work."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import jobs as module
from img2img.runtime.files.find import collect
from img2img.runtime.files.jobs import Existing, Job, describe, plan
from img2img.runtime.files.naming import Naming, output_folder, safe_name, with_suffix
from img2img.runtime.files.source import Source


def jobs(
    *inputs: str,
    output: str | None = None,
    format: str | None = None,
    existing: Existing = Existing.SKIP,
    suffix: str | None = None,
    deep: bool = True,
) -> list[Job]:
    for name in inputs:
        if not Path(name).suffix or "*" in name:
            continue
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    sources = collect(inputs, recursive=deep, exclude=output_folder(output))
    namings = [Naming("_x4", output, format, model="tiny", scale="4")]
    return plan(sources, namings if suffix is None else with_suffix(namings, suffix), existing=existing)


def targets(*inputs: str, **options: str | None) -> list[str | None]:
    return [job.target.as_posix() if job.target else None for job in jobs(*inputs, **options)]  # type: ignore[arg-type]


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("photo.png", "photo_x4.png"),
        ("a b/photo.JPG", "a b/photo_x4.JPG"),
        ("photo.jpeg", "photo_x4.jpeg"),
        ("old.gif", "old_x4.png"),
        ("a.b.tif", "a.b_x4.tif"),
    ],
)
def test_beside_the_input_with_the_scale_in_the_name(here: Path, given: str, expected: str) -> None:
    assert targets(given) == [expected]


@pytest.mark.parametrize(
    ("given", "output", "expected"),
    [
        ("photo.png", None, "photo_large.png"),
        ("photo.png", "new/", "new/photo_large.png"),
        ("photos/a.b/photo.tif", "new", "new/photo_large.tif"),
    ],
)
def test_a_suffix_takes_the_place_of_the_default_one_and_is_added_in_a_folder(
    here: Path, given: str, output: str | None, expected: str
) -> None:
    assert targets(given, output=output, suffix="_large") == [expected]


def test_the_results_of_a_folder_keep_their_names_in_a_folder_with_the_suffix(here: Path) -> None:
    touch("photos/a.png", "photos/sub/b.png")
    assert targets("photos", suffix="_large") == ["photos_large/a.png", "photos_large/sub/b.png"]
    assert targets("photos", output="new", suffix="_large") == ["new/a_large.png", "new/sub/b_large.png"]


def test_several_results_keep_their_own_suffix_before_the_wanted_one(here: Path) -> None:
    touch("a.png")
    namings = with_suffix([Naming("_blob", domain="blob"), Naming("_noto", domain="noto")], "_new")
    assert [job.target for job in plan(collect(["a.png"]), namings)] == [Path("a_blob_new.png"), Path("a_noto_new.png")]


@pytest.mark.parametrize("output", ["new.png", "{stem}.png", "-"])
def test_a_suffix_is_refused_where_the_whole_name_is_given(here: Path, output: str) -> None:
    with pytest.raises(UsageError, match=r"next to their inputs or in a folder.*-o"):
        targets("a.png", output=output, suffix="_large")


@pytest.mark.parametrize("suffix", ["/x", "../x", "a\\b", "\0"])
def test_a_suffix_cannot_leave_the_folder(here: Path, suffix: str) -> None:
    with pytest.raises(UsageError, match="part of a file name"):
        targets("a.png", suffix=suffix)


@pytest.mark.parametrize(("suffix", "message"), [("_{scale}", "go into -o"), ("x" * 101, "at most 100 characters")])
def test_a_suffix_is_short_and_no_template(here: Path, suffix: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        targets("a.png", suffix=suffix)


def test_a_picture_from_stdin_goes_to_stdout_so_it_has_no_suffix() -> None:
    with pytest.raises(UsageError, match="stdout"):
        with_suffix([Naming("_x4")], "_large", from_stdin=True)


def test_format_changes_the_extension_unless_it_means_the_same(here: Path) -> None:
    assert targets("a.png", "b.jpeg", format="jpg") == ["a_x4.jpg", "b_x4.jpeg"]


def test_a_folders_results_go_to_a_folder_beside_it_and_keep_names_and_tree(here: Path) -> None:
    touch("photos/a.png", "photos/deep/a.png", "photos/b.gif")
    assert targets("photos") == ["photos_x4/a.png", "photos_x4/b.png", "photos_x4/deep/a.png"]


def test_the_folder_one_is_in_gets_a_sibling(here: Path) -> None:
    touch("a.png")
    assert targets(".") == [f"{here.as_posix()}_x4/a.png"]


def test_an_output_folder_keeps_the_names(here: Path) -> None:
    touch("photos/deep/b.png")
    assert targets("a.png", "photos", output="out") == ["out/a.png", "out/deep/b.png"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("large.webp", "large.webp"),
        ("new/", "new/photo.png"),
        ("new", "new/photo.png"),
        ("v1.2/", "v1.2/photo.png"),
        ("there.d", "there.d/photo.png"),
        ("{stem}_{model}.{ext}", "photo_tiny.png"),
        ("{dir}/{name}-{scale}.tif", "in/photo.png-4.tif"),
        ("{model}/", "tiny/photo.png"),
        ("all/{dir}/{stem}.{ext}", "all/in/photo.png"),
        ("all/{sub}/{stem}.{ext}", "all/photo.png"),
    ],
)
def test_an_output_is_a_file_a_folder_or_a_template(here: Path, output: str, expected: str) -> None:
    (here / "there.d").mkdir()
    assert targets("in/photo.png", output=output) == [expected]


def test_stdin_goes_to_stdout_unless_told_otherwise(here: Path) -> None:
    assert targets("-") == [None]
    assert targets("-", output="x.png") == ["x.png"]
    assert targets("-", output="out/") == ["out/stdin.png"]
    assert targets("a.png", output="-") == [None]


@pytest.mark.parametrize(
    ("inputs", "options", "expected"),
    [
        (("a.png", "b.png"), {"output": "one.png"}, "one file"),
        (("a.png", "b.png"), {"output": "-"}, "-o - takes one picture"),
        (("-", "b.png"), {"output": "-"}, "-o - takes one picture"),
        (("x/a.png", "y/a.png"), {"output": "out"}, "x/a.png and y/a.png would both become out/a.png"),
        (("a.png", "a.jpg"), {"format": "webp"}, "both become a_x4.webp"),
        (("a.png", "b.png"), {"output": "{model}.png"}, "both become tiny.png"),
        (("a.png",), {"output": "a.png"}, "replaced by its own result"),
        (("a.png",), {"output": "."}, "replaced by its own result"),
        (("a.png",), {"output": "{stme}.png"}, r"unknown field \{stme\}; there are \{stem\}"),
        (("a.png",), {"output": "{stem.__class__}.png"}, "unknown field"),
        (("a.png",), {"output": "{stem!r}.png"}, "a field is only a name"),
        (("a.png",), {"output": "{stem"}, "a brace without its partner"),
        (("a.png",), {"output": "b.gif"}, "cannot write b.gif"),
        (("a.png",), {"output": "b.jpg", "format": "png"}, "contradicts"),
        (("a.png",), {"output": ""}, "-o is empty"),
    ],
)
def test_contradicting_options_are_refused(
    here: Path, inputs: tuple[str, ...], options: dict[str, str], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        targets(*inputs, **options)


def test_a_folder_upscaled_into_itself_is_refused(here: Path) -> None:
    touch("photos/a.png")
    with pytest.raises(UsageError, match="replaced by its own result"):
        targets("photos", output="photos")


def test_overwrite_lets_a_result_take_the_place_of_its_input(here: Path) -> None:
    (job,) = jobs("a.png", output="a.png", existing=Existing.OVERWRITE)
    assert job.overwrite and job.skip is None and job.problem is None


def test_a_link_to_the_input_is_the_input(here: Path) -> None:
    touch("a.png")
    Path("b.png").symlink_to("a.png")
    with pytest.raises(UsageError, match="replaced by its own result"):
        targets("a.png", output="b.png")


def test_existing_outputs_are_skipped_by_default(here: Path) -> None:
    touch("a_x4.png")
    first, second = jobs("a.png", "b.png")
    assert first.skip == "a_x4.png exists" and second.skip is None
    assert (first.exists, second.exists) == (True, False)


def test_fail_refuses_before_anything_is_done(here: Path) -> None:
    touch("a_x4.png", "b_x4.png")
    with pytest.raises(UsageError, match=r"a_x4.png exists \(and 1 more\)"):
        jobs("a.png", "b.png", "c.png", existing=Existing.FAIL)


@pytest.mark.parametrize("existing", [Existing.SKIP, Existing.OVERWRITE])
def test_a_second_call_does_not_upscale_the_results_of_the_first(here: Path, existing: Existing) -> None:
    touch("a.png", "a_x4.png", "a_x4_x4.png", "b.png")
    planned = {str(job.source): job for job in jobs("a*.png", "b.png", existing=existing)}
    assert "by its name the result of a.png" in (planned["a_x4.png"].skip or "")
    assert "by its name the result of a_x4.png" in (planned["a_x4_x4.png"].skip or "")
    assert planned["b.png"].skip is None
    assert (planned["a.png"].skip is None) == (existing is Existing.OVERWRITE)


def test_a_second_call_on_all_folders_does_not_upscale_the_results_of_the_first(here: Path) -> None:
    touch("photos/a.png", "photos_x4/a.png")
    planned = {job.source: job for job in jobs("photos*")}
    assert "the result of" in (planned[Path("photos_x4/a.png")].skip or "")


def test_a_target_that_is_a_folder_is_a_problem_of_that_file_alone(here: Path) -> None:
    touch("a_x4.png/x")
    first, second = jobs("a.png", "b.png")
    assert isinstance(first.problem, PictureError) and "is a folder" in str(first.problem)
    assert second.problem is None


def test_a_file_where_the_output_folder_should_be_is_found_out_beforehand(here: Path) -> None:
    touch("file")
    (job,) = jobs("a.png", output="file/out/b.png")
    assert "file is not a folder" in str(job.problem)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_found_out_beforehand(here: Path) -> None:
    touch("locked/x")
    Path("locked").chmod(0o500)
    (job,) = jobs("a.png", output="locked/")
    assert "no permission" in str(job.problem)


def test_a_problem_of_the_source_passes_through(here: Path) -> None:
    problem = PictureError("gone")
    (job,) = plan([Source(Path("x.png"), problem=problem)], Naming("_x4"))
    assert job.problem is problem and job.target is None


def test_where_nothing_can_be_lost_nothing_exists(here: Path) -> None:
    (job,) = jobs("a.png", output=os.devnull, format="png")
    assert job.skip is None and job.target == Path(os.devnull)


def several(*names: str, output: str | None = None) -> list[Job]:
    namings = [Naming(f"_{domain}", output, domain=domain) for domain in ("old", "new")]
    return plan([Source(Path(name)) for name in names], namings)


def test_several_namings_make_a_job_each_that_knows_its_domain(here: Path) -> None:
    made = [(job.source, job.target, job.domain) for job in several("a.png", "b.png")]
    assert made == [(Path(f"{n}.png"), Path(f"{n}_{d}.png"), d) for n in "ab" for d in ("old", "new")]
    folders = [(job.target, job.domain) for job in several("a.png", output="{domain}/{stem}.{ext}")]
    assert folders == [(Path("old/a.png"), "old"), (Path("new/a.png"), "new")]


def test_results_of_one_picture_that_only_their_domain_tells_apart_need_it_in_the_name(here: Path) -> None:
    with pytest.raises(UsageError, match=r"a.png as old and as new would become .*\{stem\}_\{domain\}"):
        several("a.png", output="{stem}x.{ext}")
    with pytest.raises(UsageError, match="one file, but 2 results"):
        several("a.png", output="b.png")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blond", "blond"),
        ("Zèbre-2_x.1", "Zèbre-2_x.1"),
        ("sky blue", "sky_blue"),
        ("a/b\\c", "a_b_c"),
        ("..", "_"),
        ("", "_"),
        ("{x}", "_x_"),
        ("$(rm *);'\"`&|\n\x1b[31m\u202e%\0~", "__rm____________31m____"),
        ("n" * 300, "n" * 100),
    ],
)
def test_a_name_from_a_card_becomes_a_part_of_a_file_name(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_a_template_can_keep_the_tree_below_a_folder_anywhere(here: Path) -> None:
    touch("photos/a.png", "photos/deep/er/a.png")
    root = (here / "results").as_posix()
    expected = [f"{root}/a_tiny.png", f"{root}/deep/er/a_tiny.png"]
    for given in ("photos", str(here / "photos"), "./photos/"):
        assert targets(given, output=f"{root}/{{sub}}/{{stem}}_{{model}}.{{ext}}") == expected


def test_newer_does_again_only_what_was_changed_after_its_result(here: Path) -> None:
    touch("old.png", "old_x4.png", "same.png", "same_x4.png", "new.png", "new_x4.png", "fresh.png")
    for name, seconds in {"old": 1000, "same": 2000, "new": 3000}.items():
        os.utime(f"{name}.png", (seconds, seconds))
        os.utime(f"{name}_x4.png", (2000, 2000))
    planned = jobs_of("old.png", "same.png", "new.png", "fresh.png", existing=Existing.NEWER)
    assert [job.skip for job in planned] == [
        "old_x4.png is not older than its input", "same_x4.png is not older than its input", None, None,
    ]  # fmt: skip
    assert all(job.overwrite for job in planned)


def test_newer_looks_through_links_and_takes_stdin_for_new(here: Path) -> None:
    touch("a.png", "real.png")
    Path("a_x4.png").symlink_to("real.png")
    os.utime("a.png", (2000, 2000))
    for seconds, redone in ((1000, True), (3000, False)):
        os.utime("real.png", (seconds, seconds))
        (job,) = jobs_of("a.png", existing=Existing.NEWER)
        assert (job.skip is None) is redone
    (job,) = jobs("-", output="real.png", existing=Existing.NEWER)
    assert job.skip is None and job.overwrite


def test_newer_does_not_let_a_result_take_the_place_of_its_input(here: Path) -> None:
    with pytest.raises(UsageError, match="replaced by its own result"):
        jobs("a.png", output="a.png", existing=Existing.NEWER)


def jobs_of(*names: str, existing: Existing) -> list[Job]:
    """As `jobs`, with files that are there already."""
    return plan([Source(Path(name)) for name in names], Naming("_x4"), existing=existing)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs permissions")
def test_a_result_that_is_there_is_skipped_even_where_nothing_may_be_written(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("a.png", "a_x4.png", "b.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    first, second = jobs_of("a.png", "b.png", existing=Existing.SKIP)
    assert first.skip == "a_x4.png exists" and first.problem is None
    assert "no permission" in str(second.problem)


def test_names_that_differ_in_case_alone_are_refused_where_case_does_not_count(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Source(Path("x/Photo.png")), Source(Path("y/photo.png"))]
    asked: list[Path] = []

    def yes(folder: Path) -> bool:
        asked.append(folder)
        return True

    monkeypatch.setattr(module, "ignores_case", yes)
    with pytest.raises(UsageError, match=r"x/Photo.png and y/photo.png would both become out/photo.png"):
        plan(sources, Naming("_x4", "out"))
    assert asked == [Path("out")] or sys.platform in ("darwin", "win32")  # these know without asking
    monkeypatch.setattr(module, "ignores_case", lambda folder: False)
    if sys.platform not in ("darwin", "win32"):
        assert [job.target for job in plan(sources, Naming("_x4", "out"))] == [
            Path("out/Photo.png"), Path("out/photo.png"),
        ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_two_results_that_would_replace_one_file_through_a_link_are_refused(here: Path) -> None:
    touch("out/a.png", "a.png", "b.png")
    Path("out/b.png").symlink_to("a.png")
    with pytest.raises(UsageError, match=r"a.png and b.png would both become out/b.png"):
        jobs("a.png", "b.png", output="out", existing=Existing.OVERWRITE)
    assert [job.skip for job in jobs("a.png", "b.png", output="out")] == ["out/a.png exists", "out/b.png exists"]


def test_the_shards_of_a_plan_are_the_plan(here: Path) -> None:
    touch(*(f"in/{folder}/{number}.png" for folder in "abc" for number in range(9)))
    sources, namings = collect(["in"], recursive=True), [Naming("_x", f"out/{d}", domain=d) for d in ("o", "n")]
    whole = plan(sources, namings)
    parts = [plan(sources, namings, shard=(part, 4)) for part in (1, 2, 3, 4)]
    assert sorted((job for part in parts for job in part), key=whole.index) == whole
    assert all(len({job.domain for job in part}) == 2 and len(part) < len(whole) for part in parts)


def test_two_inputs_with_one_output_are_refused_by_every_shard_alike() -> None:
    sources = [Source(Path(f"{folder}/a.png")) for folder in "xyz"]
    messages = set()
    for part in range(1, 9):
        with pytest.raises(UsageError, match=r"would both become out/a.png") as error:
            plan(sources, Naming("_x4", "out"), shard=(part, 8))
        messages.add(str(error.value))
    assert len(messages) == 1


def test_a_shard_does_not_mind_what_the_others_have_written(here: Path) -> None:
    touch(*(f"in/{number}.png" for number in range(20)))
    sources, naming = collect(["in"]), Naming("_x4", "out")
    for part in (1, 2, 3):
        mine = plan(sources, naming, existing=Existing.FAIL, shard=(part, 3))
        touch(*(str(job.target) for job in mine))
    with pytest.raises(UsageError, match=r"exists \(and 19 more\)"):
        plan(sources, naming, existing=Existing.FAIL)


def test_the_fate_of_a_job_is_described_on_one_line(here: Path) -> None:
    touch("b.png", "b_x4.png")
    sources = [Source(Path("line\nfeed.png")), Source(Path("b.png")), Source(None)]
    sources.append(Source(Path("c.png"), problem=PictureError("c.png: no such file or folder", path="c.png")))
    assert [describe(job) for job in plan(sources, Naming("_x4"))] == [
        r"line\nfeed.png -> line\nfeed_x4.png",
        "skipped: b.png: b_x4.png exists",
        "stdin -> stdout",
        "failed: c.png: no such file or folder",
    ]
    touch("d_x4.png/x")
    (job,) = plan([Source(Path("d.png"))], Naming("_x4"))
    assert describe(job) == "failed: d.png: d_x4.png: cannot be written: it is a folder"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on Unicode")
def test_names_with_anything_in_them_are_kept_byte_for_byte(here: Path) -> None:
    strange = [
        b"with \"quotes'.png",
        b"line\nfeed.png",
        b" a b .png",
        "🎈.png".encode(),
        b"latin-\xe9.png",
        b"{stem}.png",
    ]
    for name in strange:
        touch("in/" + os.fsdecode(name))
    sources = collect(["in"])
    for output in ("out", "out/{sub}/{stem}.{ext}", "{model}-{dir}/{name}"):
        made = plan(sources, Naming("_x4", output, model="tiny"))
        assert sorted(os.fsencode(job.target.name) for job in made if job.target) == sorted(strange)
        lines = [describe(job) for job in made]
        assert all(len(line.splitlines()) == 1 and line.encode() for line in lines)


@hypothesis.given(text=st.text())
def test_any_name_from_a_card_stays_inside_the_folder(text: str) -> None:
    name = safe_name(text)
    assert name.strip(".") and all(one.isalnum() or one in "-_." for one in name)
