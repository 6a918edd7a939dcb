"""Observability of both services: request ids, logs, metrics, the OpenAPI document."""

import itertools
import re
from collections.abc import Callable

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import Client, Stack, wait_until

_ids = itertools.count(1)


def fresh_id() -> str:
    return f"Test.id:with_all-kinds.{next(_ids)}"


REQUESTS = {
    "search": ("POST", "/v1/search", {"query": "anything", "collection": "default"}, 200),
    "refused": ("POST", "/v1/search", {"query": ""}, 422),
    "no such job": ("GET", "/v1/jobs/job_00000000000000000000000000000000", None, 404),
    "no such path": ("GET", "/nothing/here", None, 404),
    "wrong method": ("GET", "/v1/search", None, 405),
    "healthz": ("GET", "/healthz", None, 200),
    "livez": ("GET", "/livez", None, 200),
    "readyz": ("GET", "/readyz", None, 200),
    "metrics": ("GET", "/metrics", None, 200),
    "openapi": ("GET", "/openapi.json", None, 200),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_id_is_given_back_or_made(client: Client, name: str) -> None:
    method, path, body, status = REQUESTS[name]
    mine = fresh_id()
    given = client.http.request(method, path, json=body, headers={"x-request-id": mine})
    made = [client.http.request(method, path, json=body) for _ in range(2)]
    assert [reply.status_code for reply in (given, *made)] == [status] * 3
    assert given.headers.get_list("x-request-id") == [mine]
    ids = {reply.headers["x-request-id"] for reply in made}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in ids)


@pytest.mark.parametrize("bad", ["a b", "", "x" * 129, 'quote"', "ünsafe".encode()], ids=repr)
def test_an_id_that_is_not_well_formed_is_replaced(client: Client, bad: str | bytes) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", bad if isinstance(bad, bytes) else bad.encode())]
    reply = client.http.get("/livez", headers=headers)
    assert re.fullmatch("[0-9a-f]{16}", reply.headers["x-request-id"])


def test_a_request_is_found_in_both_logs_by_its_id(stack: Stack, client: Client) -> None:
    mine = fresh_id()
    reply = client.http.post("/v1/search", json={"query": "a query to follow"}, headers={"x-request-id": mine})
    assert reply.status_code == 200

    def lines(log: list[dict[str, object]]) -> list[dict[str, object]]:
        return [line for line in log if line.get("request_id") == mine and line["message"] == "request"]

    (outer,) = wait_until(lambda: lines(stack.gateway.log_lines()), "the gateway's line")
    (inner,) = wait_until(lambda: lines(stack.embedder.log_lines()), "the embedder's line")
    assert (outer["service"], outer["method"], outer["path"], outer["status"]) == ("gateway", "POST", "/v1/search", 200)
    assert (inner["service"], inner["method"], inner["path"], inner["status"]) == ("embedder", "POST", "/embed", 200)


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(("parent", "trace_id"), [(PARENT, PARENT.split("-")[1]), (PARENT.upper(), None)])
def test_a_trace_is_found_in_both_logs(stack: Stack, client: Client, parent: str, trace_id: str | None) -> None:
    mine = fresh_id()
    headers = {"x-request-id": mine, "traceparent": parent, "tracestate": "congo=t61rcWkgMzE"}
    assert client.http.post("/v1/search", json={"query": f"traced {mine}"}, headers=headers).status_code == 200
    for log in (stack.gateway.log_lines, stack.embedder.log_lines):

        def line(log: Callable[[], list[dict[str, object]]] = log) -> list[dict[str, object]]:
            return [each for each in log() if each.get("request_id") == mine and each["message"] == "request"]

        (found,) = wait_until(line, "the request's line")
        assert found.get("trace_id") == trace_id


