"""Feeds mutated pictures, models and weights files to the command line and lists every broken promise.

python benchmarks/hostile.py [--pictures 2000] [--models 150] [--weights 100] [--seed 0] [--jobs 2]

A promise is broken by a crash ("this is a bug", a traceback, a signal), by more than 10 s or 1 GB for one file, by a
file written outside the output folder and the cache, and by a picture that ends with status "done" and no note although
its pixels are not those of the decoder in strict mode (Pillow; for JPEG simplejpeg as well, if it is installed). The
network is the identity, so that result and input can be compared. Needs the training packages.
"""

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from processes import Finished, Usage, finish
from safetensors.torch import save as save_safetensors

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "runtime"))

import onnx_nets  # noqa: E402

from img2img import networks  # noqa: E402

SECONDS, MEGABYTES = 10.0, 1024
GROUP = 50  # pictures per process
Fault = tuple[str, str]  # the file, and what happened


def faults_of(done: Finished, name: str, files: int = 1) -> list[Fault]:
    """The promises that a process has broken, as far as its end and its usage show them."""
    found = []
    if done.status not in (0, 1, 2) or "Traceback" in done.err or "a bug in img2img" in done.err:
        found.append((name, f"crash, status {done.status}: {done.err.strip()[-160:]!r}"))
    if files == 1 and done.usage.wall > SECONDS:
        found.append((name, f"{done.usage.wall:.1f} s"))
    if done.usage.peak > MEGABYTES:
        found.append((name, f"{done.usage.peak:.0f} MB"))
    return found


