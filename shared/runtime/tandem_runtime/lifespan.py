"""ASGI's lifespan: starts a service before the server takes requests, and stops it after the last one.

The protocol is at https://asgi.readthedocs.io/en/latest/specs/lifespan.html.
"""

import logging
from contextlib import AbstractAsyncContextManager

from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send

log = logging.getLogger(__name__)


def with_lifespan(app: AsgiApp, running: AbstractAsyncContextManager[None]) -> AsgiApp:
    """Return ``app`` with a lifespan.

    Args:
        app: answers the requests.
        running: entered before the server takes requests, and left after the last one.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        stage = "startup"
        try:
            await receive()  # lifespan.startup
            async with running:
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
                stage = "shutdown"
        except Exception as error:
            log.error("the service could not %s", "start" if stage == "startup" else "stop", exc_info=error)
            await send({"type": f"lifespan.{stage}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    return wrapped
