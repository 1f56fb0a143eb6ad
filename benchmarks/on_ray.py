"""Compares a batch on a local Ray cluster, with one and with two workers, with a batch in its own process.

python benchmarks/on_ray.py [--model upscale-x4] [--photos 32] [--size 240x180] [--rounds 3]

Each round runs, in turn: `--engine local` with one thread, Ray with one worker of one thread, and Ray with two. Seconds
are counted twice. `whole` is from the call to the last event and includes the start of the workers, but not of the
cluster. `steady` starts after the first quarter of the events, when all workers are busy. Ratios are medians over the
rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from img2img.runtime.batch import plan, run
from img2img.runtime.batch.ray.cluster import STORE, quiet
from img2img.runtime.tasks.settings import Engine, Settings
from img2img.runtime.tasks.upscale import UpscaleTask

PHOTO = Path(__file__).parents[1] / "examples" / "olives.jpg"


def cut(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write `count` pieces of a photo as PNG."""
    photo = Image.open(PHOTO).convert("RGB")
    factor = max((size[0] + count) / photo.width, (size[1] + count) / photo.height, 1)
    photo = photo.resize((round(photo.width * factor), round(photo.height * factor)))
    folder.mkdir()
    for number in range(count):
        photo.crop((number, number, number + size[0], number + size[1])).save(folder / f"{number}.png")
    return folder


@contextmanager
def cluster(workers: int) -> Iterator[None]:
    """A Ray cluster with so many cores; with 0, no cluster."""
    if not workers:
        yield
        return
    with quiet():
        import ray

        ray.init(
            "local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=STORE,
            log_to_driver=False,
            logging_level="ERROR",
        )
    try:
        yield
    finally:
        ray.shutdown()


def timed(photos: Path, output: Path, model: str, workers: int) -> tuple[float, float]:
    """Seconds per photo: of the whole batch, and after its first quarter."""
    kind = Engine.RAY if workers else Engine.LOCAL
    settings = Settings(output=f"{output}/", model=model, threads=1, engine=kind)
    with cluster(workers):
        begin = time.perf_counter()
        ends = []
        for event in run.run(plan.prepare([str(photos)], UpscaleTask(), settings)):
            if event.status != "done":
                raise SystemExit(event.message)
            ends.append(time.perf_counter())
    quarter = len(ends) // 4
    return (ends[-1] - begin) / len(ends), (ends[-1] - ends[quarter]) / (len(ends) - 1 - quarter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="upscale-x4")
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--size", default="240x180")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    ways = {"local": 0, "ray, 1 worker": 1, "ray, 2 workers": 2}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        photos = cut(Path(folder, "photos"), args.photos, (width, height))
        for turn in range(args.rounds):
            for name, workers in ways.items():
                found[name].append(timed(photos, Path(folder, f"{turn}-{workers}"), args.model, workers))
    print(f"{args.photos} photos of {args.size}, {args.model}, one thread per worker; seconds per photo, medians")
    for name, seconds in found.items():
        whole, steady = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"{name:16} whole {whole:7.3f}   steady {steady:7.3f}")
    for over in ("ray, 1 worker", "local"):
        pairs = list(zip(found[over], found["ray, 2 workers"], strict=True))
        whole, steady = (statistics.median(one[place] / two[place] for one, two in pairs) for place in (0, 1))
        print(f"2 workers over {over:14} whole {whole:5.2f}x   steady {steady:5.2f}x")


if __name__ == "__main__":
    main()
