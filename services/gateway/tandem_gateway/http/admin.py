"""The operators' routes: show and set the shares of traffic of the stable and the canary embedders."""

import hmac

import msgspec

from tandem_contract.admin_api import Pool, Replica, RollBack, Traffic, TrafficChange
from tandem_gateway.errors import NotFound, Unauthorized
from tandem_gateway.http.body import header, read_json
from tandem_gateway.http.clock import rfc3339
from tandem_gateway.http.errors import reply_to
from tandem_gateway.records.embedders import PoolState
from tandem_gateway.use_cases.canary.evaluation import CallStats
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tandem_runtime.http import Endpoint, Reply
from tandem_runtime.request_id import Receive, Scope

_MAX_BODY_BYTES = 4096
_SCHEME = b"bearer"

_encoder = msgspec.json.Encoder()
_change_decoder = msgspec.json.Decoder(TrafficChange)


def admin_endpoints(traffic: CanaryRouter, token: str) -> list[Endpoint]:
    """Return the operators' endpoints. Requests must bear ``token``; an empty token turns the endpoints off."""

    async def show(scope: Scope, receive: Receive) -> Reply:
        _authorize(scope, token)
        return Reply(200, _encoder.encode(_traffic(traffic)))

    async def change(scope: Scope, receive: Receive) -> Reply:
        _authorize(scope, token)
        wanted = await read_json(scope, receive, _change_decoder, _MAX_BODY_BYTES)
        traffic.change(wanted.canary_weight, wanted.shadow_percent)
        return Reply(200, _encoder.encode(_traffic(traffic)))

    return [Endpoint("/v1/admin/traffic", {"GET": show, "PUT": change}, reply_to)]


def _authorize(scope: Scope, token: str) -> None:
    """Check the bearer token.

    Raises:
        NotFound: no token is configured, so the operators' API is off.
        Unauthorized: the request has no token or a wrong one.
    """
    if not token:
        raise NotFound("the operators' API is off: TANDEM_ADMIN_TOKEN is not set", param="path")
    scheme, _, shown = (header(scope, b"authorization") or b"").partition(b" ")
    # Constant-time comparison: its duration must not reveal how much of the token is right.
    if not hmac.compare_digest(shown.strip(), token.encode()) or scheme.lower() != _SCHEME:
        raise Unauthorized("authorization: a bearer token that is TANDEM_ADMIN_TOKEN was expected")


def _traffic(traffic: CanaryRouter) -> Traffic:
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
