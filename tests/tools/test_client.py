"""The API client: its requests, its results and its errors."""

import json
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest

from tandem_contract.client_api import DocumentInput
from tandem_tools import client as client_module
from tandem_tools.client import ApiError, Client, JobFailed
from tandem_tools.corpus import Document

Answer = tuple[int, Any]
JOB = {
    "job_id": "j",
    "status": "completed",
    "total_documents": 1,
    "processed_documents": 1,
    "error": None,
    "started_at": None,
    "finished_at": None,
}


class Server:
    """Answers the n-th request, counted from 0, with the n-th answer, and repeats the last one."""

    def __init__(self, *answers: Answer | Exception, headers: dict[str, str] | None = None) -> None:
        self._answers = answers
        self._headers = headers
        self.requests: list[tuple[str, str, Any]] = []
        self.client = Client("http://server/", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        if body is not None:
            assert request.headers["content-type"] == "application/json"
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append((request.method, request.url.raw_path.decode(), body))
        if isinstance(answer, Exception):
            raise answer
        status, content = answer
        if isinstance(content, bytes):
            return httpx.Response(status, content=content, headers=self._headers)
        return httpx.Response(status, json=content, headers=self._headers)


def progressed(processed: int, total: int, status: str = "running", error: str | None = None) -> Answer:
    fields = {"status": status, "processed_documents": processed, "total_documents": total, "error": error}
    return 200, {**JOB, **fields}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Remove the client's pauses; return the durations that they would have had."""
    pauses: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    return pauses


def test_a_search_sends_the_given_arguments_and_leaves_the_rest_to_the_server() -> None:
    hit = {"id": "mat", "score": 0.5, "text": "The cat.", "metadata": {"page": 1}}
    server = Server((200, {"results": [hit], "took_ms": 1.5, "mode": "lexical", "field_of_a_newer_server": 1}))
    reply = server.client.search("a pet")
    assert (reply.results[0].id, reply.results[0].metadata, reply.mode) == ("mat", {"page": 1}, "lexical")
    server.client.search("a pet", 3, "books", "dense")
    assert server.requests == [
        ("POST", "/v1/search", {"query": "a pet"}),
        ("POST", "/v1/search", {"query": "a pet", "top_k": 3, "collection": "books", "mode": "dense"}),
    ]


def test_an_ingest_takes_documents_in_every_form() -> None:
    server = Server((202, JOB))
    documents = [DocumentInput("one"), Document("b", "two"), {"id": "c", "text": "three"}]
    assert server.client.ingest(documents, "books").job_id == "j"
    (request,) = server.requests
    assert request == (
        "POST",
        "/v1/ingest",
        {
            "documents": [
                {"text": "one", "id": None, "metadata": {}},
                {"id": "b", "text": "two"},
                {"id": "c", "text": "three"},
            ],
            "collection": "books",
        },
    )


def test_many_documents_go_in_batches_one_job_after_the_other_and_progress_is_reported() -> None:
    accepted = (202, {"job_id": "a/b"})
    server = Server(
        accepted,
        progressed(0, 500, "pending"),
        progressed(200, 500),
        progressed(500, 500, "completed"),
        accepted,
        progressed(0, 100, "completed"),
    )
    told: list[int] = []
    seconds = server.client.ingest_all([Document(str(n), "x") for n in range(600)], progress=told.append)
    assert seconds >= 0
    assert told == [0, 200, 500, 600]
    posted = [body for _, path, body in server.requests if path == "/v1/ingest"]
    assert [len(body["documents"]) for body in posted] == [500, 100]
    assert "collection" not in posted[0]
    assert [path for _, path, _ in server.requests if path != "/v1/ingest"] == ["/v1/jobs/a%2Fb"] * 4


def test_an_ingest_that_is_refused_for_load_is_sent_again_when_the_server_says(no_waiting: list[float]) -> None:
    server = Server((429, {}), (429, {}), (202, JOB), progressed(1, 1, "completed"), headers={"retry-after": "7"})
    server.client.ingest_all([Document("a", "x")])
    assert no_waiting == [7.0, 7.0]
    server = Server((503, {}))
    with pytest.raises(ApiError, match="POST /v1/ingest answered 503"):
        server.client.ingest_all([Document("a", "x")])
    assert len(server.requests) == 1


def test_a_failed_job_gives_its_reason() -> None:
    server = Server((202, JOB), progressed(0, 1, "failed", "disk full"))
    with pytest.raises(JobFailed, match="the ingest failed: disk full"):
        server.client.ingest_all([Document("a", "x")])


def test_a_job_without_progress_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "STALLED_SECONDS", -1.0)
    server = Server(progressed(3, 5, error="no embedder answers"))
    with pytest.raises(ApiError, match="the ingest makes no progress: no embedder answers"):
        server.client.follow("j")


