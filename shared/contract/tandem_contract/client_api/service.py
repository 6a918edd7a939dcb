"""What the service says of itself: its name, its probes and its health."""

from typing import Literal

import msgspec


class Probe(msgspec.Struct, frozen=True):
    """``GET /livez`` and ``GET /readyz``."""

    status: Literal["alive", "ready"]


class About(msgspec.Struct, frozen=True):
    """``GET /``, for a person who opens the gateway's address."""

    service: Literal["tandem-gateway"]
    version: str
    docs: str
    """Path of the page that shows the API."""


class Health(msgspec.Struct, frozen=True):
    """``GET /healthz``.

    ``degraded`` while no embedder answers, or after a failed write; ``starting`` until the index is loaded; ``failed``
    if the store cannot be read.
    """

    status: Literal["ok", "degraded", "starting", "failed"]
    model_loaded: bool
    """Whether an embedder answers and is ready."""
    document_count: int | None
    """Null for a caller that may not see every collection, while access control is on."""
    pending_documents: int | None = 0
    """Null as ``document_count`` is."""
    model: str | None = None
    fingerprint: str | None = None
    version: str = ""
    detail: str | None = None
    """The fault, if there is one."""
