"""The web application: its paths, and the life of a request."""

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from img2img.pages import page
from img2img.serve import docs_page, openapi, refusals, replies, uploads
from img2img.serve.desk import ClientGone, Desk
from img2img.serve.guard import Access, Guard
from img2img.serve.operations import OPERATIONS
from img2img.serve.refusals import Refused
from img2img.version import __version__

_OPEN = frozenset({"/", "/docs", "/openapi.json", "/health"})
_QUIET = ("/jobs/", "/health", "/assets/")
_TYPES = {".css": "text/css", ".js": "text/javascript"}
_JOB = re.compile(openapi.JOB)


def build(desk: Desk, access: Access, log: Callable[[str], None], *, max_body: int) -> ASGIApp:
    """The application.

    Args:
        log: receives one line for every request, and for every failure that is a bug.
        max_body: the most bytes of a request.
    """
    api = openapi.describe(with_token=access.token is not None)
    files = _files()
    front = resources.files("img2img.serve").joinpath("page", "index.html").read_text(encoding="utf-8")

    async def index(http: HttpRequest) -> Response:
        return HTMLResponse(front, headers={"Cache-Control": "no-cache"})

    async def asset(http: HttpRequest) -> Response:
        found = files.get(http.path_params["name"])  # a name in a table, never a path
        if found is None:
            return refusals.response(404, "not found")
        return Response(found[0], media_type=found[1], headers={"Cache-Control": "no-cache"})

    async def docs(http: HttpRequest) -> Response:
        return HTMLResponse(docs_page.build(api, f"{http.url.scheme}://{http.url.netloc}"))

    async def described(http: HttpRequest) -> Response:
        return JSONResponse(api)

    async def models(http: HttpRequest) -> Response:
        return JSONResponse({"models": await run_in_threadpool(desk.engine.models)})

    async def health(http: HttpRequest) -> Response:
        if desk.is_closed:
            return refusals.response(503, "the server is stopping")
        return JSONResponse({"status": "ok", "version": __version__, "requests": desk.count})

    async def job(http: HttpRequest) -> Response:
        return JSONResponse(desk.state(http.path_params["id"]))

    async def work(http: HttpRequest) -> Response:
        try:
            return await _work(http, desk, max_body)
        except (ClientDisconnect, ClientGone):
            http.scope["img2img.about"] = "the client has gone"
            return Response(status_code=499)  # as nginx logs it; nobody reads it
        except Exception as error:
            if refusals.is_bug(error):
                log("".join(traceback.format_exception(error)))
            answer, message = refusals.of_error(error)
            http.scope["img2img.about"] = message
            return answer

    async def not_found(http: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        what = {404: "there is no such path; /docs lists them", 405: f"{http.method} is not for this path; see /docs"}
        headers = error.headers if isinstance(error, HTTPException) else None
        return refusals.response(status, what.get(status, str(error)), headers)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        desk.close()
        await desk.closed()

    routes = [
        Route("/", index),
        Route("/assets/{name}", asset),
        Route("/docs", docs),
        Route("/openapi.json", described),
        Route("/models", models),
        Route("/health", health),
        Route("/jobs/{id}", job),
        *(Route(f"/{name}", work, methods=["POST"]) for name in OPERATIONS),
    ]
    app = Starlette(routes=routes, lifespan=life, exception_handlers={HTTPException: not_found})
    return Guard(app, access, log, open_paths=_OPEN, quiet_paths=_QUIET)


async def _work(http: HttpRequest, desk: Desk, max_body: int) -> Response:
    """Take a place, read the request, have it done, and answer."""
    operation = OPERATIONS[http.url.path.strip("/")]
    name = http.headers.get("img2img-job")
    try:
        if name is not None and _JOB.fullmatch(name) is None:
            raise Refused(422, "Img2img-Job: use 16 to 64 letters, digits, - and _")
        with desk.place(name) as taken:
            request = await uploads.read(http, operation, most=max_body, seconds=desk.time_limit)
            gone = asyncio.ensure_future(_gone(http))
            try:
                answer = await taken.do(request, gone)
            finally:
                gone.cancel()
            http.scope["img2img.about"] = taken.work.about
            return replies.of_answer(answer, accept=http.headers.get("accept", ""), seconds=taken.work.seconds)
    except Refused as refused:
        if refused.status == 429:
            await uploads.discard(http, max_body)
        raise


async def _gone(http: HttpRequest) -> None:
    """Return when the client has closed the connection. The body must have been read."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _files() -> dict[str, tuple[bytes, str]]:
    """The files of the pages: name -> content and type. They are read once."""
    folder = resources.files("img2img.serve").joinpath("page")
    found = {"base.css": (page.asset("base.css").encode(), _TYPES[".css"])}
    for one in folder.iterdir():
        kind = _TYPES.get(one.name[one.name.rfind(".") :])
        if kind is not None:
            found[one.name] = one.read_bytes(), kind
    return found
