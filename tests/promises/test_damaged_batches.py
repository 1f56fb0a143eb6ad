"""Damaged pictures of every format fail one by one, also if options read all sizes before the batch starts."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import png_header
from PIL import Image

pytest.importorskip("onnx")

from img2img.runtime.image import sizes

Run = Callable[..., Outcome]
SUFFIXES = ("png", "jpg", "webp", "tif", "bmp", "avif", "gif")
LIMIT = 1_000_000
OPTIONS = (["-m", "upscale-x2"], ["-m", "upscale-x2", "--max-memory", "600M"], ["--budget", "10m"])


def encoded(suffix: str) -> bytes:
    stream = io.BytesIO()
    photo = Image.open(Path(__file__).parents[2] / "examples" / "olives.jpg").convert("RGB").crop((0, 0, 24, 16))
    photo.save(stream, Image.registered_extensions()[f".{suffix}"])
    return stream.getvalue()


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    Image.init()
    return {suffix: encoded(suffix) for suffix in SUFFIXES if Image.registered_extensions()[f".{suffix}"] in Image.SAVE}


def damaged(data: bytes, dice: random.Random) -> bytes:
    """`data` with bytes replaced, inserted or cut off, half of the time near its beginning."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(min(len(changed), 120) if dice.random() < 0.5 else len(changed))
        what = dice.randrange(4)
        if what == 0:
            changed[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            changed[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        elif what == 2:
            changed[at:at] = dice.randbytes(dice.randrange(1, 30))
        elif len(changed) > 9:
            del changed[dice.randrange(8, len(changed)) :]
    return bytes(changed)


@pytest.fixture(scope="module")
def corpus(good: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good and 20 damaged pictures of each format, and headers that claim 4 and 300 billion pixels."""
    folder, dice = tmp_path_factory.mktemp("corpus"), random.Random(14)
    for suffix, data in good.items():
        (folder / f"good.{suffix}.{suffix}").write_bytes(data)
        for number in range(20):
            (folder / f"bad-{suffix}-{number:02}.{suffix}").write_bytes(damaged(data, dice))
    (folder / "bad-huge.bmp").write_bytes(good["bmp"][:22] + b"\x20\0\0\x80" + good["bmp"][26:])
    (folder / "bad-huge.png").write_bytes(png_header(60_000, 60_000) + good["png"][33:])
    (folder / "bad-large.png").write_bytes(png_header(9_000, 9_000) + good["png"][33:])  # within --max-pixels
    return folder


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_damaged_pictures_fail_one_by_one(
    options: list[str],
    command: Run,
    corpus: Path,
    good: dict[str, bytes],
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(tiny_models))
    words = ["upscale", corpus, "-o", tmp_path / "out", "--threads", 1, "--json", *options]
    outcome = command(*words)
    assert outcome.status == 1, outcome.err
    assert "bug" not in outcome.err and "Traceback" not in outcome.err
    events = [json.loads(line) for line in outcome.out.splitlines()]
    status = {Path(event["input"]).name: event["status"] for event in events if "input" in event}
    assert set(status) == {path.name for path in corpus.iterdir()}
    assert all(status[f"good.{suffix}.{suffix}"] == "done" for suffix in good)
    assert all(status[f"bad-{what}"] == "failed" for what in ("huge.bmp", "huge.png", "large.png"))
    results = {path.stem for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert results == {Path(name).stem for name, how in status.items() if how == "done"}
    for line in outcome.err.splitlines():  # nothing comes from a library
        assert any(path.name in line for path in corpus.iterdir()) or "pictures, " in line, line


def test_a_dry_run_over_damaged_pictures_estimates_what_can_be_true(
    command: Run, corpus: Path, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(tiny_models))
    outcome = command("upscale", corpus, "-m", "upscale-x2", "-o", tmp_path / "out", "--dry-run", "--threads", 1)
    assert outcome.status == 0 and not (tmp_path / "out").exists()
    found = f"{len(list(corpus.iterdir()))} to do"
    assert found in outcome.out.decode() + outcome.err
    assert " h " not in outcome.out.decode() + outcome.err


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SUFFIXES), st.randoms(use_true_random=False))
def test_a_size_is_possible_or_unknown(good: dict[str, bytes], suffix: str, dice: random.Random) -> None:
    if suffix not in good:
        return
    data = damaged(good[suffix], dice)
    (size,) = sizes.of_files([data], LIMIT)
    assert size is None or 0 < size[0] * size[1] <= LIMIT


def test_a_header_that_claims_more_than_its_file_holds_is_not_believed(good: dict[str, bytes]) -> None:
    large = png_header(9_000, 9_000) + good["png"][33:]
    blank = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(blank, "PNG")  # the densest that there is
    assert [*sizes.of_files([large, blank.getvalue(), good["bmp"]], 10**8)] == [None, (9_000, 9_000), (24, 16)]
    flat = io.BytesIO()
    Image.new("L", (4_000, 4_000)).save(flat, "JPEG", progressive=True, optimize=True)
    assert [*sizes.of_files([flat.getvalue()], 10**8)] == [(4_000, 4_000)]
