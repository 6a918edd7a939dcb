"""The spans of searches over fakes: their stages, shared calls, failures, and how they stay apart."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from tandem_gateway.errors import EmbedderUnavailable, GatewayError, NotReady
from tandem_gateway.records.search import SearchMode
from tandem_gateway.use_cases.job_traces import JobTraces
from tandem_runtime import trace
from tests.support.recording import Recording, links, request, span_id
from tests.support.search_fixtures import PipelineFixture, SearchFixture, command

NAMES: dict[SearchMode, set[str]] = {
    "auto": {"queue", "embed", "retrieve dense", "retrieve lexical", "fuse", "hydrate"},
    "hybrid": {"queue", "embed", "retrieve dense", "retrieve lexical", "fuse", "hydrate"},
    "dense": {"queue", "embed", "retrieve dense"},
    "lexical": {"retrieve lexical"},
}


def below(spans: list[ReadableSpan], parent: ReadableSpan) -> set[str]:
    assert parent.context is not None
    return {span.name for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id}


@pytest.mark.parametrize("mode", NAMES)
async def test_a_search_has_a_span_of_each_stage(mode: SearchMode) -> None:
    recording, fixture = Recording(), PipelineFixture()
    with request(recording):
        answer = await fixture.use_case.answer(command("the secret query", 1, "books", mode))
    assert answer.explanation is None
    spans = recording.spans()
    (search,) = [span for span in spans if span.name == "search"]
    assert below(spans, search) - {"embed queries"} == NAMES[mode]
    attributes = dict(search.attributes or {})
    assert (attributes["tandem.mode"], attributes["tandem.collection"], attributes["tandem.hits"]) == (mode, "books", 1)
    assert attributes["tandem.answered_by"] == answer.mode


async def test_queries_that_share_a_call_link_to_it_and_it_to_them() -> None:
    recording, fixture = Recording(), SearchFixture()
    contexts = []

    async def ask(query: str) -> None:
        with request(recording) as context:
            contexts.append(context)
            await fixture.queries.embed([query], timeout=20.0)

    fixture.embedder.hold()
    first = asyncio.create_task(ask("first"))
    await fixture.embedder.wait_calls(1)
    others = [asyncio.create_task(ask(f"query {number}")) for number in range(3)]
    await asyncio.sleep(0)
    fixture.embedder.release()
    await asyncio.gather(first, *others)
    spans = recording.spans()
    calls = [span for span in spans if span.name == "embed queries"]
    assert [links(call) for call in calls] == [{span_id(contexts[0])}, {span_id(each) for each in contexts[1:]}]
    for context, call in zip(contexts, [calls[0], *[calls[1]] * 3], strict=True):
        assert call.context is not None
        own = [span for span in spans if span.parent is not None and span.parent.span_id == span_id(context)]
        (embed,) = [span for span in own if span.name == "embed"]
        assert links(embed) == {call.context.span_id}
        assert "queue" in {span.name for span in own}


async def test_a_call_is_in_the_trace_of_the_first_request_that_is_recorded() -> None:
    recording, fixture = Recording(), SearchFixture()
    off = trace.TraceContext(f"00-{'a' * 32}-{'b' * 16}-00", None, "a" * 32)

    async def ask(query: str, incoming: trace.TraceContext | None) -> trace.TraceContext:
        with request(recording, incoming) as context:
            await fixture.queries.embed([query], timeout=20.0)
            return context

    with fixture.queries.together():
        tasks = [asyncio.create_task(ask("a", off)), asyncio.create_task(ask("b", None))]
        await asyncio.sleep(0)
    _, sampled = await asyncio.gather(*tasks)
    (call,) = recording.named("embed queries")
    assert call.parent is not None
    assert call.parent.span_id == span_id(sampled)
    assert links(call) == {span_id(sampled)}


@pytest.mark.parametrize(
    ("error", "name"), [(EmbedderUnavailable("no"), "embed"), (NotReady("not yet"), "retrieve lexical")]
)
async def test_the_stage_that_failed_has_the_kind_of_its_error(error: GatewayError, name: str) -> None:
    recording, fixture = Recording(), PipelineFixture()
    if name == "embed":
        fixture.embedder.unavailable = True
    else:
        fixture.lexical.error = error
    with request(recording):
        answer = await fixture.use_case.answer(command("a secret"))
    assert answer.degraded
    spans = recording.spans()
    failed = {span.name: dict(span.attributes or {})["error.type"] for span in spans if not span.status.is_unset}
    assert failed[name] == type(error).__name__
    assert "search" not in failed
    assert not any("secret" in span.to_json() for span in spans)


async def test_an_explained_search_without_a_trace_records_nothing() -> None:
    recording, fixture = Recording(), PipelineFixture()
    answer = await fixture.use_case.answer(msgspec.structs.replace(command("q"), explain=True))
    assert answer.explanation is not None
    assert recording.spans() == []


def test_the_traces_of_the_newest_jobs_are_kept_without_their_spans() -> None:
    recording, traces = Recording(), JobTraces(2)
    with request(recording) as context:
        for job in ("a", "b", "c"):
            traces.remember(job, context)
    assert traces.of(["a", None]) == []
    assert traces.of(["b", "b", "c"]) == [replace(context, span=None)] * 2
