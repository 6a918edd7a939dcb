"""The health of the gateway, as operators and probes ask for it."""

from dataclasses import dataclass
from typing import Literal

HealthStatus = Literal["ok", "degraded", "starting", "failed"]
"""``degraded``: no embedder answers, or the last write failed. ``starting``: the index is not loaded yet.
``failed``: the store cannot be read, or the startup failed."""


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """State of the gateway, and the number of its documents."""

    status: HealthStatus
    embedder_up: bool
    """Whether an embedder answers and is ready."""
    documents: int | None = 0
    """Documents that search can find; None if the caller may not know."""
    pending: int | None = 0
    """Documents, or newer versions of documents, that have no vector yet; None if the caller may not know."""
    model: str | None = None
    """Model of the first collection that has one; None before the first vector."""
    fingerprint: str | None = None
    detail: str | None = None
    """The fault, if there is one."""
