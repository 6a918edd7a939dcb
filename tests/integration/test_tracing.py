"""Both services as processes send their spans to one collector."""

import concurrent.futures
import contextlib
import itertools
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.collector import Collector, Received, collecting
from tests.support.stack import Stack, embedder_process, gateway_process, metric, wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
SERVER, CLIENT = 2, 3
SECRETS = ("zebra", "quagga", "okapi", "tapir", "k" * 40)
"""Words of documents, queries, metadata and ids, and the key."""
_KEY = SECRETS[-1]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, collector: Collector) -> Iterator[Stack]:
    env = {
        "TANDEM_TRACING": "true",
        "TANDEM_ACCESS_LOG": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "20",
    }
    folder = tmp_path_factory.mktemp("tracing")
    with Stack(folder, model_dir, gateway_env={**env, "TANDEM_QUERY_CALLS_IN_FLIGHT": "1"}, embedder_env=env) as stack:
        stack.client.ingest_and_wait(
            [
                {"id": "tapir-1", "text": "A zebra and a horse graze.", "metadata": {"name": "okapi"}},
                {"id": "tapir-2", "text": "Rain in the mountains.", "metadata": {"name": "okapi"}},
            ]
        )
        yield stack


def search(stack: Stack, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
    query = f"quagga number {next(_numbers)}"
    return stack.client.http.post("/v1/search", json={"query": query, **fields}, headers=headers)


def whole_trace(collector: Collector, trace_id: str) -> dict[str, Received]:
    """Return the spans of a trace by name, once those of its requests to both services have arrived."""

    def arrived() -> dict[str, Received] | None:
        servers = {span.service for span in collector.spans if (span.trace_id, span.kind) == (trace_id, SERVER)}
        return collector.of_trace(trace_id) if servers == {"tandem-gateway", "tandem-embedder"} else None

    return wait_until(arrived, f"the trace {trace_id}")


def test_one_search_is_one_trace_over_both_services(stack: Stack, collector: Collector) -> None:
    sent = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "tracestate": "congo=t61rcWkgMzE"}
    reply = search(stack, sent, filter={"name": "okapi"}, rerank={"top_n": 2})
    assert reply.status_code == 200, reply.text
    spans = whole_trace(collector, TRACE_ID)
    request = spans["POST /v1/search"]
    assert reply.headers["traceparent"] == f"00-{TRACE_ID}-{request.span_id}-01"
    assert (request.service, request.kind, request.parent_id) == ("tandem-gateway", SERVER, PARENT_ID)
    assert request.attributes["http.route"] == "/v1/search"
    assert request.attributes["http.response.status_code"] == 200
    assert {span.state for span in spans.values()} == {"congo=t61rcWkgMzE"}

    def below(parent: str) -> set[str]:
        return {span.name for span in collector.spans if span.parent_id == spans[parent].span_id}

    assert below("POST /v1/search") == {"admission", "search"}
    stages = {"filter", "queue", "embed", "retrieve dense", "retrieve lexical", "fuse", "rerank", "hydrate"}
    assert below("search") == stages | {"embed queries"}
    (call,) = [span for span in collector.named("POST /embed", TRACE_ID) if span.kind == CLIENT]
    (served,) = [span for span in collector.named("POST /embed", TRACE_ID) if span.kind == SERVER]
    assert call.parent_id == spans["embed queries"].span_id
    assert (served.service, served.parent_id) == ("tandem-embedder", call.span_id)
    inside = {span.name for span in collector.spans if span.parent_id == served.span_id}
    assert inside == {"admission", "tokenize", "queue", "infer", "batch"}
    assert spans["embed"].links == [(TRACE_ID, spans["embed queries"].span_id)]
    assert spans["embed queries"].links == [(TRACE_ID, spans["search"].span_id)]
    assert spans["infer"].links == [(TRACE_ID, spans["batch"].span_id)]
    assert spans["batch"].links == [(TRACE_ID, served.span_id)]
    for span in spans.values():
        assert request.started <= span.started <= span.ended, span
        assert not span.failed


