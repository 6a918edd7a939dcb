"""What a tenant may do in a collection that it shares, and what it may not; examples beside the property."""

import base64
import json
from typing import Any

import pytest

from tandem_gateway.access.document_filter import make_filter
from tandem_gateway.records.sizes import CollectionSizes
from tests.gateway.access.tenants import FOREIGN, PREFIX, Request, Tenants, call, follow, new_collection, quoted


def ingest(*documents: dict[str, Any]) -> Request:
    return "POST", "/v1/ingest", {"collection": "%c", "documents": list(documents)}


@pytest.fixture
def shared(tenants: Tenants) -> str:
    """A collection in which both tenants have a document ``mat``, and the writer one for tenant a."""
    name = new_collection(tenants)
    for holder, text in (("a", "a cat of a"), ("b", "a cat of b")):
        assert tenants.send(holder, ingest({"id": "mat", "text": text}), name)[0] == 202
    given_by_writer = {"id": "for-a", "text": "a cat for a", "metadata": {"tenant": "a"}}
    assert tenants.send("writer", ingest(given_by_writer), name)[0] == 202
    tenants.settle(name)
    return name


def test_two_tenants_have_the_same_id(tenants: Tenants, shared: str):
    for holder in "ab":
        _, _, read = tenants.send(holder, ("GET", "/v1/collections/%c/documents/mat", None), shared)
        assert (read["text"], read["metadata"], read["id"]) == (f"a cat of {holder}", {"tenant": holder}, "mat")
    _, _, listed = tenants.send("writer", ("GET", "/v1/collections/%c/documents", None), shared)
    prefixes = [make_filter({"tenant": holder}).namespace.names for holder in "ab"]
    assert {each["id"] for each in listed["documents"]} == {"seed", "for-a", *(f"{each}mat" for each in prefixes)}
    _, _, found = tenants.send("a", ("POST", "/v1/search", {"query": "cat", "collection": "%c"}), shared)
    assert {hit["id"] for hit in found["results"]} == {"mat", "for-a"}


def test_a_tenant_deletes_its_own_document_by_its_path(tenants: Tenants, shared: str):
    path = "/v1/collections/%c/documents/mat"
    assert tenants.send("a", ("DELETE", path, None), shared)[2] == {"deleted": True}
    assert tenants.send("a", ("DELETE", path, None), shared)[2] == {"deleted": False}
    assert tenants.send("b", ("GET", path, None), shared)[0] == 200
    assert tenants.send("b", ("DELETE", "/v1/collections/%c/documents/for-a", None), shared)[2] == {"deleted": False}
    assert tenants.send("a", ("DELETE", "/v1/collections/%c/documents/for-a", None), shared)[2] == {"deleted": True}


def test_the_stored_id_of_another_tenant_is_answered_as_an_absent_one(tenants: Tenants, shared: str):
    foreign, absent = f"{FOREIGN}mat", f"{FOREIGN}cat"
    base = "/v1/collections/%c"
    similar = ("POST", "/v1/search/similar", {"document_id": "ID", "collection": "%c"})
    requests: list[Request] = [
        ("GET", f"{base}/documents/ID", None),
        ("POST", f"{base}/documents/get", {"ids": ["ID"]}),
        similar,
        ("PATCH", f"{base}/documents/ID", {"metadata": {"page": 1}}),
        ("PATCH", f"{base}/documents/ID", {"metadata": {"tenant": "b"}}),
        ("DELETE", f"{base}/documents/ID", None),
        ("POST", f"{base}/documents/delete", {"ids": ["ID"]}),
        call("fetch", {"id": "ID", "collection": "%c"}),
    ]
    for method, target, body in requests:
        told = []
        for doc_id in (foreign, absent):
            asked = (method, target.replace("ID", quoted(doc_id)), json.loads(json.dumps(body).replace("ID", doc_id)))
            status, _, reply = tenants.send("a", asked, shared)
            told.append((status, json.dumps(reply).replace(doc_id, "ID")))
        assert told[0] == told[1], (method, target)
    assert tenants.send("b", ("GET", f"{base}/documents/mat", None), shared)[0] == 200


def test_collections_count_the_documents_of_a_tenant(tenants: Tenants, shared: str):
    for holder, count in (("a", 2), ("b", 1), ("writer", 4)):
        _, _, told = tenants.send(holder, ("GET", "/v1/collections", None), shared)
        (record,) = [each for each in told["collections"] if each["name"] == shared]
        assert (record["document_count"], record["pending_documents"]) == (count, 0)
        one = tenants.send(holder, ("GET", "/v1/collections/%c", None), shared)[2]
        sizes = {name: one.pop(name) for name in CollectionSizes.__dataclass_fields__}
        assert one == record
        assert all((size is None) == (holder != "writer") for size in sizes.values())
    _, _, listed = tenants.send("a", call("list_collections", {"max_tokens": 20_000}), shared)
    (entry,) = [each for each in listed["result"]["structuredContent"]["collections"] if each["name"] == shared]
    assert entry["documents"] == 2


