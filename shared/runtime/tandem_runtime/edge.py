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
from tandem_runtime.http import CLIENT_GONE
from tandem_runtime.origin import OriginRules
from tandem_runtime.request_id import HEADER, ID, AsgiApp, Message, Receive, Scope, Send, choose_request_id, header

_TRACEPARENT: Final = headers.TRACEPARENT.encode()
_TRACESTATE: Final = headers.TRACESTATE.encode()

Observer = Callable[[Scope, int, float], None]
"""Called with a request's scope, the response status (499: the client disconnected) and the duration in seconds."""


def edge(
    app: AsgiApp,
    *,
    origin: OriginRules | None = None,
    cors: CrossOrigin | None = None,
    observers: Sequence[Observer] = (),
) -> AsgiApp:
    """Return the application that a server runs.

    While ``app`` serves a request, ``logs.request_id`` holds the request's id and ``trace.current`` its trace.

    Args:
        app: answers the requests.
        origin: rules that refuse requests by their origin; None refuses no request.
        cors: rules that let pages of other origins call the service; None adds no header and answers no preflight.
        observers: called after every request.
    """

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
        trace_token = trace.current.set(_trace_of(scope)) if traced else None
        connection = connection_of(scope)
        status = CLIENT_GONE
        cross_origin: Sequence[tuple[bytes, bytes]] = ()
        if cors is not None:
            cross_origin = cors.headers(header(scope, b"origin"))
            scope[ALLOWED] = cors.allows(header(scope, b"origin"))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if connection is None or not connection.gone:
                    status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, chosen), *cross_origin]
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
            if trace_token is not None:
                trace.current.reset(trace_token)

    return wrapped


def _trace_of(scope: Scope) -> trace.TraceContext | None:
    return trace.read(
        [value for name, value in scope["headers"] if name == _TRACEPARENT],
        [value for name, value in scope["headers"] if name == _TRACESTATE],
    )
