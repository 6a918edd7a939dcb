"""Every route of the gateway has a method of the client, and both clients have the same methods."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tandem_client import AsyncClient, Client
from tandem_client.api import Api
from tandem_client.call import Call
from tandem_client.calls import collections, documents, ingesting, jobs, searching, service
from tandem_client.events import events_call
from tandem_client.methods import Listing, Method, Steps
from tandem_gateway.use_cases.validation import RequestLimits
from tests.support.openapi import document

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)

ELSEWHERE = {
    # clients of other services have these routes; the client has search, rerank and embed
    "POST /rerank", "POST /v1/rerank", "POST /openai/deployments/{}/embeddings", "GET /v1/models/{}", "POST /embed",
    "POST /api/embed", "POST /api/embeddings", "GET /api/tags", "GET /api/version", "GET /info", "GET /health",
    "POST /v1/collections/{}/web-search", "PUT /process",
    # a page, and the probe of a process; the ids of documents go as parameters, which may have slashes
    "GET /docs", "GET /livez", "GET /v1/collections/{}/documents/{}", "DELETE /v1/collections/{}/documents/{}",
}  # fmt: skip


def calls(folder: Path) -> dict[str, Call[Any]]:
    """Return a call of each method that is one call."""
    file = folder / "note.txt"
    file.write_text("Steep the leaves.")
    return {
        "ingest_batch": ingesting.ingest_batch(["x"]),
        "ingest_files": ingesting.ingest_files([file, ("b.md", b"# B")], metadata={"a": 1}),
        "get_job": jobs.get_job("j", wait_seconds=3),
        "jobs_page": jobs.jobs_page(status="failed", collection="c", cursor="x"),
        "job_documents_page": jobs.job_documents_page("j", status="failed"),
        "cancel_job": jobs.cancel_job("j"),
        "retry_job": jobs.retry_job("j"),
        "search": searching.search("x"),
        "search_batch": searching.search_batch(["x"]),
        "search_similar": searching.search_similar("a"),
        "facets": searching.facets(["page"]),
        "rerank": searching.rerank("x", ["a"]),
        "embed": searching.embed(["x"]),
        "collections": collections.collections(),
        "get_collection": collections.get_collection("c"),
        "put_collection": collections.put_collection("c", language="none"),
        "delete_collection": collections.delete_collection("c"),
        "start_reembedding": collections.start_reembedding("c"),
        "get_reembedding": collections.get_reembedding("c"),
        "switch_reembedding": collections.switch_reembedding("c"),
        "roll_back_reembedding": collections.roll_back_reembedding("c"),
        "drop_reembedding": collections.drop_reembedding("c"),
        "reembedding_overlap": collections.reembedding_overlap("c", queries=3),
        "get_document": documents.get_document("a"),
        "get_documents": documents.get_documents(["a", 1]),
        "documents_page": documents.documents_page(filter={"a": 1}),
        "patch_document": documents.patch_document("a/b", {"a": None}),
        "delete_document": documents.delete_document("a"),
        "delete_documents": documents.delete_documents(["a"]),
        "compare_source": documents.compare_source("wiki", {"a": "v1"}),
        "keys": service.keys(),
        "create_key": service.create_key("k", "search"),
        "rotate_key": service.rotate_key("k", grace_seconds=3),
        "revoke_key": service.revoke_key("k"),
        "usage": service.usage(first="2026-01-01"),
        "traffic": service.traffic(),
        "set_traffic": service.set_traffic(3),
        "about": service.about(),
        "health": service.health(),
        "ready": service.ready(),
        "models": service.models(),
        "metrics": service.metrics(),
        "openapi": service.openapi(),
    }


def methods(kind: type[object]) -> dict[str, object]:
    return {name: value for name, value in vars(Api).items() if isinstance(value, kind)}


def test_every_method_of_one_call_is_in_the_table(tmp_path: Path) -> None:
    assert set(calls(tmp_path)) == set(methods(Method))


def test_every_route_has_a_method(tmp_path: Path) -> None:
    described = document(LIMITS)["paths"]
    routes = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": path
        for path, item in described.items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    made = [*calls(tmp_path).values(), events_call("j")]
    patterns = {route: re.compile(route.replace("{}", "[^/]+") + "$") for route in routes}
    reached = {
        route
        for call in made
        for route, pattern in patterns.items()
        if pattern.fullmatch(f"{call.method} {call.path}") and not (route in ELSEWHERE and "{}" in route)
    }
    missing = set(routes) - reached - ELSEWHERE
    assert missing == set(), missing
    for call in made:
        asked = f"{call.method} {call.path}"
        assert asked == "GET /openapi.json" or any(pattern.fullmatch(asked) for pattern in patterns.values()), asked


def test_every_query_parameter_is_known_to_its_route(tmp_path: Path) -> None:
    described = document(LIMITS)["paths"]
    for name, call in calls(tmp_path).items():
        known = {
            parameter["name"]
            for path, item in described.items()
            if re.fullmatch(re.sub(r"{[^}]*}", "[^/]+", path), call.path)
            for parameter in item.get(call.method.lower(), {}).get("parameters", [])
            if parameter["in"] == "query"
        }
        assert set(call.params) <= known, name


def test_what_has_another_effect_when_it_is_repeated_is_not_repeated(tmp_path: Path) -> None:
    assert {name for name, call in calls(tmp_path).items() if not call.repeatable} == {
        "compare_source", "create_key", "delete_documents", "retry_job", "roll_back_reembedding", "rotate_key",
        "start_reembedding", "switch_reembedding",
    }  # fmt: skip


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type[object]) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    one, other = (inspect.signature(kind.ingest).parameters for kind in (Client, AsyncClient))
    assert list(one) == list(other)
    assert [parameter.default for parameter in one.values()] == [parameter.default for parameter in other.values()]


@pytest.mark.parametrize("name", [*methods(Method), *methods(Listing), *methods(Steps)])
def test_every_method_explains_itself(name: str) -> None:
    with Client("http://localhost:1", "") as client:
        method = getattr(client, name)
    assert method.__doc__
    assert name in dir(client)
    assert list(inspect.signature(method).parameters) is not None


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_makes_another_path_is_refused(name: str) -> None:
    for build in (collections.delete_collection, documents.documents_page, jobs.cancel_job):
        with pytest.raises(ValueError, match="was expected"):
            build(collection=name) if build is documents.documents_page else build(name)  # type: ignore[operator]


def test_names_are_percent_encoded() -> None:
    assert (
        documents.patch_document("a/ü?b", {}, collection="c d").path == "/v1/collections/c%20d/documents/a%2F%C3%BC%3Fb"
    )


def test_a_deletion_takes_ids_or_a_filter() -> None:
    for arguments in ({}, {"ids": ["a"], "filter": {}}):
        with pytest.raises(ValueError, match="either ids or filter"):
            documents.delete_documents(**arguments)  # type: ignore[arg-type]
    assert documents.delete_documents([]).body == b'{"ids":[]}'


def test_a_file_of_a_form_has_its_name_escaped() -> None:
    body = ingesting.ingest_files([('a"\r\nb.txt', b"x")]).body
    assert b'filename="a%22%0D%0Ab.txt"\r\n\r\nx\r\n' in body