def run(words: list[str], place: Path, limit: float) -> Finished:
    """Run the command line in `place`, which is also its home."""
    env = {**os.environ, "HOME": str(place), "IMG2IMG_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    env |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(place / "tmp")}
    try:
        return finish([sys.executable, "-m", "img2img", *words], limit, cwd=place, env=env)
    except subprocess.TimeoutExpired:
        return Finished(0, "", "", Usage(limit, 0, 0))


def outside(place: Path) -> set[str]:
    """All files below `place`, apart from the results, the cache and temporary files."""
    found = (path.relative_to(place) for path in place.rglob("*"))
    return {str(path) for path in found if path.parts[0] not in ("out", "cache", "tmp")}


def mutated(data: bytes, dice: random.Random) -> bytes:
    """`data` with 1 to 30 bits, bytes or ranges changed, inserted, repeated or cut off; half of them near the start."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5, 30))):
        if not changed:
            break
        at = dice.randrange(min(len(changed), 200) if dice.random() < 0.5 else len(changed))
        length = dice.randrange(1, 64)
        match dice.randrange(6):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                changed[at] = dice.randrange(256)
            case 2:
                changed[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0"))
            case 3:
                changed[at:at] = dice.randbytes(length)
            case 4:
                changed[at:at] = changed[at : at + length] * dice.randrange(1, 9)
            case _:
                del changed[at : at + length if dice.random() < 0.7 else len(changed)]
    return bytes(changed)


# --- pictures


def pictures() -> dict[str, bytes]:
    """Small photos in every format and its common variants, by file name."""
    photo = Image.open(ROOT / "examples" / "olives.jpg").convert("RGB").crop((40, 40, 104, 88))
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    deep = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21)
    exif = Image.Exif()
    exif[0x0110] = "camera"
    made: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "rgb.png": (photo, {}),
        "palette.png": (photo.quantize(16), {}),
        "alpha.png": (clear, {}),
        "grey.png": (photo.convert("L"), {"icc_profile": None}),
        "16-bit.png": (deep, {}),
        "base.jpg": (photo, {"exif": exif}),
        "progressive.jpg": (photo, {"progressive": True, "quality": 90}),
        "grey.jpg": (photo.convert("L"), {}),
        "restart.jpg": (photo, {"restart_marker_blocks": 3}),
        "lossy.webp": (photo, {}),
        "lossless.webp": (clear, {"lossless": True}),
        "raw.tif": (photo, {}),
        "lzw.tif": (photo, {"compression": "tiff_lzw"}),
        "deflate.tif": (photo, {"compression": "tiff_adobe_deflate"}),
        "jpeg.tif": (photo, {"compression": "jpeg"}),
        "photo.bmp": (photo, {}),
        "photo.gif": (photo.quantize(64), {}),
        "photo.avif": (photo, {}),
    }
    found = {}
    for name, (image, options) in made.items():
        stream = io.BytesIO()
        image.save(stream, Image.registered_extensions()[Path(name).suffix], **options)
        found[name] = stream.getvalue()
    return found


def strict(path: Path) -> Image.Image:
    """Decode a picture; any doubt of the decoder about its pixels is an exception."""
    if path.suffix == ".jpg":
        try:
            import simplejpeg

            simplejpeg.decode_jpeg(path.read_bytes(), strict=True)
        except ImportError:
            pass
        except ValueError as error:
            if "unknown JFIF revision" not in str(error):  # that says nothing about pixels
                raise
    with Image.open(path) as image:
        image.load()
        return image.copy()


def differs(source: Path, result: Path) -> str | None:
    """Why the pixels of `result` are not those of `source`; None: they are."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's are about metadata
            wanted = strict(source)
    except Exception as error:
        return f"done, but strict decoding says {type(error).__name__}: {str(error)[:90]}"
    got = Image.open(result)
    if (
        wanted.mode not in ("RGB", "L", "RGBA", "1", "P")
        or "transparency" in wanted.info
        or "icc_profile" in wanted.info
    ):
        return None  # converted on purpose; tests compare these
    if wanted.getexif().get(0x0112, 1) != 1:
        return None
    a, b = (np.asarray(image.convert("RGBA")).astype(int) for image in (wanted, got))
    if a.shape != b.shape:
        return f"{a.shape} became {b.shape}"
    seen = a[..., 3] > 0  # colours below full transparency are free
    return None if (a[seen] == b[seen]).all() else f"pixels differ by up to {np.abs(a[seen] - b[seen]).max()}"


def try_pictures(names: list[str], inputs: Path, place: Path, model: Path) -> tuple[list[Fault], Counter[str]]:
    """Run some of the pictures in one process; if that takes too much, each in its own."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "in").mkdir(parents=True)
    (place / "tmp").mkdir()
    for name in names:
        shutil.copy(inputs / name, place / "in" / name)
    before = outside(place)
    words = ["upscale", "in", "-m", str(model), "-o", "out", "--format", "png", "--json", "--threads", "1"]
    ended = run(words, place, SECONDS * (1 if len(names) == 1 else 3))
    faults = faults_of(ended, names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more", len(names))
    if len(names) > 1 and (faults or ended.usage.wall >= SECONDS * 3):
        parts = [try_pictures([name], inputs, place, model) for name in names]
        return [fault for found, _ in parts for fault in found], sum((count for _, count in parts), Counter())
    faults += [(name, "written outside") for name in outside(place) - before]
    events = [json.loads(line) for line in ended.out.splitlines()]
    statuses = Counter[str]()
    for event in events:
        if event["status"] == "summary":
            continue
        noted = "done with a note" if event["status"] == "done" and event["warnings"] else event["status"]
        statuses[noted] += 1
        if event["seconds"] > SECONDS:
            faults.append((event["input"], f"{event['seconds']:.1f} s"))
        if noted == "done" and (why := differs(place / event["input"], place / event["output"])):
            faults.append((Path(event["input"]).name, why))
    if sum(statuses.values()) != len(names):
        faults.append((names[0], f"{len(names)} pictures, {sum(statuses.values())} events: {ended.err[-160:]!r}"))
    return faults, statuses


# --- models and weights


def try_file(words: Callable[[Path], list[list[str]]], path: Path, place: Path) -> tuple[list[Fault], Counter[str]]:
    """Run the commands of `words` on one file."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "tmp").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "olives.jpg", place / "olives.jpg")
    before, faults, statuses = outside(place), list[Fault](), Counter[str]()
    for command in words(path):
        ended = run(command, place, SECONDS * 3)
        faults += faults_of(ended, f"{path.name} ({command[0]})")
        statuses[f"{command[0]}: status {ended.status}"] += 1
    return faults + [(path.name, f"{name} written outside") for name in outside(place) - before], statuses


def weights() -> dict[str, bytes]:
    """Weights files of a small upscaler in three file formats, by file name."""
    state = networks.build("compact", scale=2, features=8, convs=2).state_dict()
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"params": state}, new)
    torch.save({"params": state}, old, _use_new_zipfile_serialization=False)
    return {"new.pth": new.getvalue(), "old.pth": old.getvalue(), "plain.safetensors": save_safetensors(state)}


