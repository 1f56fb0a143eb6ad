"""Opens the port and runs the application until a signal ends it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from img2img.errors import UsageError
from img2img.serve.desk import Desk

MOST_CONNECTIONS = 256
GRACE = 10  # seconds for answers that are on their way when the server stops


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address. `port` 0: any free one.

    Raises:
        UsageError: the port is in use, or the address is not one of this machine's.
    """
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UsageError(f"--host {host}: no such address ({error.strerror})") from error
    found = socket.socket(kind, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would share the port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} is in use: end the program that uses it, or choose another --port"
            ) from error
        if error.errno == errno.EACCES:
            raise UsageError(f"port {port} is not for you: choose a --port from 1024 on") from error
        raise UsageError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_names(host: str) -> tuple[str, ...]:
    """Names by which other machines may call this one, in lower case."""
    return tuple({host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()})


def address_of(found: socket.socket) -> str:
    """The address of a socket for browsers: http://127.0.0.1:7000."""
    host, port = found.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(app: ASGIApp, desk: Desk, found: socket.socket, started: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. Work that goes on then is cancelled. A second signal ends the server at once.

    started: called when the server answers.
    """
    asyncio.run(Server(app, desk, started).serve(sockets=[found]))


class Server(uvicorn.Server):
    """Cancels the work when it stops. A signal stops it, and nobody gets that signal again: stopping is no failure."""

    def __init__(self, app: ASGIApp, desk: Desk, started: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="on",
            limit_concurrency=MOST_CONNECTIONS,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )
        super().__init__(config)
        self._desk = desk
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._desk.close()  # otherwise uvicorn would wait for the work
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        signals = [signal.SIGINT, signal.SIGTERM]
        before: dict[signal.Signals, Any] = {one: signal.signal(one, stop) for one in signals}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
