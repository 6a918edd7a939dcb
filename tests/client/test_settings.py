"""Arguments of a client and the environment."""

from pathlib import Path

import pytest

from tandem_client import AsyncClient, Client
from tandem_client.settings import is_loopback, key_of, url_of
from tests.client.scripted_server import ScriptedServer, reply


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TANDEM_URL", "TANDEM_API_KEY", "TANDEM_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_the_defaults() -> None:
    with Client() as client:
        assert client.settings.url == "http://localhost:8000"
        assert client.settings.api_key == ""
        assert repr(client) == "Client('http://localhost:8000')"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_environment_has_what_the_arguments_leave_out(
    kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_URL", "https://search.example.org/base/")
    monkeypatch.setenv("TANDEM_API_KEY", "secret")
    client = kind()
    assert (client.settings.url, client.settings.api_key) == ("https://search.example.org/base", "secret")
    assert "secret" not in repr(client.settings)
    other = kind("http://localhost:1", "")
    assert (other.settings.url, other.settings.api_key) == ("http://localhost:1", "")


def test_the_key_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert key_of(None, {"TANDEM_API_KEY_FILE": str(file)}) == "from-file"
    with pytest.raises(ValueError, match="both set"):
        key_of(None, {"TANDEM_API_KEY_FILE": str(file), "TANDEM_API_KEY": "x"})
    assert key_of("given", {"TANDEM_API_KEY_FILE": "nowhere"}) == "given"


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"\n", "is empty"), (b"x" * 20_000, "16384")])
def test_a_bad_key_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"TANDEM_API_KEY_FILE.*{message}"):
        key_of(None, {"TANDEM_API_KEY_FILE": str(file)})
    with pytest.raises(ValueError, match=r"TANDEM_API_KEY_FILE.*cannot be read"):
        key_of(None, {"TANDEM_API_KEY_FILE": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://user:pass@x", "http://x?a=1", "http://x#a", "http://x:99999"],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        url_of(url, {})
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://a b", "http://[::1", "http://exa\x00mple"])
def test_a_url_that_only_looks_like_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Client(url)


def test_a_header_that_cannot_be_sent_is_an_error_of_the_program() -> None:
    with ScriptedServer(reply(200)) as server, Client(server.url, headers={"x-a": "line\nfeed"}) as client:
        with pytest.raises(ValueError, match="cannot be sent"):
            client.health()
        assert server.requests == []


def test_a_bad_url_of_the_environment_is_named() -> None:
    with pytest.raises(ValueError, match="TANDEM_URL"):
        url_of(None, {"TANDEM_URL": "not a URL"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"attempt_timeout": 1e30},
        {"attempt_timeout": -1},
        {"max_connections": 0},
        {"max_reply_bytes": 0},
        {"retries": -1},
        {"api_key": "two words"},
        {"api_key": "line\nfeed"},
        {"verify": "/nowhere/ca.pem"},
        {"cert": "/nowhere/cert.pem"},
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, object]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        Client(**arguments)  # type: ignore[arg-type]


def test_only_urls_of_other_machines_use_a_proxy_of_the_environment() -> None:
    near, far = ("localhost", "127.0.0.2", "[::1]", "a.localhost"), ("example.org", "10.0.0.1", "localhost.example.org")
    assert all(is_loopback(f"http://{host}:1/") for host in near)
    assert not any(is_loopback(f"http://{host}/") for host in far)


def test_options_of_one_call_leave_the_client_as_it_is() -> None:
    with Client(headers={"x-a": "1"}) as client:
        other = client.with_options(timeout=1.5, attempt_timeout=1, retries=0, headers={"x-b": "2"})
        assert (other.settings.timeout, other.settings.attempt_timeout, other.settings.retry.retries) == (1.5, 1, 0)
        assert other.settings.headers == {"x-a": "1", "x-b": "2"}
        assert (client.settings.timeout, client.settings.retry.retries) == (60, 3)
        assert client.settings.headers == {"x-a": "1"}
        with pytest.raises(ValueError, match="timeout"):
            client.with_options(timeout=0)