def test_progress_may_give_up() -> None:
    def notice(done: int) -> None:
        raise LookupError("the gateway has ended")

    with pytest.raises(LookupError, match="the gateway has ended"):
        Server(progressed(3, 5)).client.follow("j", notice)


def test_an_error_shows_the_envelope() -> None:
    envelope = {"message": "top_k must be at most 1000", "type": "invalid_request_error", "code": "limit_exceeded"}
    server = Server((422, {"error": {**envelope, "param": "top_k"}}))
    with pytest.raises(ApiError) as raised:
        server.client.search("x", 1001)
    said = "POST /v1/search answered 422 limit_exceeded (top_k): top_k must be at most 1000"
    assert str(raised.value) == said
    assert raised.value.status == 422
    assert raised.value.error is not None
    assert (raised.value.error.code, raised.value.error.param) == ("limit_exceeded", "top_k")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"<html>broken</html>"), "GET /healthz answered 500 <html>broken</html>"),
        ((404, {"error": {"message": "no such route"}}), "GET /healthz answered 404 error: no such route"),
        ((404, {"detail": "Not Found"}), 'GET /healthz answered 404 {"detail":"Not Found"}'),
        ((200, b"hello"), "GET /healthz answered no Health: "),
        ((200, {"status": "ok"}), "GET /healthz answered no Health: Object missing required field"),
    ],
)
def test_another_answer_is_shown_as_it_is(answer: Answer, said: str) -> None:
    with pytest.raises(ApiError) as raised:
        Server(answer).client.health()
    assert str(raised.value).startswith(said)
    assert raised.value.status == answer[0]


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(ApiError, match="GET http://server/healthz: refused") as raised:
        Server(httpx.ConnectError("refused")).client.health()
    assert (raised.value.status, raised.value.error) == (0, None)
    with pytest.raises(ApiError, match="GET http://server/healthz: ReadTimeout"):
        Server(httpx.ReadTimeout("")).client.health()


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda client: client.delete_collection("a/b"), "DELETE", "/v1/collections/a%2Fb"),
        (lambda client: client.delete_document("../x", "b"), "DELETE", "/v1/collections/b/documents?id=..%2Fx"),
        (lambda client: client.delete_document("x"), "DELETE", "/v1/collections/default/documents?id=x"),
    ],
)
def test_names_are_quoted(call: Callable[[Client], bool], method: str, path: str) -> None:
    server = Server((200, {"deleted": True}))
    assert call(server.client) is True
    assert server.requests == [(method, path, None)]
    assert call(Server((200, {"deleted": False})).client) is False


def test_a_document_and_the_collections_are_returned() -> None:
    stored = {"id": "..", "text": "t", "metadata": {"a": 1}, "collection": "b", "embedded": True}
    server = Server((200, stored))
    assert bytes(server.client.document("..", "b").metadata) == b'{"a":1}'
    assert server.requests == [("GET", "/v1/collections/b/documents?id=..", None)]
    entry = {"name": "b", "document_count": 1, "pending_documents": 0, "fingerprint": None, "model": None, "dim": None}
    (found,) = Server((200, {"collections": [entry]})).client.collections()
    assert (found.name, found.document_count) == ("b", 1)


@pytest.mark.parametrize(("api_key", "expected"), [("the-key", "Bearer the-key"), ("", None)])
def test_an_api_key_is_sent_with_each_request(api_key: str, expected: str | None) -> None:
    shown: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"collections": []})

    with Client("http://server/", api_key=api_key, transport=httpx.MockTransport(answer)) as client:
        client.collections()
    assert shown == [expected]
