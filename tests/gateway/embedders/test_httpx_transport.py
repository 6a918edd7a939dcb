"""The pool of connections as a transport of httpx2: the same connections, bounds and deadlines."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tandem_gateway.adapters.http.httpx_transport import MAX_REQUEST_BYTES, HttpxTransport
from tandem_gateway.adapters.http.messages import UnsendableRequest
from tandem_gateway.adapters.http.tls import Tls
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_tools.process import free_port
from tests.support.certificates import NAME, Authority, tls_server
from tests.support.tcp import Handler, start_server

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"


@dataclass
class Server:
    """Sends ``answers`` in turn, and repeats the last one; for None it closes the connection."""

    answers: list[bytes | None]
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                assert len(lengths) == 1
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(lengths[0].split(b":")[1])))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()


@asynccontextmanager
async def pool_of(handler: Handler, *, max_connections: int = 2) -> AsyncIterator[Http1Transport]:
    """A pool of connections to a server on the loopback."""
    server = await start_server(handler, "127.0.0.1", 0)
    pool = Http1Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=max_connections)
    try:
        yield pool
    finally:
        pool.close()
        server.close()
        await server.wait_closed()


def client_of(pool: Http1Transport, **options: object) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=HttpxTransport(pool), base_url=pool.base_url, **options)


@asynccontextmanager
async def answering(*answers: bytes | None, **options: object) -> AsyncIterator[tuple[httpx2.AsyncClient, Server]]:
    """A client of a server that sends these answers."""
    server = Server(list(answers))
    async with pool_of(server.handle) as pool, client_of(pool, **options) as client:
        yield client, server


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_both_doors_lead_over_the_same_connection():
    server = Server([HELLO])
    async with pool_of(server.handle) as pool, client_of(pool) as client:
        assert (await pool.call("POST", "/raw", {}, b"", timeout=5.0)).body == b"hello"
        assert (await client.get("/httpx")).text == "hello"
        assert (await pool.call("POST", "/raw", {}, b"", timeout=5.0)).body == b"hello"
    assert server.connections == 1
    assert [head.split()[1] for head in server.heads] == [b"/raw", b"/httpx", b"/raw"]


async def test_a_closed_client_leaves_the_connections_to_their_owner():
    server = Server([HELLO])
    async with pool_of(server.handle) as pool:
        for _ in range(3):
            async with client_of(pool) as client:
                await client.get("/")
        await pool.call("POST", "/", {}, b"", timeout=5.0)
    assert server.connections == 1


async def test_a_request_is_sent_as_the_client_means_it():
    async with answering(HELLO) as (client, server):
        await client.post("/a b?q=\u00e9", json={"x": 1}, headers={"X-One": "1"})
    assert server.heads[0].startswith(b"POST /a%20b?q=%C3%A9 HTTP/1.1\r\nhost: 127.0.0.1:".replace(b"host", b"Host"))
    assert b"X-One: 1\r\n" in server.heads[0]
    assert json.loads(server.bodies[0]) == {"x": 1}


async def test_a_streamed_body_is_sent_complete_and_with_its_length():
    async def parts() -> AsyncIterator[bytes]:
        yield b"one,"
        yield b"two"

    async with answering(HELLO) as (client, server):
        await client.post("/", content=parts())
    assert server.bodies == [b"one,two"]
    assert b"transfer-encoding" not in server.heads[0].lower()


async def test_a_response_comes_with_every_header():
    answer = b"HTTP/1.1 404 Not Found\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nx: \xe9\r\ncontent-length: 4\r\n\r\nnone"
    async with answering(answer) as (client, _):
        found = await client.get("/")
    assert (found.status_code, found.text) == (404, "none")
    assert found.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert found.headers["x"] == "\u00e9"
    with pytest.raises(httpx2.HTTPStatusError):
        found.raise_for_status()


async def test_redirects_are_the_clients():
    async with answering(
        b"HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n", HELLO, follow_redirects=True
    ) as (client, server):
        assert (await client.get("/here")).text == "hello"
    assert [head.split()[1] for head in server.heads] == [b"/here", b"/there"]


@pytest.mark.parametrize("length", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
async def test_the_response_to_head_has_no_body(length: bytes):
    async with answering(OK + length + b"x: y\r\n\r\n") as (client, _):
        for _ in range(2):
            found = await client.head("/")
            assert (found.status_code, found.content, found.headers["x"]) == (200, b"", "y")


async def test_a_body_that_answers_head_is_not_read():
    async with answering(HELLO) as (client, server):
        for _ in range(2):
            found = await client.head("/")
            assert (found.status_code, found.content) == (200, b"")
    assert server.connections == 2


# refused before anything is sent


@pytest.mark.parametrize("url", ["http://127.0.0.2:{port}/", "https://127.0.0.1:{port}/", "http://127.0.0.1:1/"])
async def test_another_origin_is_refused(url: str):
    async with answering(HELLO) as (client, server):
        with pytest.raises(httpx2.ConnectError, match="connects to http://127"):
            await client.get(url.format(port=client.base_url.port))
    assert server.heads == []


async def test_an_address_of_ipv6_and_a_default_port_are_the_same_origin():
    for base_url, asked in (
        ("http://[::1]", "http://[::1]:80/"),
        ("https://Embedder.test:443", "https://embedder.test/"),
    ):
        pool = Http1Transport(base_url, address="127.0.0.1", max_connections=1)
        pool.close()
        request = httpx2.Request("CONNECT", asked)
        with pytest.raises(httpx2.LocalProtocolError):
            await HttpxTransport(pool).handle_async_request(request)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"x": "1\r\ny: 2"}),
        ("GET", {"x": "1\n"}),
        ("GET", {"x": "\x00"}),
        ("GET", {"x y": "1"}),
        ("GET", {"transfer-encoding: chunked\r\nx": "1"}),
        ("GET /x HTTP/1.1\r\nx: y\r\n\r\nGET", {}),
        ("CONNECT", {}),
    ],
)
async def test_a_header_that_would_read_as_another_request_is_not_sent(method: str, headers: dict[str, str]):
    async with answering(HELLO) as (client, server):
        with pytest.raises(httpx2.LocalProtocolError):
            await client.request(method, "/", headers=headers)
    assert server.heads == []


@pytest.mark.parametrize(
    ("path", "value"), [("/\r\nx: y", "1"), ("/\n", "1"), ("/\x00", "1"), ("/", "1\r\ny: 2"), ("/", "\u20ac")]
)
async def test_the_first_door_refuses_the_same(path: str, value: str):
    server = Server([HELLO])
    async with pool_of(server.handle) as pool:
        with pytest.raises(UnsendableRequest):
            await pool.call("GET", path, {"x": value}, b"", timeout=5.0)
    assert server.heads == []


async def test_a_body_beyond_the_bound_is_not_sent():
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (MAX_REQUEST_BYTES // 4)

    async with answering(HELLO) as (client, server):
        with pytest.raises(httpx2.LocalProtocolError, match=f"more than {MAX_REQUEST_BYTES} bytes"):
            await client.post("/", content=parts())
    assert server.heads == []


async def test_a_body_that_never_ends_is_given_up():
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with answering(HELLO, timeout=0.05) as (client, server):
        with pytest.raises(httpx2.WriteTimeout):
            await client.post("/", content=parts())
    assert server.heads == []


# failures


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 17000000\r\n\r\n",
        b"HTTP/1.1 500 No\r\ncontent-length: 65537\r\n\r\n",
        OK + b"x: " + b"y" * 17_000 + b"\r\n\r\n",
        OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        OK + b"content-encoding: identity\r\nContent-Encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
    ids=[
        "a large body",
        "a large error",
        "a large head",
        "compressed",
        "compressed in a second header",
        "an upgrade",
        "no HTTP",
    ],
)
async def test_a_hostile_answer_is_refused(answer: bytes):
    async with answering(answer) as (client, _):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/")


async def test_an_answer_that_never_comes_is_given_up_and_the_pool_stays_whole():
    async with pool_of(silent, max_connections=1) as pool, client_of(pool, timeout=0.05) as client:
        for _ in range(3):
            with pytest.raises(httpx2.ReadTimeout):
                await client.get("/")


async def test_a_cancelled_request_leaves_the_pool_whole():
    arrived = asyncio.Semaphore(0)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.release()
        await reader.read()

    async with pool_of(handler, max_connections=1) as pool, client_of(pool) as client:
        for _ in range(3):
            request = asyncio.ensure_future(client.get("/"))
            await arrived.acquire()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/", timeout=0.05)


async def test_a_request_waits_no_longer_than_its_pool_timeout_for_a_connection():
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.set()
        await reader.read()

    async with pool_of(handler, max_connections=1) as pool, client_of(pool) as client:
        first = asyncio.ensure_future(client.get("/"))
        await arrived.wait()
        with pytest.raises(httpx2.PoolTimeout):
            await client.get("/", timeout=httpx2.Timeout(30.0, pool=0.05))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_an_address_without_a_server_is_a_failed_connection():
    pool = Http1Transport(f"http://127.0.0.1:{free_port()}", max_connections=1)
    async with client_of(pool) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("/")


async def test_a_handshake_that_never_ends_is_a_connection_too_late():
    server = await start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = Http1Transport(f"https://127.0.0.1:{port}", max_connections=1, connect_seconds=30.0)
    async with client_of(pool, timeout=httpx2.Timeout(5.0, connect=0.05)) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get("/")
    server.close()
    await server.wait_closed()


async def test_an_idempotent_request_is_sent_once_more_when_its_connection_breaks():
    async with answering(HELLO, None, HELLO) as (client, server):
        await client.get("/")
        assert (await client.get("/")).text == "hello"
    assert len(server.heads) == 3
    assert server.connections == 2


async def test_it_is_not_sent_a_third_time():
    async with answering(None) as (client, server):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/")
    assert len(server.heads) == 2


async def test_another_request_is_sent_once():
    async with answering(None) as (client, server):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/", content=b"x")
    assert len(server.heads) == 1


async def test_the_second_door_has_the_certificates_of_the_first(tmp_path: Path):
    authority = Authority(tmp_path)
    async with tls_server(authority.server_context(require=authority)) as port:
        tls = Tls(authority.client_files())
        pool = Http1Transport(f"https://{NAME}:{port}", address="127.0.0.1", tls=tls, max_connections=1)
        async with client_of(pool) as client:
            assert (await client.post("/x")).text == "over TLS"
        pool.close()


# the modules that the gateway's start loads


def test_the_gateways_start_loads_no_general_http_client():
    modules = {"tandem_gateway.app", "tandem_gateway.server", "tandem_gateway.maintenance"}
    code = f"import sys, {', '.join(sorted(modules))}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert modules <= set(done.stdout.split())
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"httpx", "httpx2", "httpcore", "httpcore2", "rich", "truststore"})
