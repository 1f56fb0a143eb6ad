"""A server in this process, for tests: on a free port, with tiny models."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from img2img.serve import server
from img2img.serve.app import build
from img2img.serve.catalogue import Catalogue
from img2img.serve.desk import Desk
from img2img.serve.engine import Engine, EngineOptions
from img2img.serve.guard import Access


@dataclass
class Served:
    """A server that runs: its address, the lines of its log, and its parts."""

    address: str
    desk: Desk
    log: list[str] = field(default_factory=list)


def application(
    models: Sequence[Path] = (),
    *,
    access: Access | None = None,
    waiting: int = 16,
    time_limit: float = 60.0,
    max_body: int = 64 << 20,
    max_pixels: int = 30_000_000,
    log: list[str] | None = None,
    **options: Any,
) -> tuple[Any, Desk]:
    """The application and its desk."""
    engine = Engine(Catalogue([str(one) for one in models]), EngineOptions(max_pixels, "cpu", 1, **options))
    desk = Desk(engine, waiting=waiting, time_limit=time_limit)
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