def test_a_tenant_makes_no_collection(tenants: Tenants):
    status, _, body = tenants.send("a", ingest({"text": "words"}), "no-such")
    assert (status, body["error"]["param"]) == (404, "collection")
    assert tenants.send("writer", ("GET", "/v1/collections/no-such", None), "")[0] == 404


def test_a_tenant_writes_no_other_value_into_a_field_of_its_filter(tenants: Tenants, shared: str):
    status, _, body = tenants.send("a", ingest({"text": "words", "metadata": {"tenant": "b"}}), shared)
    assert (status, body["error"]["param"]) == (422, "documents[0].metadata.tenant")
    for value in ("b", None):
        patch = ("PATCH", "/v1/collections/%c/documents/mat", {"metadata": {"tenant": value}})
        status, _, body = tenants.send("a", patch, shared)
        assert (status, body["error"]["param"]) == (422, "metadata.tenant")
    patch = ("PATCH", "/v1/collections/%c/documents/mat", {"metadata": {"tenant": "a", "page": 3}})
    assert tenants.send("a", patch, shared)[2]["metadata"] == {"tenant": "a", "page": 3}
    status, _, skipped = tenants.send(
        "a",
        (
            "POST", "/v1/ingest",
            {"collection": "%c", "on_error": "skip", "documents": [
                {"id": "1", "text": "words"}, {"id": "2", "text": "words", "metadata": {"tenant": "b"}},
            ]},
        ),
        shared,
    )  # fmt: skip
    assert (status, skipped["document_ids"], skipped["skipped_documents"]) == (202, ["1"], 1)
    assert skipped["skipped"][0]["param"] == "documents[1].metadata.tenant"


def test_a_repeated_ingest_is_that_of_the_same_key(tenants: Tenants, shared: str):
    jobs = {}
    for holder in ("a", "b", "writer", "admin"):
        request: Request = (
            "POST", "/v1/ingest",
            {"collection": "%c", "documents": [{"text": "words"}], "idempotency-key": f"key-{shared}"},
        )  # fmt: skip
        first, again = (tenants.send(holder, request, shared)[2] for _ in range(2))
        assert (first["job_id"], first["document_ids"]) == (again["job_id"], again["document_ids"])
        assert not first["document_ids"][0].startswith("~")
        jobs[holder] = first["job_id"]
    assert len(set(jobs.values())) == 4
    for holder, seen in (("a", {"a"}), ("b", {"b"}), ("writer", {"a", "b", "writer", "admin"})):
        _, _, listed = tenants.send(holder, ("GET", "/v1/jobs?collection=%c", None), shared)
        assert {job["job_id"] for job in listed["jobs"]} & set(jobs.values()) == {jobs[each] for each in seen}


def test_a_cursor_names_no_document_of_others(tenants: Tenants, shared: str):
    for number in range(3):
        tenants.send("b", ingest({"id": f"b{number}", "text": "words"}), shared)
        tenants.send("a", ingest({"id": f"a{number}", "text": "words"}), shared)
    own = {"for-a", *(f"{PREFIX}{each}" for each in ("a0", "a1", "a2", "mat"))}
    for reply in follow(tenants, "a", ("GET", "/v1/collections/%c/documents?limit=1", None), shared):
        if cursor := reply[2]["next_cursor"]:
            assert base64.urlsafe_b64decode(cursor).decode() in own


def test_a_document_that_moves_to_another_tenant_is_not_a_start_for_similar_ones(tenants: Tenants, shared: str):
    similar = ("POST", "/v1/search/similar", {"document_id": "for-a", "collection": "%c"})
    assert tenants.send("a", similar, shared)[0] == 200
    unknown = ("POST", "/v1/search/similar", {"document_id": "no-one", "collection": "%c"})
    refused, absent = tenants.send("b", similar, shared), tenants.send("b", unknown, shared)
    assert json.dumps(refused[2]).replace("for-a", "no-one") == json.dumps(absent[2])
    assert refused[0] == absent[0] == 404
    patch = ("PATCH", "/v1/collections/%c/documents/for-a", {"metadata": {"tenant": "b"}})
    assert tenants.send("writer", patch, shared)[0] == 200
    assert tenants.send("a", similar, shared)[0] == 404
    assert tenants.send("b", similar, shared)[0] == 200


def test_health_has_no_counts_for_a_tenant(tenants: Tenants):
    for holder, known in (("a", False), ("writer", True)):
        _, _, health = tenants.send(holder, ("GET", "/healthz", None), "")
        assert (health["document_count"] is not None) == known
