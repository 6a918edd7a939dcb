"""The embedder served until a signal."""

import logging
import os
from concurrent.futures import Future

from tandem_contract.service import logs
from tandem_contract.service.serving.refusal import ConnectionLimit
from tandem_contract.service.serving.server import DrainingServer
from tandem_embedder.app import make_app
from tandem_embedder.lifecycle import Service
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.settings import Settings

log = logging.getLogger(__name__)


def serve(settings: Settings, manifest: Manifest | None, loading: "Future[LoadedModel]") -> int:
    """Serve until a signal; return the exit status."""
    service = Service(settings, manifest, loading)
    server = DrainingServer(
        make_app(service, settings),
        host=settings.host,
        port=settings.port,
        shutdown_timeout=settings.shutdown_timeout,
        on_signal=service.readiness.draining,
        connections=ConnectionLimit(settings.max_connections, "TANDEM_EMBEDDER_MAX_CONNECTIONS"),
    )
    try:
        server.run()
        status = 0 if service.drained else 1
    except SystemExit:  # it could not listen, and has said so in the log
        status = 1
    if not service.drained or not loading.done():
        # A thread is inside a native library: stuck in the model, or still loading it. The interpreter would wait for
        # the one for ever, and pull the ground from under the other.
        log.info("stopped", extra={"status": status})
        logs.flush()
        os._exit(status)
    return status