def test_a_call_for_several_requests_links_to_each_of_them(stack: Stack, collector: Collector) -> None:
    collector.spans.clear()
    searches = [{"query": f"quagga number {next(_numbers)}", "mode": "dense"} for _ in range(5)]
    reply = stack.client.http.post("/v1/search/batch", json={"searches": searches})
    trace_id = reply.headers["traceparent"].split("-")[1]
    whole_trace(collector, trace_id)
    (call,) = collector.named("embed queries")
    searches_of_trace = collector.named("search", trace_id)
    assert len(searches_of_trace) == 5
    assert {span_id for _, span_id in call.links} == {span.span_id for span in searches_of_trace}
    embeds = collector.named("embed", trace_id)
    assert {span.parent_id for span in embeds} == {span.span_id for span in searches_of_trace}
    assert all(span.links == [(trace_id, call.span_id)] for span in embeds)
    assert len(collector.named("admission", trace_id)) == 2  # one in each service


def test_requests_that_share_a_call_keep_their_own_traces(stack: Stack, collector: Collector) -> None:
    collector.spans.clear()
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda _: search(stack), range(64)))
    trace_ids = {reply.headers["traceparent"].split("-")[1] for reply in replies}
    assert len(trace_ids) == 64
    wait_until(lambda: len(collector.named("POST /v1/search")) == 64, "the spans of all requests")
    wait_until(lambda: len(collector.named("embed")) == 64, "the spans of all queries")
    by_id = {(span.trace_id, span.span_id): span for span in collector.spans}
    for embed in collector.named("embed"):
        (link,) = embed.links
        call = by_id[link]
        assert (embed.trace_id, embed.parent_id) in call.links  # both ways
    shared = [call for call in collector.named("embed queries") if len(call.links) > 1]
    assert shared, "no two of 64 searches shared a call"
    assert any(len({trace_id for trace_id, _ in call.links}) > 1 for call in shared)


def test_the_embedding_of_documents_links_to_their_ingest(stack: Stack, collector: Collector) -> None:
    documents = [{"id": f"tapir-{next(_numbers)}", "text": "One more zebra."}]
    reply = stack.client.http.post("/v1/ingest", json={"documents": documents})
    assert reply.status_code == 202
    trace_id, span_id = reply.headers["traceparent"].split("-")[1:3]
    work = wait_until(
        lambda: [span for span in collector.named("embed documents") if (trace_id, span_id) in span.links],
        "the batch of the document",
    )[0]
    assert (work.parent_id, work.trace_id != trace_id) == ("", True)
    below = {span.name for span in collector.spans if span.parent_id == work.span_id}
    assert below == {"claim", "POST /embed", "store vectors"}
    (store,) = wait_until(lambda: collector.named("store documents", trace_id), "the ingest's span")
    assert store.parent_id == span_id


@pytest.mark.parametrize("sent", [None, "", "bad", f"00-{'0' * 32}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-01-x"])
def test_without_a_valid_trace_a_new_one_begins(stack: Stack, sent: str | None) -> None:
    reply = search(stack, None if sent is None else {"traceparent": sent})
    assert reply.status_code == 200
    (parent,) = reply.headers.get_list("traceparent")
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", parent)
    assert TRACE_ID not in parent


def test_a_trace_that_is_not_sampled_is_passed_on_as_it_came(stack: Stack, collector: Collector) -> None:
    other = "5" * 32
    sent = f"00-{other}-{PARENT_ID}-00"
    assert search(stack, {"traceparent": sent}).headers["traceparent"] == sent
    sampled = search(stack).headers["traceparent"].split("-")[1]
    whole_trace(collector, sampled)  # it came later
    assert not [span for span in collector.spans if span.trace_id == other]
    lines = wait_until(
        lambda: [line for line in stack.embedder.log_lines() if line.get("trace_id") == other], "the embedder's line"
    )
    assert lines


