"""Estimates of time and memory: the arithmetic, the measurement, its cache, and memory limits."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_nets
import platformdirs
import pytest
from conftest import environment
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from platformdirs import macos, unix, windows

from img2img.errors import DeviceError, ModelError, UsageError
from img2img.runtime.network import cache, cpu, estimate, memory, models, speed
from img2img.runtime.network.card import Card
from img2img.runtime.network.estimate import Speed
from img2img.runtime.network.grid import Grid
from img2img.text import show_duration

MB = 1 << 20
CARD = Card(name="net", task="upscale", scale=4, context=12)
SLOW = Speed(seconds_per_megapixel=6.0, bytes_per_pixel=600.0, base=71 * MB, device="cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMG2IMG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arithmetic as in a process of its own, not in one that runs hundreds of tests."""
    monkeypatch.setattr(memory, "resident", lambda: 0)


class Measurements:
    """Stands in for the process that measures: gives what is in `speeds`, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **speeds: float) -> None:
        self.speeds = speeds
        self.asked: list[dict[str, Any]] = []
        self.device = "cpu"
        self.idle = True
        monkeypatch.setattr(speed, "_measured", self)

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        took = self.speeds.get(Path(asked["path"]).stem, 1.0)
        values = {"seconds_per_megapixel": took, "bytes_per_pixel": 500.0, "base": MB, "device": self.device}
        return {**values, "idle": self.idle}


# --- what a person writes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2 << 30),
        ("500M", 500 * MB),
        ("1.5GiB", 3 << 29),
        ("800mb", 800 * MB),
        (" 64 k ", 65536),
        (".5g", 1 << 29),
        ("1T", 1 << 40),
    ],
)
def test_memory_is_read_in_the_usual_units(text: str, size: int) -> None:
    assert estimate.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "2", "G", "-2G", "0G", "2 apples", "2GG", "1e3M", "nanG", "2G 3M", "²G"])
def test_memory_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="such as 2G or 500M"):
        estimate.parse_memory(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5e-5, "0 s"), (3.21, "3.2 s"), (5, "5 s"), (45, "45 s"), (720, "12 min"), (7800, "2 h 10 min")],
)
def test_durations_are_worded(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("60s", 60),
        ("5min", 300),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5 hours", 5400),
        ("2 minutes 5 sec", 125),
        (".5", 0.5),
    ],
)
def test_a_time_is_read_in_the_usual_units(text: str, seconds: float) -> None:
    assert estimate.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "soon", "5 parsecs", "1:30", "nan", "inf", "5min x", "1.2.3s"])
def test_a_time_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="such as 60s, 5min or 2h"):
        estimate.parse_duration(text)


@given(st.integers(MB, 1 << 44))
def test_memory_that_is_shown_can_be_read_again(size: int) -> None:
    assert estimate.parse_memory(estimate.show_memory(size)) == pytest.approx(size, rel=0.51)


# --- time


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    context=st.integers(0, 60),
    multiple=st.sampled_from([1, 4, 16]),
    tile=st.one_of(st.just("auto"), st.none(), st.integers(16, 700)),
)
def test_the_work_is_that_of_the_windows(width: int, height: int, context: int, multiple: int, tile: Any) -> None:
    card = dataclasses.replace(CARD, context=context, multiple=multiple, minimum=multiple)
    grid = Grid(card)
    total = [
        sum(
            one.stop - one.start
            for one in grid.spans(len(grid.padded_indices(side)), grid.limit(tile), even=tile == "auto")
        )
        for side in (width, height)
    ]
    assert estimate.network_pixels(card, (width, height), tile) == total[0] * total[1] >= width * height


def test_time_grows_with_the_pixels_and_with_the_context_of_tiles() -> None:
    assert estimate.seconds(SLOW, 2e6) == 12
    assert estimate.seconds(SLOW, 2e6, Grid(CARD), None) == 12
    auto = estimate.seconds(SLOW, 2e6, Grid(CARD))
    small = estimate.seconds(SLOW, 2e6, Grid(CARD), 64)
    assert 12 < auto < 13.5
    assert small == pytest.approx(12 * (88 / 64) ** 2)
    exact = estimate.seconds(SLOW, estimate.network_pixels(CARD, (2000, 1000), 64))
    assert exact == pytest.approx(small, rel=0.1)


# --- memory


@pytest.mark.parametrize(
    ("size", "tile", "measured"),
    [
        # Peak resident MB of `img2img upscale` with upscale-x4, one thread, one picture.
        ((512, 512), 64, 121.9),
        ((512, 512), 128, 132.3),
        ((512, 512), 256, 171.6),
        ((1024, 1024), 64, 204.4),
        ((1024, 1024), 128, 221.2),
        ((1024, 1024), 256, 256.8),
    ],
)
@pytest.mark.usefixtures("small_process")
def test_memory_is_as_was_measured(size: tuple[int, int], tile: int, measured: float) -> None:
    assert estimate.peak_memory(SLOW, CARD, size, tile) / MB == pytest.approx(measured, rel=0.1)


@given(
    limit=st.integers(60, 4000),
    side=st.integers(16, 3000),
    per_pixel=st.floats(10, 5000),
    context=st.integers(0, 100),
    multiple=st.sampled_from([1, 8, 32]),
    pictures=st.integers(1, 4),
    runs=st.integers(1, 4),
)
def test_a_tile_keeps_the_limit_or_the_number_that_would_do_is_named(
    limit: int, side: int, per_pixel: float, context: int, multiple: int, pictures: int, runs: int
) -> None:
    card = dataclasses.replace(CARD, context=context, multiple=multiple, minimum=multiple)
    measured = dataclasses.replace(SLOW, bytes_per_pixel=per_pixel, base=max(SLOW.base, memory.resident()))
    size, several = (side, side // 2 + 1), {"pictures": pictures, "runs": runs}
    try:
        tile = estimate.tile_for(measured, card, limit * MB, size, **several)
    except UsageError as error:
        least = int(str(error).partition("at least ")[2].partition("M")[0])
        assert least > limit
        assert estimate.tile_for(measured, card, least * MB, size, **several)
    else:
        assert estimate.peak_memory(measured, card, size, tile, **several) <= limit * MB
        Grid(card).limit(tile)  # a tile that can be used


@pytest.mark.usefixtures("small_process")
def test_more_memory_gives_larger_tiles_up_to_the_usual_one() -> None:
    tiles = [estimate.tile_for(SLOW, CARD, limit * MB, (3000, 2000)) for limit in (770, 790, 840, 5000)]
    sides = tiles[:-1]
    assert sides == sorted(set(sides)) and all(isinstance(one, int) for one in sides)
    assert tiles[-1] == "auto"


@pytest.mark.usefixtures("small_process")
def test_a_network_that_sees_the_whole_picture_fits_or_is_refused() -> None:
    whole = dataclasses.replace(CARD, context=None, scale=1)
    assert estimate.tile_for(SLOW, whole, 2 << 30, (1000, 1000)) is None
    with pytest.raises(UsageError, match=r"cannot use tiles; scale the picture down first"):
        estimate.tile_for(SLOW, whole, 500 * MB, (1000, 1000))
    seen = dataclasses.replace(whole, task="translate")
    with pytest.raises(UsageError, match=r"needs at least .*--size"):
        estimate.tile_for(SLOW, seen, 500 * MB, (1000, 1000))


def test_pictures_of_more_channels_deeper_or_many_take_more() -> None:
    size = (1000, 800)
    plain = estimate.picture_memory(size, 4)
    for more in ({"channels": 4}, {"depth": 2}, {"pictures": 2}, {"copies": 3}):
        assert estimate.picture_memory(size, 4, **more) > plain  # type: ignore[arg-type]
    assert estimate.picture_memory(size, 4, channels=1) < plain


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no wait4 here")
@pytest.mark.usefixtures("small_process")
def test_a_run_stays_under_its_limit(tmp_path: Path) -> None:
    """A whole process, measured from outside: the limit is kept, and made use of."""
    path = onnx_nets.compact(tmp_path / "net.onnx", scale=2, features=32, convs=6)
    picture, size = tmp_path / "photo.png", (400, 400)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(picture)
    card = models.read_card(path)
    assert card is not None
    measured = speed.measure(path, device="cpu", threads=1)

    def peak(tile: int) -> float:
        options = ["--model", path, "--tile", tile, "--device", "cpu", "--threads", 1, "--existing", "overwrite"]
        arguments = [sys.executable, "-m", "img2img", "upscale", picture, "-o", tmp_path / "out.png", *options]
        # From a small process: what it is started by counts as well, and this one may have torch in it.
        code = "import os, sys; child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)"
        code += "; _, status, usage = os.wait4(child, 0); print(status, usage.ru_maxrss)"
        words = [sys.executable, "-S", "-c", code, *map(str, arguments)]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
        status, most = map(int, done.stdout.split())
        assert status == 0
        return most * (1 if sys.platform == "darwin" else 1024)

    whole = peak(400)
    assert estimate.peak_memory(measured, card, size, 400) == pytest.approx(whole, rel=0.25)
    limit = int(whole - 15 * MB)
    tile = estimate.tile_for(measured, card, limit, size)
    assert isinstance(tile, int)
    assert limit - 45 * MB < peak(tile) < limit


# --- the measurement


def test_a_model_is_measured_on_this_machine(tmp_path: Path) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx", scale=2, features=32, convs=4)
    found = speed.measure(path, device="cpu", threads=1)
    assert found.device == "cpu"
    assert found.seconds_per_megapixel > 0.01
    # One layer's input and output, at least; all of its layers at once, at most.
    assert 2 * 32 * 4 < found.bytes_per_pixel < 10 * 32 * 4
    assert 20 * MB < found.base < 400 * MB


@pytest.mark.parametrize("task", ["inpaint", "translate"])
def test_models_that_need_more_than_a_picture_are_measured(tmp_path: Path, task: str) -> None:
    path = tmp_path / "net.onnx"
    if task == "inpaint":
        onnx_nets.filler(path, multiple=4)
    else:
        onnx_nets.domains(path, {"red": (1, 0, 0), "blue": (0, 0, 1)})
    assert speed.measure(path, device="cpu", threads=1).seconds_per_megapixel > 0


def test_a_network_that_takes_one_size_only_is_measured_at_that(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = onnx.load(onnx_nets.compact(path, scale=2, with_card=False))
    for tensor, factor in ((model.graph.input[0], 1), (model.graph.output[0], 2)):
        for place, side in ((2, 48), (3, 64)):
            tensor.type.tensor_type.shape.dim[place].dim_value = side * factor
    onnx.save(model, path)
    found = speed.measure(path, device="cpu", threads=1)
    assert found.seconds_per_megapixel > 0 and found.window == (48, 64)
    assert speed.Speed(**json.loads(json.dumps(dataclasses.asdict(found)))) == found
    assert estimate.tile_for(found, CARD, 2 << 30, (500, 500)) == "auto"
    with pytest.raises(UsageError, match="needs at least"):
        estimate.tile_for(found, CARD, 50 * MB, (500, 500))


def test_what_was_measured_once_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch, net=3.0)
    first = speed.measure(path, device="cpu", threads=1)
    assert first.seconds_per_megapixel == 3
    machine.speeds["net"] = 5.0
    assert speed.measure(path, device="cpu", threads=1) == first
    assert len(machine.asked) == 1
    assert speed.measure(path, device="cpu", threads=1, fresh=True).seconds_per_megapixel == 5
    assert speed.measure(path, device="cpu", threads=1).seconds_per_megapixel == 5
    assert len(machine.asked) == 2


def test_another_file_number_of_threads_processor_or_onnxruntime_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch)

    def count(**options: Any) -> int:
        speed.measure(path, **({"device": "cpu", "threads": 1} | options))
        return len(machine.asked)

    assert [count(), count()] == [1, 1]
    assert count(threads=2) == 2
    assert count(assume={"scale": "2"}) == 3
    with monkeypatch.context() as patch:
        patch.setattr(cpu, "name", lambda: "another")
        assert count() == 4
    with monkeypatch.context() as patch:
        patch.setattr(speed, "_wheels", lambda: {"onnxruntime": "99"})
        assert count() == 5
    onnx_nets.compact(path, features=9)
    assert [count(), count()] == [6, 6]


def test_auto_is_the_processor_where_nothing_else_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch)
    monkeypatch.setattr(speed, "_wheels", lambda: {"onnxruntime": "1.30"})
    for device in ("cpu", "auto", "auto"):
        speed.measure(path, device=device, threads=1)
    assert len(machine.asked) == 1
    monkeypatch.setattr(speed, "_wheels", lambda: {"onnxruntime-gpu": "1.30"})
    machine.device = "cuda:0"
    for device in ("auto", "cuda", "cuda:0", "auto"):
        assert speed.measure(path, device=device, threads=1).device == "cuda:0"
    assert len(machine.asked) == 2


def test_what_a_busy_machine_gives_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch)
    machine.idle = False
    for _ in range(2):
        speed.measure(path, device="cpu", threads=1)
    assert len(machine.asked) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"key": 1}', "\x00\xff", '{"seconds_per_megapixel": -1}', "[" * 100_000]
)
def test_a_broken_cache_is_no_error(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch)
    speed.measure(path, device="cpu", threads=1)
    (file,) = (own_cache / "speeds").iterdir()
    file.write_text(content, encoding="latin-1")
    assert speed.measure(path, device="cpu", threads=1).seconds_per_megapixel == 1
    assert len(machine.asked) == 2
    assert speed.measure(path, device="cpu", threads=1) and len(machine.asked) == 2  # it has been mended


@pytest.mark.parametrize("change", [{"base": None}, {"bytes_per_pixel": "many"}, {"colour": "red"}, {"base": -1}])
def test_numbers_that_are_none_are_measured_anew(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    machine = Measurements(monkeypatch)
    speed.measure(path, device="cpu", threads=1)
    (file,) = (own_cache / "speeds").iterdir()
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "value": kept["value"] | change}))
    assert speed.measure(path, device="cpu", threads=1).base == MB
    assert len(machine.asked) == 2


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache.write_text("a file where the folder should be")
    path = onnx_nets.compact(tmp_path / "net.onnx")
    Measurements(monkeypatch)
    assert speed.measure(path, device="cpu", threads=1).seconds_per_megapixel == 1
    assert own_cache.is_file()


def test_the_cache_keeps_what_it_is_given_and_tells_keys_apart(own_cache: Path) -> None:
    cache.put("things", ["a", 1], {"x": 1})
    cache.put("things", ["a", 2], {"x": 2})
    cache.put("things", ["a", 1], {"x": 3})
    assert cache.get("things", ["a", 1]) == {"x": 3}
    assert cache.get("things", ["a", 2]) == {"x": 2}
    assert cache.get("other", ["a", 1]) is None
    assert len(list((own_cache / "things").iterdir())) == 2


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        (unix.Unix, {"XDG_CACHE_HOME": "/c"}, "/c/img2img"),
        (unix.Unix, {}, "/home/ann/.cache/img2img"),
        (macos.MacOS, {}, "/home/ann/Library/Caches/img2img"),
        (windows.Windows, {"LOCALAPPDATA": "/local"}, "/local/img2img/Cache"),
        (windows.Windows, {"IMG2IMG_CACHE": "/mine"}, "/mine"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths written as on Unix")
def test_the_cache_lies_where_the_platform_has_it(
    monkeypatch: pytest.MonkeyPatch, platform: type, variables: dict[str, str], expected: str
) -> None:
    for name in ("IMG2IMG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platformdirs, "PlatformDirs", platform)
    monkeypatch.setattr(windows, "get_win_folder", lambda _: os.environ["LOCALAPPDATA"])
    assert cache.folder() == Path(expected)


def test_a_model_that_does_not_run_says_why(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"Hello")
    with pytest.raises(ModelError, match=r"net\.onnx: not an ONNX file"):
        speed.measure(path, device="cpu", threads=1)
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        speed.measure(onnx_nets.compact(path), device="tpu", threads=1)


def test_without_cuda_the_error_is_that_of_a_run(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(DeviceError, match="does not support CUDA"):
        speed.measure(onnx_nets.compact(tmp_path / "net.onnx"), device="cuda", threads=1)


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_nets.compact(tmp_path / "net.onnx")
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'segmentation fault' >&2\nexit 139\n")
    script.chmod(0o755)
    monkeypatch.setattr(speed.sys, "executable", str(script))
    with pytest.raises(ModelError, match="cannot be measured: segmentation fault"):
        speed.measure(path, device="cpu", threads=1)


def test_files_of_the_current_folder_do_not_get_into_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert speed.measure(onnx_nets.compact(tmp_path / "net.onnx"), device="cpu", threads=1).base > 0


# --- the choice


@pytest.fixture
def candidates(tmp_path: Path) -> list[Path]:
    return [
        onnx_nets.compact(tmp_path / "best.onnx", scale=4),
        onnx_nets.compact(tmp_path / "good.onnx", scale=4),
        onnx_nets.compact(tmp_path / "good.int8.onnx", scale=4, precision="int8"),
    ]


@pytest.mark.parametrize(("budget", "name"), [(1000, "best"), (100, "good"), (30, "good.int8")])
def test_the_best_model_that_fits_is_chosen(
    candidates: list[Path], monkeypatch: pytest.MonkeyPatch, budget: float, name: str
) -> None:
    Measurements(monkeypatch, **{"best": 50, "good": 6, "good.int8": 2})
    choice = estimate.choose_model(candidates, 10e6, budget, device="cpu", threads=1)
    assert choice.path.stem == name and choice.seconds <= budget and choice.note is None


def test_where_nothing_fits_it_is_the_fastest_and_that_is_said(
    candidates: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Measurements(monkeypatch, **{"best": 50, "good": 6, "good.int8": 2})
    choice = estimate.choose_model(candidates, 10e6, 5, device="cpu", threads=1)
    assert choice.path.stem == "good.int8" and choice.seconds > 5
    assert choice.note == "no model finishes in 5 s; the fastest, good.int8, takes about 20 s"


def test_models_that_are_not_needed_are_not_measured(candidates: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Measurements(monkeypatch, best=1)
    estimate.choose_model(candidates, 1e6, 100, device="cpu", threads=1)
    assert len(machine.asked) == 1


def test_on_cuda_integers_are_passed_over(candidates: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Measurements(monkeypatch, **{"best": 50, "good": 6, "good.int8": 2})
    machine.device = "cuda:0"
    assert estimate.choose_model(candidates, 10e6, 5, device="cuda", threads=1).path.stem == "good"
    with pytest.raises(UsageError, match="no model to choose from"):
        estimate.choose_model(candidates[2:], 10e6, 5, device="cuda", threads=1)


def test_nothing_to_choose_from_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="no bundled model to choose from"):
        estimate.choose_model([], 1e6, 5)
