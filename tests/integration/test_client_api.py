"""The life of a document from a client's view: ingest, job, search, change, delete."""

import gzip
import json
import math
import re
from typing import Any

import pytest

from tests.support.stack import Client, Stack, metric

PETS = [
    {"id": "cat", "text": "The cat sleeps on the warm window sill.", "metadata": {"kind": "animal"}},
    {"id": "loan", "text": "The bank raised the interest rate of the loan.", "metadata": {"kind": "money"}},
    {"id": "tram", "text": "The tram stops in front of the railway station.", "metadata": {"kind": "traffic"}},
]


def embedded_texts(stack: Stack) -> float:
    return metric(stack.embedder_url, "tandem_embedder_texts_total")


def test_ingest_job_search_and_health(client: Client, collection: str) -> None:
    documents_before = client.health().document_count
    accepted = client.ingest(PETS, collection)
    assert re.fullmatch(r"job_[0-9a-f]{32}", accepted.job_id)
    assert accepted.status in ("pending", "running")
    assert (accepted.total_documents, accepted.collection) == (3, collection)
    assert accepted.document_ids == ["cat", "loan", "tram"]

    job = client.wait_job(accepted.job_id)
    assert (job.status, job.processed_documents, job.error) == ("completed", 3, None)
    assert (job.unchanged_documents, job.failed_documents, job.failures) == (0, 0, [])
    times = [str(moment) for moment in (job.created_at, job.started_at, job.finished_at)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in times)
    assert times == sorted(times)

    reply = client.http.post("/v1/search", json={"query": "a sleeping pet", "top_k": 2, "collection": collection})
    assert reply.status_code == 200
    assert reply.json()["took_ms"] > 0
    hits = reply.json()["results"]
    assert hits[0]["id"] == "cat"
    assert len(hits) == 2
    assert 1 >= hits[0]["score"] >= hits[1]["score"] >= -1
    passage = {"text": PETS[0]["text"], "start": 0, "end": len(str(PETS[0]["text"])), "index": 0}
    assert hits[0] == {**PETS[0], "score": hits[0]["score"], "scores": hits[0]["scores"], "passage": passage}

    health = client.health()
    assert health.status == "ok"
    assert health.model_loaded is True
    assert health.document_count == documents_before + 3
    assert health.pending_documents == 0
    assert health.model == "sentence-transformers/all-MiniLM-L6-v2"


def test_a_job_is_waited_for_listed_and_sent_again_without_a_second_effect(client: Client, collection: str) -> None:
    body = {"documents": [*PETS, {"text": "a document without an id"}], "collection": collection}
    accepted = client.http.post("/v1/ingest", json=body, headers={"idempotency-key": collection}).json()
    job = client.http.get(f"/v1/jobs/{accepted['job_id']}", params={"wait_seconds": 60}).json()
    assert (job["status"], job["processed_documents"], job["seconds_left"]) == ("completed", 4, None)
    assert job["documents_per_second"] > 0
    again = client.http.post("/v1/ingest", json=body, headers={"idempotency-key": collection}).json()
    assert (again["job_id"], again["status"]) == (job["job_id"], "completed")
    assert again["document_ids"] == accepted["document_ids"]
    conflict = client.http.post("/v1/ingest", json={"documents": PETS}, headers={"idempotency-key": collection})
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "conflict")
    other = client.ingest_and_wait([{"text": "another"}], collection)
    pages, cursor = [], None
    for _ in range(2):
        given = {"collection": collection, "limit": 1, **({"cursor": cursor} if cursor else {})}
        page = client.http.get("/v1/jobs", params=given).json()
        pages += [each["job_id"] for each in page["jobs"]]
        cursor = page["next_cursor"]
    assert pages == [other.job_id, job["job_id"]]
    cancelled = client.http.post(f"/v1/jobs/{job['job_id']}/cancel").json()
    assert (cancelled["status"], cancelled["cancelled_documents"]) == ("completed", 0)


