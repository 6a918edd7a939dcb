"""Notifies observers of every request's result, whichever part answered it; plain ASGI, outside any framework."""

import time
from collections.abc import Callable, Sequence

from tandem_runtime.exchange import exchange_of
from tandem_runtime.http import CLIENT_GONE
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

Observer = Callable[[Scope, int, float], None]
"""Called with a request's scope, the response status (499: the client disconnected) and the duration in seconds."""


def with_observers(app: AsgiApp, observers: Sequence[Observer]) -> AsgiApp:
    """Return ``app`` with a call of each observer after every HTTP request; ``app`` itself without observers."""
    if not observers:
        return app

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = CLIENT_GONE

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            exchange = exchange_of(scope)
            if exchange is not None and exchange.status is not None:
                status = exchange.status
            seconds = time.perf_counter() - started
            for observe in observers:
                observe(scope, status, seconds)

    return wrapped
