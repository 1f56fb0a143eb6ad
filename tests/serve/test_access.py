"""Only this machine, its own pages, and clients with the token may use the server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import application
from starlette.testclient import TestClient

from img2img.serve.guard import Access
from serve.conftest import encoded

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Client = TestClient


@pytest.fixture(scope="module")
def client(models: dict[str, Path]) -> Iterator[Client]:
    app, _ = application([models["double"]])
    with TestClient(app, base_url="http://127.0.0.1:7000") as client:
        yield client


@pytest.fixture(scope="module")
def remote(models: dict[str, Path]) -> Iterator[Client]:
    """A server for other machines, with a token."""
    app, _ = application([models["double"]], access=Access(TOKEN, everywhere=True, names=("studio",)))
    with TestClient(app, base_url="http://192.168.1.5:7000") as client:
        yield client


def post(client: Client, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/upscale", files={"image": ("a.png", encoded())}, headers=named)


@pytest.mark.parametrize("host", ["127.0.0.1:7000", "localhost", "LOCALHOST:7000", "[::1]:7000", "localhost.:7000"])
def test_it_answers_to_the_names_of_this_machine(client: Client, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7000", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.1.5", "", "a b"],
)
@pytest.mark.parametrize("path", ["/", "/models", "/health"])
def test_a_name_that_leads_here_from_elsewhere_is_refused(client: Client, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "does not answer to the name" in answer.json()["error"] and "--allow-host" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:7000"},  # another name of this machine is another site
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(client: Client, headers: dict[str, str]) -> None:
    answer = post(client, **headers)
    assert answer.status_code == 403 and "other sites are refused" in answer.json()["error"]


def test_its_own_page_may_send_forms_and_others_may_link_to_it(client: Client) -> None:
    assert post(client, Origin="http://127.0.0.1:7000", Sec_Fetch_Site="same-origin").status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert client.get("/models", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_no_answer_allows_other_sites_to_read_it(client: Client) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [client.options("/upscale", headers=asked), client.get("/health"), post(client)]
    assert not any(name.startswith("access-control") for one in answers for name in one.headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/models", "/assets/app.js", "/nothing"])
def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert not any(word in headers["content-security-policy"] for word in ("unsafe", "http:", "https:", "*"))
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_refusals_have_the_policy_too(client: Client) -> None:
    assert "content-security-policy" in client.get("/", headers={"Host": "evil.example"}).headers
    assert "content-security-policy" in post(client, Origin="null").headers


def test_with_a_token_the_api_wants_it(remote: Client) -> None:
    assert post(remote, **BEARER).status_code == 200
    assert remote.get("/models", headers=BEARER).status_code == 200
    assert post(remote, Authorization=f"bearer  {TOKEN}").status_code == 200  # RFC 9110 ignores case


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer caf\u00e9"])
def test_without_the_right_token_nothing_is_done(remote: Client, given: str) -> None:
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    for answer in (
        remote.post("/upscale", files={"image": ("a.png", encoded())}, headers=headers),
        remote.get("/models", headers=headers),
        remote.get("/jobs/abcdefghijklmnop", headers=headers),
    ):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer TOKEN" in answer.json()["error"]


def test_the_page_itself_and_health_need_no_token(remote: Client) -> None:
    assert [remote.get(path).status_code for path in ("/", "/docs", "/health", "/assets/app.js")] == [200] * 4


def test_other_machines_may_use_an_address_or_a_known_name(remote: Client) -> None:
    hosts = ["192.168.1.5:7000", "[fe80::1]:7000", "studio:7000", "STUDIO", "localhost"]
    assert [remote.get("/health", headers={"Host": one}).status_code for one in hosts] == [200] * len(hosts)
    assert remote.get("/health", headers={"Host": "evil.example"}).status_code == 403


def test_assets_are_names_in_a_table(client: Client) -> None:
    assert client.get("/assets/app.js").headers["content-type"].startswith("text/javascript")
    for path in ("/assets/../app.py", "/assets/%2e%2e%2fapp.py", "/assets/..%2f..%2fversion.py", "/assets/index.html"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: others could use this server: set a secret with --token"),
        (["--host", "::"], "--host ::: others could use this server"),
        (["--host", "192.168.1.5"], "others could use this server"),
        (["--host", "0.0.0.0", "--token", "short"], "--token: use at least 16 printable ASCII characters"),
        (["--token", "sixteen letters \u00e9"], "--token: use at least 16 printable ASCII characters"),
        (["--host", "no.such.name.invalid", "--token", TOKEN], "--host no.such.name.invalid: no such address"),
        (["--model", "nothing.onnx"], "nothing.onnx"),
        (["--max-body", "much"], "--max-body"),
        (["--time-limit", "long"], "--time-limit"),
        (["--tile", "-3"], "--tile"),
    ],
)
def test_a_wrong_start_is_refused_in_one_line(
    img2img: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.delenv("IMG2IMG_TOKEN", raising=False)
    done = img2img("serve", "--port", "0", *options)
    assert message in done.err and done.err.count("\n") <= 2 and "Traceback" not in done.err
    assert done.status in (1, 2)


def test_the_token_may_come_from_the_environment(img2img: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_TOKEN", "short")
    assert "--token: use at least 16" in img2img("serve", "--port", "0", "--host", "0.0.0.0").err
