"""The bulk ingest against a real gateway, and against servers that refuse and break off; for both clients."""

import asyncio
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tandem_client import (
    AsyncClient,
    Client,
    IngestReport,
    IngestStopped,
    InvalidRequest,
    JobStalled,
    Unauthorized,
)
from tests.client.scripted_server import CUT, Request, ScriptedServer, job, refusal, reply

Ingest = Callable[..., IngestReport]


@pytest.fixture(params=["blocking", "asynchronous"])
def ingest(request: pytest.FixtureRequest) -> Ingest:
    """Make a client, ingest documents, and return the report."""

    def hurried(client: Any) -> Any:
        retry = replace(client.settings.retry, base_seconds=0.001, max_seconds=0.001)
        client._settings = replace(client.settings, retry=retry)
        return client

    def blocking(url: str, documents: Iterable[Any], **kwargs: Any) -> IngestReport:
        with Client(url, "") as client:
            return hurried(client).ingest(documents, **kwargs)

    def asynchronous(url: str, documents: Iterable[Any], **kwargs: Any) -> IngestReport:
        async def main() -> IngestReport:
            async with AsyncClient(url, "") as client:
                return await hurried(client).ingest(documents, **kwargs)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else asynchronous


class FakeIngest:
    """Answers of a gateway that stores documents by their idempotency keys; each job ends at once."""

    def __init__(self) -> None:
        self.stored: dict[str, list[Any]] = {}
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> bytes:
        if request.method == "GET":
            return reply(200, job(job_id=request.target.split("/")[3].partition("?")[0]))
        with self.lock:
            lines = [json.loads(line) for line in request.body.splitlines()]
            self.stored.setdefault(request.headers["idempotency-key"], lines)
        return reply(202, job("pending", job_id=request.headers["idempotency-key"], total_documents=len(lines)))

    def texts(self) -> list[str]:
        return sorted(document["text"] for lines in self.stored.values() for document in lines)


def texts(number: int) -> list[str]:
    return [f"text {position:05}" for position in range(number)]


def test_all_documents_are_found_after_the_wait(ingest: Ingest, url: str, collection: str, client: Client) -> None:
    seen: list[IngestReport] = []
    documents = ({"id": str(number), "text": f"The number {number} is here."} for number in range(120))
    report = ingest(
        url, documents, collection=collection, wait=True, batch_documents=25, concurrency=3, progress=seen.append
    )
    assert (report.documents, report.accepted, report.skipped, report.failed) == (120, 120, 0, 0)
    assert (report.pending, report.jobs, report.failures, report.resumed) == (0, 5, [], 0)
    assert report.seconds > 0
    assert [look.accepted for look in seen] == sorted(look.accepted for look in seen)
    assert seen[-1].accepted == 120
    assert client.get_collection(collection).document_count == 120
    assert len(list(client.documents(collection=collection, limit=7))) == 120
    assert [found.job_id for found in client.jobs(collection=collection, limit=2)]
    again = ingest(url, [{"id": "1", "text": "The number 1 is here."}], collection=collection, wait=True)
    assert (again.accepted, again.unchanged) == (1, 1)


def test_documents_that_are_not_valid_are_left_out_with_their_places(
    ingest: Ingest, url: str, collection: str, client: Client
) -> None:
    documents = [
        {"id": "good", "text": "good"},
        {"id": "blank", "text": " "},
        {"id": "typo", "txet": "x"},
        {"text": "bad", "metadata": {"x": float("nan")}},
        {"id": "late", "text": "late"},
        {"id": "all", "text": ""},
        {"id": "bad", "text": ""},
    ]
    report = ingest(url, documents, collection=collection, wait=True, batch_documents=4)
    assert (report.documents, report.accepted, report.skipped) == (7, 2, 5)
    by_place = sorted((failure.position, failure.id, failure.field) for failure in report.failures)
    assert [place for place, *_ in by_place] == [1, 2, 3, 5, 6]
    assert by_place[0] == (1, "blank", "text")
    assert sorted(document.id for document in client.documents(collection=collection)) == ["good", "late"]


def test_a_batch_without_any_valid_document_does_not_stop_the_run(ingest: Ingest, url: str, collection: str) -> None:
    report = ingest(url, ["", " ", "good"], collection=collection, batch_documents=2)
    assert (report.accepted, report.skipped) == (1, 2)
    assert [failure.position for failure in report.failures] == [0, 1]


def test_a_run_that_rejects_stops_at_a_document_that_is_not_valid(ingest: Ingest, url: str, collection: str) -> None:
    with pytest.raises(IngestStopped, match=r"documents\[1\]\.text") as caught:
        ingest(url, ["good", " ", "more"], collection=collection, on_error="reject")
    assert isinstance(caught.value.__cause__, InvalidRequest)
    assert caught.value.report.accepted == 0


