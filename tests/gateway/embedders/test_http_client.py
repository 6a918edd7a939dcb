"""The HTTP client over real connections: closed, silent, abandoned and failed ones."""

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

import pytest

from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.messages import MAX_ERROR_BYTES, ConnectFailed, ConnectionBroken, Response
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.errors import DeadlineExceeded, EmbedderUnavailable
from tandem_tools.process import free_port
from tests.support.embedder_over_tcp import embed, over_tcp, packed, read_request
from tests.support.fakes import DIM, MODEL
from tests.support.tcp import start_server
from tests.support.tools import tool


async def answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def test_a_connection_closed_between_two_calls_costs_the_second_nothing():
    connections: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        body = packed()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with over_tcp(handler) as client:
        for _ in range(3):
            assert (await embed(client)).vectors.shape == (2, DIM)
    assert len(connections) == 3


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"])
async def test_an_embedder_that_never_ends_its_answer_is_given_up_in_time(drip: bytes):
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(drip)
        await writer.drain()
        await reader.read()
        writer.close()
        closed.set()

    async with over_tcp(handler) as client:
        with pytest.raises(DeadlineExceeded):
            await embed(client, timeout=0.05)
        # The request's own timeout ends it and closes its connection.
        await closed.wait()


async def test_a_caller_that_gives_up_closes_its_connection_and_leaves_the_pool_whole():
    started = asyncio.Semaphore(0)
    answers = asyncio.Event()
    hung_up: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        started.release()
        if not answers.is_set():
            hung_up.append(await reader.read())
            writer.close()
            return
        await answer(writer, packed())
        writer.close()

    async with over_tcp(handler) as client:
        for _ in range(5):  # more calls than the pool has connections
            abandoned = asyncio.create_task(embed(client))
            await started.acquire()
            abandoned.cancel()
            with pytest.raises(asyncio.CancelledError):
                await abandoned
        answers.set()
        for _ in range(3):
            assert (await embed(client)).model == MODEL
        assert hung_up == [b""] * 5


async def test_connections_are_used_again_and_never_more_than_allowed():
    open_now = 0
    most = 0
    made = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most, made
        open_now, made = open_now + 1, made + 1
        most = max(most, open_now)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await read_request(reader)
                await answer(writer, packed())
        open_now -= 1
        writer.close()

    async with over_tcp(handler) as client:
        for _ in range(4):
            found = await asyncio.gather(*(embed(client) for _ in range(6)))
            assert [one.model for one in found] == [MODEL] * 6
    assert (most, made) == (2, 2)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.0 200 OK\r\n\r\nabcde",
    ],
    ids=["chunked", "with a length", "after a 100", "until the end"],
)
async def test_a_body_is_read_whole_however_it_is_sent(sent: bytes):
    assert (await exchange(sent)).body == b"abcde"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
    ids=["nothing", "half a line", "half a body", "half a chunk", "no HTTP", "no length", "a 100 alone", "half behind"],
)
async def test_an_answer_that_breaks_off_or_is_no_http_is_a_broken_connection(sent: bytes):
    with pytest.raises(ConnectionBroken):
        await exchange(sent)


async def test_an_interim_response_does_not_limit_the_body_to_that_of_an_error():
    large = b"x" * (MAX_ERROR_BYTES + 1)
    for interim in (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"):
        sent = interim + b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large) + large
        assert (await exchange(sent, max_bytes=len(large))).body == large


async def exchange(sent: bytes, max_bytes: int = MAX_ERROR_BYTES) -> Response:
    """Return the client's result or error for a server that sends this and closes the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)
        await writer.drain()
        writer.close()

    server = await start_server(handler, "127.0.0.1", 0)
    client = Http1Transport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_connections=1)
    try:
        return await client.call("POST", "/x", {"a": "b"}, b"body", timeout=5.0, max_bytes=max_bytes)
    finally:
        client.close()
        server.close()
        await server.wait_closed()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate and its key, for the name ``embedder.test`` and no address."""
    path = tmp_path / "certificate.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=embedder.test"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(path)]
    name = ["-addext", "subjectAltName=DNS:embedder.test"]
    subprocess.run([tool("openssl"), *request.split(), *name, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "key.pem").read_text())
    return path


@pytest.mark.parametrize(("name", "accepted"), [("embedder.test", True), ("other.test", False)])
async def test_a_certificate_is_checked_against_the_urls_name_not_the_address(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, accepted: bool
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await answer(writer, b"over TLS")
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await start_server(handler, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client = Http1Transport(f"https://{name}:{port}", address="127.0.0.1", max_connections=1)
    try:
        if accepted:
            assert (await client.call("POST", "/x", {}, b"", timeout=5.0)).body == b"over TLS"
        else:
            with pytest.raises(ConnectFailed, match="certificate"):
                await client.call("POST", "/x", {}, b"", timeout=5.0)
    finally:
        client.close()
        server.close()


async def test_a_failed_probe_is_logged_once_for_each_reason(caplog: pytest.LogCaptureFixture):
    ready = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    answers = [b"", b"", ready, b"", b"no HTTP\r\n\r\n"]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answers.pop(0))
        await writer.drain()

    async with over_tcp(handler) as client:
        found = [(await client.probe(timeout=5.0)).found for _ in range(len(answers))]
    assert found == ["unreachable", "unreachable", "ready", "unreachable", "unreachable"]
    assert caplog.messages == ["an embedder cannot be reached"] * 3
    lost, again, invalid = [vars(record)["error"] for record in caplog.records]
    assert lost == again == "the connection was lost"
    assert "no HTTP" in invalid


async def test_an_address_without_a_server_is_unavailable_and_not_ready():
    url = f"http://127.0.0.1:{free_port()}"
    client = HttpEmbedder(url, Http1Transport(url, max_connections=2))
    with pytest.raises(EmbedderUnavailable, match="cannot be reached"):
        await embed(client)
    assert (await client.probe(timeout=1.0)).found == "unreachable"
