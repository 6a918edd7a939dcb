"""The gateway's name, health, probes and metrics."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from tandem_contract.client_api import About, Health, Probe
from tandem_gateway import __version__
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.messages import health_reply
from tandem_gateway.http.openapi_operations import refusals
from tandem_gateway.metrics.gateway import CONTENT_TYPE as METRICS_TYPE
from tandem_runtime.http import Reply


@get(
    "/",
    operation_id="about",
    summary="Return the name and the version of the service, and the path of its documentation.",
    response_description="The service.",
    responses=refusals(403),
)
async def about() -> About:
    """Tell which service this is."""
    return About("tandem-gateway", __version__, "/docs")


@get(
    "/healthz",
    opt={QUERY: ()},
    operation_id="health",
    summary="Return the health of the gateway.",
    response_description="The health; `status` is not `failed`.",
    # A gateway that cannot start replies in the same format.
    responses={
        **refusals(403, 422),
        503: ResponseSpec(Health, generate_examples=False, description="The health; `status` is `failed`."),
    },
)
async def healthz(gateway: NamedDependency[CallerGateway]) -> Response[Health]:
    """Return the gateway's health."""
    health = health_reply(await gateway.health())
    return Response(health, status_code=503 if health.status == "failed" else 200)


@get(
    "/livez",
    operation_id="alive",
    summary="Answer while the process runs.",
    response_description="The process runs.",
    responses=refusals(403),
)
async def livez() -> Probe:
    """Tell that the process runs."""
    return Probe("alive")


@get(
    "/readyz",
    operation_id="ready",
    summary="Answer 200 once requests are served.",
    response_description="The gateway serves requests.",
    responses=refusals(403, 503),
)
async def readyz(gateway: NamedDependency[CallerGateway]) -> Probe:
    """Tell whether to send traffic."""
    gateway.check_ready()
    return Probe("ready")


@get(
    "/metrics",
    operation_id="metrics",
    summary="Return the metrics for Prometheus.",
    response_description="The metrics in Prometheus' text format.",
    media_type="text/plain",
    responses=refusals(403, 500, 503),
)
async def metrics(gateway: NamedDependency[CallerGateway]) -> Response[str]:
    """Return what Prometheus scrapes."""
    return Sent(Reply(200, await gateway.exposition(), METRICS_TYPE.encode()))


PROBES: Final = (about, healthz, livez, readyz, metrics)