def test_a_bad_collection_stops_the_run(ingest: Ingest, url: str) -> None:
    with pytest.raises(IngestStopped, match="collection"):
        ingest(url, texts(100), collection="no/name", batch_documents=2)


def test_no_documents_are_no_request(ingest: Ingest) -> None:
    with ScriptedServer(reply(500)) as server:
        report = ingest(server.url, [], wait=True)
        assert (report.documents, report.jobs, server.requests) == (0, 0, [])


def test_refusals_and_broken_connections_lose_nothing_and_double_nothing(ingest: Ingest) -> None:
    gateway = FakeIngest()
    turns = iter(range(1_000_000))

    def flaky(request: Request) -> bytes:
        turn = next(turns)
        if turn % 4 == 0:
            return refusal(429, "overloaded", retry_after="0")
        answer = gateway(request)
        return (CUT, answer, refusal(503, "not_ready"))[turn % 3]

    with ScriptedServer(flaky) as server:
        report = ingest(server.url, texts(60), batch_documents=7, wait=True)
    assert report.accepted == 60
    assert gateway.texts() == texts(60)


def test_a_wrong_key_stops_at_once_with_the_report(ingest: Ingest) -> None:
    gateway = FakeIngest()
    turns = iter(range(1_000_000))

    def revoked(request: Request) -> bytes:
        return gateway(request) if next(turns) < 3 else refusal(401, "unauthorized", "the key has been revoked")

    def endless() -> Iterator[str]:
        number = 0
        while True:
            yield f"text {number}"
            number += 1

    with ScriptedServer(revoked) as server:
        with pytest.raises(IngestStopped, match="revoked") as caught:
            ingest(server.url, endless(), batch_documents=2, concurrency=2)
        assert isinstance(caught.value.__cause__, Unauthorized)
        assert caught.value.report.accepted == 6
        assert len(gateway.stored) == 3


def test_threads_that_wait_to_send_again_end_when_the_run_stops(ingest: Ingest) -> None:
    turns = iter(range(1_000_000))

    def answer(request: Request) -> bytes:
        if next(turns) == 0:
            return refusal(429, "overloaded", retry_after="500")
        return refusal(403, "forbidden")

    with ScriptedServer(answer) as server, pytest.raises(IngestStopped, match="forbidden"):
        ingest(server.url, texts(8), batch_documents=4, concurrency=2)


def test_an_error_of_the_iterable_comes_out_as_it_is(ingest: Ingest) -> None:
    def broken() -> Iterator[str]:
        yield from texts(5)
        raise LookupError("the source is gone")

    gateway = FakeIngest()
    with ScriptedServer(gateway) as server, pytest.raises(LookupError, match="the source is gone"):
        ingest(server.url, broken(), batch_documents=2)


@pytest.mark.parametrize("one", ["a text", b"bytes", {"text": "a"}])
def test_one_document_is_no_list_of_documents(ingest: Ingest, one: Any) -> None:
    gateway = FakeIngest()
    with ScriptedServer(gateway) as server:
        with pytest.raises(TypeError, match="documents: a list was expected"):
            ingest(server.url, one)
        assert server.requests == []


def test_a_document_that_is_none_is_named(ingest: Ingest) -> None:
    with ScriptedServer(FakeIngest()) as server, pytest.raises(TypeError, match="document 1"):
        ingest(server.url, ["a", 7])


def test_a_run_that_was_cut_off_goes_on(ingest: Ingest, tmp_path: Path) -> None:
    gateway, file = FakeIngest(), tmp_path / "resume"

    def cut_off() -> Iterator[str]:
        yield from texts(50)[:33]
        raise KeyboardInterrupt

    with ScriptedServer(gateway) as server:
        with suppress(KeyboardInterrupt):
            ingest(server.url, cut_off(), batch_documents=5, resume=file)
        first = len(server.requests)
        report = ingest(server.url, texts(50), batch_documents=5, resume=file, wait=True)
        assert report.documents == report.accepted + report.resumed == 50
        assert 0 < report.resumed <= 30
        assert gateway.texts() == texts(50)
        posts = [request for request in server.requests[first:] if request.method == "POST"]
        assert len(posts) == report.accepted / 5
        asked = {request.target.partition("?")[0] for request in server.requests[first:] if request.method == "GET"}
        assert len(asked) == 10, "it also waits for the jobs of the run before"
        done = len(server.requests)
        whole = ingest(server.url, texts(50), batch_documents=5, resume=file)
        assert (whole.resumed, whole.accepted) == (50, 0)
        assert len(server.requests) == done


