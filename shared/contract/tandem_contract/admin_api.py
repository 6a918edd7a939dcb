"""The gateway's API for operators: it splits traffic between two pools of embedders."""

from typing import Literal

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
    status: ReplicaStatus
    calls_in_flight: int
    fingerprint: str | None
    """Fingerprint of its model, as it last said at /readyz or with an answer; null if it is unknown."""


class Pool(msgspec.Struct, frozen=True):
    """A pool of embedders, and its calls in the observation window (counted only while a canary is in use)."""

    replicas: list[Replica]
    calls: int
    errors: int
    p95_ms: float | None
    """95th percentile of the duration of query calls; null without any."""


class RollBack(msgspec.Struct, frozen=True):
    """A rollback: the gateway took the canary's traffic away; ``at`` is RFC 3339 in UTC."""

    at: str
    reason: RollBackReason
    detail: str
    canary_weight: int
    """The weight before the rollback."""


class Traffic(msgspec.Struct, frozen=True):
    """``GET /v1/admin/traffic``, and the reply to a change."""

    canary_weight: int
    shadow_percent: int
    stable: Pool
    canary: Pool | None
    """Null if no canary is configured."""
    compared_texts: int = 0
    """Number of texts in the window for which the gateway compared both pools' vectors."""
    cosine_p5: float | None = None
    """5th percentile of the cosines between both pools' vectors; null without any."""
    last_roll_back: RollBack | None = None
