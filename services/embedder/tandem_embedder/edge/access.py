"""The access log: one line for each request, with its id, status and time."""

import logging
import time

from tandem_contract.service.request_id import AsgiApp, Message, Receive, Scope, Send

log = logging.getLogger("tandem_embedder.access")


def with_access_log(app: AsgiApp) -> AsgiApp:
    """Return ``app`` with a log line after each HTTP request; ``status`` 499 is a client that went away."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 3)
            log.info(
                "request",
                extra={"method": scope["method"], "path": scope["path"], "status": status, "ms": milliseconds},
            )

    return wrapped
