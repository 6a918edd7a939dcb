"""Tenants that share a collection do not see each other: every reply to one is the same with and without the other.

Each example makes two collections. In both, one tenant and a writer without a filter send the same requests. In one of
them, another tenant sends requests, too. The replies to the first tenant have to be equal, apart from what the two
collections differ in anyway: their names, random ids, times, and the scores and order of keyword search.
"""

import json
import re
from typing import Any, Final

import pytest
from hypothesis import given, settings

from tests.gateway.access.tenant_requests import STEPS
from tests.gateway.access.tenants import Request, Tenants, follow, new_collection
from tests.gateway.access.test_routes import CASES

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


def concerns_order(request: Request) -> bool:
    """Return whether a reply has the scores or the order of keyword search, which other documents move."""
    told = json.dumps(request[2])
    return (request[1].startswith("/v1/search") and '"dense"' not in told and "document_id" not in told) or (
        request[1].endswith("/web-search")
    )


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
