"""The operators' routes of API keys. They need a key of the role ``admin`` for every collection."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, cast

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody, PathParameter

from tandem_contract.admin_api import Key, KeyList, KeyRequest, KeyUsage, NewKey, UsageList
from tandem_gateway.access import key_administration
from tandem_gateway.access.key_administration import MAX_GRACE_SECONDS
from tandem_gateway.access.token_claims import MAX_CALLER_CHARS
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.asgi_types import scope_of
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.http.body import query_parameters, whole_number
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.clock import rfc3339
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.openapi_operations import KEY_EXAMPLES, RotationByQuery, UsageByQuery, refusals, with_body
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.records.access import ApiKey
from tandem_runtime.request_id import Scope

_PATH: Final = "/v1/admin/keys"
_MAX_BODY_BYTES: Final = 64 << 10

_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_KeyId = Annotated[str, PathParameter(description="Id of the key.")]


@post(
    _PATH,
    status_code=201,
    operation_id="create_key",
    operation_class=with_body(KeyRequest, KEY_EXAMPLES),
    summary="Make an API key.",
    response_description="The key. Its text is shown this once.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 500, 503),
    request_max_body_size=_MAX_BODY_BYTES,
)
async def create_key(data: JSONBody[KeyRequest], gateway: NamedDependency[CallerGateway]) -> NewKey:
    """Make a key."""
    wanted = key_administration.NewKey(
        data.name, data.role, data.collections, data.expires_in_seconds, data.filter, data.limits
    )
    return _new(*await gateway.keys().create(wanted))


@get(
    _PATH,
    operation_id="list_keys",
    summary="List the API keys, without their texts.",
    response_description="All keys, the revoked ones included.",
    responses=refusals(403, 404, 500, 503),
)
async def list_keys(gateway: NamedDependency[CallerGateway]) -> KeyList:
    """Return the keys."""
    return KeyList([Key(**_fields(key)) for key in await gateway.keys().keys()])


@delete(
    f"{_PATH}/{{key_id:str}}",
    status_code=200,
    operation_id="revoke_key",
    summary="Revoke an API key for ever.",
    response_description="The key.",
    responses=refusals(403, 404, 500, 503),
)
async def revoke_key(key_id: _KeyId, gateway: NamedDependency[CallerGateway]) -> Key:
    """Revoke a key."""
    return Key(**_fields(await gateway.keys().revoke(key_id)))


@post(
    f"{_PATH}/{{key_id:str}}/rotate",
    status_code=200,
    opt={QUERY: ("grace_seconds",)},
    operation_id="rotate_key",
    operation_class=RotationByQuery,
    summary="Give an API key a new text.",
    response_description="The key with its new text, which is shown this once.",
    responses=refusals(403, 404, 422, 500, 503),
)
async def rotate_key(
    key_id: _KeyId, request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]
) -> NewKey:
    """Rotate a key."""
    keys = gateway.keys()
    given = query_parameters(scope_of(request), "grace_seconds")
    grace = whole_number(given, "grace_seconds", 0, 0, MAX_GRACE_SECONDS)
    return _new(*await keys.rotate(key_id, grace))


@get(
    "/v1/admin/usage",
    opt={QUERY: ("from", "to", "key")},
    operation_id="list_usage",
    operation_class=UsageByQuery,
    summary="Show what the API keys used, by day.",
    response_description="The usage up to now; a day on which a key used nothing is left out.",
    responses=refusals(403, 404, 422, 500, 503),
)
async def list_usage(request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]) -> UsageList:
    """Return the usage."""
    keys = gateway.keys()
    given = query_parameters(scope_of(request), "from", "to", "key")
    today = datetime.now(UTC).date()
    last = _day(given, "to", today)
    first = _day(given, "from", last)
    key = given.get("key")
    if key is not None and not 1 <= len(key) <= MAX_CALLER_CHARS:
        raise InvalidRequest(f"key: 1 to {MAX_CALLER_CHARS} characters were expected", param="key")
    used = await keys.usage((first - _EPOCH).days, (last - _EPOCH).days, key)
    return UsageList(
        [
            KeyUsage((_EPOCH + timedelta(day)).isoformat(), caller, usage.requests, usage.tokens, usage.documents)
            for (day, caller), usage in used.items()
        ]
    )


def _day(given: Mapping[str, str], name: str, default: date) -> date:
    text = given.get(name)
    if text is None:
        return default
    try:
        if _DAY.fullmatch(text) is None:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{name}: a day such as 2026-01-31 was expected", param=name) from None


def keys_router(gateway: Gateway) -> Router:
    """Return the routes; a guard checks the caller before a body is read."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        gateway.keys(principal_of(cast(Scope, connection.scope)))

    return Router(
        "/",
        route_handlers=[create_key, list_keys, revoke_key, rotate_key, list_usage],
        guards=[guard],
        tags=["operators"],
    )


def _new(key: ApiKey, text: str) -> NewKey:
    return NewKey(**_fields(key), key=text)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "collections": list(key.collections),
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339(key.expires_at),
        "last_used_at": rfc3339(key.last_used_at),
        "revoked_at": rfc3339(key.revoked_at),
        "filter": None if key.filter is None else msgspec.json.decode(key.filter),
        "limits": None if key.limits is None else [str(limit) for limit in key.limits],
    }
