"""Run the embedder's HTTP server until a signal stops it."""

import logging
import os
from concurrent.futures import Future
from pathlib import Path

from tandem_embedder.app import make_app
from tandem_embedder.lifecycle import Service
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.settings import Settings
from tandem_runtime import logs
from tandem_runtime.server_tls import load_server_tls
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.server import DrainingServer
from tandem_runtime.settings import SettingsError
from tandem_runtime.span_export import ExportEvents
from tandem_runtime.tokens import InvalidTokens, Tokens
from tandem_runtime.tracing_setup import build_tracer
from tandem_runtime.version import version

log = logging.getLogger(__name__)


def load_tokens(settings: Settings) -> Tokens:
    """Return the tokens that callers must show; blocks.

    Raises:
        SettingsError: the file cannot be used.
    """
    file = settings.token_file
    try:
        return Tokens(settings.token, Path(file) if file else None)
    except InvalidTokens as error:
        raise SettingsError(f"TANDEM_EMBEDDER_TOKEN_FILE={file!r}: {error}") from error


def serve(settings: Settings, manifest: Manifest | None, loading: "Future[LoadedModel]") -> int:
    """Serve until a signal; return the exit status: 0 after a complete drain, 2 for an unusable file, else 1."""
    try:
        tokens = load_tokens(settings)
        tls = load_server_tls(
            settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file, prefix="TANDEM_EMBEDDER_TLS"
        )
    except SettingsError as error:
        log.error("cannot start", extra={"error": str(error)})
        logs.flush()
        os._exit(2)  # a thread loads the model
    service = Service(settings, manifest, loading)
    events = ExportEvents(service.metrics.spans_exported, service.metrics.spans_dropped)
    tracer = build_tracer("embedder", version(), os.environ, events, wanted=settings.tracing)
    server = DrainingServer(
        make_app(service, settings, tokens, tls, tracer),
        host=settings.host,
        port=settings.port,
        shutdown_timeout=settings.shutdown_timeout,
        on_signal=service.readiness.draining,
        connections=ConnectionLimit(settings.max_connections, "TANDEM_EMBEDDER_MAX_CONNECTIONS"),
        tls=tls,
    )
    try:
        server.run()
        status = 0 if service.drained else 1
    except SystemExit:  # the server could not listen and has logged why
        status = 1
    if not service.drained or not loading.done():
        # A thread is inside a native library: stuck in the model, or still loading it. A normal exit would wait for
        # the stuck thread forever, or tear the interpreter down while the other thread loads. So exit at once.
        log.info("stopped", extra={"status": status})
        logs.flush()
        os._exit(status)
    return status
