"""Measures `img2img serve`: what a request costs beyond the work in process, start, memory, and many clients at once.

python benchmarks/serve.py PHOTO [--size 256x192] [--model upscale-x4] [--rounds 60] [--requests 1000] [--clients 32]

The server is a process of its own, as users start it. Per request: each round upscales the photo in this process (read
the JPEG, run, write a JPEG) and then sends it to the server, over one connection that stays open and over a new one.
Both have all cores, in turn. Start: from the start of the process to the line that it listens, and the first paint of
the page in Chromium if Playwright finds one. Memory: resident MB of the server after a warm-up of 100 requests, and
the largest after that, with photos of several sizes. Clients: all send different photos at once; each answer must be
429 or equal, byte for byte, the one that the same photo gets alone.
"""

import argparse
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from PIL import Image, ImageOps
from processes import announce

import img2img

WARM_UP = 100  # requests before memory is measured
QUALITY = 90


@dataclass(frozen=True)
class Running:
    """A server: its process, its address, and seconds from the start of the process until it listened."""

    process: "subprocess.Popen[str]"
    address: str
    seconds: float

    def upscale(self, client: httpx.Client, photo: bytes, model: str) -> httpx.Response:
        files, data = {"image": ("photo.jpg", photo)}, {"model": model, "quality": str(QUALITY)}
        return client.post(f"{self.address}/upscale", files=files, data=data)

    @property
    def megabytes(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)


@contextmanager
def server(*options: str) -> Iterator[Running]:
    """Run `img2img serve` on a free port within the block."""
    words = [sys.executable, "-m", "img2img", "serve", "--port", "0", *options]
    began = time.perf_counter()
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            seconds = time.perf_counter() - began
            address = next((word for word in line.split() if word.startswith("http://")), None)
            if address is None:
                raise SystemExit(f"the server does not start: {line}")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log would fill the pipe
            yield Running(process, address, seconds)
        finally:
            process.terminate()


def photo_of(path: Path, size: tuple[int, int]) -> bytes:
    """A photo, cropped and shrunk to a size, as JPEG."""
    with Image.open(path) as image:
        fitted = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    fitted.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def measure_requests(running: Running, photo: bytes, model: str, rounds: int, folder: Path) -> None:
    """Milliseconds in process, over an open connection, and over a new one, in turn."""
    (folder / "photo.jpg").write_bytes(photo)
    loaded = img2img.load(model)
    seconds: dict[str, list[float]] = {"in process": [], "open connection": [], "new connection": []}
    once = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(timeout=120) as kept, httpx.Client(timeout=120, limits=once) as fresh:
        for number in range(rounds + 3):
            began = time.perf_counter()
            loaded.run(folder / "photo.jpg").save(folder / "large.jpg", quality=QUALITY)
            now = [time.perf_counter() - began]
            for client in (kept, fresh):
                began = time.perf_counter()
                running.upscale(client, photo, model).raise_for_status()
                now.append(time.perf_counter() - began)
            if number >= 3:  # the first ones load the model
                for found, one in zip(seconds.values(), now, strict=True):
                    found.append(one)
    alone = seconds["in process"]
    for name, found in seconds.items():
        more = [1000 * (one - other) for one, other in zip(found, alone, strict=True)]
        ratio = statistics.median(one / other for one, other in zip(found, alone, strict=True))
        print(
            f"  {name:<16} {1000 * statistics.median(found):8.1f} ms"
            + ("" if found is alone else f"  +{statistics.median(more):.1f} ms  / in process {ratio:.3f}")
        )


def measure_memory(running: Running, path: Path, model: str, requests: int) -> None:
    """Resident memory over many requests with photos of ten sizes."""
    photos = [photo_of(path, (96 + 16 * number, 64 + 16 * number)) for number in range(10)]
    seen = []
    with httpx.Client(timeout=120) as client:
        for number in range(WARM_UP + requests):
            running.upscale(client, photos[number % len(photos)], model).raise_for_status()
            if number >= WARM_UP and number % 10 == 0:
                seen.append(running.megabytes)
    tenth = max(1, len(seen) // 10)
    first, last = statistics.median(seen[:tenth]), statistics.median(seen[-tenth:])
    print(
        f"  memory           {seen[0]:8.0f} MB after {WARM_UP} requests, largest {max(seen):.0f} MB,"
        f" last tenth / first tenth {last:.0f} / {first:.0f} MB over {requests} requests"
    )


def measure_clients(running: Running, path: Path, model: str, clients: int) -> None:
    """All clients at once, each with a photo of its own."""
    photos = [photo_of(path, (128 + 2 * number, 96)) for number in range(clients)]
    with httpx.Client(timeout=120) as client:
        expected = [running.upscale(client, photo, model).raise_for_status().content for photo in photos]
    start = threading.Barrier(clients)

    def send(photo: bytes) -> httpx.Response:
        with httpx.Client(timeout=300) as client:
            start.wait()
            return running.upscale(client, photo, model)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(send, photos))
    seconds = time.perf_counter() - began
    statuses = Counter(one.status_code for one in answers)
    wrong = sum(a.status_code == 200 and a.content != b for a, b in zip(answers, expected, strict=True))
    counts = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    print(f"  {clients} at once       {seconds:8.2f} s  {counts}, {wrong} wrong")
    if wrong or set(statuses) - {200, 429}:
        raise SystemExit("an answer is neither right nor 429")


def measure_start(rounds: int) -> None:
    """Seconds until the server listens, and until the page is painted."""
    listening, paints = [], []
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    for _ in range(rounds):
        with server() as running:
            listening.append(running.seconds)
            if browser_path is not None:
                paints.append(first_paint(running.address, browser_path))
    print(f"  start            {statistics.median(listening):8.2f} s until it listens")
    if paints:
        whole = [one + other for one, other in zip(listening, paints, strict=True)]
        print(
            f"  first paint      {statistics.median(paints):8.2f} s after that,"
            f" {statistics.median(whole):.2f} s after the start of the process"
        )


def first_paint(address: str, browser_path: str) -> float:
    """Seconds from the request for the page to its first content, in a browser that runs already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto(address)
        tab.wait_for_selector("#model option", state="attached")
        milliseconds = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        browser.close()
    return float(milliseconds / 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--size", default="256x192", metavar="WxH")
    parser.add_argument("--model", default="upscale-x4")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    announce(options.model, options.rounds)
    width, height = (int(side) for side in options.size.split("x"))
    measure_start(5)
    with server() as running, tempfile.TemporaryDirectory() as name:
        measure_requests(running, photo_of(options.photo, (width, height)), options.model, options.rounds, Path(name))
        measure_clients(running, options.photo, options.model, options.clients)
        measure_memory(running, options.photo, options.model, options.requests)


if __name__ == "__main__":
    main()
