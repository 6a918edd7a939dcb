"""Composition root of the HTTP side: combine routes, service and wrappers into one ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tandem_contract.embed import PATH
from tandem_embedder.api.embed_route import BodyLimits, EmbedRoute
from tandem_embedder.api.probes import probes
from tandem_embedder.lifecycle import Service
from tandem_embedder.settings import Settings
from tandem_runtime.access_log import make_access_log
from tandem_runtime.edge import edge
from tandem_runtime.http import not_found, route_by_path
from tandem_runtime.lifespan import with_lifespan
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.origin import OriginRules, allowed_hosts
from tandem_runtime.renewal import renewing
from tandem_runtime.request_id import AsgiApp
from tandem_runtime.server_tls import ServerTls, TlsEvents
from tandem_runtime.token_guard import require_token, token_refusal
from tandem_runtime.tokens import Tokens
from tandem_runtime.tracing import Tracer
from tandem_runtime.tracing_setup import CLOSE_SECONDS


def make_app(
    service: Service,
    settings: Settings,
    tokens: Tokens | None = None,
    tls: ServerTls | None = None,
    tracer: Tracer | None = None,
) -> AsgiApp:
    """Return the embedder as an ASGI application; its lifespan starts and drains ``service``.

    Args:
        service: the embedder.
        settings: its settings.
        tokens: tokens that callers must show; None serves every caller. The probes stay open.
        tls: certificate of the server, to renew and to report; None serves plain HTTP.
        tracer: records a span of each request; None records none.
    """
    tokens = tokens or Tokens()
    renewals = tokens.renewals()
    if tls is not None:
        metrics = service.metrics
        tls.watch(TlsEvents(metrics.tls_expires, metrics.tls_reloaded, metrics.tls_handshake_failed))
        renewals.append(tls.renew)
    log = make_access_log("embedder", wanted=settings.access_log)
    memory = MemoryBudget(settings.max_bytes_in_flight, "TANDEM_EMBEDDER_MAX_BYTES_IN_FLIGHT")
    service.metrics.watch_memory(memory)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        service.start()
        try:
            async with renewing(renewals):
                yield
        finally:
            await service.stop()
            if log is not None:
                log.flush()
            if tracer is not None:
                await asyncio.to_thread(tracer.close, CLOSE_SECONDS)

    work: dict[str, AsgiApp] = {
        PATH: EmbedRoute(service, service.metrics, BodyLimits(settings.max_body_bytes, memory)),
    }
    refuse = token_refusal("TANDEM_EMBEDDER_TOKEN")
    routes: dict[str, AsgiApp] = {
        **{path: require_token(app, tokens, refuse, service.metrics.unauthorized) for path, app in work.items()},
        **{endpoint.template: endpoint for endpoint in probes(service, tokens)},
    }
    origin = OriginRules(allowed_hosts(settings.host, settings.allowed_hosts), "TANDEM_EMBEDDER_ALLOWED_HOSTS")
    observers = [log.record] if log is not None else []
    app = edge(route_by_path(routes, not_found), origin=origin, observers=observers, tracer=tracer)
    return with_lifespan(app, running())
