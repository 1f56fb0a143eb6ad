"""`img2img serve`"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from img2img.cli import console, options
from img2img.errors import ExitStatus, UsageError

_PANEL_ACCESS, _PANEL_LIMITS, _PANEL_MODEL = "Access", "Limits", "Model"

MAX_PIXELS = 50_000_000
LEAST_TOKEN = 16  # characters


def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port. 0: any free one.", rich_help_panel=_PANEL_ACCESS)
    ] = 7000,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. Any but this machine's own (127.0.0.1) needs --token; 0.0.0.0 is all.",
            rich_help_panel=_PANEL_ACCESS,
        ),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET",
            help="Only answer requests with 'Authorization: Bearer SECRET'. Default: $IMG2IMG_TOKEN, which other users "
            "of this machine cannot see.",
            show_default=False,
            rich_help_panel=_PANEL_ACCESS,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further name of this server, for example behind a proxy. Repeatable.",
            show_default=False,
            rich_help_panel=_PANEL_ACCESS,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="Offer this ONNX file or run folder too, and use it by default. Repeatable.",
            show_default=False,
            rich_help_panel=_PANEL_MODEL,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda[:N]", help="Where networks run.", rich_help_panel=_PANEL_MODEL)
    ] = "auto",
    threads: options.Threads = None,
    tile: Annotated[
        str,
        typer.Option(metavar="auto|N|none", help="Side of the tiles in input pixels.", rich_help_panel=_PANEL_MODEL),
    ] = "auto",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Refuse models whose bytes differ from the digest in their card.",
            rich_help_panel=_PANEL_MODEL,
        ),
    ] = False,
    keep: Annotated[
        int,
        typer.Option(
            min=1, max=100, metavar="N", help="Number of models that stay loaded.", rich_help_panel=_PANEL_MODEL
        ),
    ] = 4,
    max_pixels: Annotated[
        int,
        typer.Option(
            "--max-pixels",
            min=1,
            metavar="N",
            help="Refuse pictures with more pixels, and results with more than 16 times as many.",
            rich_help_panel=_PANEL_LIMITS,
        ),
    ] = MAX_PIXELS,
    max_body: Annotated[
        str, typer.Option(metavar="SIZE", help="Refuse larger requests.", rich_help_panel=_PANEL_LIMITS)
    ] = "256M",
    time_limit: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="End work that takes longer, such as 90s or 5min. Waiting does not count.",
            rich_help_panel=_PANEL_LIMITS,
        ),
    ] = "10min",
    queue: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            metavar="N",
            help="Number of requests that may wait. Others are told to try again later (429).",
            rich_help_panel=_PANEL_LIMITS,
        ),
    ] = 16,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.", rich_help_panel="Messages")
    ] = False,
    quiet: options.Quiet = False,
) -> ExitStatus:
    """Serve a page in the browser, and an HTTP API with the options of the commands.

    \b
    img2img serve --open                              the page, on this machine only
    img2img serve -m runs/facades                     also offers a model that you trained
    IMG2IMG_TOKEN=... img2img serve --host 0.0.0.0    for other machines, with a token

    \b
    curl -F image=@photo.jpg localhost:7000/upscale > large.jpg

    Nothing is loaded from the internet, and pictures are not stored. Ctrl-C stops the server.
    """
    try:
        from img2img.serve import server
    except ImportError as error:
        raise UsageError(f"serve needs a package ({error}): pip install 'img2img[serve]'") from error
    from img2img.runtime.network.grid import parse_tile
    from img2img.serve.app import build
    from img2img.serve.catalogue import Catalogue
    from img2img.serve.desk import Desk
    from img2img.serve.engine import Engine, EngineOptions
    from img2img.serve.guard import Access
    from img2img.text import parse_duration, parse_memory

    token = token if token is not None else os.environ.get("IMG2IMG_TOKEN") or None
    here = server.is_loopback(host)
    if token is None and not here:
        raise UsageError(f"--host {host}: others could use this server: set a secret with --token or $IMG2IMG_TOKEN")
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"--token: use at least {LEAST_TOKEN} printable ASCII characters, such as openssl rand -hex 16"
        )
    how = EngineOptions(max_pixels, device, threads, parse_tile(tile), verify, keep)
    engine = Engine(Catalogue(model or ()), how)
    desk = Desk(engine, waiting=queue, time_limit=parse_duration(time_limit, "--time-limit"))
    most = parse_memory(max_body, "--max-body")
    names = tuple(name.lower() for name in allow_host or ())
    access = Access(token, everywhere=not here, names=names if here else (*names, *server.own_names(host)))

    def log(line: str) -> None:
        if not quiet:
            console.say(line)

    app = build(desk, access, log, max_body=most)
    found = server.listen(host, port)
    address = server.address_of(found)

    def started() -> None:
        with_token = "" if token is None else "; in the browser, add #token=SECRET to the address"
        log(f"img2img serves {address} (Ctrl-C stops it{with_token})")
        if open_browser:
            import webbrowser

            webbrowser.open(address if token is None else f"{address}/#token={token}")

    server.run(app, desk, found, started)
    log("stopped")
    return ExitStatus.OK
