"""uvicorn, run from the program: one process, signals that drain, an exit status that says how it went."""

import contextlib
import logging
import math
import os
import signal
from collections.abc import Generator
from concurrent.futures import Future
from types import FrameType

import uvicorn

from tandem_embedder.app import make_app
from tandem_embedder.artefact import Manifest
from tandem_embedder.loading import LoadedModel
from tandem_embedder.readiness import Readiness
from tandem_embedder.service import Service
from tandem_embedder.settings import Settings

log = logging.getLogger(__name__)

# Longer than a client's pool keeps a connection, or both close it at the same time and a request is lost.
KEEP_ALIVE_SECONDS = 75


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which turns unready at the first signal and exits with 0 once it is drained."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness) -> None:
        super().__init__(config)
        self._readiness = readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn unready, then end as uvicorn does."""
        self._readiness.draining()
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


def serve(settings: Settings, manifest: Manifest | None, loading: "Future[LoadedModel]") -> int:
    """Serve until a signal; return the exit status."""
    service = Service(settings, manifest, loading)
    config = uvicorn.Config(
        make_app(service, settings.max_body_bytes, settings.access_log),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout),
    )
    server = DrainingServer(config, service.readiness)
    try:
        server.run()
        status = 0 if service.drained else 1
    except SystemExit:  # it could not listen, and has said so in the log
        status = 1
    if not service.drained or not loading.done():
        # A thread is inside a native library: stuck in the model, or still loading it. The interpreter would wait for
        # the one for ever, and pull the ground from under the other.
        log.info("stopped", extra={"status": status})
        os._exit(status)
    return status
