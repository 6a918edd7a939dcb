"""Builds the routes, and puts them behind access control, host checks, metrics, access log and request ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tandem_gateway.access.control import AccessControl
from tandem_gateway.composition.mcp import build_mcp
from tandem_gateway.composition.use_cases import request_limits
from tandem_gateway.http.auditing import AuditLog, Operations
from tandem_gateway.http.authentication import authenticated
from tandem_gateway.http.coding.layer import coded
from tandem_gateway.http.compatible.errors import with_shaped_errors
from tandem_gateway.http.compatible.service import EmbeddingService
from tandem_gateway.http.console import read_console, with_console
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.http.form import FormLimits
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.litestar_app import Lifespan, make_litestar, routed_exactly
from tandem_gateway.http.metering import metered
from tandem_gateway.http.positions import positioned
from tandem_gateway.http.routes import hot_endpoints
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.metrics.embeddings import EmbeddingMetrics
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tandem_runtime.access_log import AccessLog
from tandem_runtime.cors import CrossOrigin
from tandem_runtime.edge import Observer, edge
from tandem_runtime.http import Endpoint, route_by_path
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.origin import OriginRules, allowed_hosts
from tandem_runtime.request_id import AsgiApp
from tandem_runtime.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoints and the application that serve requests.

    Attributes:
        hot: endpoints of fixed paths, which are served before Litestar.
        others: application that serves every other path, and the lifespan.
        operations: the operations of all routes, for the audit log; None for no such log.
        tracer: records a span of each request; None records none.
    """

    hot: Sequence[Endpoint]
    others: AsgiApp
    operations: Operations | None = None
    tracer: Tracer | None = None


def build_routes(
    gateway: Gateway,
    settings: Settings,
    memory: MemoryBudget,
    lifespan: Lifespan,
    traffic: TrafficSharing | None = None,
    metrics: EmbeddingMetrics | None = None,
) -> Routes:
    """Build the routes.

    Args:
        gateway: the gateway.
        settings: settings with the limits of requests and the operators' token.
        memory: memory budget of all requests.
        lifespan: starts and stops the gateway.
        traffic: what operators change; None leaves their routes out.
        metrics: of requests for vectors; None counts none.

    Raises:
        SettingsError: MCP is on, and its package is not installed.
    """
    limits = request_limits(settings)
    bodies = BodyLimits(
        settings.max_body_bytes,
        settings.max_search_body_bytes,
        settings.max_answer_bytes,
        memory,
        min(settings.max_rerank_body_bytes, settings.max_bytes_in_flight // 2),
    )
    reader = IngestReader(limits, timeout=settings.write_timeout)
    form_limits = FormLimits(settings.max_files, settings.max_file_bytes, settings.max_metadata_bytes)
    embedding = EmbeddingService(gateway, bodies, metrics)
    operators = None if traffic is None else (traffic, settings.admin_token)
    hot = hot_endpoints(gateway, bodies, embedding)
    mcp = build_mcp(gateway, settings, bodies, lifespan)
    if mcp is not None:
        hot.append(mcp.endpoint)
        lifespan = mcp.lifespan
    litestar = make_litestar(gateway, limits, bodies, reader, form_limits, operators, lifespan, embedding=embedding)
    others = {} if mcp is None else {("POST", mcp.endpoint.template): "mcp"}
    routed = routed_exactly(litestar)
    if settings.console:
        routed = with_console(routed, read_console())
    return Routes(hot, routed, Operations(ExactPaths(litestar.routes), others))


def compose_app(
    routes: Routes,
    settings: Settings,
    memory: MemoryBudget,
    metrics: Metrics,
    log: AccessLog | None,
    access: AccessControl | None = None,
    audit: AuditLog | None = None,
    *,
    position: Callable[[], StorePosition | None] = lambda: None,
) -> AsgiApp:
    """Put the routes behind content codings, access control, host checks, metrics, access log and request ids.

    Args:
        routes: the routes.
        settings: settings with the allowed hosts and origins, and of the compression.
        memory: memory budget of all requests.
        metrics: metrics that observe each request.
        log: the access log; None if it is off.
        access: the API keys; None for a gateway without access control.
        audit: the audit log; None if it is off.
        position: returns what knows the store's position; None while the store is not open.
    """
    apps: dict[str, AsgiApp] = {endpoint.template: endpoint for endpoint in routes.hot}
    observers: list[Observer] = [metrics.requests.observe] if log is None else [metrics.requests.observe, log.record]
    if audit is not None:
        observers.append(audit.record)
    hosts = allowed_hosts(settings.host, settings.allowed_hosts)
    cors = CrossOrigin(frozenset(settings.cors_origins), "TANDEM_CORS_ORIGINS") if settings.cors_origins else None
    origin = OriginRules(hosts, "TANDEM_ALLOWED_HOSTS", cors)
    app = coded(
        route_by_path(apps, routes.others),
        memory,
        discarded=settings.max_body_bytes,
        minimum=settings.compress_min_bytes,
    )
    app = positioned(app, position)
    if access is not None:
        if access.metering is not None:
            app = metered(app, access.metering)
        role_of = routes.operations.role if routes.operations is not None else lambda method, path: None
        app = authenticated(
            app,
            access,
            open_metrics=not settings.metrics_key,
            refused=metrics.access.refused,
            role_of=role_of,
        )
    if audit is not None:
        app = audit.traced(app)
    return with_shaped_errors(edge(app, origin=origin, cors=cors, observers=observers, tracer=routes.tracer))
