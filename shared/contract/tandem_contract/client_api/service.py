"""What the service says of itself: its name, its probes and its health."""

from typing import Literal

import msgspec


class Probe(msgspec.Struct, frozen=True):
    """``GET /livez`` and ``GET /readyz``."""

    status: Literal["alive", "ready"]
    """``alive`` at ``/livez``, ``ready`` at ``/readyz``."""


class About(msgspec.Struct, frozen=True):
    """``GET /``, for a person who opens the gateway's address."""

    service: Literal["tandem-gateway"]
    """Name of the service."""
    version: str
    """Version of the gateway."""
    docs: str
    """Path of the page that shows the API."""


class Health(msgspec.Struct, frozen=True):
    """``GET /healthz``.

    ``degraded`` while no embedder answers, or after a failed write; ``starting`` until the index is loaded; ``failed``
    if the store cannot be read.
    """

    status: Literal["ok", "degraded", "starting", "failed"]
    """``degraded`` while no embedder answers, or after a failed write; ``starting`` until the index is loaded;
    ``failed`` if the store cannot be read."""
    model_loaded: bool
    """Whether an embedder answers and is ready."""
    document_count: int | None
    """Null for a caller that may not see every collection, while access control is on."""
    pending_documents: int | None = 0
    """Null as ``document_count`` is."""
    model: str | None = None
    """Name of the embedders' model; null if it is not known."""
    fingerprint: str | None = None
    """Fingerprint of the embedders' model; null if it is not known."""
    version: str = ""
    """Version of the gateway."""
    detail: str | None = None
    """The fault, if there is one."""