def test_the_documents_of_a_job_are_listed_with_how_they_ended(client: Client, collection: str) -> None:
    client.ingest_and_wait([PETS[0]], collection)
    documents = [*PETS, {"id": "new", "text": "the first version"}, {"id": "new", "text": "the second version"}]
    job = client.ingest_and_wait(documents, collection)
    path, found, cursor = f"/v1/jobs/{job.job_id}/documents", [], None
    while True:
        page = client.http.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += page["documents"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    statuses = ["unchanged", *["embedded"] * (len(PETS) - 1), "replaced", "embedded"]
    assert found == [
        {"id": document["id"], "status": status, "reason": None}
        for document, status in zip(documents, statuses, strict=True)
    ]
    replaced = client.http.get(path, params={"status": "replaced"}).json()
    assert replaced == {"documents": [found[-2]], "next_cursor": None}
    other = client.ingest_and_wait([PETS[0]], collection)
    first = client.http.get(path, params={"limit": 1}).json()["next_cursor"]
    of_other = client.http.get(f"/v1/jobs/{other.job_id}/documents", params={"cursor": first})
    assert (of_other.status_code, of_other.json()["error"]["param"]) == (422, "cursor")


def test_invalid_documents_are_skipped_and_told(client: Client, collection: str) -> None:
    documents = [{"id": "blank", "text": " "}, PETS[0], {"text": 7}]
    body = {"documents": documents, "collection": collection}
    assert client.http.post("/v1/ingest", json=body).status_code == 422
    key = {"idempotency-key": f"{collection}-skipping"}
    reply = client.http.post("/v1/ingest", json={**body, "on_error": "skip"}, headers=key)
    assert reply.status_code == 202, reply.text
    accepted = reply.json()
    assert (accepted["total_documents"], accepted["skipped_documents"]) == (1, 2)
    assert accepted["document_ids"] == [PETS[0]["id"]]
    told = [(each["index"], each["id"], each["param"]) for each in accepted["skipped"]]
    assert told == [(0, "blank", "documents[0].text"), (2, None, "documents[2].text")]
    again = client.http.post("/v1/ingest", json={**body, "on_error": "skip"}, headers=key).json()
    assert (again["job_id"], again["skipped"]) == (accepted["job_id"], accepted["skipped"])
    other = {**body, "documents": [PETS[0], PETS[0], PETS[0]], "on_error": "skip"}
    assert client.http.post("/v1/ingest", json=other, headers=key).status_code == 409
    job = client.wait_job(accepted["job_id"])
    assert (job.status, job.skipped_documents, job.skipped) == ("completed", 2, None)
    page = client.http.get(f"/v1/jobs/{job.job_id}/documents").json()
    assert [(each["id"], each["status"]) for each in page["documents"]] == [
        ("blank", "skipped"),
        (PETS[0]["id"], "embedded"),
        (None, "skipped"),
    ]
    assert page["documents"][0]["reason"] == accepted["skipped"][0]["message"]
    lines = "".join(json.dumps({"id": str(n), "text": " " if n % 2 else "x"}) + "\n" for n in range(300))
    reply = client.http.post(
        "/v1/ingest",
        params={"collection": collection, "on_error": "skip"},
        content=lines.encode(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert (reply.json()["total_documents"], reply.json()["skipped_documents"]) == (150, 150)
    assert len(reply.json()["skipped"]) == 100
    assert client.metric("tandem_gateway_documents_skipped_total") >= 152


def test_compressed_json_lines_with_numbers_for_ids_are_stored(client: Client, collection: str) -> None:
    lines = "".join(json.dumps({"id": n, "text": f"line number {n}"}) + "\n" for n in range(500))
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    reply = client.http.post(
        "/v1/ingest", params={"collection": collection}, content=gzip.compress(lines.encode()), headers=headers
    )
    assert reply.status_code == 202, reply.text
    assert reply.json()["document_ids"] == [str(n) for n in range(500)]
    assert client.wait_job(reply.json()["job_id"]).processed_documents == 500
    assert client.found("line number 77", 1, collection) == ["77"]


def test_json_lines_take_an_idempotency_key_and_write_nothing_if_one_is_bad(client: Client, collection: str) -> None:
    headers = {"content-type": "application/x-ndjson", "idempotency-key": f"lines of {collection}".replace(" ", "-")}
    good, bad = b'{"id":"a","text":"first"}\n', b'\n{"id":"b"}\n'
    path = f"/v1/ingest?collection={collection}"
    refused = client.http.post(path, content=good + bad, headers=headers)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (422, "missing_field", "documents[1].text")
    assert error["message"].startswith("line 3: ")
    found = client.http.get(f"/v1/collections/{collection}/documents?id=a")
    assert found.status_code == 404
    first = client.http.post(path, content=good, headers=headers).json()
    again = client.http.post(path, content=good, headers=headers).json()
    assert (again["job_id"], again["document_ids"]) == (first["job_id"], ["a"])
    as_json = {"collection": collection, "documents": [{"id": "a", "text": "first"}]}
    key = {"idempotency-key": headers["idempotency-key"]}
    assert client.http.post("/v1/ingest", json=as_json, headers=key).json()["job_id"] == first["job_id"]
    assert client.http.post(path, content=good + good, headers=headers).status_code == 409


def test_the_cosine_of_a_documents_own_text_is_one(client: Client, collection: str) -> None:
    client.ingest_and_wait(PETS, collection)
    for document in PETS:
        for mode in ("dense", "hybrid"):
            best = client.search(str(document["text"]), 1, collection, mode=mode).results[0]
            assert best.id == document["id"]
            assert best.scores is not None
            assert best.scores.dense == pytest.approx(1.0, abs=1e-5)


def test_top_k_is_five_unless_given_and_may_exceed_the_documents(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"text": f"note number {number}"} for number in range(7)], collection)
    assert len(client.search("note", None, collection).results) == 5
    assert len(client.search("note", 1, collection).results) == 1
    assert len(client.search("note", 1000, collection).results) == 7


def test_the_default_collection_is_called_default(client: Client) -> None:
    client.ingest_and_wait([{"id": "d", "text": "a document without a collection"}])
    assert client.found("a document without a collection", 1, "default") == ["d"]
    assert client.found("a document without a collection", 1) == ["d"]


def test_a_document_without_an_id_gets_a_new_one(client: Client, collection: str) -> None:
    same = {"text": "the same text twice"}
    job = client.ingest([same, {"id": "mine", "text": "another text"}, same], collection)
    first, kept, second = job.document_ids
    assert kept == "mine"
    assert len({first, second, kept}) == 3
    client.wait_job(job.job_id)
    assert sorted(client.found("the same text twice", 10, collection)) == sorted([first, second, kept])


@pytest.mark.parametrize("doc_id", ["a/b/c", "später ☃", "a b?c#d%2F", "..a", "x" * 256, "'; DROP TABLE documents; --"])
def test_an_id_is_kept_as_it_is(client: Client, collection: str, doc_id: str) -> None:
    client.ingest_and_wait([{"id": doc_id, "text": "a document with a remarkable id"}], collection)
    assert client.found("remarkable id", 5, collection) == [doc_id]


METADATA: dict[str, dict[str, Any]] = {
    "string": {"s": 'quoted " back\\slash \n\t / \u2028 \U0001f600 \x7f'},
    "empty strings": {"": "", "list": ["", ""]},
    "whole numbers": {"zero": 0, "negative": -1, "large": 2**63 - 1, "least": -(2**63), "unsigned": 2**64 - 1},
    "floats": {"one": 1.0, "tenth": 0.1, "small": 5e-324, "large": 1.7976931348623157e308, "third": 1 / 3},
    "negative zero": {"z": -0.0},
    "truth": {"yes": True, "no": False},
    "null": {"nothing": None},
    "list of strings": {"tags": ["b", "a", "ä", "b"], "none": []},
    "unicode keys": {"ключ": "значение", "🔑": 1, "e\u0301": "decomposed", "\u00e9": "composed"},
    "order of keys": {"z": 1, "a": 2, "m": 3},
    "empty": {},
    "number-like strings": {"n": "1", "f": "1.0", "t": "true", "x": "null"},
}


def typed(value: Any) -> Any:
    """Return a value in a form that distinguishes 1, 1.0 and True, and 0.0 and -0.0, and keeps the order of keys."""
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, math.copysign(1, value) if isinstance(value, float) else 0, value)


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA.keys())
def test_metadata_comes_back_exactly_as_sent(client: Client, collection: str, metadata: dict[str, Any]) -> None:
    client.ingest_and_wait([{"id": "m", "text": "a document with metadata", "metadata": metadata}], collection)
    hit = client.http.post("/v1/search", json={"query": "metadata", "collection": collection})
    stored = client.http.get(f"/v1/collections/{collection}/documents/m")
    assert typed(json.loads(hit.content)["results"][0]["metadata"]) == typed(metadata)
    assert typed(json.loads(stored.content)["metadata"]) == typed(metadata)


