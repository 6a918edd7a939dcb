"""Tenants that share a collection do not see each other: every reply to one is the same with and without the other.

Each example makes two collections. In both, one tenant and a writer without a filter send the same requests. In one of
them, another tenant sends requests, too. The replies to the first tenant have to be equal, apart from what the two
collections differ in anyway: their names, random ids, times, and the scores and order of keyword search.
"""

import base64
import http.client
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.access.document_filter import make_filter
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.records.sizes import CollectionSizes
from tests.gateway.access.test_routes import CASES
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.stack import gateway_process, wait_until

PREFIX: Final = make_filter({"tenant": "a"}).namespace.names
FOREIGN: Final = make_filter({"tenant": "b"}).namespace.names
FORM: Final = (
    '--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\n%c\r\n'
    '--b\r\nContent-Disposition: form-data; name="files"; filename="{name}.txt"\r\n\r\n{text}\r\n--b--\r\n'
)
NAMES: Final = iter(f"c{number}" for number in itertools.count())

Request = tuple[str, str, Any]
"""Method, target and body; ``%c`` is the collection."""


class Tenants:
    """A gateway with a key for each of two tenants, one without a filter and one for operators."""

    def __init__(self, port: int, keys: dict[str, str]) -> None:
        self.port = port
        self.keys = keys

    def send(self, holder: str, request: Request, collection: str) -> tuple[int, str, Any]:
        """Return status, content type and body of a reply."""
        method, target, body = request
        headers = {"authorization": f"Bearer {self.keys[holder]}", "accept": "application/json, text/event-stream"}
        content: bytes | None = None
        if isinstance(body, str):
            content = body.replace("%c", collection).encode()
            headers |= {"content-type": "multipart/form-data; boundary=b", "x-filename": "a.txt"}
        elif body is not None:
            content = json.dumps(body).replace("%c", collection).encode()
            headers["content-type"] = "application/json"
            if isinstance(body, dict) and (key := body.get("idempotency-key")):
                headers["idempotency-key"] = key.replace("%c", collection)
                content = (
                    json.dumps({k: v for k, v in body.items() if k != "idempotency-key"})
                    .replace("%c", collection)
                    .encode()
                )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target.replace("%c", collection), content, headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        kind = (reply.getheader("content-type") or "").partition(";")[0]
        return reply.status, kind, json.loads(text) if kind == "application/json" else text

    def settle(self, collection: str) -> None:
        """Wait until no document of a collection waits."""
        for _ in range(6000):
            status, _, told = self.send("writer", ("GET", "/v1/collections/%c", None), collection)
            assert status == 200, told
            if told["pending_documents"] == 0:
                return
        raise AssertionError("documents wait for ever")


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """A gateway for all tests of the module."""
    folder = tmp_path_factory.mktemp("tenants")
    store = SqliteKeyStore(folder / "data")
    create = KeyAdministration(store).create
    keys = {
        "a": create(NewKey("a", "ingest", filter={"tenant": "a"}))[1],
        "b": create(NewKey("b", "ingest", filter={"tenant": "b"}))[1],
        "writer": create(NewKey("writer", "ingest"))[1],
        "admin": create(NewKey("admin", "admin"))[1],
    }
    store.close()
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(
            folder, folder / "data", embedder.url, env={"TANDEM_MCP": "true", "TANDEM_MAX_COLLECTIONS": "10000"}
        )
        process.start()
        try:
            process.wait_ready()
            wait_until(lambda: client.health().status == "ok", "the gateway sees the embedder")
            yield Tenants(int(client.url.rpartition(":")[2]), keys)
            assert process.terminate() == 0, process.log_text()
        finally:
            client.close()
            process.close()


def new_collection(tenants: Tenants) -> str:
    """Make a collection with one document that no tenant may see, so that its model is known."""
    name = next(NAMES)
    assert tenants.send("admin", ("PUT", "/v1/collections/%c", {}), name)[0] == 200
    seed = {"collection": "%c", "documents": [{"id": "seed", "text": "the seed"}]}
    assert tenants.send("writer", ("POST", "/v1/ingest", seed), name)[0] == 202
    tenants.settle(name)
    return name


# What depends on the time, or on nothing that a tenant may know.
VOLATILE: Final = {
    "took_ms", "created_at", "started_at", "finished_at", "documents_per_second", "seconds_left", "time_ms",
    "stages_ms", "timings_ms", "request_id",
}  # fmt: skip
RANDOM: Final = re.compile(r"job_[0-9a-f]{32}|[0-9a-f]{32}")


