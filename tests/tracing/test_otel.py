"""Spans as OpenTelemetry's SDK records them: contexts, sampling, resources, and what is no attribute."""

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind

from tandem_runtime import trace
from tandem_runtime.edge import edge
from tandem_runtime.http import ROUTE, Reply
from tandem_runtime.otel import OtelSpan
from tandem_runtime.request_id import Message, Receive, Scope, Send
from tandem_runtime.tracing import wall_ns, within
from tests.support.freed import no_collector
from tests.support.recording import Recording, links, request, span_id

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
INCOMING = trace.TraceContext(f"00-{TRACE_ID}-00f067aa0ba902b7-01", "congo=1", TRACE_ID)

ids = st.builds(trace.Ids, st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.integers(0, 255))


@given(ids)
def test_a_traceparent_has_the_numbers_that_made_it(numbers: trace.Ids) -> None:
    parent = trace.parent_of(numbers)
    assert trace.ids_of(parent) == numbers
    read = trace.read([parent.encode()], [])
    assert read == trace.TraceContext(parent, None, trace.trace_id_of(parent))


def test_a_request_continues_the_callers_trace() -> None:
    recording = Recording()
    with request(recording, INCOMING) as context:
        assert (context.trace_id, context.state) == (TRACE_ID, "congo=1")
        assert trace.headers_of(context) == {"traceparent": context.parent, "tracestate": "congo=1"}
        assert trace.current_span() is context.span
    (span,) = recording.spans()
    assert span.parent is not None
    assert (span.parent.span_id, span.parent.is_remote) == (span_id(INCOMING), True)
    assert span.kind is SpanKind.SERVER
    assert trace.current_span() is None


def fail_within(span: trace.Span) -> None:
    with within(span):
        assert trace.current_span() is span
        moment = time.monotonic()
        span.record("inner", moment - 2, moment - 1, error="late")
        raise KeyError("a secret")


def test_children_are_current_within_their_block_and_end_with_its_error() -> None:
    recording = Recording()
    with request(recording) as context:
        assert context.span is not None
        outer = context.span.child("outer", kind="client", links=[INCOMING])
        with pytest.raises(KeyError):
            fail_within(outer)
        assert trace.current_span() is context.span
    inner, outer_span, root = recording.spans()
    assert (inner.parent, outer_span.parent) == (outer_span.context, root.context)
    assert (inner.end_time or 0) - (inner.start_time or 0) == pytest.approx(1e9, abs=1e6)
    assert [dict(span.attributes or {}) for span in (inner, outer_span)] == [
        {"error.type": "late"},
        {"error.type": "KeyError"},
    ]
    assert not any(span.status.is_ok for span in (inner, outer_span))
    assert links(outer_span) == {span_id(INCOMING)}
    assert outer_span.kind is SpanKind.CLIENT
    for span in (inner, outer_span, root):
        assert "secret" not in span.to_json()


def test_the_admission_is_recorded_once() -> None:
    recording = Recording()
    with request(recording) as context:
        assert context.span is not None
        context.span.admitted()
        context.span.admitted()
    assert [span.name for span in recording.spans()] == ["admission", "POST"]


@pytest.mark.parametrize(
    ("sampler", "incoming", "sampled"),
    [
        ("always_off", None, False),
        ("always_off", INCOMING, False),
        ("parentbased_always_on", trace.TraceContext(INCOMING.parent[:-1] + "0", None, TRACE_ID), False),
        ("parentbased_always_off", INCOMING, True),
        ("parentbased_always_off", None, False),
    ],
)
def test_what_is_not_sampled_costs_no_span(
    monkeypatch: pytest.MonkeyPatch, sampler: str, incoming: trace.TraceContext | None, sampled: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    recording = Recording()
    with request(recording, incoming) as context:
        assert (context.span is not None) == sampled
        if not sampled:
            assert context == incoming or context.parent.endswith(("-00", "-02"))
        assert (recording.tracer.begin("work", links=[INCOMING]) is None) == (sampler != "parentbased_always_on")
    assert len(recording.spans()) == sampled


def test_the_environment_names_the_service_and_its_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    def resource() -> dict[str, object]:
        recording = Recording()
        with request(recording):
            pass
        return dict(recording.spans()[0].resource.attributes)

    usual = resource()
    assert (usual["service.name"], usual["service.version"]) == ("tandem-test", "1.2.3")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.version=9")
    named = resource()
    assert (named["service.name"], named["service.version"]) == ("mine", "9")
    assert named["deployment.environment"] == "test"


def test_a_span_is_freed_without_the_garbage_collector() -> None:
    recording = Recording()
    with request(recording) as context, no_collector():
        assert context.span is not None
        before = sum(isinstance(each, OtelSpan) for each in gc.get_objects())
        for _ in range(10):
            child = context.span.child("child")
            child.record("inner", 0.0, 1.0)
            with within(child):
                assert trace.current_span() is child
        del child
        assert sum(isinstance(each, OtelSpan) for each in gc.get_objects()) == before


def test_a_moment_of_the_monotonic_clock_on_the_wall() -> None:
    assert wall_ns(time.monotonic() - 5) == pytest.approx(time.time_ns() - 5e9, abs=1e8)


async def ask(recording: Recording | None, *headers: tuple[bytes, bytes], path: str = "/v1/search") -> Message:
    """Ask an application that answers 503 behind the edge, and return the head of its reply."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = path
        await Reply(503, b"{}").send(scope, send)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    wrapped = edge(app, tracer=None if recording is None else recording.tracer)
    await wrapped({"type": "http", "method": "POST", "path": path, "headers": list(headers)}, receive, send)
    return sent[0]


async def test_the_reply_tells_the_span_of_the_request() -> None:
    recording = Recording()
    head = await ask(recording, (b"traceparent", INCOMING.parent.encode()), (b"x-request-id", b"mine"))
    (span,) = recording.spans()
    assert span.context is not None
    assert dict(head["headers"])[b"traceparent"].decode() == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert span.name == "POST /v1/search"
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/search",
        "http.response.status_code": 503,
        "tandem.request_id": "mine",
        "error.type": "503",
    }
    assert not span.status.is_ok


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
async def test_probes_have_no_span(path: str) -> None:
    recording = Recording()
    head = await ask(recording, (b"traceparent", INCOMING.parent.encode()), path=path)
    assert b"traceparent" not in dict(head["headers"])
    assert recording.spans() == []


async def test_while_it_is_off_the_reply_tells_nothing() -> None:
    assert b"traceparent" not in dict((await ask(None, (b"traceparent", INCOMING.parent.encode())))["headers"])
