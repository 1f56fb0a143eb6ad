"""A server in this process, for tests: on a free port, with tiny models."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2img.serve import server
from img2img.serve.app import build
from img2img.serve.catalogue import Catalogue
from img2img.serve.desk import Desk
from img2img.serve.engine import Answer, Engine, EngineOptions
from img2img.serve.guard import Access
from img2img.serve.requests import Request
from img2img.serve.work import Work


@dataclass
class Served:
    """A server that runs: its address, the lines of its log, and its parts."""

    address: str
    desk: Desk
    log: list[str] = field(default_factory=list)


class HeldEngine(Engine):
    """Works as soon as its gate is open. `began` counts the requests that have come so far."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)

    def run(self, request: Request, work: Work) -> Answer:
        work.began = time.monotonic()
        self.began.release()
        while not self.gate.wait(0.01):
            work.check()
        return super().run(request, work)


def application(
    models: Sequence[Path] = (),
    *,
    access: Access | None = None,
    waiting: int = 16,
    time_limit: float = 60.0,
    max_body: int = 64 << 20,
    max_pixels: int = 30_000_000,
    log: list[str] | None = None,
    engine: type[Engine] = Engine,
    **options: Any,
) -> tuple[Any, Desk]:
    """The application and its desk."""
    made = engine(Catalogue([str(one) for one in models]), EngineOptions(max_pixels, "cpu", 1, **options))
    desk = Desk(made, waiting=waiting, time_limit=time_limit)
    lines = [] if log is None else log
    return build(desk, access or Access(), lines.append, max_body=max_body), desk


@contextmanager
def served(models: Sequence[Path] = (), **options: Any) -> Iterator[Served]:
    """Run a server within the block. Options as of `application`."""
    log: list[str] = []
    app, desk = application(models, log=log, **options)
    found = server.listen("127.0.0.1", 0)
    up = threading.Event()
    running = server.Server(app, desk, up.set)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[found])))
    thread.start()
    try:
        assert up.wait(20)
        yield Served(server.address_of(found), desk, log)
    finally:
        running.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