def test_both_services_log_a_description_at_the_start(stack: Stack, client: Client, served_precision: str) -> None:
    client.ingest_and_wait([{"text": "so that there is a model"}], "told")
    gateway, embedder = (process.log_lines() for process in (stack.gateway, stack.embedder))
    model = next(line for line in embedder if line["message"] == "starting")
    assert model["version"]
    ready = next(line for line in embedder if line["message"] == "ready")  # its precision may differ
    assert (len(str(ready["fingerprint"])), ready["precision"]) == (32, served_precision)
    assert (model["threads"], model["settings"]["max_client_batch_size"]) == (1, 64)
    assert "MiniLM" in str(model["model"])
    started = next(line for line in gateway if line["message"] == "starting")
    assert started["version"]
    assert (started["settings"]["max_queued_queries"], started["settings"]["query_calls"]) == (1024, 3)
    (told,) = [line for line in gateway if line["message"] == "the embedder's model"]
    assert (told["model"], told["fingerprint"]) == (model["model"], ready["fingerprint"])


def test_every_line_of_both_logs_is_an_object_of_ours(stack: Stack, client: Client) -> None:
    client.search("something to log")
    for service, process in [("gateway", stack.gateway), ("embedder", stack.embedder)]:
        lines = process.log_lines()
        assert lines[0]["message"] == "starting"
        for line in lines:
            assert line["service"] == service
            assert line["logger"].split(".")[0] in (f"tandem_{service}", "tandem_runtime"), line
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
            assert line["level"] in ("info", "warning", "error")


def test_metrics_can_be_parsed_and_count(stack: Stack, client: Client) -> None:
    labels = {"route": "/v1/search", "code": "200"}
    before = client.metric("tandem_gateway_requests_total", labels)
    client.search("one more search")
    assert client.metric("tandem_gateway_requests_total", labels) == before + 1
    for url in (client.url, stack.embedder_url):
        reply = httpx.get(f"{url}/metrics", trust_env=False)
        assert reply.headers["content-type"].startswith("text/plain; version=")
        names = {family.name for family in text_string_to_metric_families(reply.text)}
        assert "process_resident_memory_bytes" in names
        assert sum(name.startswith("tandem_") for name in names) >= 10


def test_searches_are_counted_by_mode(client: Client, collection: str) -> None:
    client.ingest_and_wait([{"id": "a", "text": "a counted document"}], collection)
    names = ("tandem_gateway_searches_total", "tandem_gateway_lexical_search_duration_seconds_count")
    modes = ("hybrid", "dense", "lexical")

    def counted() -> list[float]:
        return [*(client.metric(names[0], {"mode": mode}) for mode in modes), client.metric(names[1])]

    before = counted()
    for mode in ("auto", "dense", "lexical"):
        client.search("counted", 1, collection, mode=mode)
    assert counted() == [before[0] + 1, before[1] + 1, before[2] + 1, before[3] + 2]
    assert client.metric("tandem_gateway_degraded_searches_total") == 0


def test_paths_that_nobody_serves_make_no_series_of_their_own(client: Client) -> None:
    for number in range(3):
        assert client.http.get(f"/no/such/path/{number}").status_code == 404
        assert client.http.get(f"/v1/jobs/none-{number}").status_code == 404
    exposition = client.http.get("/metrics").text
    assert "no/such/path" not in exposition
    assert "none-" not in exposition


def test_the_openapi_document_is_served(client: Client) -> None:
    reply = client.http.get("/openapi.json")
    assert reply.status_code == 200
    document = reply.json()
    assert document["openapi"].startswith("3.1")
    assert {"/v1/ingest", "/v1/search", "/v1/jobs/{job_id}", "/v1/collections", "/healthz"} <= document["paths"].keys()


def test_only_json_with_its_type_is_answered(client: Client) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/openapi.json", "/v1/collections", "/nothing"):
        reply = client.http.get(path)
        assert reply.headers["content-type"] == "application/json"
        assert isinstance(reply.json(), dict)
    assert "server" not in client.http.get("/livez").headers
