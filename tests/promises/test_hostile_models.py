"""Models from strangers: networks that never end, cards with absurd numbers, and links in place of the journal."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from conftest import Outcome, environment

onnx = pytest.importorskip("onnx")
Photo = Callable[..., Path]
Run = Callable[..., Outcome]


def endless(path: Path, card: dict[str, object] | None) -> Path:
    """A network whose loop never ends."""
    make, kind = onnx.helper, onnx.TensorProto
    info = make.make_tensor_value_info
    body = make.make_graph(
        [make.make_node("Identity", ["go_in"], ["go_out"]), make.make_node("Identity", ["value"], ["same"])],
        "body",
        [info("i", kind.INT64, []), info("go_in", kind.BOOL, []), info("value", kind.FLOAT, None)],
        [info("go_out", kind.BOOL, []), info("same", kind.FLOAT, None)],
    )
    shape = ["N", 3, "H", "W"]
    graph = make.make_graph(
        [make.make_node("Loop", ["", "go", "image"], ["result"], body=body)],
        "endless",
        [info("image", kind.FLOAT, shape)],
        [info("result", kind.FLOAT, shape)],
        [onnx.numpy_helper.from_array(np.array(True), "go")],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    if card is not None:
        make.set_model_props(model, {"img2img": json.dumps(card)})
    onnx.save(model, str(path))
    return path


def slow_to_load(path: Path, card: dict[str, object] | None) -> Path:
    """A network with a constant that onnxruntime computes for minutes while it loads the file."""
    make, kind = onnx.helper, onnx.TensorProto
    one = make.make_tensor("one", kind.FLOAT, [1], [1e-4])
    nodes = [make.make_node("ConstantOfShape", ["shape"], ["c0"], value=one)]
    nodes += [make.make_node("MatMul", [f"c{i}", "c0"], [f"c{i + 1}"]) for i in range(500)]
    nodes += [make.make_node("ReduceMean", ["c500"], ["mean"], keepdims=0)]
    nodes += [make.make_node("Add", ["image", "mean"], ["result"])]
    sides = ["N", 3, "H", "W"]
    ends = [[make.make_tensor_value_info(name, kind.FLOAT, sides)] for name in ("image", "result")]
    graph = make.make_graph(nodes, "slow", *ends, [onnx.numpy_helper.from_array(np.array([2500, 2500]), "shape")])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    if card is not None:
        make.set_model_props(model, {"img2img": json.dumps(card)})
    onnx.save(model, str(path))
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("words", "with_card"),
    [
        (["models", "verify", "endless.onnx"], True),
        (["upscale", "a.png", "-o", "b.png", "-m", "endless.onnx"], True),
        (["upscale", "a.png", "-o", "b.png", "-m", "endless.onnx"], False),  # it is probed
        (["upscale", "a.png", "c.png", "-o", "out", "-m", "endless.onnx"], True),
        (["upscale", "-", "--raw", "4x4", "-m", "endless.onnx"], True),
        (["models", "verify", "slow.onnx"], False),
        (["upscale", "a.png", "-o", "b.png", "-m", "slow.onnx"], True),
        (["export", "slow.onnx", "-p", "fp16", "-o", "b.onnx"], True),
    ],
)
def test_ctrl_c_ends_a_network_that_never_ends(
    here: Path, photo: Photo, words: list[str], with_card: bool, number: int
) -> None:
    if words[0] == "export":
        pytest.importorskip("torch")
    photo(here / "a.png"), photo(here / "c.png")
    for make, name in ((endless, "endless.onnx"), (slow_to_load, "slow.onnx")):
        make(here / name, onnx_nets.card(scale=1) if with_card else None)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell that starts the tests in the background has SIGINT ignored, and children inherit that.
    handler = "default_int_handler" if number == signal.SIGINT else "SIG_DFL"
    program = "import signal, sys; signal.signal({}, signal.{}); from img2img.cli import main; sys.exit(main())"
    start = [sys.executable, "-c", program.format(int(number), handler), *words]
    with subprocess.Popen(start, **pipes, env=environment()) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(bytes(480))
        running.stdin.flush()
        time.sleep(2.5 if words[0] != "export" else 6)  # torch takes some seconds to import
        assert running.poll() is None
        began = time.monotonic()
        running.send_signal(number)
        _, err = running.communicate(timeout=30)
    assert time.monotonic() - began < 8
    assert running.returncode == 130 and err.decode().splitlines()[-1] == "interrupted", err
    assert not (here / "b.png").exists()


def test_loading_has_a_time_limit(here: Path, photo: Photo) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        """In a process of its own: the thread that loads never ends, and takes a core and more and more memory."""
        limit = "import sys; from img2img.runtime.network import devices; devices.LIMIT = 1.0"
        words = (sys.executable, "-c", f"{limit}; from img2img.cli import main; sys.exit(main())", *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment(), check=False)

    photo(here / "a.png")
    for name, card in (("bare.onnx", None), ("with.onnx", onnx_nets.card(scale=1))):
        done = run("upscale", "a.png", "-m", slow_to_load(here / name, card).name)
        assert done.returncode == 2 and done.stderr == f"error: {name}: loading it does not finish within 1 s\n"
        done = run("models", "verify", name)
        assert done.returncode == 1 and "failed   loading it does not finish within 1 s" in done.stdout


def test_probing_and_verifying_have_a_time_limit(
    here: Path, photo: Photo, img2img: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from img2img.runtime.network.devices import StoppableSession

    monkeypatch.setattr(StoppableSession.limited.__wrapped__, "__defaults__", (1.0,))  # type: ignore[attr-defined]
    photo(here / "a.png")
    done = img2img("upscale", "a.png", "-m", endless(here / "bare.onnx", None))
    assert done.status == 2 and "does not finish within 1 s" in done.err and done.err.count("\n") == 1
    done = img2img("models", "verify", endless(here / "with.onnx", onnx_nets.card(scale=1)))
    assert done.status == 1 and b"failed   it does not finish within 1 s" in done.out


@pytest.mark.parametrize(
    "number",
    ['{"metrics": {"a": {"b": BIG}}}', '{"parameters": BIG}', '{"new": [BIG]}', '{"new": NaN}', '{"new": 1e999}'],
)
def test_one_bad_card_in_the_folder_is_one_line_and_the_rest_works(
    here: Path, photo: Photo, img2img: Run, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    (here / "models").mkdir()
    onnx_nets.compact(here / "models/upscale-x4.onnx", scale=4, share=0.05)
    path = onnx_nets.compact(here / "models/bad.onnx", scale=4)
    model = onnx.load(path)
    card = json.dumps(onnx_nets.card())[:-1] + ", " + number.replace("BIG", "9" * 400)[1:]
    onnx.helper.set_model_props(model, {"img2img": card})
    onnx.save(model, str(path))
    monkeypatch.setenv("IMG2IMG_MODELS", str(here / "models"))
    photo(here / "a.png")
    done = img2img("models")
    assert done.status == 0 and b"upscale-x4" in done.out and b"unreadable" in done.out
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert "bad.onnx" in line
    lines = img2img("models", "--json").out.splitlines()
    for one in lines:
        json.loads(one, parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
    assert img2img("upscale", "a.png", "-o", "b.png").status == 0
    assert img2img("upscale", "a.png", "-o", "c.png", "-m", "bad").status == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
@pytest.mark.parametrize("name", [".img2img.jsonl", ".img2img.lock"])
def test_links_in_place_of_the_journal_are_not_followed(
    here: Path, photo: Photo, img2img: Run, models: Path, name: str
) -> None:
    photo(here / "in/a.png")
    (here / "out").mkdir()
    (here / "out" / name).symlink_to(here / "victim")
    done = img2img("upscale", "in", "-o", "out")
    assert not (here / "victim").exists() and "bug" not in done.err
    assert (done.status == 1 and "symbolic link" in done.err) if name.endswith("jsonl") else done.status == 0
