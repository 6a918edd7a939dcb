"""Counts and logs every request, whatever answers it; plain ASGI, outside the framework."""

import logging
import time

from tandem_contract.service.http import CLIENT_GONE, ROUTE
from tandem_contract.service.request_id import AsgiApp, Message, Receive, Scope, Send
from tandem_gateway.metrics import Metrics

log = logging.getLogger("tandem_gateway.access")

_UNKNOWN = "unmatched"


def observed(app: AsgiApp, metrics: Metrics, *, access_log: bool) -> AsgiApp:
    """Return ``app`` with a count, a duration and, if asked for, a log line a request."""

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
            seconds = time.perf_counter() - started
            # The template, not the path: that would make a series of every id.
            route = scope.get(ROUTE, _UNKNOWN)
            metrics.request(route, status, seconds)
            if access_log:
                log.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "milliseconds": round(seconds * 1000, 2),
                    },
                )

    return wrapped
