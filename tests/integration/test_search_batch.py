"""Several searches in one request."""

from typing import Any

import pytest

from tandem_gateway.settings import Settings
from tests.support.stack import Client

DOCUMENTS = [
    {"id": "cat", "text": "The cat sat on the mat.", "metadata": {"page": 1}},
    {"id": "dog", "text": "A puppy slept in its basket."},
]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    client.ingest_and_wait(DOCUMENTS, collection)
    return collection


def test_each_search_gets_the_reply_that_it_gets_alone(client: Client, filled: str) -> None:
    searches: list[dict[str, Any]] = [
        {"query": "a young dog", "collection": filled},
        {"query": "cat", "mode": "lexical", "collection": filled, "top_k": 1},
        {"query": "something else", "mode": "dense", "collection": filled, "offset": 1},
    ]
    reply = client.http.post("/v1/search/batch", json={"searches": searches})
    assert reply.status_code == 200
    together = reply.json()
    assert together["took_ms"] > 0
    alone = [client.http.post("/v1/search", json=search).json() for search in searches]
    for each in (*alone, *together["replies"]):
        assert each.pop("took_ms") > 0
    assert together["replies"] == alone


def test_new_queries_of_a_batch_share_calls_to_the_embedder(client: Client, filled: str) -> None:
    calls, queries = "tandem_gateway_queries_per_call_count", "tandem_gateway_queries_per_call_sum"
    before = client.metric(calls), client.metric(queries)
    body = {"searches": [{"query": f"batch query {n} of {filled}", "collection": filled} for n in range(16)]}
    assert client.http.post("/v1/search/batch", json=body).status_code == 200
    # Divided over the calls that may be in flight, so that the embedder's workers share them.
    assert client.metric(queries) - before[1] == 16
    assert 1 <= client.metric(calls) - before[0] <= Settings().query_calls


def test_a_batch_may_be_larger_than_a_single_search(client: Client, filled: str) -> None:
    body = {"searches": [{"query": "cat " * 2048, "collection": filled}] * 64}
    assert client.http.post("/v1/search/batch", json=body).status_code == 200
    large = client.http.post("/v1/search/batch", json={"searches": [{"query": "\x01" * 8192}] * 64})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("searches", "status", "param"),
    [
        ([], 422, "searches"),
        ([{"query": "x"}] * 65, 422, "searches"),
        ([{"query": "cat"}, {"query": "cat", "top_k": 0}], 422, "searches[1].top_k"),
        ([{"query": "cat"}, {"query": "cat", "fusion": "rrf", "mode": "dense"}], 422, "searches[1].fusion"),
        ([{"query": "cat"}, {"query": "cat", "collection": "absent"}], 404, "searches[1].collection"),
        ([{"query": "cat"}, {"text": "cat"}], 422, "searches[1].text"),
        (["cat"], 422, "searches[0]"),
    ],
)
def test_a_batch_with_a_wrong_search_is_refused_and_the_error_names_it(
    client: Client, filled: str, searches: list[Any], status: int, param: str
) -> None:
    given = [{"collection": filled, **each} if isinstance(each, dict) else each for each in searches]
    reply = client.http.post("/v1/search/batch", json={"searches": given})
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), reply.text