def test_a_whole_number_beyond_64_bits_is_kept_or_refused_but_never_changed(client: Client, collection: str) -> None:
    document = {"id": "big", "text": "a big number", "metadata": {"n": 10**30}}
    reply = client.http.post("/v1/ingest", json={"documents": [document], "collection": collection})
    if reply.status_code == 202:
        client.wait_job(reply.json()["job_id"])
        stored = client.http.get(f"/v1/collections/{collection}/documents/big")
        assert typed(stored.json()["metadata"]) == typed({"n": 10**30})
    else:
        assert reply.status_code == 422
        assert reply.json()["error"]["param"].startswith("documents[0].metadata")


def test_an_id_that_is_there_is_replaced(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": "x", "text": "apples and pears"}, {"id": "y", "text": "a steam engine"}], collection)
    client.ingest_and_wait([{"id": "x", "text": "a telescope on a mountain"}], collection)
    hits = client.search("telescope", 10, collection).results
    assert sorted(hit.id for hit in hits) == ["x", "y"]
    assert hits[0].text == "a telescope on a mountain"
    assert "apples" not in str(client.search("apples and pears", 10, collection))


def test_the_last_of_one_id_in_a_request_wins(client: Client, collection: str) -> None:
    documents = [{"id": "x", "text": "the first version"}, {"id": "x", "text": "the second version"}]
    job = client.ingest_and_wait(documents, collection)
    assert job.processed_documents == 2
    assert [hit.text for hit in client.search("version", 10, collection).results] == ["the second version"]


def test_unchanged_documents_are_not_embedded_again(stack: Stack, client: Client, collection: str) -> None:
    client.ingest_and_wait(PETS, collection)
    before = embedded_texts(stack)
    job = client.ingest_and_wait(PETS, collection)
    assert (job.unchanged_documents, job.processed_documents) == (3, 3)
    assert embedded_texts(stack) == before
    changed = [*PETS[:2], {**PETS[2], "text": "The ferry leaves from the harbour."}]
    job = client.ingest_and_wait(changed, collection)
    assert job.unchanged_documents == 2
    assert embedded_texts(stack) == before + 1


def test_new_metadata_alone_is_stored_without_embedding(stack: Stack, client: Client, collection: str) -> None:
    client.ingest_and_wait(PETS, collection)
    before = embedded_texts(stack)
    job = client.ingest_and_wait([{**PETS[0], "metadata": {"kind": "pet", "age": 7}}], collection)
    assert job.unchanged_documents == 0
    assert embedded_texts(stack) == before
    hits = client.search("sleeping cat", 10, collection).results
    assert hits[0].metadata == {"kind": "pet", "age": 7}
    assert sorted(hit.id for hit in hits) == ["cat", "loan", "tram"]


def test_a_patch_of_metadata_is_seen_at_once_and_undone_by_the_original(
    stack: Stack, client: Client, collection: str
) -> None:
    client.ingest_and_wait(PETS, collection)
    before = embedded_texts(stack)
    path = f"/v1/collections/{collection}/documents/{PETS[0]['id']}"
    original = client.http.get(path).json()
    changes = {"age": 7, "kind": None, "owner": {"name": "Ada", "phone": None}}
    patched = client.http.patch(path, json={"metadata": changes}).json()
    kept = {key: value for key, value in original["metadata"].items() if key != "kind"}
    assert patched == {**original, "metadata": {**kept, "age": 7, "owner": {"name": "Ada"}}}
    assert client.http.get(path).json() == patched
    assert embedded_texts(stack) == before
    for mode in ("dense", "lexical", "hybrid"):
        query = {"query": PETS[0]["text"], "collection": collection, "mode": mode, "filter": {"owner.name": "Ada"}}
        (hit,) = client.http.post("/v1/search", json=query).json()["results"]
        assert (hit["id"], hit["metadata"]) == (original["id"], patched["metadata"])
    facets = f"/v1/collections/{collection}/facets"
    counted = client.http.post(facets, json={"fields": ["age"]}).json()
    assert counted["facets"]["age"]["values"] == [{"value": 7, "count": 1}]
    assert client.http.patch(path, json={"metadata": {"age": 7}}).json() == patched
    before = embedded_texts(stack)  # with the texts of the queries
    job = client.ingest_and_wait([PETS[0]], collection)
    assert job.unchanged_documents == 0
    assert client.http.get(path).json() == original
    assert embedded_texts(stack) == before


def test_one_is_not_one_point_nought_nor_true(client: Client, collection: str) -> None:
    for value in (1, 1.0, True, "1"):
        job = client.ingest_and_wait([{"id": "v", "text": "a value", "metadata": {"v": value}}], collection)
        assert job.unchanged_documents == 0
        assert typed(client.search("a value", 1, collection).results[0].metadata) == typed({"v": value})


def test_a_search_right_after_a_job_completed_finds_it(client: Client, collection: str) -> None:
    for number in range(25):
        text = f"announcement {number} of the harbour master"
        client.ingest_and_wait([{"id": f"n{number}", "text": text}], collection)
        assert f"n{number}" in client.found(text, 3, collection)


def test_a_job_is_read_again_and_an_ingest_answers_with_ids_only_then(client: Client, collection: str) -> None:
    job = client.ingest_and_wait(PETS, collection)
    assert client.job(job.job_id) == job
    assert job.document_ids is None


def test_a_path_that_is_not_utf8_names_no_document(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": "\N{REPLACEMENT CHARACTER}", "text": "a cat"}], collection)
    path = f"/v1/collections/{collection}/documents"
    for method in ("GET", "DELETE"):
        reply = client.http.request(method, f"{path}/%FF")
        assert (reply.status_code, reply.json()["error"]["param"]) == (422, "path")
    assert client.http.get(f"{path}/%EF%BF%BD").json()["text"] == "a cat"
