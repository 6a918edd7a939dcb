"""HTTP header names and media types; lower case, as ASGI delivers them."""

REQUEST_ID = "x-request-id"
"""Taken from the request where it is well formed, else made; present on every response and in the logs."""

TIMEOUT_MS = "x-request-timeout-ms"
"""Milliseconds that the caller will still wait, counted from the request's arrival; work is dropped after it."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
"""W3C Trace Context; passed on as they came."""

JSON = "application/json"
MSGPACK = "application/msgpack"
