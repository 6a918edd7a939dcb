"""What a search finds at one gateway of what another has acknowledged, by its consistency and position."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.support.sharing import Gateways, gateways, shared_store
from tests.support.stack import Client, wait_until
from tests.support.texts import distinct_texts

POSITION: Final = "x-tandem-position"
MODES: Final = ("dense", "lexical", "hybrid")
ROUNDS: Final = int(os.environ.get("TANDEM_CONSISTENCY_ROUNDS", "15"))
"""Documents that are stored, found and deleted; more of them for a longer run."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with shared_store() as url, gateways(tmp_path_factory.mktemp("pair"), url) as made:
        yield made


def found(client: Client, text: str, collection: str, position: str | None = None, **asked: Any) -> list[str]:
    body = {"query": text, "collection": collection, "top_k": 3, **asked}
    reply = client.http.post("/v1/search", json=body, headers={POSITION: position} if position else {})
    assert reply.status_code == 200, reply.text
    return [hit["id"] for hit in reply.json()["results"]]


def stored(client: Client, doc_id: str, text: str, collection: str) -> str:
    """Store a document; return the position after its job has finished."""
    asked = {"documents": [{"id": doc_id, "text": text}], "collection": collection}
    accepted = client.http.post("/v1/ingest", json=asked)
    assert accepted.status_code == 202, accepted.text
    job = client.http.get(f"/v1/jobs/{accepted.json()['job_id']}", params={"wait_seconds": 30})
    assert job.json()["status"] == "completed", job.text
    return str(job.headers[POSITION])


def deleted(client: Client, doc_id: str, collection: str) -> str:
    reply = client.http.delete(f"/v1/collections/{collection}/documents", params={"id": doc_id})
    assert reply.status_code == 200, reply.text
    return str(reply.headers[POSITION])


@contextmanager
def ingesting(client: Client, collection: str) -> Iterator[None]:
    """Let a gateway store documents meanwhile."""
    ended = threading.Event()
    texts = distinct_texts(200, seed=5)

    def ingest() -> None:
        number = 0
        with Client(client.url) as own:
            while not ended.is_set():
                number += 1
                documents = [{"id": f"d{each}", "text": f"{text} {number}"} for each, text in enumerate(texts[:20])]
                own.ingest_and_wait(documents, collection)

    thread = threading.Thread(target=ingest)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("consistency", ["strong", "session"])
def test_a_search_finds_what_another_gateway_has_acknowledged(pair: Gateways, consistency: str) -> None:
    (_, one), (_, two) = pair
    texts = distinct_texts(ROUNDS, seed=3)
    collection = f"acknowledged-{consistency}"
    with ingesting(one, "others"):
        for number, text in enumerate(texts):
            writer, reader = (one, two) if number % 2 else (two, one)
            asked = {"mode": MODES[number % 3], "consistency": consistency}
            position = stored(writer, f"d{number}", text, collection)
            assert found(reader, text, collection, position, **asked)[0] == f"d{number}"
            position = deleted(writer, f"d{number}", collection)
            assert f"d{number}" not in found(reader, text, collection, position, **asked)


def test_the_reply_to_a_search_tells_a_position_that_has_its_hits(pair: Gateways) -> None:
    (_, one), (_, two) = pair
    for number, text in enumerate(distinct_texts(10, seed=4)):
        stored(one, f"d{number}", text, "searched")
        reply = one.http.post("/v1/search", json={"query": text, "collection": "searched"})
        assert reply.json()["results"][0]["id"] == f"d{number}"
        asked = {"consistency": "session", "mode": MODES[number % 3]}
        assert found(two, text, "searched", reply.headers[POSITION], **asked)[0] == f"d{number}"


def test_a_session_without_a_position_finds_what_its_own_gateway_has_acknowledged(pair: Gateways) -> None:
    (_, one), _ = pair
    for number, text in enumerate(distinct_texts(10, seed=6)):
        stored(one, f"d{number}", text, "own")
        asked = {"consistency": "session", "mode": MODES[number % 3]}
        assert found(one, text, "own", **asked)[0] == f"d{number}"


def test_bounded_staleness_may_miss_what_another_gateway_has_just_acknowledged(pair: Gateways) -> None:
    (_, one), (_, two) = pair
    missed = 0
    for number, text in enumerate(distinct_texts(15, seed=7)):
        stored(one, f"d{number}", text, "bounded")

        def finds(text: str = text, number: int = number) -> bool:
            asked = {"consistency": "bounded", "mode": MODES[number % 3]}
            reply = two.http.post("/v1/search", json={"query": text, "collection": "bounded", "top_k": 3, **asked})
            return reply.status_code == 200 and f"d{number}" in {hit["id"] for hit in reply.json()["results"]}

        if not finds():
            missed += 1
            wait_until(finds, "the document")
    assert missed  # otherwise the other tests prove nothing


def test_a_position_that_the_store_does_not_have(pair: Gateways) -> None:
    (_, one), _ = pair
    position = one.http.get("/v1/collections").headers[POSITION]
    store_id, _, number = position.partition(".")
    later = {POSITION: f"{store_id}.{int(number) + 10**6}", "x-request-timeout-ms": "200"}
    refused = one.http.post("/v1/search", json={"query": "a", "consistency": "session"}, headers=later)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
    assert refused.headers["retry-after"]
    assert POSITION in refused.json()["error"]["message"]
    # The other kinds need no position.
    for consistency in ("strong", "bounded"):
        asked = {"query": "a", "consistency": consistency}
        assert one.http.post("/v1/search", json=asked, headers=later).status_code == 200
    for wrong in ("x", f"{'0' * 32}.1", f"{store_id}.-1", f"{store_id}.{10**18}"):
        refused = one.http.post("/v1/search", json={"query": "a"}, headers={POSITION: wrong})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, POSITION)
