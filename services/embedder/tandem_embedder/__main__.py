"""``python -m tandem_embedder``: reads the settings, begins to load the model, and serves.

For a quick start, a thread imports the model's libraries and loads the model, while the main thread imports the HTTP
stack and listens. Imports inside functions keep this order.
"""

import tandem_embedder.process_setup  # noqa: F401, I001 - before anything that loads a native library
import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future
from types import FrameType
from typing import TYPE_CHECKING

from tandem_runtime import logs
from tandem_runtime.settings import SettingsError, add_flags, deprecations, describe, parse_flags, read
from tandem_runtime.tracing_setup import check_tracing
from tandem_runtime.unknown_settings import warnings_of
from tandem_runtime.version import version

from tandem_embedder.model.prepared_model import PreparedModelError, Manifest, read_manifest
from tandem_embedder.cpu_quota import usable_threads
from tandem_embedder.settings import Settings

if TYPE_CHECKING:
    from tandem_embedder.model.verified_load import LoadedModel

log = logging.getLogger("tandem_embedder")


def main() -> int:
    """Run the embedder until a signal; return the exit status: 2 for a bad setting, 1 for a failed start."""
    parser = argparse.ArgumentParser(
        prog="python -m tandem_embedder",
        usage="%(prog)s [-h] [--version] [--FLAG VALUE ...]",
        description="Serve a prepared model. POST /embed turns texts into vectors. Operators get /livez, /readyz and "
        "/metrics.",
        epilog="A flag overrides the variable named beside it. After SIGTERM the embedder answers accepted requests "
        "and stops. Exit status: 0 for success, 1 for a failed start, 2 for a bad setting or argument.",
    )
    parser.add_argument("--version", action="version", version=f"tandem-embedder {version()}")
    flags = parse_flags(parser, add_flags(parser, Settings))
    manifest: Manifest | None = None
    problem: PreparedModelError | None = None
    try:
        settings = read(Settings, os.environ, flags)
        check_tracing("embedder", os.environ, wanted=settings.tracing)
        try:
            manifest = read_manifest(settings.model_dir)
        except PreparedModelError as error:
            problem = error  # the server starts anyway, and /readyz reports the problem
        if manifest is not None:
            try:
                settings.check_model(manifest)
            except ValueError as error:
                raise SettingsError(str(error)) from error
    except SettingsError as error:
        print(f"tandem_embedder: {error}", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    # Until the server listens and handles signals itself, a signal may end the process at once: it has no requests. The
    # handlers are needed because process 1 of a container has no default handlers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_at_once)
    logs.configure("embedder", settings.log_level)
    for line in (*deprecations(Settings, os.environ, flags), *warnings_of(os.environ)):
        log.warning(line)
    settings = settings.with_workers(usable_threads())
    log.info(
        "starting",
        extra={
            "version": version(),
            "model": manifest.model if manifest else None,
            "precision": settings.precision,
            "workers": settings.workers,
            "threads": settings.threads,
            "settings": describe(settings),
        },
    )
    loading = load_in_thread(settings, manifest, settings.threads, problem)
    server = importlib.import_module("tandem_embedder.server")
    status: int = server.serve(settings, manifest, loading)
    log.info("stopped", extra={"status": status})
    return status


def _exit_at_once(number: int, frame: FrameType | None) -> None:
    logs.flush()
    os._exit(0)


def load_in_thread(
    settings: Settings, manifest: Manifest | None, threads: int, problem: PreparedModelError | None
) -> "Future[LoadedModel]":
    """Start to load the model, and return its future; it fails with ``problem`` if there is one."""
    loading: Future[LoadedModel] = Future()
    loading.set_running_or_notify_cancel()  # makes it impossible to cancel, so that the thread can always set it

    def run() -> None:
        try:
            if manifest is None:
                raise problem or PreparedModelError("there is no model")
            loader = importlib.import_module("tandem_embedder.model.load")
            loading.set_result(loader.load_model(settings, manifest, threads))
        except BaseException as error:  # every failure must end the wait for the future
            loading.set_exception(error)

    threading.Thread(target=run, name="load-model", daemon=True).start()
    return loading


if __name__ == "__main__":
    sys.exit(main())
