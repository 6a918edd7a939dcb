"""Attempts of a call against servers that refuse, break off and hang; for both clients."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tandem_client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    ConnectionBroken,
    DeadlineExceeded,
    Forbidden,
    InvalidReply,
    InvalidRequest,
    NotConnected,
    NotFound,
    Overloaded,
    RateLimited,
    ServerFault,
    TandemError,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from tandem_tools.process import free_port
from tests.client.scripted_server import CUT, HALF, Request, ScriptedServer, job, refusal, reply

HEALTH = reply(200, {"status": "ok", "model_loaded": True, "document_count": 0})
FOUND = reply(200, {"results": [], "took_ms": 1.0})

Run = Callable[..., Any]


def hurry(client: Client | AsyncClient) -> None:
    """Let a client wait for milliseconds at most before it tries again."""
    retry = replace(client.settings.retry, base_seconds=0.001, max_seconds=0.001)
    client._settings = replace(client.settings, retry=retry)


@pytest.fixture(params=["blocking", "asynchronous"])
def run(request: pytest.FixtureRequest) -> Run:
    """Make a client, call one of its methods, and return the result."""

    def blocking(url: str, method: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        with Client(url, "", **(options or {})) as client:
            hurry(client)
            return getattr(client, method)(*args, **kwargs)

    def asynchronous(url: str, method: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        async def main() -> Any:
            async with AsyncClient(url, "", **(options or {})) as client:
                hurry(client)
                return await getattr(client, method)(*args, **kwargs)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else asynchronous


@pytest.mark.parametrize(
    "first",
    [
        refusal(429, "overloaded", retry_after="0"),
        refusal(503, "not_ready"),
        reply(502, b"<html>bad gateway</html>"),
        reply(504, b""),
        CUT,
        HALF,
    ],
)
def test_a_call_that_may_be_repeated_is_sent_again(run: Run, first: bytes) -> None:
    with ScriptedServer(first, HEALTH) as server:
        assert run(server.url, "health").status == "ok"
        assert len(server.requests) == 2


@pytest.mark.parametrize("first", [refusal(503, "not_ready"), CUT, HALF])
def test_a_call_that_may_have_an_effect_is_sent_once(run: Run, first: bytes) -> None:
    with ScriptedServer(first) as server:
        with pytest.raises((Unavailable, ConnectionBroken)):
            run(server.url, "create_key", "name", "search")
        assert len(server.requests) == 1


def test_a_refused_call_without_effect_is_sent_again_even_if_it_is_not_repeatable(run: Run) -> None:
    deleted = reply(200, {"deleted_documents": 3})
    with ScriptedServer(refusal(429, "overloaded"), deleted) as server:
        assert run(server.url, "delete_documents", filter={}) == 3
        assert len(server.requests) == 2


def test_an_ingest_is_sent_again_with_the_same_idempotency_key(run: Run) -> None:
    with ScriptedServer(CUT, refusal(503, "storage_unavailable"), reply(202, job())) as server:
        assert run(server.url, "ingest_batch", ["a", {"id": 7, "text": "b"}]).job_id == "job_1"
        keys = {request.headers["idempotency-key"] for request in server.requests}
        assert (len(server.requests), len(keys)) == (3, 1)
        assert {request.body for request in server.requests} == {b'{"text":"a"}\n{"id":7,"text":"b"}\n'}


def test_the_last_error_is_raised_after_the_last_attempt(run: Run) -> None:
    with ScriptedServer(refusal(503, "not_ready", "the index loads", retry_after="0")) as server:
        with pytest.raises(Unavailable, match="503 not_ready: the index loads"):
            run(server.url, "health", options={"retries": 2})
        assert len(server.requests) == 3


def test_a_wait_that_does_not_fit_is_not_begun(run: Run) -> None:
    refused = refusal(429, "rate_limited", "documents=10/day", "documents", retry_after="3600", ratelimit_limit="10")
    with ScriptedServer(refused) as server:
        with pytest.raises(RateLimited) as caught:
            run(server.url, "ingest_batch", ["a"])
        assert (caught.value.retry_after, caught.value.limit, caught.value.field) == (3600, 10, "documents")
        assert len(server.requests) == 1


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """A server that answers no request before the end of the block; gives its URL."""
    released = threading.Event()

    def hang(request: Request) -> bytes:
        released.wait(20)
        return HEALTH

    with ScriptedServer(hang) as server:
        try:
            yield server.url
        finally:
            released.set()


def test_a_server_that_hangs_ends_at_the_time_out(run: Run) -> None:
    with hanging() as url, pytest.raises(TimedOut):
        run(url, "health", options={"timeout": 0.2})


@contextlib.contextmanager
def trickling(begin: bytes, piece: bytes) -> Iterator[str]:
    """A server that sends a piece after the other until the client goes away; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(begin)
                while not ended.is_set():
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return
                    ended.wait(0.02)

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def test_a_server_that_sends_byte_by_byte_ends_at_the_time_out(run: Run) -> None:
    with trickling(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" ") as url, pytest.raises(TimedOut):
        run(url, "health", options={"timeout": 0.3, "retries": 0})