class Normal:
    """Makes the replies about one collection comparable with those about another."""

    def __init__(self, collection: str) -> None:
        self._collection = re.compile(rf"\b{collection}\b")
        self._ids: dict[str, str] = {}

    def text(self, text: str) -> str:
        text = RANDOM.sub(lambda found: self._ids.setdefault(found[0], f"ID{len(self._ids)}"), text)
        return self._collection.sub("C", text)

    def value(self, value: Any, *, scores: bool) -> Any:
        match value:
            case str():
                return self.text(value)
            case float():
                return round(value, 4) if scores else None
            case list():
                found = [self.value(each, scores=scores) for each in value]
                return found if scores else sorted(found, key=lambda each: json.dumps(each, sort_keys=True))
            case dict():
                return {
                    self.text(name): (each is not None if name == "next_cursor" else self.value(each, scores=scores))
                    for name, each in value.items()
                    if name not in VOLATILE and (scores or name not in ("rank", "part"))
                }
        return value

    def reply(self, reply: tuple[int, str, Any], *, scores: bool = True) -> Any:
        status, kind, body = reply
        if kind == "text/event-stream":
            body = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")][-1:]
        if isinstance(body, dict) and "jsonrpc" in body and "structuredContent" in body.get("result", {}):
            body["result"].pop("content")
        return status, kind, self.value(body, scores=scores)


DOC_IDS = st.sampled_from(["mat", "x", "x/1", "seed", f"{PREFIX}mat", f"{FOREIGN}mat", "ünï"])
TEXTS = st.sampled_from(["a cat on a mat", "a dog", "one\n\ntwo", "the seed", "cat cat cat", "rare zebra"])
OWN_METADATA = st.sampled_from([{}, {"page": 1}, {"page": 2, "title": "T"}, {"page": None}])
METADATA = st.one_of(
    OWN_METADATA, st.sampled_from([{"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "page": 1}, {"tenant": 1}])
)
SOURCES = st.sampled_from(["shelf", "web"])
FILTERS = st.sampled_from([{}, {"page": 1}, {"tenant": "b"}, {"$not": {"tenant": "a"}}, {"tenant": {"$exists": False}}])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    # With an id: random ones would come in another order in each collection.
    document: dict[str, Any] = {"text": draw(TEXTS), "metadata": draw(METADATA), "id": draw(DOC_IDS)}
    if draw(st.booleans()):
        document |= {"source": draw(SOURCES), "hash": draw(st.sampled_from("12"))}
    return document


def quoted(doc_id: str) -> str:

    return quote(doc_id, safe="")


@st.composite
def writes(draw: st.DrawFn) -> Request:
    """A request that may change documents, as every holder of the role ``ingest`` may send it."""
    base = "/v1/collections/%c"
    doc_id = draw(DOC_IDS)
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3:
            body: dict[str, Any] = {
                "collection": "%c",
                "documents": draw(st.lists(documents(), min_size=1, max_size=3)),
            }
            if draw(st.booleans()):
                body["on_error"] = "skip"
            if draw(st.integers(0, 2)) == 0:
                body["idempotency-key"] = draw(st.sampled_from(["k1-%c", "k2-%c"]))
            return "POST", "/v1/ingest", body
        case 4:
            return "DELETE", f"{base}/documents?id={quoted(doc_id)}", None
        case 5:
            return "POST", f"{base}/documents/delete", {"ids": draw(st.lists(DOC_IDS, min_size=1, max_size=3))}
        case 6:
            return "POST", f"{base}/documents/delete", {"filter": draw(FILTERS)}
        case 7:
            listed = draw(
                st.lists(st.tuples(DOC_IDS, st.sampled_from("12")), max_size=3, unique_by=lambda each: each[0])
            )
            entries = [{"id": each, "hash": given_hash} for each, given_hash in listed]
            return "PUT", f"{base}/sources/{draw(SOURCES)}", {"documents": entries}
        case 8:
            return "POST", "/v1/ingest/files", FORM.format(name="file", text=draw(TEXTS))
    change = draw(st.one_of(METADATA, st.just({"tenant": None})))
    return "PATCH", f"{base}/documents/{quoted(doc_id)}", {"metadata": change}


def call(tool: str, arguments: dict[str, Any]) -> Request:
    return "POST", "/mcp", {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments},
    }  # fmt: skip


@st.composite
def reads(draw: st.DrawFn) -> Request:
    """A request that changes nothing."""
    base = "/v1/collections/%c"
    doc_id = draw(DOC_IDS)
    query = draw(st.sampled_from(["cat", "dog", "zebra", "the seed", '"cat cat"', "cat -dog", "-cat"]))
    options = draw(
        st.sampled_from([
            {}, {"filter": {"page": 1}}, {"filter": {"tenant": "b"}}, {"filter": {"$not": {"tenant": "a"}}},
            {"explain": True}, {"group_by": "page"}, {"offset": 1}, {"diversity": 0.5}, {"highlight": True},
            {"include": ["vector"]}, {"rerank": {"top_n": 20}},
        ])
    )  # fmt: skip
    mode = draw(st.sampled_from(["dense", "lexical", "hybrid", "auto"]))
    if mode != "dense":
        options = {name: value for name, value in options.items() if name not in ("offset", "group_by", "diversity")}
    search = {"query": query, "collection": "%c", "top_k": 50, "mode": mode, **options}
    match draw(st.integers(0, 15)):
        case 0 | 1 | 2:
            return "POST", "/v1/search", search
        case 3:
            return "POST", "/v1/search/batch", {"searches": [search, search | {"query": "words"}]}
        case 4 | 5:
            return "POST", "/v1/search/similar", {"document_id": doc_id, "collection": "%c", "top_k": 50}
        case 6:
            return "POST", f"{base}/facets", {"fields": ["page", "tenant"], "filter": draw(FILTERS)}
        case 7:
            return "GET", f"{base}/documents?limit={draw(st.integers(1, 4))}", None
        case 8:
            return "POST", f"{base}/documents/get", {"ids": draw(st.lists(DOC_IDS, min_size=1, max_size=4))}
        case 9:
            return "GET", f"{base}/documents?id={quoted(doc_id)}", None
        case 10:
            return "GET", f"{base}/documents/{quoted(doc_id)}", None
        case 11:
            return "GET", base, None
        case 12:
            return "GET", f"/v1/jobs?collection=%c&limit={draw(st.integers(1, 3))}", None
        case 13:
            return "POST", f"{base}/web-search", {"query": query, "count": 9}
        case 14:
            return call("fetch", {"ids": [doc_id, "mat"], "collection": "%c"})
    return call("search", {"query": query, "collection": "%c", "mode": "dense"})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("a"), writes()),
        st.tuples(st.just("a"), reads()),
        st.tuples(st.just("b"), writes()),
        st.tuples(st.just("b"), st.one_of(writes(), reads())),
        st.tuples(st.just("writer"), writes()),
    ),
    min_size=3,
    max_size=12,
)


