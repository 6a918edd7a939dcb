"""Identifies requests: adds an id, the client's or a new one, to every response and log line, and reads the trace."""

import random
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from tandem_contract import headers
from tandem_runtime import logs, trace

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER: Final = headers.REQUEST_ID.encode()
_TRACEPARENT = headers.TRACEPARENT.encode()
_TRACESTATE = headers.TRACESTATE.encode()
ID: Final = "tandem.request_id"
"""Scope key of the id, as bytes."""

# Characters that need no quoting in a log line, a header or a shell. A new id replaces any other.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:\-]{1,128}\Z")


def choose_request_id(given: bytes | None) -> bytes:
    """Return ``given`` if it is 1 to 128 characters of ``A-Za-z0-9._:-``, else a new random id."""
    if given is not None and _WELL_FORMED.match(given):
        return given
    return b"%016x" % random.getrandbits(64)


def with_request_id(app: AsgiApp) -> AsgiApp:
    """Return ``app`` with a request id on every HTTP response, including the framework's errors.

    While the application serves the request, ``logs.request_id`` holds the id and ``trace.current`` the trace.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
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

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, chosen)]
            await send(message)

        try:
            await app(scope, receive, send_with_id)
        finally:
            logs.request_id.reset(token)
            if trace_token is not None:
                trace.current.reset(trace_token)

    return wrapped


def _trace_of(scope: Scope) -> trace.TraceContext | None:
    return trace.read(
        [value for name, value in scope["headers"] if name == _TRACEPARENT],
        [value for name, value in scope["headers"] if name == _TRACESTATE],
    )
