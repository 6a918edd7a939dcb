"""The service itself, API keys, usage and the canary's traffic."""

from collections.abc import Mapping, Sequence
from typing import Any

from tandem_client.call import Call, as_object, as_text, body_of, field_of, known, part, reply_of
from tandem_contract.admin_api import (
    Key,
    KeyList,
    KeyRequest,
    KeyRole,
    KeyUsage,
    NewKey,
    Traffic,
    TrafficChange,
    UsageList,
)
from tandem_contract.client_api import About, Health, Probe
from tandem_contract.compatible.openai import Model, ModelList

_ABOUT = reply_of(About)
_HEALTH = reply_of(Health)
_PROBE = reply_of(Probe)
_MODELS = field_of(ModelList, lambda reply: reply.data)
_KEYS = field_of(KeyList, lambda reply: reply.keys)
_KEY = reply_of(Key)
_NEW_KEY = reply_of(NewKey)
_USAGE = field_of(UsageList, lambda reply: reply.usage)
_TRAFFIC = reply_of(Traffic)


def about() -> Call[About]:
    """Return the name of the service and its version."""
    return Call("GET", "/", _ABOUT, headers={"accept": "application/json"})


def health() -> Call[Health]:
    """Tell how the gateway is; raises Unavailable if its store cannot be read."""
    return Call("GET", "/healthz", _HEALTH)


def ready() -> Call[Probe]:
    """Return at once if the gateway serves requests; raises Unavailable or NotConnected if not."""
    return Call("GET", "/readyz", _PROBE)


def models() -> Call[list[Model]]:
    """Return the served model under each of its names."""
    return Call("GET", "/v1/models", _MODELS)


def metrics() -> Call[str]:
    """Return the metrics in Prometheus' text format."""
    return Call("GET", "/metrics", as_text)


def openapi() -> Call[dict[str, Any]]:
    """Return the OpenAPI document of the API, with the limits in force."""
    return Call("GET", "/openapi.json", as_object)


def keys() -> Call[list[Key]]:
    """Return all API keys, the revoked ones included."""
    return Call("GET", "/v1/admin/keys", _KEYS)


def create_key(
    name: str,
    role: KeyRole,
    *,
    collections: Sequence[str] = ("*",),
    filter: Mapping[str, Any] | None = None,
    expires_in_seconds: int | None = None,
    limits: Sequence[str] | None = None,
) -> Call[NewKey]:
    """Make an API key; its text is in ``key``, and the gateway never shows it again.

    Args:
        name: tells the key apart in lists and logs.
        role: ``search``, ``ingest`` or ``admin``; each includes those before it.
        collections: globs of the collections that it may use.
        filter: fields of metadata and their values: it uses the documents that have them.
        expires_in_seconds: its life; None for a key that does not expire.
        limits: such as ``requests=100/minute``; None for the limits of all keys, an empty list for none.
    """
    request = KeyRequest(
        name=name,
        role=role,
        collections=list(collections),
        expires_in_seconds=expires_in_seconds,
        filter=None if filter is None else dict(filter),
        limits=None if limits is None else list(limits),
    )
    return Call("POST", "/v1/admin/keys", _NEW_KEY, body=body_of(request), repeatable=False)


def rotate_key(key_id: str, *, grace_seconds: int | None = None) -> Call[NewKey]:
    """Give an API key a new text; the old one works for ``grace_seconds`` more."""
    path = f"/v1/admin/keys/{part(key_id, 'key_id')}/rotate"
    return Call("POST", path, _NEW_KEY, params=known(grace_seconds=grace_seconds), repeatable=False)


def revoke_key(key_id: str) -> Call[Key]:
    """Revoke an API key; again for a revoked key changes nothing."""
    return Call("DELETE", f"/v1/admin/keys/{part(key_id, 'key_id')}", _KEY)


def usage(*, first: str | None = None, last: str | None = None, key: str | None = None) -> Call[list[KeyUsage]]:
    """Return what the API keys used, by day in UTC.

    Args:
        first: a day such as ``2026-01-31``; None for ``last``.
        last: a day; None for today.
        key: id of a key; None for all keys.
    """
    params = known(to=last, key=key) | ({} if first is None else {"from": first})
    return Call("GET", "/v1/admin/usage", _USAGE, params=params)


def traffic() -> Call[Traffic]:
    """Return the replicas of both pools of embedders, and the canary's share."""
    return Call("GET", "/v1/admin/traffic", _TRAFFIC)


def set_traffic(canary_weight: int, *, shadow_percent: int | None = None) -> Call[Traffic]:
    """Change the canary's share of the calls, and the share of queries that it gets for comparison, in percent."""
    change = TrafficChange(canary_weight=canary_weight, shadow_percent=shadow_percent)
    return Call("PUT", "/v1/admin/traffic", _TRAFFIC, body=body_of(change))
