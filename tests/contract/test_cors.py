"""CORS: allowed origins get headers on every reply and an answer to their preflight requests; others get none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.settings import Settings
from tandem_runtime.cors import CrossOrigin
from tandem_runtime.edge import edge
from tandem_runtime.origin import LOOPBACK_NAMES, OriginRules
from tandem_runtime.settings import SettingsError, read

APP = b"https://app.example"
OTHER = b"https://evil.example"
Headers = list[tuple[bytes, bytes]]


async def ask(method: str, headers: Headers, *origins: str) -> tuple[int, dict[bytes, list[bytes]]]:
    """Return the status and the headers of a reply; the application itself answers 404."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"vary", b"accept-encoding")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    cors = CrossOrigin(frozenset(origins), "TANDEM_CORS_ORIGINS") if origins else None
    wrapped = edge(app, origin=OriginRules(LOOPBACK_NAMES, "TANDEM_ALLOWED_HOSTS", cors), cors=cors)
    scope = {"type": "http", "method": method, "path": "/", "headers": [(b"host", b"localhost"), *headers]}
    await wrapped(scope, receive, send)
    found: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        found.setdefault(name, []).append(value)
    return sent[0]["status"], found


def preflight(origin: bytes, asked: bytes = b"authorization") -> Headers:
    return [
        (b"origin", origin),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", asked),
        (b"sec-fetch-site", b"cross-site"),
    ]


async def test_an_allowed_origin_may_read_every_reply() -> None:
    status, headers = await ask("GET", [(b"origin", APP)], "https://app.example", "http://localhost:3000")
    assert status == 404
    assert headers[b"access-control-allow-origin"] == [APP]
    assert {b"x-request-id", b"retry-after", b"ratelimit-remaining", b"x-truncated-documents"} <= set(
        headers[b"access-control-expose-headers"][0].split(b", ")
    )
    assert headers[b"vary"] == [b"accept-encoding", b"origin"]
    assert b"access-control-allow-credentials" not in headers


@pytest.mark.parametrize("origin", [[(b"origin", OTHER)], [(b"origin", b"null")], [(b"origin", b"*")], []])
async def test_another_origin_gets_no_header_and_a_cache_keeps_the_replies_apart(origin: Headers) -> None:
    status, headers = await ask("GET", origin, "https://app.example")
    assert status == 404
    assert b"access-control-allow-origin" not in headers
    assert headers[b"vary"] == [b"accept-encoding", b"origin"]


async def test_with_every_origin_allowed_the_reply_is_the_same_for_all() -> None:
    for origin in ([(b"origin", OTHER)], [(b"origin", b"null")], []):
        _, headers = await ask("GET", origin, "*")
        assert headers[b"access-control-allow-origin"] == [b"*"]
        assert headers[b"vary"] == [b"accept-encoding"]


async def test_without_the_setting_nothing_changes() -> None:
    status, headers = await ask("OPTIONS", preflight(APP))
    assert (status, headers[b"vary"]) == (404, [b"accept-encoding"])
    assert not [name for name in headers if name.startswith(b"access-control")]
    assert (await ask("POST", [(b"origin", APP), (b"sec-fetch-site", b"cross-site")]))[0] == 403


async def test_a_preflight_request_is_answered_with_what_it_asks_for() -> None:
    status, headers = await ask("OPTIONS", preflight(APP, b"authorization, x-stainless-os,bad\x00name"), APP.decode())
    assert status == 204
    assert b"content-length" not in headers
    assert headers[b"access-control-allow-origin"] == [APP]
    assert headers[b"access-control-allow-methods"] == [b"DELETE, GET, HEAD, PATCH, POST, PUT"]
    allowed = headers[b"access-control-allow-headers"][0].split(b", ")
    assert {b"authorization", b"content-type", b"api-key", b"x-api-key", b"idempotency-key", b"x-request-timeout-ms",
            b"mcp-session-id", b"mcp-protocol-version", b"x-stainless-os"} <= set(allowed)  # fmt: skip
    assert not [name for name in allowed if b"bad" in name]
    assert headers[b"access-control-max-age"] == [b"600"]
    assert set(headers[b"vary"]) == {b"origin", b"access-control-request-headers"}


async def test_a_preflight_request_of_another_origin_is_refused() -> None:
    status, headers = await ask("OPTIONS", preflight(OTHER), APP.decode())
    assert status == 403
    assert b"access-control-allow-origin" not in headers


async def test_an_options_request_that_is_no_preflight_reaches_the_application() -> None:
    assert (await ask("OPTIONS", [(b"origin", APP)], APP.decode()))[0] == 404
    assert (await ask("OPTIONS", [(b"access-control-request-method", b"GET")], APP.decode()))[0] == 404


async def test_cross_site_requests_pass_for_allowed_origins_only() -> None:
    marked = (b"sec-fetch-site", b"cross-site")
    assert (await ask("POST", [(b"origin", APP), marked], APP.decode()))[0] == 404
    for headers in ([(b"origin", OTHER), marked], [marked]):
        assert (await ask("POST", headers, APP.decode()))[0] == 403
    assert (await ask("POST", [(b"origin", OTHER), marked], "*"))[0] == 404


async def test_the_rule_on_host_names_holds_for_allowed_origins_too() -> None:
    for method, headers in (("GET", [(b"origin", APP)]), ("OPTIONS", preflight(APP))):
        status, replied = await ask(method, [*headers, (b"host", b"evil.example")], APP.decode())
        assert status == 403
        assert replied[b"access-control-allow-origin"] == [APP]  # the page may read the reason


@given(st.binary(max_size=300))
async def test_no_list_of_headers_breaks_the_reply(asked: bytes) -> None:
    status, headers = await ask("OPTIONS", preflight(APP, asked), "*")
    assert status == 204
    assert b"\n" not in headers[b"access-control-allow-headers"][0]
    assert b"\r" not in headers[b"access-control-allow-headers"][0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ("*",)),
        (
            " https://A.example , http://localhost:3000,https://a.example ",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("https://a.example:443,http://b:80,http://c:443", ("https://a.example", "http://b", "http://c:443")),
        ("http://[::1]:8080,tauri://localhost", ("http://[::1]:8080", "tauri://localhost")),
    ],
)
def test_the_setting_is_read_as_browsers_send_origins(text: str, expected: tuple[str, ...]) -> None:
    assert read(Settings, {"TANDEM_CORS_ORIGINS": text}).cors_origins == expected


@pytest.mark.parametrize(
    "text", ["null", "app.example", "https://a.example/", "https://a/b", "*,https://a", "https://*.a", "http://a:0"]
)
def test_a_setting_that_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="TANDEM_CORS_ORIGINS"):
        read(Settings, {"TANDEM_CORS_ORIGINS": text})