@pytest.mark.parametrize(
    ("begin", "piece"),
    [(b"HTTP/1.1 200 OK\r\nx: ", b"a"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["a header", "informational responses"],
)
def test_headers_that_do_not_end_end_at_the_time_out(begin: bytes, piece: bytes) -> None:
    async def main(url: str) -> None:
        async with AsyncClient(url, timeout=0.3, retries=0) as client:
            await client.health()

    with trickling(begin, piece) as url, pytest.raises(TimedOut):
        asyncio.run(main(url))


def test_nothing_that_listens_is_no_connection(run: Run) -> None:
    with pytest.raises(NotConnected, match="GET http://localhost:"):
        run(f"http://localhost:{free_port()}", "health", options={"retries": 1})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "malformed_body", InvalidRequest),
        (401, "unauthorized", Unauthorized),
        (403, "forbidden", Forbidden),
        (404, "not_found", NotFound),
        (409, "conflict", Conflict),
        (413, "body_too_large", InvalidRequest),
        (422, "limit_exceeded", InvalidRequest),
        (429, "overloaded", Overloaded),
        (429, "rate_limited", RateLimited),
        (500, "internal", ServerFault),
        (503, "not_ready", Unavailable),
        (504, "deadline_exceeded", DeadlineExceeded),
        (599, "new_code", ServerFault),
    ],
)
def test_each_status_has_its_exception(run: Run, status: int, code: str, kind: type[ApiError]) -> None:
    answer = refusal(status, code, "top_k: from 1 to 1000", "top_k", x_request_id="abc")
    with ScriptedServer(answer) as server, pytest.raises(ApiError) as caught:
        run(server.url, "search", "x", options={"retries": 0})
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.field, error.request_id) == (status, code, "top_k", "abc")
    assert str(error) == f"{status} {code}: top_k: from 1 to 1000 (request abc)"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 3}', b"\xff\xfe", b"[" * 100_000])
def test_an_error_of_something_else_has_its_text(run: Run, body: bytes) -> None:
    with ScriptedServer(reply(418, body)) as server, pytest.raises(ServerFault) as caught:
        run(server.url, "health")
    assert caught.value.code is None
    assert len(str(caught.value)) < 3000


def test_a_redirect_is_an_error_that_names_the_target(run: Run) -> None:
    with ScriptedServer(reply(301, b"", location="https://other.example.org/")) as server:
        with pytest.raises(ServerFault, match=r"redirect to https://other\.example\.org/"):
            run(server.url, "health")
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status": 3}', b"\xff", b"[" * 100_000])
def test_a_reply_that_is_not_the_apis_is_an_error(run: Run, body: bytes) -> None:
    with ScriptedServer(reply(200, body)) as server, pytest.raises(InvalidReply, match="no Health of Tandem"):
        run(server.url, "health")


def test_a_damaged_compression_is_an_error(run: Run) -> None:
    with ScriptedServer(reply(200, b"no gzip", content_encoding="gzip")) as server, pytest.raises(InvalidReply):
        run(server.url, "health")


def test_a_reply_over_the_limit_is_refused_before_it_is_kept(run: Run) -> None:
    with ScriptedServer(reply(200, b" " * 5000)) as server, pytest.raises(InvalidReply, match="max_reply_bytes"):
        run(server.url, "health", options={"max_reply_bytes": 4999})


def test_fields_of_a_newer_gateway_are_ignored(run: Run) -> None:
    answer = {"results": [{"id": "a", "score": 1, "new": 1}], "took_ms": 1, "warnings": ["a_new_one"], "new": {}}
    with ScriptedServer(reply(200, answer)) as server:
        found = run(server.url, "search", "x")
    assert (found.results[0].id, found.warnings) == ("a", ["a_new_one"])


def test_a_request_has_the_key_the_headers_and_the_deadline() -> None:
    with ScriptedServer(FOUND) as server:
        options: dict[str, Any] = {"headers": {"X-Team": "a"}, "timeout": 7.0}
        with Client(server.url, "secret", **options) as client:
            client.search("x", collection="c", filter={"a": 1})
        (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/search")
    assert request.body == b'{"query":"x","collection":"c","filter":{"a":1}}'
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["x-team"] == "a"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("tandem-client/")
    assert 0 < int(request.headers["x-request-timeout-ms"]) <= 7000


def test_a_url_may_have_a_path_before_the_apis() -> None:
    with ScriptedServer(HEALTH) as server, Client(f"{server.url}/tandem/") as client:
        client.health()
        assert [request.target for request in server.requests] == ["/tandem/healthz"]


def test_a_session_sends_the_newest_position() -> None:
    answers = [
        reply(200, {"results": [], "took_ms": 1.0}, x_tandem_position=position)
        for position in ("store.9", "store.10", "store.2")
    ]
    with ScriptedServer(*answers, FOUND) as server, Client(server.url) as client:
        other = client.with_options(timeout=5)
        for _ in range(3):
            other.search("x")
        client.search("x", consistency="session")
        client.search("x")
        sent = [request.headers.get("x-tandem-position") for request in server.requests]
    assert sent == [None, None, None, "store.10", None]
    assert client.position == "store.10"


def test_threads_share_a_client() -> None:
    with ScriptedServer(refusal(429, "overloaded"), CUT, HEALTH) as server, Client(server.url) as client:
        errors: list[TandemError] = []

        def work() -> None:
            try:
                client.health()
            except TandemError as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


async def test_a_cancelled_call_ends_at_once() -> None:
    with hanging() as url:
        async with AsyncClient(url) as client:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.health()
            assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("delete_documents", ("12",)),
        ("get_documents", ("12",)),
        ("ingest_batch", ("a text",)),
        ("ingest_files", ("notes.md",)),
        ("embed", ("a text",)),
        ("rerank", ("a pet", "a text")),
    ],
)
def test_one_text_is_no_list_whose_letters_count(method: str, arguments: tuple[str, ...], run: Run) -> None:
    with ScriptedServer(reply(500)) as server:
        with pytest.raises(TypeError, match="a list was expected, not one str"):
            run(server.url, method, *arguments)
        assert server.requests == []
