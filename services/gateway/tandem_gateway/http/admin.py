"""The operators' routes: show and set the shares of traffic of the stable and the canary embedders."""

import hmac
from typing import Any, Final, cast

from litestar import Router, get, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard

from tandem_contract.admin_api import Pool, Replica, RollBack, Traffic, TrafficChange
from tandem_gateway.access.audit import ADMIN_TOKEN
from tandem_gateway.access.principal import check_everything
from tandem_gateway.access.trail import note
from tandem_gateway.errors import NotFound, Unauthorized
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.http.clock import rfc3339
from tandem_gateway.http.openapi_operations import OPERATOR, TRAFFIC_EXAMPLES, refusals, with_body
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.records.embedders import PoolState
from tandem_gateway.use_cases.canary.evaluation import CallStats
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tandem_runtime.request_id import Scope, header

_PATH: Final = "/v1/admin/traffic"
_MAX_BODY_BYTES: Final = 4096
_SCHEME: Final = b"bearer"


@get(
    _PATH,
    operation_id="get_traffic",
    summary="Return the shares of embedder calls of the stable pool and the canary.",
    response_description="The shares and both pools.",
    responses=refusals(401, 403, 404),
)
async def show(traffic: NamedDependency[TrafficSharing]) -> Traffic:
    """Return the shares and the pools."""
    return _traffic(traffic)


@put(
    _PATH,
    operation_id="set_traffic",
    operation_class=with_body(TrafficChange, TRAFFIC_EXAMPLES),
    summary="Change the canary's share until the next change, rollback or start.",
    response_description="The new shares and both pools.",
    responses=refusals(400, 401, 403, 404, 408, 413, 415, 422),
    request_max_body_size=_MAX_BODY_BYTES,
)
async def change(data: JSONBody[TrafficChange], traffic: NamedDependency[TrafficSharing]) -> Traffic:
    """Change the shares."""
    await traffic.change(data.canary_weight, data.shadow_percent)
    return _traffic(traffic)


def operators_router(token: str, gateway: Gateway) -> Router:
    """Return the operators' routes.

    Requests must bear ``token`` or, while access control is on, a key of the role ``admin`` for every collection. An
    empty token without access control turns the routes off.
    """
    return Router(
        "/",
        route_handlers=[show, change],
        guards=[operator_guard(token, gateway)],
        security=[{OPERATOR: []}],
        tags=["operators"],
    )


def operator_guard(token: str, gateway: Gateway) -> Guard:
    """Return a guard that checks the caller or the bearer token, before the body is read.

    It is a coroutine function although it waits for nothing: Litestar would run another function in a thread.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        scope = cast(Scope, connection.scope)
        principal = principal_of(scope)
        if principal is not None:
            check_everything(principal, "admin")
            return
        if not token:
            if gateway.access is not None and gateway.access.on:
                raise Unauthorized("authorization: an API key with the role 'admin' for every collection was expected")
            raise NotFound("the operators' API is off: TANDEM_ADMIN_TOKEN is not set", param="path")
        shown = header(scope, b"authorization") or b""
        scheme, _, credentials = shown.partition(b" ")
        # Constant-time comparison: its duration must not reveal how much of the token is right.
        if not hmac.compare_digest(credentials.strip(), token.encode()) or scheme.lower() != _SCHEME:
            raise Unauthorized("authorization: a bearer token that is TANDEM_ADMIN_TOKEN was expected")
        note(by=ADMIN_TOKEN)

    return guard


def _traffic(traffic: TrafficSharing) -> Traffic:
    state = traffic.state()
    rolled_back = state.last_roll_back
    return Traffic(
        canary_weight=state.canary_weight,
        shadow_percent=state.shadow_percent,
        stable=_pool(state.stable, state.evidence.stable),
        canary=_pool(state.canary, state.evidence.canary) if state.canary is not None else None,
        compared_texts=state.evidence.texts,
        cosine_p5=state.evidence.cosine,
        last_roll_back=None
        if rolled_back is None
        else RollBack(rfc3339(rolled_back.at) or "", rolled_back.reason, rolled_back.detail, rolled_back.canary_weight),
    )


def _pool(state: PoolState, figures: CallStats) -> Pool:
    return Pool(
        [Replica(replica.label, replica.status, replica.in_flight, replica.fingerprint) for replica in state.replicas],
        figures.calls,
        figures.errors,
        None if figures.p95 is None else round(figures.p95 * 1000, 3),
    )
