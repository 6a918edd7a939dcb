"""The gateway's API for operators: API keys, and the traffic between two pools of embedders."""

from typing import Any, Literal

import msgspec

ReplicaStatus = Literal["serving", "ejected", "draining"]
RollBackReason = Literal["errors", "latency", "parity"]


class TrafficChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/admin/traffic``; both are in percent, from 0 to 100."""

    canary_weight: int
    """Share of the calls that the canary answers."""
    shadow_percent: int | None = None
    """Share of stable's queries that the gateway also sends to the canary, for comparison; unchanged if null."""


class Replica(msgspec.Struct, frozen=True):
    """One embedder of a pool."""

    address: str
    """Address of the embedder."""
    status: ReplicaStatus
    """``serving``: it gets calls. ``ejected``: it failed, and gets none for a while. ``draining``: it only finishes
    its calls, because its name no longer resolves to it."""
    calls_in_flight: int
    """Number of calls that it has not answered yet."""
    fingerprint: str | None
    """Fingerprint of its model, as it last said at /readyz or with an answer; null if it is unknown."""


class Pool(msgspec.Struct, frozen=True):
    """A pool of embedders, and its calls in the observation window (counted only while a canary is in use)."""

    replicas: list[Replica]
    """The embedders of the pool."""
    calls: int
    """Number of calls in the window."""
    errors: int
    """Number of these calls that failed."""
    p95_ms: float | None
    """95th percentile of the duration of query calls; null without any."""


class RollBack(msgspec.Struct, frozen=True):
    """A rollback: the gateway took the canary's traffic away; ``at`` is RFC 3339 in UTC."""

    at: str
    """When the rollback happened, as RFC 3339 in UTC."""
    reason: RollBackReason
    """What was worse than in the stable pool: ``errors``, ``latency``, or ``parity`` of the vectors."""
    detail: str
    """The figures behind the reason, for a person."""
    canary_weight: int
    """The weight before the rollback."""


class Traffic(msgspec.Struct, frozen=True):
    """``GET /v1/admin/traffic``, and the reply to a change."""

    canary_weight: int
    """Share of the calls that the canary answers, in percent."""
    shadow_percent: int
    """Share of stable's queries that the gateway also sends to the canary, in percent."""
    stable: Pool
    """The pool that serves."""
    canary: Pool | None
    """Null if no canary is configured."""
    compared_texts: int = 0
    """Number of texts in the window for which the gateway compared both pools' vectors."""
    cosine_p5: float | None = None
    """5th percentile of the cosines between both pools' vectors; null without any."""
    last_roll_back: RollBack | None = None
    """The last rollback; null if there was none."""


KeyRole = Literal["search", "ingest", "admin"]
"""The roles in order: each includes those before it."""


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/admin/keys``."""

    name: str
    """Tells the key apart in lists and logs."""
    role: KeyRole
    """``search`` reads and searches, ``ingest`` also writes, ``admin`` may do everything."""
    collections: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """Globs of the collections that the key may use: ``*`` is any run of characters, ``?`` is one."""
    expires_in_seconds: int | None = None
    """Life of the key; null for a key that does not expire."""
    filter: dict[str, Any] | None = None
    """Fields of metadata and their values: the key uses the documents that have them. Null for all documents."""
    limits: list[str] | None = None
    """Limits such as ``requests=100/minute``; null for the limits of all keys, an empty list for none."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text; times are RFC 3339 in UTC."""

    id: str
    """Id of the key."""
    name: str
    """Name of the key."""
    role: KeyRole
    """``search`` reads and searches, ``ingest`` also writes, ``admin`` may do everything."""
    collections: list[str]
    """Globs of the collections that the key may use."""
    created_at: str
    """When the key was made, as RFC 3339 in UTC."""
    expires_at: str | None
    """Null for a key that does not expire."""
    last_used_at: str | None
    """Null for a key that was not used yet; it may lag by a minute after a crash."""
    revoked_at: str | None
    """Null for a key that is not revoked."""
    filter: dict[str, Any] | None = None
    """Fields of metadata and their values: the key uses the documents that have them. Null for all documents."""
    limits: list[str] | None = None
    """The key's own limits; null for the limits of all keys, an empty list for none."""


class NewKey(Key, frozen=True, kw_only=True):
    """The reply to the creation and to the rotation of a key."""

    key: str
    """The text of the key, which the gateway does not keep and never shows again."""


class KeyList(msgspec.Struct, frozen=True):
    """``GET /v1/admin/keys``: all keys in the order of their creation, the revoked ones included."""

    keys: list[Key]
    """All keys in the order of their creation."""


class KeyUsage(msgspec.Struct, frozen=True):
    """What a caller used in a day."""

    day: str
    """In UTC, such as ``2026-01-31``."""
    key: str
    """Id of the API key; ``other`` for callers beyond the limit on those that are told apart."""
    requests: int
    """Requests, without those that a limit refused."""
    tokens: int
    """Tokens that the model read: of queries, texts and documents."""
    documents: int
    """Documents accepted."""


class UsageList(msgspec.Struct, frozen=True):
    """``GET /v1/admin/usage``, by day and key; a day on which a key used nothing is left out."""

    usage: list[KeyUsage]
    """Usage by day and key."""
