"""An application behind the services' server, on its own socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest import mock

from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send
from tandem_runtime.server_tls import ServerTls
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.server import DrainingServer
from tests.support.fakes import WAIT_SECONDS


class ShortPauses:
    """asyncio for uvicorn's server, whose pauses take a tenth of their time.

    uvicorn asks every 0.1 s whether to end, and pauses as long before it waits for connections. So the end of a server
    takes 0.02 s instead of 0.2 s, which counts with the hundreds of servers that tests start.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


@asynccontextmanager
async def serving(
    app: AsgiApp, *, lifespan: bool = False, max_connections: int = 100, tls: ServerTls | None = None
) -> AsyncIterator[int]:
    """Serve ``app`` and yield the port; runs its lifespan only if ``lifespan`` is true."""

    async def with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and not lifespan:
            for _ in ("startup", "shutdown"):
                await send({"type": f"{(await receive())['type']}.complete"})
            return
        await app(scope, receive, send)

    signalled: list[bool] = []
    server = DrainingServer(
        with_lifespan,
        host="127.0.0.1",
        port=0,
        shutdown_timeout=1.0,
        on_signal=lambda: signalled.append(True),
        connections=ConnectionLimit(max_connections, "TANDEM_MAX_CONNECTIONS"),
        tls=tls,
    )
    with mock.patch("uvicorn.server.asyncio", ShortPauses()), socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.handle_exit(15, None)
            await asyncio.wait_for(task, WAIT_SECONDS)
            assert signalled == [True]