def test_errors_are_marked_and_probes_have_no_span(stack: Stack, collector: Collector) -> None:
    reply = stack.client.http.post("/v1/search", json={"query": "quagga", "collection": "zebra-none"})
    assert reply.status_code == 404
    trace_id = reply.headers["traceparent"].split("-")[1]
    spans = wait_until(lambda: "POST /v1/search" in collector.of_trace(trace_id) and collector.of_trace(trace_id), "it")
    assert spans["POST /v1/search"].attributes["http.response.status_code"] == 404
    assert not spans["POST /v1/search"].failed  # the client's mistake, as the conventions for HTTP say
    assert (spans["search"].failed, spans["search"].attributes["error.type"]) == (True, "NotFound")
    unknown = stack.client.http.get("/tapir/zebra")
    assert unknown.status_code == 404
    assert "traceparent" in unknown.headers
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        assert "traceparent" not in stack.client.http.get(path).headers
    assert not [span for span in collector.spans if span.attributes.get("http.route") in ("/readyz", "/metrics")]


def test_no_span_has_content(stack: Stack, collector: Collector) -> None:
    headers = {"authorization": f"Bearer {_KEY}", "traceparent": f"00-{'7' * 32}-{PARENT_ID}-01"}
    assert search(stack, headers, filter={"name": "okapi"}, highlight=True).status_code == 200
    assert stack.client.http.get("/v1/collections/default/documents/tapir-1", headers=headers).status_code == 200
    embed = {"input": ["an okapi", "zebra"], "model": "any"}
    assert stack.client.http.post("/v1/embeddings", json=embed, headers=headers).status_code == 200
    assert stack.client.http.post("/v1/search", json={"query": "zebra", "top_k": "okapi"}).status_code == 422
    wait_until(lambda: collector.named("POST /v1/embeddings", "7" * 32), "the last span")
    assert collector.paths == {"/v1/traces"}
    for body in collector.raw:
        for secret in SECRETS:
            assert secret.encode() not in body.replace(b"zebra-none", b"")


def test_a_collector_that_hangs_delays_no_request_and_no_stop(tmp_path: Path, stack: Stack) -> None:
    with collecting() as hanging:
        hanging.open.clear()
        env = {
            "TANDEM_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": hanging.url,
            "OTEL_BSP_SCHEDULE_DELAY": "1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
        }
        gateway, client = gateway_process(tmp_path, tmp_path / "data", stack.embedder_url, env=env)
        with gateway, client:
            client.ingest_and_wait([{"id": "a", "text": "a cat"}])
            assert hanging.asked.wait(20)
            for number in range(5):
                assert client.found(f"a cat {number}") == ["a"]
            assert metric(client.url, "tandem_gateway_spans_dropped_total", {"reason": "queue_full"}) > 0
            assert metric(client.url, "tandem_gateway_spans_exported_total") == 0
            assert gateway.terminate() == 0
            assert any(line["message"] == "spans were not exported in time" for line in gateway.log_lines())


def test_a_refusal_of_the_collector_is_logged_once(stack: Stack, collector: Collector) -> None:
    def lost() -> float:
        return metric(stack.client.url, "tandem_gateway_spans_dropped_total", {"reason": "export_failed"})

    collector.status = 400
    try:
        for _ in range(2):
            before = lost()
            search(stack)
            wait_until(partial(lambda before: lost() > before, before), "the lost spans")
    finally:
        collector.status = 200
    told = search(stack).headers["traceparent"].split("-")[1]
    whole_trace(collector, told)
    messages = [line["message"] for line in stack.gateway.log_lines()]
    assert messages.count("spans cannot be exported") == 1
    wait_until(
        lambda: "spans are exported again" in [line["message"] for line in stack.gateway.log_lines()], "the good news"
    )
    assert {line["logger"].split(".")[0] for line in stack.gateway.log_lines()} <= {"tandem_gateway", "tandem_runtime"}


def test_a_wrong_variable_ends_the_start(tmp_path: Path, model_dir: Path) -> None:
    embedder = embedder_process(
        tmp_path, model_dir, env={"TANDEM_TRACING": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    )
    with contextlib.closing(embedder):
        assert embedder.start().wait_exit() == 2
        assert "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': one of http/protobuf was expected" in embedder.log_text()