def test_a_batch_that_was_sent_and_not_noted_is_sent_with_the_same_key(ingest: Ingest, tmp_path: Path) -> None:
    gateway, file = FakeIngest(), tmp_path / "resume"
    with ScriptedServer(gateway) as server:
        ingest(server.url, texts(10), batch_documents=5, resume=file)
        first, *_ = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(first)
        ingest(server.url, texts(10), batch_documents=5, resume=file)
        assert len(server.requests) == 4
    assert len(gateway.stored) == 2


def test_a_gateway_with_lower_limits_gets_smaller_requests(ingest: Ingest) -> None:
    gateway = FakeIngest()

    def small(request: Request) -> bytes:
        if len(request.body) > 100:
            return refusal(413, "body_too_large", "the body has more than 100 bytes")
        return gateway(request)

    with ScriptedServer(small) as server:
        report = ingest(server.url, [*texts(20), "x" * 200], wait=False)
    assert (report.accepted, report.skipped) == (20, 1)
    assert gateway.texts() == texts(20)
    assert [(failure.position, failure.reason) for failure in report.failures] == [
        (20, "the body has more than 100 bytes")
    ]


def test_it_waits_for_the_oldest_job_if_many_have_not_ended(ingest: Ingest) -> None:
    gateway = FakeIngest()
    open_jobs: set[str] = set()
    most = 0

    def counting(request: Request) -> bytes:
        nonlocal most
        answer = gateway(request)
        with gateway.lock:
            if request.method == "GET":
                open_jobs.discard(request.target.split("/")[3].partition("?")[0])
            else:
                open_jobs.add(request.headers["idempotency-key"])
                most = max(most, len(open_jobs))
        return answer

    with ScriptedServer(counting) as server:
        report = ingest(server.url, texts(40), batch_documents=1, concurrency=2, max_pending_jobs=3)
    assert report.accepted == 40
    assert most <= 3 + 2 + 1
    assert report.pending == len(open_jobs) <= 3 + 2


def test_a_job_that_makes_no_progress_stops_the_wait(ingest: Ingest) -> None:
    stuck = reply(200, job("running", error="no embedder answers"))
    with (
        ScriptedServer(lambda request: reply(202, job("pending")) if request.method == "POST" else stuck) as server,
        pytest.raises(IngestStopped, match=r"made no progress in 0\.05 s: no embedder answers") as caught,
    ):
        ingest(server.url, ["a"], wait=True, stall_seconds=0.05)
    assert isinstance(caught.value.__cause__, JobStalled)
    assert (caught.value.report.accepted, caught.value.report.pending) == (1, 1)


def test_a_job_that_the_gateway_has_forgotten_has_ended(ingest: Ingest) -> None:
    gone = refusal(404, "not_found")
    with ScriptedServer(lambda request: reply(202, job("pending")) if request.method == "POST" else gone) as server:
        assert ingest(server.url, ["a"], wait=True).pending == 0


def test_failures_of_jobs_are_counted(ingest: Ingest) -> None:
    failed = job("failed", total_documents=3, failed_documents=2, failures=[{"id": "x", "error": "too odd"}])
    with ScriptedServer(
        lambda request: (
            reply(202, job("pending", total_documents=3)) if request.method == "POST" else reply(200, failed)
        )
    ) as server:
        report = ingest(server.url, ["a", "b", "c"], wait=True)
    assert (report.accepted, report.failed) == (3, 2)
    assert [(failure.id, failure.reason) for failure in report.failures] == [("x", "too odd")]


def test_memory_does_not_grow_with_the_documents(ingest: Ingest) -> None:
    """1,500 documents of 5 kB in batches of 100 kB: far less than all of them is in memory at a time."""

    def answer(request: Request) -> bytes:
        lines = request.body.count(b"\n")
        return reply(202, job("completed", job_id=request.headers["idempotency-key"], total_documents=lines))

    with ScriptedServer(answer) as server:

        def drain() -> Iterator[dict[str, str]]:
            for number in range(1_500):
                if number % 100 == 0:
                    server.requests.clear()  # the test's own memory
                yield {"id": str(number), "text": "x" * 5000}

        tracemalloc.start()
        try:
            report = ingest(server.url, drain(), batch_documents=20, max_pending_jobs=10_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert report.accepted == 1_500
    assert peak < 5_000_000


async def test_an_asynchronous_iterable_is_read_as_needed() -> None:
    gateway = FakeIngest()

    async def documents() -> AsyncIterator[str]:
        for text in texts(25):
            await asyncio.sleep(0)
            yield text

    with ScriptedServer(gateway) as server:
        async with AsyncClient(server.url) as client:
            report = await client.ingest(documents(), batch_documents=4)
    assert report.accepted == 25
    assert gateway.texts() == texts(25)
