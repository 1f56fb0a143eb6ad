"""Where results go, and which wishes are refused before any work."""

import os
from pathlib import Path

import pytest

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import Source, collect
from img2img.runtime.targets import Existing, Job, Naming, as_part, output_folder, plan


def jobs(
    *inputs: str,
    output: str | None = None,
    format: str | None = None,
    existing: Existing = Existing.SKIP,
    deep: bool = True,
) -> list[Job]:
    for name in inputs:
        if not Path(name).suffix or "*" in name:
            continue
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    sources = collect(inputs, recursive=deep, exclude=output_folder(output))
    return plan(sources, Naming("_x4", output, format, model="tiny", scale="4"), existing=existing)


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
        (("a.png",), {"output": "{stem!r}.png"}, "unknown field"),
        (("a.png",), {"output": "{stem"}, "expected '}'"),
        (("a.png",), {"output": "b.gif"}, "cannot write b.gif"),
        (("a.png",), {"output": "b.jpg", "format": "png"}, "contradicts"),
        (("a.png",), {"output": ""}, "-o is empty"),
    ],
)
def test_wishes_that_contradict_themselves_are_refused(
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
    made = [(job.target, job.domain) for job in several("a.png", output="{domain}/{stem}.{ext}")]
    assert made == [(Path("old/a.png"), "old"), (Path("new/a.png"), "new")]


def test_results_of_one_picture_that_only_their_domain_tells_apart_need_it_in_the_name(here: Path) -> None:
    with pytest.raises(UsageError, match=r"a.png as old and as new would become .*\{stem\}_\{domain\}"):
        several("a.png", output="{stem}x.{ext}")
    with pytest.raises(UsageError, match="one file, but 2 results"):
        several("a.png", output="b.png")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("blond", "blond"), ("sky blue", "sky blue"), ("a/b\\c", "a_b_c"), ("..", "_"), ("", "_"), ("{x}", "_x_")],
)
def test_a_name_from_a_card_becomes_a_part_of_a_file_name(text: str, expected: str) -> None:
    assert as_part(text) == expected
