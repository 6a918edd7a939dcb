"""Runs the gateway's server until a signal arrives."""

import contextlib

from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
from tandem_runtime.server_tls import load_server_tls
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.server import DrainingServer


def serve(settings: Settings) -> int:
    """Serve until a signal arrives or the startup fails; return the exit status.

    Raises:
        SettingsError: a file of TLS cannot be used; also as in ``make_app``.
        StorageError: as in ``make_app``.
    """

    def end() -> None:
        server.should_exit = True

    tls = load_server_tls(
        settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file, prefix="TANDEM_TLS"
    )
    app, gateway = make_app(settings, end, tls=tls)

    server = DrainingServer(
        app,
        host=settings.host,
        port=settings.port,
        shutdown_timeout=settings.shutdown_timeout,
        on_signal=gateway.drain,
        connections=ConnectionLimit(settings.max_connections, "TANDEM_MAX_CONNECTIONS"),
        tls=tls,
    )
    with contextlib.suppress(SystemExit):  # uvicorn raises it if it cannot listen, and logs why
        server.run()
    return 1 if gateway.failure is not None or not server.started else 0