def concerns_order(request: Request) -> bool:
    """Return whether a reply has the scores or the order of keyword search, which other documents move."""
    told = json.dumps(request[2])
    return (request[1].startswith("/v1/search") and '"dense"' not in told and "document_id" not in told) or (
        request[1].endswith("/web-search")
    )


def follow(tenants: Tenants, holder: str, request: Request, collection: str) -> list[tuple[int, str, Any]]:
    """Send a request, and follow its pages."""
    replies = [tenants.send(holder, request, collection)]
    while isinstance(body := replies[-1][2], dict) and body.get("next_cursor"):
        target = f"{request[1]}&cursor={quoted(body['next_cursor'])}"
        replies.append(tenants.send(holder, (request[0], target, None), collection))
        assert len(replies) < 100
    return replies


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_no_reply_tells_of_another_tenant(tenants: Tenants, steps: list[tuple[str, Request]]):
    alone, together = new_collection(tenants), new_collection(tenants)
    normal = {name: Normal(name) for name in (alone, together)}
    jobs: dict[str, list[str]] = {alone: [], together: []}
    foreign: list[str] = []
    for holder, request in steps:
        replies = []
        for collection in (alone, together):
            if holder == "b" and collection == alone:
                continue
            answered = follow(tenants, holder, request, collection)
            scores = not concerns_order(request)
            if holder == "a":
                replies.append([normal[collection].reply(reply, scores=scores) for reply in answered])
            for _, _, body in answered:
                if isinstance(body, dict) and body.get("job_id"):
                    (foreign if holder == "b" else jobs[collection] if holder == "a" else []).append(body["job_id"])
            tenants.settle(collection)
        if holder == "a":
            assert replies[0] == replies[1], request
    everything: list[Request] = [
        ("GET", "/v1/collections/%c/documents?limit=2", None),
        ("GET", "/v1/jobs?collection=%c&limit=2", None),
        ("GET", "/v1/collections/%c", None),
        ("POST", "/v1/collections/%c/facets", {"fields": ["page", "tenant"]}),
        ("POST", "/v1/search", {"query": "cat", "collection": "%c", "top_k": 50, "mode": "dense"}),
    ]
    for request in everything:
        told = [
            [normal[name].reply(reply) for reply in follow(tenants, "a", request, name)] for name in (alone, together)
        ]
        assert told[0] == told[1], request
    for mine, same in zip(jobs[alone], jobs[together], strict=True):
        for rest in ("", "/documents", "/events"):
            told = [
                normal[name].reply(tenants.send("a", ("GET", f"/v1/jobs/{job}{rest}", None), name))
                for name, job in ((alone, mine), (together, same))
            ]
            assert told[0] == told[1], rest
    for job in foreign:
        for method, rest in (
            ("GET", ""),
            ("GET", "/documents"),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
        ):
            absent = f"job_{'0' * 32}"
            status, _, body = tenants.send("a", (method, f"/v1/jobs/{job}{rest}", None), together)
            expected, _, told = tenants.send("a", (method, f"/v1/jobs/{absent}{rest}", None), together)
            assert (status, json.dumps(body).replace(job, absent)) == (expected, json.dumps(told)), rest
            assert status == 404
    for name in (alone, together):
        assert tenants.send("admin", ("DELETE", "/v1/collections/%c", None), name)[0] == 200


