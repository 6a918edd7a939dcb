"""Clients that break HTTP's rules or disconnect: the server keeps serving them and others."""

import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.raw_http import connect, read_response, read_to_end, talk
from tests.support.stack import Client, Stack, wait_until

COLLECTION = "sturdy"
BODY = json.dumps({"query": "a sturdy document", "collection": COLLECTION}).encode()


def request(body: bytes = BODY, *headers: bytes, length: int | None = None) -> bytes:
    lines = [
        b"POST /v1/search HTTP/1.1",
        b"host: localhost",
        b"content-type: application/json",
        b"content-length: %d" % (len(body) if length is None else length),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LAST = request(BODY, b"connection: close")


@pytest.fixture(scope="module")
def sturdy(stack: Stack) -> Client:
    stack.client.ingest_and_wait([{"id": "sturdy", "text": "a sturdy document"}], COLLECTION)
    return stack.client


def still_serves(client: Client) -> None:
    assert client.found("a sturdy document", 1, COLLECTION) == ["sturdy"]
    answer = talk(client.url, LAST)  # on a separate connection
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"id":"sturdy"' in answer


def errors(stack: Stack) -> list[dict[str, object]]:
    return [line for line in stack.gateway.log_lines() if line["level"] in ("error", "critical")]


GARBAGE = {
    "no request line": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "words": b"hello, is anybody there?\r\n\r\n",
    "unknown version": b"GET /livez HTTP/9.9\r\n\r\n",
    "bad method": b"G\x00T /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "bad header": b"GET /livez HTTP/1.1\r\nhost x\r\n\r\n",
    "control character in a header": b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-a: \x01\x00\r\n\r\n",
    "negative length": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n{}",
    "length no number": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: many\r\n\r\n{}",
    "two lengths": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "bad chunk": b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused_and_the_connection_closed(sturdy: Client, garbage: bytes) -> None:
    head, _, body = talk(sturdy.url, garbage).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " in head
    assert json.loads(body)["error"]["code"] == "malformed_body"
    still_serves(sturdy)


def test_a_good_request_before_pipelined_garbage_is_answered(sturdy: Client) -> None:
    answer = talk(sturdy.url, request() + b"GARBAGE\r\n\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") or answer.startswith(b"HTTP/1.1 400 ")
    still_serves(sturdy)


def test_pipelined_requests_are_answered_in_their_order(sturdy: Client) -> None:
    numbered = [request(BODY, b"x-request-id: pipelined-%d" % number) for number in range(5)]
    answer = talk(sturdy.url, b"".join(numbered) + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    places = [answer.index(b"pipelined-%d" % number) for number in range(5)]
    assert places == sorted(places)


def test_a_head_without_end_is_cut_off(sturdy: Client) -> None:
    start = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"
    for endless in (
        start + b"x-long: " + b"a" * 4_000_000,
        start + b"x-many: a\r\n" * 400_000,
        b"GET /" + b"a" * 4_000_000,
    ):
        answer = talk(sturdy.url, endless)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 "), answer[:200]
        still_serves(sturdy)


def test_a_large_head_is_taken(sturdy: Client) -> None:
    answer = talk(sturdy.url, request(BODY, b"connection: close", b"cookie: " + b"c" * 30_000))
    assert answer.startswith(b"HTTP/1.1 200 ")


# Java's client offers HTTP/2 like this with its first request.
OFFER = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__")


def test_an_offer_to_upgrade_is_passed_over(sturdy: Client) -> None:
    sent = request(BODY, *OFFER)
    with connect(sturdy.url) as connection:
        for pieces in (
            [sent],
            [sent[:30], sent[30:]],
            [sent[:-5], sent[-5:]],
            [sent[: -len(BODY)], sent[-len(BODY) :]],
        ):
            for piece in pieces:
                connection.sendall(piece)
            answer = read_response(connection)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            assert b'"id":"sturdy"' in answer
    answer = talk(sturdy.url, sent + request(BODY, *OFFER, b"x-request-id: second") + LAST)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert b"x-request-id: second" in answer
    without_body = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    answer = talk(sturdy.url, without_body + LAST)
    assert answer.count(b"HTTP/1.1 200 ") == 2


def test_a_tunnel_is_refused(sturdy: Client) -> None:
    assert talk(sturdy.url, b"CONNECT example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    still_serves(sturdy)


def test_a_client_that_leaves_in_the_middle_of_its_body(stack: Stack, sturdy: Client) -> None:
    for reset in (False, True):
        for _ in range(20):
            with connect(sturdy.url) as connection:
                connection.sendall(request(BODY[:10], length=len(BODY)))
                if reset:  # a reset instead of an orderly end
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    still_serves(sturdy)
    assert errors(stack) == []


def test_clients_that_leave_before_the_answer(stack: Stack, sturdy: Client) -> None:
    for number in range(40):
        body = json.dumps({"query": f"query number {number}", "collection": COLLECTION}).encode()
        with connect(sturdy.url) as connection:
            connection.sendall(request(body))
    still_serves(sturdy)
    wait_until(lambda: sturdy.metric("tandem_gateway_queued_queries") == 0, "an empty queue")
    assert errors(stack) == []


@pytest.fixture
def idle(sturdy: Client) -> Iterator[list[socket.socket]]:
    """Many connections that stopped after half a request."""
    connections = [connect(sturdy.url) for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(request(BODY[:20], b"connection: close", length=len(BODY)))
        yield connections
    finally:
        for connection in connections:
            connection.close()


def test_slow_bodies_stop_nobody_and_are_served_when_they_come(sturdy: Client, idle: list[socket.socket]) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: sturdy.found(f"sturdy {number}", 1, COLLECTION), range(50)))
    assert found == [["sturdy"]] * 50
    for connection in idle:
        connection.sendall(BODY[20:])
    for connection in idle:
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")
