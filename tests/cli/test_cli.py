"""The command line as a whole: what is imported, what is said, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome, environment

import img2img as package
from img2img.cli import app, main
from img2img.errors import Img2ImgError, UsageError

Run = Callable[..., Outcome]


def imported(done: Outcome) -> set[str]:
    """Modules that a process run with -X importtime has imported."""
    return {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make `img2img models` raise."""

    def arrange(error: BaseException) -> None:
        def run(args: object) -> int:
            raise error

        monkeypatch.setattr(app, "run", run)

    return arrange


def test_help_lists_every_command_and_imports_none(command: Run) -> None:
    done = command("--help", python=("-X", "importtime"))
    assert done.status == 0
    listed = done.out.decode()
    for name, (_, help_line) in app.COMMANDS.items():
        assert f"{name} " in listed and help_line.split(":")[0] in listed
    heavy = {"numpy", "onnxruntime", "PIL", "torch", "rich", "img2img.cli.upscale", "img2img.cli.train"}
    heavy |= {"fsspec", "pathspec", "platformdirs", "psutil"}
    assert "img2img.cli.app" in imported(done) and not heavy & imported(done)


@pytest.mark.parametrize("name", ["upscale", "models"])
def test_every_command_has_help(name: str, img2img: Run) -> None:
    done = img2img(name, "--help")
    assert done.status == 0 and done.out.decode().startswith(f"Usage: img2img {name} ")


def test_options_are_listed_in_sections(img2img: Run) -> None:
    shown = img2img("upscale", "-h").out.decode()
    assert shown.index("\nOutput:") < shown.index("--existing") < shown.index("\nModel:") < shown.index("--tile")


def test_version(img2img: Run) -> None:
    done = img2img("--version")
    assert (done.status, done.out.decode()) == (0, f"img2img {package.__version__}\n")


def test_nothing_asked_for_shows_the_help_and_is_a_usage_error(img2img: Run) -> None:
    done = img2img()
    assert done.status == 2 and done.out == b"" and "Commands:" in done.err


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["upscal", "x.png"], "no such command: 'upscal'; did you mean 'upscale'?"),
        (["frobnicate"], "no such command: 'frobnicate'; commands: upscale"),
        ([__file__], "to enlarge that file: img2img upscale "),
        (["upscale"], "name pictures, folders, or - for stdin"),
        (["upscale", "x.png", "--modell", "y"], "--model"),
        (["upscale", "x.png", "--existing", "ask"], "'skip', 'overwrite', 'fail'"),
        (["upscale", "x.png", "--quality", "101"], "'--quality'"),
        (["upscale", "x.png", "--format", "gif"], "'png'"),
        (["--loud"], "--loud"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(img2img: Run, args: list[str], expected: str) -> None:
    done = img2img(*args)
    assert done.status == 2 and done.out == b""
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert expected in done.err


def test_an_expected_error_is_one_line_with_its_status(img2img: Run, failing: Callable[..., None]) -> None:
    failing(UsageError("no such thing"))
    assert img2img("models") == Outcome(2, b"", "error: no such thing\n")
    failing(Img2ImgError("with a\nline feed"))
    assert img2img("models") == Outcome(1, b"", "error: with a\\nline feed\n")


def test_a_bug_is_one_line_and_how_to_see_more(img2img: Run, failing: Callable[..., None]) -> None:
    failing(ZeroDivisionError("division\nby zero"))
    done = img2img("models")
    assert done.status == 1
    assert done.err.splitlines() == [
        "error: ZeroDivisionError: division by zero",
        "this is a bug in img2img; run again with --debug for the traceback",
    ]


@pytest.mark.parametrize("args", [["--debug", "models"], ["models", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(
    img2img: Run, failing: Callable[..., None], args: list[str]
) -> None:
    failing(ZeroDivisionError("0"))
    done = img2img(*args)
    assert done.status == 1 and "Traceback" in done.err and "test_cli.py" in done.err
    failing(UsageError("no"))
    assert "Traceback" in img2img(*args).err


def test_debug_after_two_dashes_is_a_file_name() -> None:
    assert app.without_debug(["upscale", "--", "--debug"]) == (["upscale", "--", "--debug"], False)
    assert app.without_debug(["--debug", "upscale", "x", "--debug"]) == (["upscale", "x"], True)


def test_ctrl_c_is_130(img2img: Run, failing: Callable[..., None]) -> None:
    failing(KeyboardInterrupt())
    assert img2img("models") == Outcome(130, b"", "interrupted\n")


def test_the_signal_handlers_of_a_caller_are_put_back(img2img: Run) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    img2img("--version")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_reader_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "img2img", "--help"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, env=environment(), check=False)
    os.close(writer)
    assert done.returncode == 1 and done.stderr == b""


def test_shell_completion_knows_the_commands_without_importing_them(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_IMG2IMG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "img2img ")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = command(python=("-X", "importtime"))
    assert set(app.COMMANDS) <= set(done.out.decode().split())
    assert "img2img.cli.upscale" not in imported(done)


def test_the_table_names_commands_that_exist() -> None:
    for target, help_line in app.COMMANDS.values():
        module, function = target.split(":")
        path = Path(package.__file__).parents[1] / (module.replace(".", "/") + ".py")
        assert f"def {function}(" in path.read_text(encoding="utf-8") and help_line.endswith(".")


def test_models_lists_name_task_scale_and_place(img2img: Run, models: Path) -> None:
    done = img2img("models")
    header, *rows = done.out.decode().splitlines()
    assert header.split() == ["name", "task", "scale", "parameters", "precision", "where"]
    row = next(row for row in rows if row.startswith("upscale-x2 "))
    assert row.split()[:3] == ["upscale-x2", "upscale", "x2"] and str(models / "upscale-x2.onnx") in row
    assert str(models) in done.err


def test_models_as_json_gives_whole_cards(img2img: Run, models: Path) -> None:
    lines = [json.loads(line) for line in img2img("models", "--json").out.splitlines()]
    found = {line["name"]: line for line in lines}
    assert found["upscale-x4"]["card"]["scale"] == 4
    assert found["upscale-x4"]["path"] == str(models / "upscale-x4.onnx")


def test_a_broken_model_file_is_listed_with_its_problem(
    img2img: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    monkeypatch.setenv("IMG2IMG_MODELS", str(tmp_path))
    done = img2img("models")
    assert done.status == 0 and "broken" in done.out.decode() and "warning: " in done.err


def test_main_takes_the_process_arguments_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["img2img", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("img2img ")
