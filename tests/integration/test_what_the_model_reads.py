"""Text that the model cannot read, or reads only in part: clients learn it in every mode."""

import pytest

from tests.support.stack import Client

LONG = " ".join(f"The quarterly report describes pump number {n} and its valves." for n in range(60))
DOCUMENTS = [
    {"id": "thai", "text": "ฉันชอบกินข้าวผัด"},
    {"id": "emoji", "text": "🎉🎂🎈"},
    {"id": "english", "text": "A birthday party with cake."},
    {"id": "partly", "text": "A birthday party 🎉"},
    {"id": "long", "text": f"{LONG} The secret recipe uses cinnamon and honey for baklava."},
]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    client.ingest_and_wait(DOCUMENTS, collection)
    return collection


def test_without_chunking_a_job_counts_truncated_and_unreadable_documents(client: Client, collection: str) -> None:
    client.http.put(f"/v1/collections/{collection}", json={"chunking": None}).raise_for_status()
    job = client.ingest_and_wait(DOCUMENTS, collection)
    assert (job.status, job.error) == ("completed", None)
    assert (job.truncated_documents, job.unreadable_documents) == (1, 2)
    told = {}
    for document in DOCUMENTS:
        found = client.http.get(f"/v1/collections/{collection}/documents", params={"id": document["id"]}).json()
        told[found["id"]] = (found["truncated"], found["unknown"])
    assert told["english"] == (False, 0.0)
    assert told["long"] == (True, 0.0)
    assert told["thai"][1] == told["emoji"][1] == 1.0
    assert 0 < told["partly"][1] < 0.5
    again = client.ingest_and_wait(DOCUMENTS, collection)
    assert (again.unchanged_documents, again.truncated_documents, again.unreadable_documents) == (5, 1, 2)
    metrics = client.http.get("/metrics").text
    for name in ("truncated", "unreadable"):
        assert f"tandem_gateway_documents_{name}_total 0.0" not in metrics


def test_the_end_of_a_long_document_is_found_by_its_meaning(client: Client, collection: str) -> None:
    recipe = " ".join(["Bake the baklava with honey, cinnamon and chopped walnuts until the pastry is golden."] * 10)
    documents = [*DOCUMENTS[:4], {"id": "report", "text": f"{LONG}\n\n{recipe}"}]
    job = client.ingest_and_wait(documents, collection)
    assert (job.truncated_documents, job.unreadable_documents) == (0, 2)
    found = client.search("a dessert with nuts", collection=collection, mode="dense", top_k=5).results
    assert [hit.id for hit in found].count("report") == 1
    assert found[0].id == "report"
    passage = found[0].passage
    assert passage is not None
    assert passage.text == found[0].text[passage.start : passage.end]
    assert passage.end == len(found[0].text)
    by_words = client.search("pump 3", collection=collection, mode="lexical", top_k=1).results[0].passage
    assert by_words is not None
    assert by_words.index == 0


@pytest.mark.parametrize(("query", "expected"), [("🎉", {"emoji", "partly"}), ("ข้าวผัด", {"thai"}), ("🦖", set())])
def test_a_query_that_the_model_cannot_read_is_answered_by_words(
    client: Client, filled: str, query: str, expected: set[str]
) -> None:
    reply = client.search(query, collection=filled)
    assert (reply.mode, reply.degraded, reply.warnings) == ("lexical", False, ["unknown_tokens"])
    assert {hit.id for hit in reply.results} == expected
    asked_for = client.search(query, collection=filled, mode="dense")
    assert (asked_for.mode, asked_for.warnings) == ("dense", ["unknown_tokens"])
    assert client.search(query, collection=filled, mode="lexical").warnings == []  # the model was not used


def test_a_query_that_is_read_in_part_is_answered_by_meaning_with_a_warning(client: Client, filled: str) -> None:
    reply = client.search("what is served at a birthday 🎉", collection=filled, top_k=2)
    assert (reply.mode, reply.warnings) == ("hybrid", ["unknown_tokens"])
    assert {hit.id for hit in reply.results} == {"english", "partly"}
    assert client.search("a birthday", collection=filled).warnings == []


def test_a_query_longer_than_the_model_reads_is_reported(client: Client, filled: str) -> None:
    assert client.search("cake", collection=filled).query_truncated is False
    reply = client.search(LONG, collection=filled, top_k=1)
    assert (reply.query_truncated, reply.mode, reply.results[0].id) == (True, "hybrid", "long")
    known = client.search(LONG, collection=filled, top_k=1)  # the gateway has cached its vector
    assert known.query_truncated is True
