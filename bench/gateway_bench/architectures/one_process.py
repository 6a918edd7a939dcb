"""Architecture B: gateway and embedder in one process, with the same code and ``Embedder`` port, without HTTP between.

The benchmark measures it to show the cost and the gain of two services; it is no way to run Tandem. It is the only
module of the benchmark that imports both services, and no service knows it::

    python -m gateway_bench.architectures.one_process      # settings as for the two services

The order of the imports matters: onnxruntime 1.31 crashes at its import if usearch 2.26 was imported before.
"""

import tandem_embedder.process_setup  # noqa: F401, I001 - before anything that loads a native library
from tandem_embedder.model.load import load_model  # loads onnxruntime
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager

import msgspec

from tandem_contract.embed import Chunking, EmbedRequest, Kind, Priority
from tandem_runtime import logs
from tandem_runtime.access_log import make_access_log
from tandem_runtime.http import Endpoint, Reply
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.request_id import AsgiApp, Receive, Scope
from tandem_runtime.serving.connection_limit import ConnectionLimit
from tandem_runtime.serving.server import DrainingServer
from tandem_runtime.settings import SettingsError, read
from tandem_embedder import errors as embedder_errors
from tandem_embedder.model.prepared_model import PreparedModelError, read_manifest
from tandem_embedder.cpu_quota import usable_threads
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.lifecycle import Service
from tandem_embedder.settings import Settings as EmbedderSettings
from tandem_gateway import __version__
from tandem_gateway import errors as gateway_errors
from tandem_gateway.composition.routes import Routes, build_routes, compose_app
from tandem_gateway.composition.storage import open_store
from tandem_gateway.composition.use_cases import build_use_cases
from tandem_gateway.http.errors import reply_to
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.records.chunking import Span, Split
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.lifecycle import Gateway, RetentionPolicy
from tandem_gateway.settings import Settings as GatewaySettings
from tandem_gateway.use_cases.snapshotting import SnapshotPolicy

MODEL_READY_PATH = "/model/readyz"


class InProcessEmbedder:
    """Implements the gateway's ``Embedder`` port over an embedder's service in the same event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.replicas = 1
        self.model_tokens = None

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind,
        priority: Priority,
        timeout: float,
        fingerprint: str | None = None,
        split: Split | None = None,
    ) -> Embeddings:
        """Return the vectors of texts; the errors are those of the HTTP adapter."""
        request = EmbedRequest(texts=list(texts), kind=kind, priority=priority)
        if split is not None:
            chunking = Chunking(split.chunking.max_tokens, split.chunking.overlap_tokens, split.format)
            request = msgspec.structs.replace(request, chunking=chunking)
        try:
            embedded = await self._service.embed(request, timeout)
        except embedder_errors.Overloaded as error:
            raise gateway_errors.Overloaded(error.message, retry_after=error.retry_after_seconds or 1.0) from error
        except embedder_errors.DeadlineExceeded as error:
            raise gateway_errors.DeadlineExceeded(error.message) from error
        except embedder_errors.NotReady as error:
            raise gateway_errors.EmbedderUnavailable(error.message) from error
        except (embedder_errors.InvalidText, embedder_errors.LimitExceeded) as error:
            raise gateway_errors.EmbedderRejected(error.message) from error
        except embedder_errors.EmbedderError as error:
            raise gateway_errors.EmbedderBroken(error.message) from error
        coverages = list(map(Coverage, embedded.truncated, embedded.unknown))
        model, fingerprint = self._service.model, self._service.fingerprint
        spans: list[list[Span]] | None = None
        if isinstance(embedded.passages, list):
            spans = [[] for _ in texts]
            for passage in embedded.passages:
                spans[passage.text].append(Span(passage.start, passage.end))
        return Embeddings(embedded.vectors, model, fingerprint, coverages, embedded.tokens, spans)

    async def ready(self, *, timeout: float) -> bool:
        """Return whether the model is loaded."""
        return self._service.readiness.is_ready


def make_app(gateway_settings: GatewaySettings, service: Service) -> AsgiApp:
    """Return gateway and embedder as one ASGI application."""
    metrics = Metrics(__version__)
    memory = MemoryBudget(gateway_settings.max_bytes_in_flight, "TANDEM_MAX_BYTES_IN_FLIGHT")
    metrics.requests.watch_memory(memory)
    embedder = InProcessEmbedder(service)
    gateway = Gateway(
        lambda: open_store(gateway_settings, metrics, memory),
        lambda storage: build_use_cases(gateway_settings, storage, embedder, metrics),
        embedder,
        metrics,
        pools=(),
        snapshot_policy=SnapshotPolicy(gateway_settings.snapshot_changes, gateway_settings.snapshot_seconds),
        retention=RetentionPolicy(gateway_settings.job_retention, gateway_settings.failed_document_seconds),
    )
    log = make_access_log("gateway", wanted=gateway_settings.access_log)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        service.start()
        gateway.start(lambda: os._exit(1))
        try:
            yield
        finally:
            await gateway.stop()
            await service.stop()
            if log is not None:
                log.flush()

    async def model_ready(scope: Scope, receive: Receive) -> Reply:
        return Reply(200 if service.readiness.is_ready else 503, service.readiness.reason.encode(), b"text/plain")

    routes = build_routes(gateway, gateway_settings, memory, lifespan)
    ready = Endpoint(MODEL_READY_PATH, {"GET": model_ready}, reply_to)
    return compose_app(Routes([*routes.hot, ready], routes.others), gateway_settings, memory, metrics, log)


def main() -> int:
    """Serve until a signal; return the exit status."""
    try:
        gateway_settings = read(GatewaySettings, os.environ)
        embedder_settings = read(EmbedderSettings, os.environ).with_workers(usable_threads())
        manifest = read_manifest(embedder_settings.model_dir)
    except (SettingsError, PreparedModelError) as error:
        sys.stderr.write(f"one_process: {error}\n")
        return 2
    logs.configure("one-process", gateway_settings.log_level)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    loading: Future[LoadedModel] = Future()
    loading.set_result(load_model(embedder_settings, manifest, embedder_settings.threads))
    service = Service(embedder_settings, manifest, loading)
    DrainingServer(
        make_app(gateway_settings, service),
        host=gateway_settings.host,
        port=gateway_settings.port,
        shutdown_timeout=gateway_settings.shutdown_timeout,
        on_signal=service.readiness.draining,
        connections=ConnectionLimit(gateway_settings.max_connections, "TANDEM_MAX_CONNECTIONS"),
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
