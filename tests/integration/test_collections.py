"""Collections are separate; documents and collections can be read and deleted."""

from urllib.parse import quote

from tests.support.stack import Client


def listed(client: Client, collection: str) -> dict[str, object] | None:
    reply = client.http.get("/v1/collections")
    assert reply.status_code == 200
    return next((entry for entry in reply.json()["collections"] if entry["name"] == collection), None)


def test_collections_hold_the_same_id_apart(client: Client, collection: str) -> None:
    other = f"{collection}-other"
    client.ingest_and_wait([{"id": "x", "text": "a red bicycle"}], collection)
    client.ingest_and_wait([{"id": "x", "text": "a blue submarine"}, {"id": "y", "text": "a kite"}], other)
    assert [hit.text for hit in client.search("bicycle", 10, collection).results] == ["a red bicycle"]
    assert [hit.text for hit in client.search("submarine", 1, other).results] == ["a blue submarine"]
    assert client.http.delete(f"/v1/collections/{other}/documents/x").json() == {"deleted": True}
    assert client.found("bicycle", 10, collection) == ["x"]


def test_a_collection_reports_its_counts_and_its_model(client: Client, collection: str) -> None:
    assert listed(client, collection) is None
    client.ingest_and_wait([{"id": "x", "text": "one"}, {"id": "y", "text": "two"}], collection)
    entry = listed(client, collection)
    assert entry is not None
    assert (entry["document_count"], entry["pending_documents"], entry["dim"]) == (2, 0, 384)
    assert entry["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert entry["fingerprint"] == client.health().fingerprint


def test_a_document_is_read_by_its_id(client: Client, collection: str) -> None:
    document = {"id": "a/b c", "text": "a document to read", "metadata": {"tags": ["x"]}}
    client.ingest_and_wait([document], collection)
    reply = client.http.get(f"/v1/collections/{collection}/documents/{quote('a/b c')}")
    assert reply.status_code == 200
    assert reply.json() == {
        **document,
        "collection": collection,
        "embedded": True,
        "truncated": False,
        "unknown": 0.0,
    }


def test_a_deleted_document_is_not_found_and_may_be_ingested_again(client: Client, collection: str) -> None:
    document = {"id": "x", "text": "a lighthouse in the fog"}
    client.ingest_and_wait([document, {"id": "y", "text": "a candle"}], collection)
    path = f"/v1/collections/{collection}/documents/x"
    assert client.http.delete(path).json() == {"deleted": True}
    assert client.found("lighthouse in the fog", 10, collection) == ["y"]
    assert client.http.get(path).status_code == 404
    assert client.http.delete(path).json() == {"deleted": False}
    client.ingest_and_wait([document], collection)
    assert client.found("lighthouse in the fog", 1, collection) == ["x"]


def test_a_deleted_collection_is_not_found_and_may_be_created_again(client: Client, collection: str) -> None:
    job = client.ingest_and_wait([{"id": "x", "text": "a mill"}, {"id": "y", "text": "a brook"}], collection)
    path = f"/v1/collections/{collection}"
    assert client.http.delete(path).json() == {"deleted": True}
    assert listed(client, collection) is None
    gone = client.http.post("/v1/search", json={"query": "a mill", "collection": collection})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "collection")
    assert client.http.delete(path).json() == {"deleted": False}
    assert client.job(job.job_id).status == "completed"
    client.ingest_and_wait([{"id": "x", "text": "a windmill"}], collection)
    assert [hit.text for hit in client.search("mill", 10, collection).results] == ["a windmill"]


def test_deleting_a_pending_document_ends_its_job(client: Client, collection: str) -> None:
    job = client.ingest([{"id": f"n{n}", "text": f"text {n} " + "long " * 200} for n in range(200)], collection)
    assert client.http.delete(f"/v1/collections/{collection}").json() == {"deleted": True}
    ended = client.wait_job(job.job_id)
    assert (ended.status, ended.processed_documents) == ("completed", 200)
    assert listed(client, collection) is None


def test_a_missing_object_is_404_and_named(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": "x", "text": "something"}], collection)
    for path, param in [
        (f"/v1/collections/{collection}/documents/absent", "id"),
        ("/v1/collections/absent-collection/documents/x", "id"),
    ]:
        reply = client.http.get(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
        assert reply.json()["error"]["param"] == param


def test_a_collection_of_another_language_finds_its_forms(client: Client, collection: str) -> None:
    texts = {"exact": "Das Haus am See", "form": "Die Häuser der Stadt", "other": "Ein Baum im Wald"}
    client.http.put(f"/v1/collections/{collection}", json={"language": "german"}).raise_for_status()
    client.ingest_and_wait([{"id": doc_id, "text": text} for doc_id, text in texts.items()], collection)
    entry = listed(client, collection)
    assert entry is not None
    assert entry["language"] == "german"
    asked = {"query": "haus", "collection": collection, "mode": "lexical", "highlight": True}
    hits = client.http.post("/v1/search", json=asked).json()["results"]
    assert [hit["id"] for hit in hits] == ["exact", "form"]
    assert [[hit["text"][start:stop] for start, stop in hit["highlights"]] for hit in hits] == [["Haus"], ["Häuser"]]
    refused = client.http.put(f"/v1/collections/{collection}", json={"language": "klingon"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "language")


def test_the_memory_of_a_collection_has_what_keyword_search_read(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": "x", "text": "a red bicycle"}, {"id": "y", "text": "a kite"}], collection)

    def memory() -> int:
        return int(client.http.get(f"/v1/collections/{collection}").json()["memory_bytes"])

    before = memory()
    reply = client.http.post("/v1/search", json={"query": "kite", "mode": "lexical", "collection": collection})
    assert [hit["id"] for hit in reply.json()["results"]] == ["y"]
    assert memory() > before > 0
