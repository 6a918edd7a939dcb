"""A JWKS from a file and from a real server, which rotates, fails, hangs, redirects and sends too much."""

import asyncio
import ssl
from pathlib import Path

import pytest

from tandem_gateway.adapters.jwt.key_keeper import MAX_JWKS_BYTES, JwksUnavailable, KeyKeeper, RefreshPolicy
from tandem_gateway.adapters.jwt.sources import JwksFile, JwksUrl, may_fetch
from tandem_gateway.ports.tokens import TokenRefused
from tests.support.certificates import Authority
from tests.support.issuing import JwksServer, jwk, key_set, private_key

FIRST = key_set(jwk(private_key("RS256"), "first"))
SECOND = key_set(jwk(private_key("RS256", 1), "second"))


def source(url: str, *, tls: ssl.SSLContext | None = None, plain_http: bool = False) -> JwksUrl:
    return JwksUrl(url, tls=tls or ssl.create_default_context(), plain_http=plain_http, timeout=20)


async def unavailable(given: JwksUrl | JwksFile) -> str:
    with pytest.raises(JwksUnavailable) as caught:
        await given.read()
    return str(caught.value)


async def test_a_file_is_read_anew_each_time(tmp_path: Path):
    file = tmp_path / "jwks.json"
    given = JwksFile(file)
    assert "No such file" in await unavailable(given)
    for content in (FIRST, SECOND):
        file.write_bytes(content)
        assert await given.read() == content
    file.write_bytes(b" " * (MAX_JWKS_BYTES + 1))
    assert "more than" in await unavailable(given)


async def test_a_server_is_asked_each_time():
    with JwksServer(FIRST) as server:
        given = source(server.url)
        assert await given.read() == FIRST
        server.content = SECOND
        assert await given.read() == SECOND
        assert server.fetches == 2
    assert "Connect" in await unavailable(given)


@pytest.mark.parametrize("status", [204, 401, 404, 500, 503])
async def test_another_status_is_a_failure(status: int):
    with JwksServer(FIRST) as server:
        server.status = status
        assert f"status {status}" in await unavailable(source(server.url))


async def test_a_reply_has_a_maximum_size():
    with JwksServer(b" " * (64 << 20)) as server:
        assert f"more than {MAX_JWKS_BYTES} bytes" in await unavailable(source(server.url))
        server.content = FIRST + b" " * (MAX_JWKS_BYTES - len(FIRST))
        assert len(await source(server.url).read()) == MAX_JWKS_BYTES


async def test_a_compressed_reply_is_refused():
    with JwksServer(b"\x1f\x8b") as server:
        server.headers = {"content-encoding": "gzip"}
        assert "compressed" in await unavailable(source(server.url))


async def test_a_server_that_hangs_is_left_at_the_deadline():
    with JwksServer(FIRST) as server:
        server.hang()
        policy = RefreshPolicy(refresh=300, interval=0.001, max_age=1000, timeout=0.2)
        keeper = KeyKeeper(source(server.url), ["RS256"], policy)
        waiting = [asyncio.create_task(keeper.learn()) for _ in range(20)]
        await asyncio.gather(*waiting)
        assert server.fetches == 1
        with pytest.raises(TokenRefused, match="no_keys"):
            keeper.find("first", "RS256")
        server.release()
        await keeper.fetch()
        assert keeper.find("first", "RS256").kid == "first"


async def test_a_redirect_is_followed_to_the_same_scheme_a_few_times():
    with JwksServer(FIRST) as there, JwksServer() as here:
        here.status, here.headers = 302, {"location": there.url}
        assert await source(here.url).read() == FIRST
        here.headers = {"location": here.url}
        here.fetches = 0
        assert "redirects" in await unavailable(source(here.url))
        assert here.fetches == 4


@pytest.mark.parametrize(
    "location",
    [
        "https://localhost/", "file:///etc/passwd", "ftp://127.0.0.1/", "http://192.0.2.1/", "http://metadata.internal/",
        "//192.0.2.1/", "http://[", "data:application/json,{}",
    ],
)  # fmt: skip
async def test_a_redirect_elsewhere_is_refused(location: str):
    with JwksServer() as here:
        here.status, here.headers = 302, {"location": location}
        await unavailable(source(here.url))
        assert here.fetches == 1


async def test_https_is_checked_and_never_left(tmp_path: Path):
    authority = Authority(tmp_path)
    with JwksServer(FIRST, authority.server_context("localhost")) as server, JwksServer(FIRST) as plain:
        assert await source(server.url, tls=authority.client_context()).read() == FIRST
        assert "certificate" in await unavailable(source(server.url))
        server.status, server.headers = 307, {"location": plain.url}
        assert "another scheme" in await unavailable(source(server.url, tls=authority.client_context()))
        assert plain.fetches == 0


def test_http_is_for_this_machine_unless_the_operator_says_otherwise():
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert may_fetch("http", host, plain_http=False)
    for host in ("10.0.0.1", "issuer", "localhost.evil.test", "127.0.0.1.evil.test", "", "0.0.0.0", "::"):
        assert not may_fetch("http", host, plain_http=False)
        assert may_fetch("http", host, plain_http=True)
        assert may_fetch("https", host, plain_http=False)
    assert not may_fetch("ftp", "localhost", plain_http=True)
