"""Runs uvicorn from the program: one process; signals start a drain; the exit status reports the outcome."""

import contextlib
import math
import signal
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

import uvicorn

from tandem_runtime.request_id import AsgiApp
from tandem_runtime.serving.connection import Connection
from tandem_runtime.serving.refusal import ConnectionLimit

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
    ) -> None:
        """Make the server; ``run`` runs it.

        Args:
            app: the application; it handles the lifespan protocol.
            host: address to listen on.
            port: port to listen on.
            shutdown_timeout: seconds for running requests to finish after a signal.
            on_signal: called at a signal, before the drain; makes the service unready.
            connections: limit of open connections.
        """

        class LimitedConnection(Connection):
            limit = connections

        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                interface="asgi3",
                loop="uvloop",
                http=LimitedConnection,
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

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle SIGINT and SIGTERM; uvicorn's own method would raise them again at the end and exit with a signal."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
