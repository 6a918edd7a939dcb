"""The wrapper of every request, outside any framework: request id, trace, origin check, CORS, and observers.

It is one plain ASGI wrapper, so all replies have the same headers and all observers see every reply.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tandem_contract import headers
from tandem_runtime import logs, trace
from tandem_runtime.client_connection import connection_of
from tandem_runtime.cors import ALLOWED, CrossOrigin
from tandem_runtime.http import CLIENT_GONE, ROUTE
from tandem_runtime.origin import OriginRules
from tandem_runtime.request_id import HEADER, ID, AsgiApp, Message, Receive, Scope, Send, choose_request_id, header
from tandem_runtime.tracing import Tracer, end_request

_TRACEPARENT: Final = headers.TRACEPARENT.encode()
_TRACESTATE: Final = headers.TRACESTATE.encode()
_UNTRACED: Final = frozenset(("/livez", "/readyz", "/healthz", "/metrics"))
"""Paths that probes and scrapers ask every few seconds; their spans would hide the others."""
_SPAN: Final = "tandem.span"
"""Scope key of the request's span."""

Observer = Callable[[Scope, int, float], None]
"""Called with a request's scope, the response status (499: the client disconnected) and the duration in seconds."""


def edge(
    app: AsgiApp,
    *,
    origin: OriginRules | None = None,
    cors: CrossOrigin | None = None,
    observers: Sequence[Observer] = (),
    tracer: Tracer | None = None,
) -> AsgiApp:
    """Return the application that a server runs.

    While ``app`` serves a request, ``logs.request_id`` holds the request's id and ``trace.current`` its trace.

    Args:
        app: answers the requests.
        origin: rules that refuse requests by their origin; None refuses no request.
        cors: rules that let pages of other origins call the service; None adds no header and answers no preflight.
        observers: called after every request.
        tracer: records a span of each request, except for probes and metrics, and tells its ``traceparent`` in the
            reply; None records none.
    """
    if tracer is not None:
        observers = (*observers, _end)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        given: bytes | None = None
        traced = False
        for name, value in scope["headers"]:
            if name == HEADER:
                given = value if given is None else given
            elif name == _TRACEPARENT:
                traced = True
        chosen = scope[ID] = choose_request_id(given)
        token = logs.request_id.set(chosen.decode())
        context = _trace_of(scope) if traced else None
        extra: Sequence[tuple[bytes, bytes]] = ()
        if tracer is not None:
            context, extra = _begin(tracer, scope, context)
        trace_token = trace.current.set(context)
        connection = connection_of(scope)
        status = CLIENT_GONE
        if cors is not None:
            extra = (*extra, *cors.headers(header(scope, b"origin")))
            scope[ALLOWED] = cors.allows(header(scope, b"origin"))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if connection is None or not connection.gone:
                    status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, chosen), *extra]
            await send(message)

        try:
            reply = None if origin is None else origin.refuse(scope)
            if reply is None and cors is not None:
                reply = cors.preflight(scope)
            if reply is None:
                await app(scope, receive, send_with_id)
            else:
                await reply.send(scope, send_with_id)
        finally:
            if observers:
                seconds = time.perf_counter() - started
                for observe in observers:
                    observe(scope, status, seconds)
            logs.request_id.reset(token)
            trace.current.reset(trace_token)

    return wrapped


def _begin(
    tracer: Tracer, scope: Scope, incoming: trace.TraceContext | None
) -> tuple[trace.TraceContext | None, tuple[tuple[bytes, bytes], ...]]:
    """Begin the span of a request; return the trace of its task, and the header of its reply that tells it."""
    if scope["path"] in _UNTRACED:
        return incoming, ()
    context = tracer.request(scope["method"], incoming)
    if context.span is not None:
        scope[_SPAN] = context.span
        context.span.set("tandem.request_id", scope[ID].decode())
    return context, ((_TRACEPARENT, context.parent.encode()),)


def _end(scope: Scope, status: int, seconds: float) -> None:
    """End the span of a request; an ``Observer``."""
    span: trace.Span | None = scope.pop(_SPAN, None)
    if span is not None:
        end_request(span, scope["method"], status, scope.get(ROUTE))


def _trace_of(scope: Scope) -> trace.TraceContext | None:
    return trace.read(
        [value for name, value in scope["headers"] if name == _TRACEPARENT],
        [value for name, value in scope["headers"] if name == _TRACESTATE],
    )
