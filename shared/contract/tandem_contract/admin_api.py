"""The gateway's API for operators: how traffic is shared between two pools of embedders."""

from typing import Literal

import msgspec

ReplicaStatus = Literal["serving", "ejected", "draining"]
RollBackReason = Literal["errors", "latency", "parity"]


class TrafficChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/admin/traffic``; both are in percent, from 0 to 100."""

    canary_weight: int
    """Share of the calls that the canary answers."""
    shadow_percent: int | None = None
    """Share of stable's queries that are sent to the canary as well, and compared; unchanged if null."""


class Replica(msgspec.Struct, frozen=True):
    """One embedder of a pool."""

    address: str
    status: ReplicaStatus
    calls_in_flight: int
    fingerprint: str | None
    """Of the model that answered last; null if that is not known."""


class Pool(msgspec.Struct, frozen=True):
    """A pool of embedders, and its calls in the window of observation (only while there is a canary in use)."""

    replicas: list[Replica]
    calls: int
    errors: int
    p95_ms: float | None
    """95th percentile of the time of calls for queries; null without any."""


class RollBack(msgspec.Struct, frozen=True):
    """The canary lost its share of the traffic; ``at`` is RFC 3339 in UTC."""

    at: str
    reason: RollBackReason
    detail: str
    canary_weight: int
    """What it was before."""


class Traffic(msgspec.Struct, frozen=True):
    """``GET /v1/admin/traffic``, and the reply to a change."""

    canary_weight: int
    shadow_percent: int
    stable: Pool
    canary: Pool | None
    """Null if none is set up."""
    compared_texts: int = 0
    """Texts in the window whose vectors by both pools were compared."""
    cosine_p5: float | None = None
    """5th percentile of the cosines of their vectors; null without any."""
    last_roll_back: RollBack | None = None
