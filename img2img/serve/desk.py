"""Accepts requests up to a limit, and has threads do the work, with a time limit and an eye on the client."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from img2img.runtime.batch.event import Cancelled
from img2img.serve.engine import Answer, Engine
from img2img.serve.refusals import Refused
from img2img.serve.requests import Request
from img2img.serve.work import POLL, Work
from img2img.text import show_duration

THREADS = 2
"""Pictures in memory: while one is in the network, the next is decoded, or the last encoded."""

_LONGEST_WAIT = 120  # seconds that Retry-After asks for at most


class ClientGone(Exception):
    """The client has closed the connection: nobody reads the answer."""


class Desk:
    """Where requests wait. Everything but the work itself happens in the event loop's thread.

    Args:
        waiting: number of requests that may wait while others are in work.
        time_limit: seconds for the work on one request; also for its upload.
    """

    def __init__(self, engine: Engine, *, waiting: int, time_limit: float) -> None:
        self.engine = engine
        self.time_limit = time_limit
        self.is_closed = False
        self._most = waiting + THREADS
        self._works: list[Work] = []  # in order of arrival
        self._by_id: dict[str, Work] = {}
        self._seconds = 1.0  # for a request, a moving average
        self._pool = ThreadPoolExecutor(THREADS, "picture")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """Number of requests that are uploaded, wait or are in work."""
        return len(self._works)

    @contextmanager
    def place(self, name: str | None) -> Iterator[Place]:
        """A place for a request within the block. It stays taken until a thread that still works has ended.

        Args:
            name: what the client calls it, to ask how far it is.

        Raises:
            Refused: there is no place, or the server stops.
        """
        if self.is_closed:
            raise Refused(503, "the server is stopping")
        if len(self._works) >= self._most:
            seconds = min(_LONGEST_WAIT, max(1, math.ceil(self._seconds * len(self._works))))
            message = f"too many requests: {len(self._works)} are waiting or in work; try again in {seconds} s"
            raise Refused(429, message, {"Retry-After": str(seconds)})
        if name is not None and name in self._by_id:
            raise Refused(422, "another request has this Img2img-Job")
        place = Place(self, name)
        self._works.append(place.work)
        if name is not None:
            self._by_id[name] = place.work
        try:
            yield place
        finally:
            place.leave()

    def state(self, name: str) -> dict[str, Any]:
        """How far a request is, as JSON. `unknown`: there is none of this name, or it has ended.

        This is not an error: a client that polls also asks before the work begins and after it has ended.
        """
        work = self._by_id.get(name)
        if work is None:
            return {"state": "unknown", "ahead": 0, "share": 0}
        if work.is_waiting:
            return {"state": "waiting", "ahead": self._works.index(work), "share": 0}
        return {"state": "working", "ahead": 0, "share": round(work.share, 4)}

    def close(self) -> None:
        """Cancel all work, and accept no more. To be called from the event loop."""
        self.is_closed = True
        for work in self._works:
            work.cancel()

    async def closed(self) -> None:
        """Wait until no thread works any more."""
        while self._works:
            self.close()
            await asyncio.sleep(POLL)
        self._pool.shutdown()

    def _leave(self, work: Work, name: str | None) -> None:
        self._works.remove(work)
        if name is not None:
            del self._by_id[name]


class Place:
    """The place of one request at the desk."""

    def __init__(self, desk: Desk, name: str | None) -> None:
        self.work = Work()
        self._desk = desk
        self._name = name
        self._future: asyncio.Future[Answer | None] | None = None

    async def do(self, request: Request, gone: asyncio.Future[None]) -> Answer:
        """Have a thread do what the request asks for.

        Args:
            gone: done when the client has closed the connection.

        Raises:
            Refused: it takes too long, or the server stops.
            ClientGone: as it says. Other exceptions: as `Engine.run`.
        """
        desk, work = self._desk, self.work
        loop = asyncio.get_running_loop()
        future = self._future = loop.run_in_executor(desk._pool, _run, desk.engine, request, work)
        either: set[asyncio.Future[Any]] = {future, gone}
        while not future.done():
            await asyncio.wait(either, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                break
            if gone.done():
                raise ClientGone
            if work.seconds > desk.time_limit:
                raise Refused(504, f"the work took longer than {show_duration(desk.time_limit)}, the limit here")
            if desk.is_closed:
                raise Refused(503, "the server is stopping")
        answer = future.result()
        if answer is None:  # cancelled by `close`
            raise Refused(503, "the server is stopping")
        desk._seconds += 0.2 * (work.seconds - desk._seconds)
        return answer

    def leave(self) -> None:
        """Give the place back, as soon as no thread works for it any more."""
        future = self._future
        if future is None or future.done():
            self._desk._leave(self.work, self._name)
            return
        self.work.cancel()
        task = asyncio.ensure_future(self._wind_up(future))
        self._desk._tasks.add(task)
        task.add_done_callback(self._desk._tasks.discard)

    async def _wind_up(self, future: asyncio.Future[Any]) -> None:
        while not future.done():
            self.work.cancel()
            await asyncio.wait({future}, timeout=POLL)
        future.exception()  # nobody reads it
        self._desk._leave(self.work, self._name)


def _run(engine: Engine, request: Request, work: Work) -> Answer | None:
    """As `Engine.run`; None if the work was cancelled."""
    try:
        return engine.run(request, work)
    except Cancelled:
        return None
