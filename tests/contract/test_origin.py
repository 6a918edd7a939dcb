"""The service refuses requests that a web page makes without its visitor's knowledge, and no others."""

import asyncio
from typing import Any

import msgspec
import pytest

from tandem_runtime.edge import edge
from tandem_runtime.origin import LOOPBACK_NAMES, OriginRules, allowed_hosts


def status(method: str, headers: list[tuple[bytes, bytes]], hosts: frozenset[str] | None = LOOPBACK_NAMES) -> int:
    """Return the status of a request to a guarded application that answers every request with 200."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(edge(app, origin=OriginRules(hosts, "TANDEM_ALLOWED_HOSTS"))(scope, receive, send))
    if sent[0]["status"] != 200:
        error = msgspec.json.decode(sent[1]["body"])["error"]
        assert error["code"] == "forbidden"
        assert error["param"] in ("host", "sec-fetch-site")
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LocalHost.", "[::1]"])
def test_the_loopbacks_own_names_are_answered(host: str) -> None:
    assert status("GET", [(b"host", host.encode())]) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[::2]",
        "[",
        "10.0.0.1",
    ],
)
def test_a_foreign_name_is_refused(host: str) -> None:
    assert status("GET", [(b"host", host.encode())]) == 403


def test_a_name_that_is_allowed_is_answered_beside_the_loopbacks() -> None:
    hosts = allowed_hosts("0.0.0.0", ["Gateway"])
    assert status("GET", [(b"host", b"gateway:8000")], hosts) == 200
    assert status("GET", [(b"host", b"127.0.0.1")], hosts) == 200
    assert status("GET", [(b"host", b"other")], hosts) == 403


def test_every_name_is_answered_off_the_loopback_unless_some_are_allowed() -> None:
    assert allowed_hosts("0.0.0.0", []) is None
    assert status("GET", [(b"host", b"anything.example")], None) == 200
    assert allowed_hosts("127.0.0.1", []) == LOOPBACK_NAMES


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_cross_site_request_changes_nothing(method: str) -> None:
    assert status(method, [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site")]) == 403
    for site in (b"same-origin", b"same-site", b"none"):
        assert status(method, [(b"host", b"localhost"), (b"sec-fetch-site", site)]) == 200


def test_another_sites_page_may_link_here() -> None:
    assert status("GET", [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site")]) == 200
