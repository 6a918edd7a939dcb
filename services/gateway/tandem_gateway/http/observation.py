"""Counts and times every request, whatever answers it; plain ASGI, outside the framework."""

import time

from tandem_contract.service.http import CLIENT_GONE, ROUTE
from tandem_contract.service.request_id import AsgiApp, Message, Receive, Scope, Send
from tandem_gateway.metrics import Metrics

_UNKNOWN = "unmatched"


def observed(app: AsgiApp, metrics: Metrics) -> AsgiApp:
    """Return ``app`` with a count and a duration a request."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = CLIENT_GONE

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting_send)
        finally:
            # The template, not the path: that would make a series of every id.
            metrics.request(scope.get(ROUTE, _UNKNOWN), status, time.perf_counter() - started)

    return wrapped
