"""Paths are matched as they were sent, and metrics name them by their templates."""

from typing import Any

import msgspec
import pytest
from litestar import get
from litestar.params import FromPath

from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.http.litestar_app import routed_exactly, strict_litestar
from tandem_runtime.http import ROUTE
from tandem_runtime.request_id import Scope
from tests.gateway.http.asking import LIMITS, Point, ask
from tests.support.openapi import described_app


async def test_long_paths_fill_no_cache() -> None:
    app = described_app(LIMITS)
    for number in range(50):
        found = await ask(app, "PATCH", f"/v1/jobs/{number}{'x' * 1000}")
        assert found is not None
        assert found.status == 405
    echo = strict_litestar([_echo], {})
    for number in range(50):
        found = await ask(echo, "GET", f"/echo/{number}{'x' * 1000}")
        assert found is not None
        assert found.body == b'{"x":%d,"name":null}' % (1000 + len(str(number)))
    assert echo.asgi_router.handle_routing.cache_info().currsize == 1


async def test_a_refused_method_is_told_with_a_part_of_a_long_path() -> None:
    found = await ask(described_app(LIMITS), "PATCH", "/v1/jobs/" + "x" * 60_000)
    assert found is not None
    assert found.error == (405, "method_not_allowed", "method")
    assert len(found.body) < 1000


@get("/echo/{name:path}")
async def _echo(name: FromPath[str]) -> Point:
    return Point(len(name))


@pytest.mark.parametrize(
    "name", ["a", "/a", "a/", "//", "a//b", "", ".", "..", "a/../b", "%2F", "{name:path}", "é", "\x00"]
)
async def test_a_path_parameter_is_exact(name: str) -> None:
    @get("/say/{name:path}")
    async def say(name: FromPath[str]) -> list[str]:
        return [name]

    found = await ask(strict_litestar([say], {}), "GET", f"/say/{name}")
    assert found is not None
    assert msgspec.json.decode(found.body) == [name]


def test_the_metrics_know_these_routes() -> None:
    assert {route.template for route in ExactPaths(described_app(LIMITS).routes)} == {
        "/",
        "/v1/search",
        "/v1/admin/keys",
        "/v1/admin/keys/{key_id}",
        "/v1/admin/keys/{key_id}/rotate",
        "/v1/admin/usage",
        "/v1/embeddings",
        "/api/embed",
        "/api/embeddings",
        "/api/tags",
        "/api/version",
        "/embed",
        "/info",
        "/health",
        "/v1/models",
        "/v1/models/{model:path}",
        "/openai/deployments/{deployment}/embeddings",
        "/v1/ingest",
        "/v1/ingest/files",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/documents",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/retry",
        "/v1/jobs/{job_id}/events",
        "/v1/collections",
        "/v1/collections/{collection}",
        "/v1/collections/{collection}/reembed",
        "/v1/collections/{collection}/reembed/overlap",
        "/v1/collections/{collection}/reembed/rollback",
        "/v1/collections/{collection}/reembed/switch",
        "/v1/collections/{collection}/documents",
        "/v1/collections/{collection}/facets",
        "/v1/collections/{collection}/sources/{source}",
        "/v1/collections/{collection}/documents/get",
        "/v1/collections/{collection}/documents/delete",
        "/v1/collections/{collection}/documents/{document_id:path}",
        "/v1/admin/traffic",
        "/v1/collections/{collection}/web-search",
        "/process",
        "/v1/search/batch",
        "/v1/search/similar",
        "/healthz",
        "/rerank",
        "/v1/rerank",
        "/v2/rerank",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/rapidoc-min.js",
    }


@pytest.mark.parametrize(
    ("method", "path", "template", "parameters"),
    [
        ("GET", "/livez/", "/livez", {}),
        ("POST", "/v1/ingest/", "/v1/ingest", {}),
        ("GET", "/v1/jobs/", "/v1/jobs", {}),
        ("GET", "/v1/jobs/a/events/", "/v1/jobs/{job_id}/events", {"job_id": "a"}),
        ("POST", "/v1/collections/c/documents/get/", "/v1/collections/{collection}/documents/get", {"collection": "c"}),
        ("GET", "/v1/collections/c/documents/get/", "/v1/collections/{collection}/documents/{document_id:path}",
         {"collection": "c", "document_id": "get/"}),
        ("GET", "/v1/collections/c/documents/a/", "/v1/collections/{collection}/documents/{document_id:path}",
         {"collection": "c", "document_id": "a/"}),
    ],
)  # fmt: skip
def test_a_slash_after_a_fixed_segment_changes_nothing_and_one_after_a_parameter_belongs_to_it(
    method: str, path: str, template: str, parameters: dict[str, str]
) -> None:
    found = ExactPaths(described_app(LIMITS).routes).find(path, method)
    assert found is not None
    assert (found[0].template, found[1]) == (template, parameters)


@pytest.mark.parametrize("path", ["//", "/livez//", "//livez", "/v1/jobs/a/", "/v1/collections/c/", "/v1//jobs"])
def test_no_other_slash_is_dropped(path: str) -> None:
    assert ExactPaths(described_app(LIMITS).routes).find(path, "GET") is None


async def test_a_request_is_labelled_by_its_template() -> None:
    scope: Scope = {"type": "http", "method": "PATCH", "path": "/v1/jobs/x", "headers": []}

    async def nothing(*_: Any) -> Any: ...

    await routed_exactly(described_app(LIMITS))(scope, nothing, nothing)
    assert scope[ROUTE] == "/v1/jobs/{job_id}"
