"""The server bounds its queue, its memory and its time, and does no work for clients that have gone."""

import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from served import HeldEngine, Served, served

from img2img.runtime.api import load
from img2img.serve.work import Work
from serve.conftest import encoded, opened

LATER = 20  # seconds until a test gives up


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + LATER
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def send(server: Served, image: bytes | None = None, **fields: Any) -> httpx.Response:
    files = {"image": ("photo.png", encoded() if image is None else image)}
    headers = {"Img2img-Job": fields.pop("job")} if "job" in fields else {}
    return httpx.post(f"{server.address}/upscale", files=files, data=fields, headers=headers, timeout=LATER)


def connect(server: Served) -> socket.socket:
    host, port = server.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=LATER)


def raw(image: bytes, *, sent: int | None = None, job: str | None = None) -> bytes:
    """A request as bytes, or as many bytes of its body."""
    request = httpx.Request("POST", "http://localhost/upscale", files={"image": ("photo.png", image)})
    body = request.read()
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [] if job is None else [f"Img2img-Job: {job}"]
    head = "\r\n".join(["POST /upscale HTTP/1.1", *lines])
    return head.encode() + b"\r\n\r\n" + body[:sent]


@pytest.fixture
def held(models: dict[str, Path]) -> Iterator[Served]:
    """A server that works only once its gate is open, with two places."""
    with served([models["double"]], engine=HeldEngine, waiting=0) as server:
        yield server
        server.desk.engine.gate.set()


def test_a_full_queue_says_when_to_try_again(held: Served) -> None:
    engine = held.desk.engine
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(send, held) for _ in range(2)]
        until(lambda: held.desk.count == 2)
        refused = send(held, encoded((300, 300)))
        engine.gate.set()
        assert [one.result().status_code for one in others] == [200, 200]
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"].startswith("too many requests: 2 are waiting or in work; try again in ")
    assert send(held).status_code == 200


def test_waiting_requests_know_their_place(models: dict[str, Path]) -> None:
    with served([models["double"]], engine=HeldEngine) as server, ThreadPoolExecutor(3) as pool:
        names = [f"request-number-{index}" for index in range(3)]
        sent = []
        for count, name in enumerate(names, 1):
            sent.append(pool.submit(send, server, job=name))
            until(lambda count=count: server.desk.count == count)
        states = [httpx.get(f"{server.address}/jobs/{name}").json() for name in names]
        again = send(server, job=names[0])
        wrong = send(server, job="short")
        server.desk.engine.gate.set()
        assert [one.result().status_code for one in sent] == [200] * 3
    assert [one["state"] for one in states] == ["working", "working", "waiting"] and states[2]["ahead"] == 2
    assert again.status_code == 422 and "another request has this Img2img-Job" in again.json()["error"]
    assert wrong.status_code == 422 and "16 to 64 letters" in wrong.json()["error"]


def test_a_client_that_goes_away_while_it_waits_is_forgotten(held: Served) -> None:
    with connect(held) as connection:
        connection.sendall(raw(encoded()))
        assert held.desk.engine.began.acquire(timeout=LATER)
    until(lambda: held.desk.count == 0)  # the gate is still closed
    assert any("499" in line and "the client has gone" in line for line in held.log)