# How each route keeps tenants apart. ``property``: the test above asks it. ``example``: a test below does.
# ``no documents``: it reads none. ``refused``: it is for keys without a filter.
DECISIONS: Final[dict[tuple[str, str], str]] = {
    ("POST", "/v1/search"): "property",
    ("POST", "/v1/search/batch"): "property",
    ("POST", "/v1/search/similar"): "property",
    ("POST", "/v1/embeddings"): "no documents",
    ("POST", "/openai/deployments/{deployment}/embeddings"): "no documents",
    ("GET", "/v1/models"): "no documents",
    ("GET", "/v1/models/{model:path}"): "no documents",
    ("POST", "/api/embed"): "no documents",
    ("POST", "/api/embeddings"): "no documents",
    ("GET", "/api/tags"): "no documents",
    ("GET", "/api/version"): "no documents",
    ("POST", "/embed"): "no documents",
    ("GET", "/info"): "no documents",
    ("GET", "/health"): "no documents",
    ("POST", "/rerank"): "no documents",
    ("POST", "/v1/rerank"): "no documents",
    ("POST", "/v2/rerank"): "no documents",
    ("POST", "/v1/ingest"): "property",
    ("POST", "/v1/ingest/files"): "property",
    ("GET", "/v1/jobs"): "property",
    ("GET", "/v1/jobs/{job_id}"): "property",
    ("GET", "/v1/jobs/{job_id}/documents"): "property",
    ("GET", "/v1/jobs/{job_id}/events"): "property",
    ("POST", "/v1/jobs/{job_id}/cancel"): "property",
    ("POST", "/v1/jobs/{job_id}/retry"): "property",
    ("GET", "/v1/collections"): "example",
    ("GET", "/v1/collections/{collection}"): "property",
    ("PUT", "/v1/collections/{collection}"): "refused",
    ("DELETE", "/v1/collections/{collection}"): "refused",
    ("GET", "/v1/collections/{collection}/documents"): "property",
    ("DELETE", "/v1/collections/{collection}/documents"): "property",
    ("POST", "/v1/collections/{collection}/documents/get"): "property",
    ("POST", "/v1/collections/{collection}/documents/delete"): "property",
    ("POST", "/v1/collections/{collection}/facets"): "property",
    ("GET", "/v1/collections/{collection}/documents/{document_id:path}"): "property",
    ("DELETE", "/v1/collections/{collection}/documents/{document_id:path}"): "example",
    ("PATCH", "/v1/collections/{collection}/documents/{document_id:path}"): "property",
    ("PUT", "/v1/collections/{collection}/sources/{source}"): "property",
    ("POST", "/v1/collections/{collection}/reembed"): "refused",
    ("GET", "/v1/collections/{collection}/reembed"): "refused",
    ("DELETE", "/v1/collections/{collection}/reembed"): "refused",
    ("POST", "/v1/collections/{collection}/reembed/switch"): "refused",
    ("POST", "/v1/collections/{collection}/reembed/rollback"): "refused",
    ("GET", "/v1/collections/{collection}/reembed/overlap"): "refused",
    ("POST", "/v1/collections/{collection}/web-search"): "property",
    ("PUT", "/process"): "no documents",
    ("GET", "/v1/admin/traffic"): "refused",
    ("PUT", "/v1/admin/traffic"): "refused",
    ("GET", "/v1/admin/keys"): "refused",
    ("GET", "/v1/admin/usage"): "refused",
    ("POST", "/v1/admin/keys"): "refused",
    ("DELETE", "/v1/admin/keys/{key_id}"): "refused",
    ("POST", "/v1/admin/keys/{key_id}/rotate"): "refused",
}


def test_every_route_has_a_decision():
    assert DECISIONS.keys() == CASES.keys()


@pytest.mark.parametrize("route", [route for route, decision in DECISIONS.items() if decision == "refused"])
def test_a_route_for_whole_collections_refuses_a_key_with_a_filter(tenants: Tenants, route: tuple[str, str]):
    case = CASES[route]
    target = case.target.format(collection="any", job="")
    status, _, _ = tenants.send("a", (route[0], target, case.body), "any")
    assert status == 403


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