def hand_made() -> Iterator[tuple[str, bytes]]:
    """Pickles that claim too much."""
    yield "bytearray.pth", b"\x80\x05\x96" + (6 << 30).to_bytes(8, "little") + b"."
    yield "long.pth", b"\x80\x05\x8b\xff\xff\xff\x7f."
    yield "nested.pth", b"\x80\x04})" + b"2\x86" * 60 + b"K\x01s."  # {((..., ...), (..., ...)): 1}, 60 levels deep
    layers = io.BytesIO()
    torch.save({"params": {f"body.{place}.weight": torch.zeros(8, 3, 3, 3) for place in (0, 99_999_998)}}, layers)
    yield "layers.pth", layers.getvalue()


# --- all


def show(what: str, tries: Iterable[tuple[list[Fault], Counter[str]]]) -> int:
    """Print what all tries came to. Returns the number of broken promises."""
    begin = time.perf_counter()
    faults, statuses = list[Fault](), Counter[str]()
    for found, seen in tries:
        faults += found
        statuses += seen
    seconds = time.perf_counter() - begin
    print(f"{what} in {seconds:.0f} s: {dict(sorted(statuses.items()))}; {len(faults)} broken promises", flush=True)
    for (name, why), count in Counter(faults).items():
        print(f"  {name}: {why}" + (f" ({count} times)" if count > 1 else ""))
    return len(faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("pictures", 2000), ("models", 150), ("weights", 100), ("seed", 0), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--keep", type=Path, help="folder for the mutated files  [default: a temporary one]")
    options = parser.parse_args()
    dice, total = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(options.jobs) as pool:
        work, keep = Path(temporary), options.keep or Path(temporary) / "files"
        for name in ("pictures", "models", "weights"):
            (keep / name).mkdir(parents=True, exist_ok=True)
        graph = onnx_nets._Graph(0)
        model = graph.save(work / "identity.onnx", graph.clip("image"), 1, onnx_nets.card(scale=1, name="identity"))

        bases = sorted(pictures().items())
        names = []
        for number in range(options.pictures):
            base, data = bases[number % len(bases)]
            names.append(f"{number:04}-{base}")
            (keep / "pictures" / names[-1]).write_bytes(mutated(data, dice))
        groups = {work / f"p{at}": names[at : at + GROUP] for at in range(0, len(names), GROUP)}
        total += show(
            f"{len(names)} pictures",
            pool.map(lambda place: try_pictures(groups[place], keep / "pictures", place, model), groups),
        )
        files = {}
        sound = [model.read_bytes(), onnx_nets.compact(work / "compact.onnx", scale=2).read_bytes()]
        for number in range(options.models):
            files[keep / "models" / f"{number:03}.onnx"] = mutated(sound[number % 2], dice)
        total += try_all(
            files,
            "models",
            pool,
            work,
            lambda path: [
                ["models", "info", str(path)],
                ["upscale", "olives.jpg", "-m", str(path), "-o", "out/o.png", "--threads", "1"],
            ],
        )
        files = {keep / "weights" / name: data for name, data in hand_made()}
        kinds = sorted(weights().items())
        for number in range(options.weights - len(files)):
            name, data = kinds[number % len(kinds)]
            files[keep / "weights" / f"{number:03}-{name}"] = mutated(data, dice)
        total += try_all(files, "weights", pool, work, lambda path: [["import", str(path), "-o", "out/o.onnx"]])
    sys.exit(1 if total else 0)


def try_all(
    files: dict[Path, bytes], what: str, pool: ThreadPoolExecutor, work: Path, words: Callable[[Path], list[list[str]]]
) -> int:
    for path, data in files.items():
        path.write_bytes(data)
    places = {work / f"{what}{number}": path for number, path in enumerate(files)}
    return show(f"{len(files)} {what}", pool.map(lambda place: try_file(words, places[place], place), places))


if __name__ == "__main__":
    main()