def test_a_client_that_goes_away_ends_the_run_of_the_network(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles: list[int] = []
    ended = threading.Event()
    go_on = Work.advance

    def advance(work: Work, index: int, pixels: int) -> None:
        tiles.append(pixels)
        while not work.is_cancelled:
            time.sleep(0.01)
        ended.set()
        go_on(work, index, pixels)

    monkeypatch.setattr(Work, "advance", advance)
    with served([models["double"]], tile=16) as server:
        with connect(server) as connection:
            connection.sendall(raw(encoded((200, 200)), job="a-name-of-my-own"))
            until(lambda: bool(tiles))
            assert httpx.get(f"{server.address}/jobs/a-name-of-my-own").json()["state"] == "working"
        assert ended.wait(LATER)
        until(lambda: server.desk.count == 0)
        assert len(tiles) <= 2  # of more than a hundred
        monkeypatch.setattr(Work, "advance", go_on)
        assert send(server).status_code == 200


def test_a_client_that_goes_away_during_its_upload_leaves_no_place_taken(held: Served) -> None:
    with connect(held) as connection:
        connection.sendall(raw(encoded((300, 300)), sent=1000))
        until(lambda: held.desk.count == 1)
    until(lambda: held.desk.count == 0)


def test_work_that_takes_too_long_is_ended(models: dict[str, Path]) -> None:
    with served([models["double"]], engine=HeldEngine, time_limit=0.2) as server:
        answer = send(server)
        until(lambda: server.desk.count == 0)
        server.desk.engine.gate.set()
        assert send(server).status_code == 200
    assert answer.status_code == 504 and "the work took longer than" in answer.json()["error"]


def test_waiting_for_the_network_is_no_work() -> None:
    work = Work()
    work.began = time.monotonic() - 100
    with work.waiting():
        seconds = work.seconds
        time.sleep(0.05)
        assert work.is_waiting and work.seconds == seconds
    assert not work.is_waiting and work.seconds >= 100


def test_an_upload_that_takes_too_long_is_refused(models: dict[str, Path]) -> None:
    with served([models["double"]], time_limit=0.2) as server, connect(server) as connection:
        connection.sendall(raw(encoded((100, 100)), sent=1000))
        assert b"HTTP/1.1 408 " in connection.recv(1 << 16)


def test_a_body_that_is_too_large_is_refused_with_or_without_its_length(models: dict[str, Path]) -> None:
    with served([models["double"]], max_body=100_000) as server:
        large = encoded((300, 300))
        told = send(server, large)

        def pieces() -> Iterator[bytes]:
            boundary = b"--x\r\nContent-Disposition: form-data; name=image; filename=a.png\r\n\r\n"
            yield boundary + large

        untold = httpx.post(
            f"{server.address}/upscale",
            content=pieces(),
            headers={"content-type": "multipart/form-data; boundary=x"},
            timeout=LATER,
        )
        assert server.desk.count == 0
    for answer in (told, untold):
        assert answer.status_code == 413 and "(--max-body)" in answer.json()["error"]


def test_a_form_with_too_many_fields_is_refused(models: dict[str, Path]) -> None:
    with served([models["double"]]) as server:
        answer = send(server, **{f"field{index}": "1" for index in range(100)})
        long = send(server, scale="1" * 20_000)
        files = [("image", ("a.png", encoded())) for _ in range(5)]
        many = httpx.post(f"{server.address}/upscale", files=files, timeout=LATER)
    assert [one.status_code for one in (answer, long, many)] == [400, 400, 400]


def test_thirty_two_clients_at_once_get_the_right_picture_or_429(models: dict[str, Path]) -> None:
    photos = [encoded((24 + index, 20), seed=index) for index in range(32)]
    model = load(models["double"], device="cpu")
    expected = [np.asarray(model.run(opened(photo))) for photo in photos]
    with served([models["double"]], waiting=4) as server:
        start = threading.Barrier(32)

        def client(index: int) -> httpx.Response:
            start.wait(LATER)
            return send(server, photos[index])

        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(client, range(32)))
        assert server.desk.count == 0
    statuses = [one.status_code for one in answers]
    assert set(statuses) <= {200, 429} and statuses.count(200) >= 6
    assert all("retry-after" in one.headers for one in answers if one.status_code == 429)
    for answer, pixels in zip(answers, expected, strict=True):
        if answer.status_code == 200:
            assert (np.asarray(opened(answer.content)) == pixels).all()


_opened: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.mkdir", "os.rename", "os.listdir", "os.remove"):
        _opened.extend(os.fsdecode(one) for one in arguments if isinstance(one, str | bytes | os.PathLike))


def test_no_path_of_a_client_reaches_the_disk(models: dict[str, Path], here: Path) -> None:
    global _opened
    secret = here / "client-secret.png"
    secret.write_bytes(encoded())
    large = io.BytesIO()  # so large that the upload goes to a temporary file
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)).save(large, "png")
    requests = [
        ("upscale", {"image": ("../client-name.png", encoded())}, {}),
        ("upscale", {"image": (f"{here}/client-name.png", large.getvalue())}, {}),
        ("upscale", {"image": ("a.png", encoded())}, {"model": "client-model.onnx"}),
        ("upscale", {"image": ("a.png", encoded())}, {"model": str(here / "client-model")}),
        ("upscale", {}, {"image": str(secret)}),
        ("inpaint", {"image": ("a.png", encoded())}, {"mask": str(secret)}),
        ("translate", {"image": ("a.png", encoded())}, {"model": "styled", "reference": str(secret)}),
        ("translate", {"image": ("client-name/../b.png", encoded())}, {"model": "varied", "samples": "2"}),
    ]
    with served([models[name] for name in ("double", "styled", "varied", "green")]) as server:
        sys.addaudithook(_watch)
        _opened = []
        try:
            statuses = [
                httpx.post(f"{server.address}/{path}", files=files, data=data, timeout=LATER).status_code
                for path, files, data in requests
            ]
        finally:
            seen, _opened = _opened, None
    assert statuses == [200, 200, 404, 404, 415, 422, 422, 200]
    assert [one for one in seen if "client-" in one] == []
    assert [one.name for one in here.iterdir()] == ["client-secret.png"]


def test_the_log_has_a_line_for_each_request_and_escapes_what_clients_send(models: dict[str, Path]) -> None:
    with served([models["double"]]) as server:
        send(server)
        httpx.get(f"{server.address}/no%1b%5b2Jthing")
        httpx.get(f"{server.address}/health")
        log = list(server.log)
    assert "POST /upscale 200" in log[0] and "double 12x8 -> 24x16" in log[0]
    assert "404" in log[1] and len(log) == 2  # health is quiet


def test_a_server_that_stops_ends_the_work_and_says_so(models: dict[str, Path]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with served([models["double"]], engine=HeldEngine) as server:
            waiting = pool.submit(send, server)
            assert server.desk.engine.began.acquire(timeout=LATER)
        answer = waiting.result()
    assert answer.status_code == 503 and json.loads(answer.content)["error"] == "the server is stopping"
