"""`img2img serve` as a process, and what it says if it cannot start."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import environment

from serve.conftest import encoded, opened


def test_a_port_in_use_gives_one_clear_line(img2img: Callable[..., Any]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = img2img("serve", "--port", port)
    assert done.status == 2
    assert done.err == f"error: port {port} is in use: end the program that uses it, or choose another --port\n"


def test_without_its_packages_it_says_what_to_install(
    img2img: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "img2img.serve.server", raising=False)
    monkeypatch.delattr("img2img.serve.server", raising=False)
    done = img2img("serve", "--port", "0")
    assert done.status == 2 and "pip install 'img2img[serve]'" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_serves_until_ctrl_c(models: dict[str, Path]) -> None:
    words = [sys.executable, "-m", "img2img", "serve", "--port", "0", "-m", str(models["double"])]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stderr is not None
        try:
            first = process.stderr.readline()
            address = next(word for word in first.split() if word.startswith("http://127.0.0.1:"))
            answer = httpx.post(f"{address}/upscale", files={"image": ("a.png", encoded())}, timeout=30)
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert opened(answer.content).size == (24, 16)
    assert "POST /upscale 200" in rest and rest.endswith("stopped\n") and "Traceback" not in rest
