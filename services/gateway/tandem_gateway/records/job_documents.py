"""The documents of a job, and how each of them ended."""

from dataclasses import dataclass
from typing import Literal

from tandem_gateway.records.coverage import Coverage

DocumentStatus = Literal[
    "pending",
    "embedded",
    "truncated",
    "unreadable",
    "unchanged",
    "failed",
    "cancelled",
    "replaced",
    "deleted",
    "skipped",
]
"""``pending``: it waits to be embedded. ``embedded``: search finds it. ``truncated``, ``unreadable``: the same, with a
coverage that says so. ``replaced``, ``deleted``: another write did that before it was embedded.
``skipped``: it was not valid, and left out."""


@dataclass(frozen=True, slots=True)
class SkippedDocument:
    """A document of an ingest that was left out because it is not valid."""

    index: int
    """Its position in the ingest, from 0."""
    doc_id: str | None
    """None if it has none that is valid."""
    param: str
    """Path of the field that is not valid."""
    message: str
    content_hash: bytes = b""
    """Hash of its JSON."""


@dataclass(frozen=True, slots=True)
class JobDocument:
    """A document of a job."""

    doc_id: str | None
    """None for a skipped document that has no valid id."""
    status: DocumentStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JobDocumentPage:
    """Documents of a job, in the order of its ingest."""

    documents: list[JobDocument]
    next: int | None
    """Place of the first document of the next page; None on the last page."""


def embedded_status(coverage: Coverage | None) -> DocumentStatus:
    """Return the status of a document that has its vectors; ``coverage`` is None if it is unknown."""
    if coverage is None:
        return "embedded"
    if coverage.truncated:
        return "truncated"
    return "unreadable" if coverage.unreadable else "embedded"


def coverage_reason(coverage: Coverage | None) -> str | None:
    """Return how a document's vectors fall short of it; None if they do not, or if it is unknown."""
    if coverage is None or not (coverage.truncated or coverage.unknown):
        return None
    reasons = [_TRUNCATED] * coverage.truncated + [_UNREADABLE] * coverage.unreadable
    return "; ".join(reasons) or None


def status_reason(status: DocumentStatus) -> str | None:
    """Return the reason for a status that needs none of its own."""
    return {"truncated": _TRUNCATED, "unreadable": _UNREADABLE}.get(status)


_TRUNCATED = "the model did not read all of the text"
_UNREADABLE = "the model does not know most of the text's tokens"
