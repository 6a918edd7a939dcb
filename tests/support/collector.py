"""A collector of OpenTelemetry: takes spans by OTLP over HTTP, in protobuf. It can refuse them, or hang."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.support.http_servers import running

ERROR = 2


@dataclass(frozen=True)
class Received:
    """A span as it arrived; ids are hexadecimal."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    started: int
    """Nanoseconds since 1970."""
    ended: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    """(trace id, span id) of each."""
    failed: bool
    state: str


@dataclass
class Collector:
    """What arrived, and how the collector answers."""

    url: str
    spans: list[Received] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    status: int = 200
    paths: set[str] = field(default_factory=set)
    asked: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)
    """Calls wait while it is clear."""

    def named(self, name: str, trace_id: str | None = None) -> list[Received]:
        """Return the spans of a name, of one trace or of all."""
        return [span for span in self.spans if span.name == name and trace_id in (None, span.trace_id)]

    def of_trace(self, trace_id: str) -> dict[str, Received]:
        """Return the spans of a trace by name; the last of each name."""
        return {span.name: span for span in self.spans if span.trace_id == trace_id}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.paths.add(self.path)
            collector.asked.set()
            collector.open.wait()
            if collector.status == 200:
                collector.raw.append(body)
                collector.spans += read(body)
            self.send_response(collector.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    with running(server) as url:
        collector = Collector(url)
        collector.open.set()
        try:
            yield collector
        finally:
            collector.open.set()


def read(body: bytes) -> list[Received]:
    """Return the spans of a request to a collector."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            found += [
                Received(
                    service,
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _values(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    span.status.code == ERROR,
                    span.trace_state,
                )
                for span in scope.spans
            ]
    return found


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each) for each in attributes}


def _value(attribute: KeyValue) -> Any:
    value: AnyValue = attribute.value
    return getattr(value, value.WhichOneof("value") or "string_value")
