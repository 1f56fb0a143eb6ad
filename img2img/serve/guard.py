"""Who may talk to the server, and what every answer says to the browser. Also writes the log."""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from img2img.serve import refusals
from img2img.text import show

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page loads its own scripts and styles, and nothing from elsewhere."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d{1,5})?")
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """Who may talk to the server.

    Attributes:
        token: what clients must send as `Authorization: Bearer TOKEN` to the API; None: nothing.
        everywhere: whether the server is reached by other machines, so that any IP address may be its name.
        names: further names of the server, in lower case.
    """

    token: str | None = None
    everywhere: bool = False
    names: tuple[str, ...] = ()

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this server.

        A page of an attacker whose name leads to this machine (DNS rebinding) sends the name of the attacker.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower().rstrip(".")
        if name in _LOCAL or name in self.names:
            return True
        if not self.everywhere:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def refusal(self, headers: Headers, path: str, open_paths: frozenset[str]) -> tuple[int, str] | None:
        """Why a request is refused: a status and a message. None: it is not."""
        host = headers.get("host", "")
        if not self.knows(host):
            hint = "use its address, or allow the name with --allow-host"
            return 403, f"this server does not answer to the name {show(host[:100])!r}: {hint}"
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host):
            return 403, f"requests from other sites are refused ({show(origin[:100])})"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and path not in open_paths:
            return 403, "requests from other sites are refused"
        if self.token is None or path in open_paths or path.startswith("/assets/"):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            return 401, "this server wants its token: send the header 'Authorization: Bearer TOKEN'"
        return None


def _is_same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class Guard:
    """Refuses requests, adds headers to answers, and writes a line of log for every request.

    Args:
        open_paths: paths that need no token, and that links from other sites may open.
        quiet_paths: prefixes of paths that the log leaves out.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        log: Callable[[str], None],
        *,
        open_paths: frozenset[str],
        quiet_paths: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._log = log
        self._open = open_paths
        self._quiet = quiet_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        path = scope["path"]
        refused = self._access.refusal(Headers(scope=scope), path, self._open)
        about = ""
        try:
            if refused is None:
                await self._app(scope, receive, sending)
            else:
                about = refused[1]
                more = {"WWW-Authenticate": "Bearer"} if refused[0] == 401 else {}
                answer = refusals.response(*refused, {"Connection": "close", **more})
                await answer(scope, receive, sending)
        finally:
            if not (path.startswith(self._quiet) and status < 400):
                about = about or scope.get("img2img.about", "")
                client = scope["client"][0] if scope.get("client") else "-"
                seconds = time.perf_counter() - began
                clock = time.strftime("%H:%M:%S")
                words = [clock, client, scope["method"], path[:200], str(status or "gone"), f"{seconds:.2f} s", about]
                self._log(" ".join(filter(None, words)))
