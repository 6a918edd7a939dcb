"""uvicorn, run from the program: one process, signals that drain, an exit status that says how it went."""

import contextlib
import math
import signal
from collections.abc import Generator
from types import FrameType

import uvicorn

from tandem_gateway.app import make_app
from tandem_gateway.http.protocol import BoundedHttp
from tandem_gateway.settings import Settings

# Longer than a client's pool keeps a connection, or both close it at the same time and a request is lost.
_KEEP_ALIVE_SECONDS = 75


class _DrainingServer(uvicorn.Server):
    """uvicorn's server, which turns unready at the first signal and exits with 0 once it is drained."""

    draining = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn unready, then end as uvicorn does."""
        self.draining()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take SIGINT and SIGTERM over; uvicorn's own would raise them again at the end, and exit with a signal."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: Settings) -> int:
    """Serve until a signal, or until the start has failed; return the exit status."""

    def end() -> None:
        server.should_exit = True

    app, gateway = make_app(settings, end)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout),
    )
    server = _DrainingServer(config)

    def drain() -> None:
        gateway.draining = True

    server.draining = drain
    server.run()
    return 1 if gateway.failure is not None or not server.started else 0
