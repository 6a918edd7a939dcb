"""Runs uvicorn from the program: one process; signals start a drain; the exit status reports the outcome."""

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from tandem_runtime.request_id import AsgiApp
from tandem_runtime.server_tls import ServerTls
from tandem_runtime.serving.connection import Connection
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.handshakes import Handshakes
from tandem_runtime.serving.tls import TlsConnection

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than a client's pool keeps a connection. If both close it at the same time, a request is lost."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server; it becomes unready at the first signal, drains its requests and then ends."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        host: str,
        port: int,
        shutdown_timeout: float,
        on_signal: Callable[[], None],
        connections: ConnectionLimit,
        tls: ServerTls | None = None,
    ) -> None:
        """Make the server; ``run`` runs it.

        Args:
            app: the application; it handles the lifespan protocol.
            host: address to listen on.
            port: port to listen on.
            shutdown_timeout: seconds for running requests to finish after a signal.
            on_signal: called at a signal, before the drain; makes the service unready.
            connections: limit of open connections.
            tls: certificate for https; None serves plain HTTP.
        """
        self._handshakes = None if tls is None else Handshakes(tls)

        class LimitedConnection(Connection):
            limit = connections

        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                interface="asgi3",
                loop="uvloop",
                http=LimitedConnection if self._handshakes is None else _secured(LimitedConnection, self._handshakes),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=math.ceil(shutdown_timeout),
            )
        )
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Make the service unready, then end as uvicorn does."""
        self._on_signal()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain; end the TLS handshakes in progress, which have no request yet."""
        if self._handshakes is not None:
            self._handshakes.give_up()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGINT and SIGTERM; uvicorn's own method would raise them again at the end and exit with a signal."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _secured(connection: type[Connection], handshakes: Handshakes) -> type[asyncio.Protocol]:
    """Return what makes connections with TLS, in the form of uvicorn's protocol class."""

    def make(**arguments: Any) -> TlsConnection:
        return TlsConnection(handshakes, lambda: connection(**arguments), asyncio.get_running_loop())

    return cast("type[asyncio.Protocol]", make)
