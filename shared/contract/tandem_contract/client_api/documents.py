"""Stored documents: lists, changes, deletions, facets, and what a source holds."""

import msgspec

from tandem_contract.client_api.common import Filter, Metadata


class StoredDocument(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/documents/{id}``."""

    id: str
    """The document's id."""
    text: str
    """The document's text."""
    metadata: msgspec.Raw
    """The document's metadata, as it was ingested or last changed."""
    collection: str
    """Name of the collection."""
    embedded: bool
    """False if the newest version of the document has no vector yet."""
    truncated: bool | None = None
    """Whether the text is longer than the model's limit; null without a vector, or if the embedder did not say."""
    unknown: float | None = None
    """Share of the text's tokens that the model's vocabulary lacks, from 0 to 1; null as above."""
    source: str | msgspec.UnsetType = msgspec.UNSET
    """Name of the source that the newest version belongs to; absent without one."""
    hash: str | msgspec.UnsetType = msgspec.UNSET
    """The client's hash of the document in its source; absent without one."""


class DocumentPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PATCH /v1/collections/{collection}/documents/{document_id}``: a JSON Merge Patch (RFC 7396) of the metadata.

    A null removes a key, an object is merged into the value of its key, and any other value replaces it.
    """

    metadata: Metadata
    """Changes of the metadata. A null removes a key."""


class DocumentList(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/documents``: documents in the order of their ids."""

    documents: list[StoredDocument]
    """Documents in the order of their ids."""
    next_cursor: str | None = None
    """The ``cursor`` of the next page; null on the last one. A page may have few documents and not be the last."""


class DocumentIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/documents/get``."""

    ids: list[str | int]
    """A number stands for its text."""


class FoundDocuments(msgspec.Struct, frozen=True):
    """The documents with the ids asked for, in that order, and the ids that no document has."""

    documents: list[StoredDocument]
    """The documents that exist, in the order of the ids in the request."""
    missing: list[str]
    """Ids that no document has."""


class DocumentDeletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/documents/delete``; it takes either ``ids`` or ``filter``."""

    ids: list[str | int] | None = None
    """A number stands for its text."""
    filter: Filter | None = None
    """Conditions on the metadata: the documents that match are deleted."""


class DeletedDocuments(msgspec.Struct, frozen=True):
    """How many documents were deleted."""

    deleted_documents: int
    """Number of documents that were deleted."""


class FacetsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/collections/{collection}/facets``."""

    fields: list[str]
    """Metadata fields to count the values of; a dot reaches a nested field."""
    filter: Filter | None = None
    """Only documents that match count."""
    limit: int = 10
    """Maximum number of values of a field."""


class FacetValue(msgspec.Struct, frozen=True):
    """A value, with the number of documents that have it."""

    value: str | int | float | bool | None
    """A value of the field."""
    count: int
    """Number of documents that have it."""


class Facet(msgspec.Struct, frozen=True):
    """The most frequent values of a field."""

    values: list[FacetValue]
    """The most frequent values, the most frequent first."""
    other_count: int
    """Sum of the counts of the values that are not in ``values``."""


class FacetsReply(msgspec.Struct, frozen=True):
    """How many documents match, and the facet of each field."""

    documents: int
    """Number of documents that match the filter."""
    facets: dict[str, Facet]
    """Field → its most frequent values."""


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document of a source: its id, and a hash that changes when the document does."""

    id: str | int
    """The document's id; a number stands for its text."""
    hash: str
    """Hash that changes when the document does; the gateway only compares it."""


class SourceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/collections/{collection}/sources/{source}``: all documents that the source has."""

    documents: list[SourceEntry]
    """All documents that the source has. The gateway deletes its other documents of the source."""


class SourceReply(msgspec.Struct, frozen=True):
    """How a source differs from its documents: the client ingests those that are missing or changed."""

    missing: list[str]
    """Ids that no document of the source has."""
    changed: list[str]
    """Ids of documents that have another hash, or none."""
    deleted_documents: int
    """Number of documents that were deleted, because the source has them no more."""
