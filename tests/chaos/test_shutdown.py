"""SIGTERM: the service answers accepted requests, refuses later ones, and exits with status 0."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.maintenance import assert_sound
from tests.support.searching import SearchLoad
from tests.support.stack import Client, Stack, metric, wait_until
from tests.support.texts import distinct_texts

SEARCHES = 40
CALLS = 2


@pytest.fixture
def stack(tmp_path: Path, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path, model_dir, gateway_env={"TANDEM_QUERY_CALLS_IN_FLIGHT": str(CALLS)}) as stack:
        stack.client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield stack


def test_every_search_that_was_accepted_is_answered(stack: Stack) -> None:
    client = stack.client
    stack.embedder.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(SEARCHES) as threads:
            searches = [threads.submit(client.found, f"query {number}", 1) for number in range(SEARCHES)]
            wait_until(
                lambda: client.metric("tandem_gateway_queued_queries") == SEARCHES - CALLS, "every search accepted"
            )
            stack.gateway.signal(signal.SIGTERM)
            wait_until(lambda: refuses(client), "the gateway takes nothing more")
            stack.embedder.signal(signal.SIGCONT)
            assert [search.result() for search in searches] == [["x"]] * SEARCHES
    finally:
        stack.embedder.signal(signal.SIGCONT)
    assert stack.gateway.wait_exit() == 0
    assert_sound(stack.data_dir)


def test_both_services_end_under_load_and_every_search_that_was_accepted_is_answered(stack: Stack) -> None:
    with SearchLoad(stack.client.url, clients=8) as load:
        load.go_on(50)
        stack.gateway.signal(signal.SIGTERM)
        assert stack.gateway.wait_exit() == 0
        stack.embedder.signal(signal.SIGTERM)
        assert stack.embedder.wait_exit() == 0
        load.stop()
    # Late clients could not connect; every request that the gateway accepted, by its own count, has its answer.
    assert all("Error" in failure for failure in load.failures), load.failures
    searches = [
        line for line in stack.gateway.log_lines() if line["message"] == "request" and line["path"] == "/v1/search"
    ]
    assert {line["status"] for line in searches} == {200}
    assert len(searches) == load.answered
    assert_sound(stack.data_dir)


def refuses(client: Client) -> bool:
    try:
        return httpx.get(f"{client.url}/readyz", trust_env=False).status_code == 503
    except httpx.TransportError:
        return True


def test_an_ingest_that_was_acknowledged_survives_a_stop_under_load(stack: Stack) -> None:
    client = stack.client
    texts = distinct_texts(3000, seed=10)
    acknowledged: list[str] = []
    statuses: set[int] = set()
    refused: list[httpx.TransportError] = []

    def ingest(number: int) -> None:
        document = {"id": f"d{number}", "text": texts[number]}
        try:
            answer = client.http.post("/v1/ingest", json={"documents": [document]})
        except httpx.TransportError as error:  # the listener is closed
            refused.append(error)
            return
        statuses.add(answer.status_code)
        if answer.status_code == 202:
            acknowledged.append(document["id"])

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(ingest, number) for number in range(len(texts))]
        wait_until(lambda: len(acknowledged) >= 100, "some documents")
        stack.gateway.signal(signal.SIGTERM)
        for one in sent:
            one.result()
    assert stack.gateway.wait_exit() == 0
    assert refused  # the signal came while the clients were sending
    assert statuses <= {202, 503}
    connection = sqlite3.connect(f"{(stack.data_dir / 'tandem.sqlite3').as_uri()}?mode=ro", uri=True)
    try:
        stored = {doc_id for (doc_id,) in connection.execute("SELECT doc_id FROM documents")}
    finally:
        connection.close()
    assert set(acknowledged) <= stored
    assert_sound(stack.data_dir)


def test_the_embedder_answers_every_accepted_request(stack: Stack) -> None:
    long = " ".join(distinct_texts(15, seed=11))
    body = json.dumps({"texts": [f"{number} {long}" for number in range(32)]}).encode()

    def embed(_: int) -> httpx.Response:
        return httpx.post(
            f"{stack.embedder_url}/embed",
            content=body,
            headers={"content-type": "application/json"},
            trust_env=False,
            timeout=60,
        )

    def accepted() -> float:
        names = ("tandem_embedder_queued_tokens", "tandem_embedder_tokens_total")
        return sum(metric(stack.embedder_url, name) for name in names)

    tokens = sum(embed(0).json()["tokens"])
    before = accepted()
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(embed, number) for number in range(3)]
        wait_until(lambda: accepted() >= before + 3 * tokens, "every request accepted")
        stack.embedder.signal(signal.SIGTERM)
        replies = [answer.result() for answer in answers]
    assert stack.embedder.wait_exit() == 0
    assert [reply.status_code for reply in replies] == [200] * 3
    assert all(len(reply.json()["embeddings"]) == 32 for reply in replies)
