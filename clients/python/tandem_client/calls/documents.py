"""Stored documents, and the sources that they come from."""

from collections.abc import Mapping, Sequence

from tandem_client.call import Call, body_of, field_of, filter_param, known, part, reply_of, several
from tandem_client.replies import Document, DocumentPage, FoundDocuments
from tandem_contract.client_api import (
    DEFAULT_COLLECTION,
    Deleted,
    DeletedDocuments,
    DocumentDeletion,
    DocumentIds,
    DocumentPatch,
    Filter,
    Metadata,
    SourceEntry,
    SourceList,
    SourceReply,
)

_DOCUMENT = reply_of(Document)
_PAGE = reply_of(DocumentPage)
_FOUND = reply_of(FoundDocuments)
_DELETED = field_of(Deleted, lambda reply: reply.deleted)
_COUNT = field_of(DeletedDocuments, lambda reply: reply.deleted_documents)
_SOURCE = reply_of(SourceReply)


def get_document(document_id: str | int, *, collection: str = DEFAULT_COLLECTION) -> Call[Document]:
    """Return the newest version of a document; raises NotFound if there is none."""
    return Call("GET", _path(collection), _DOCUMENT, params={"id": str(document_id)})


def get_documents(ids: Sequence[str | int], *, collection: str = DEFAULT_COLLECTION) -> Call[FoundDocuments]:
    """Return up to 1,000 documents in the order of their ids, and the ids that no document has."""
    return Call("POST", f"{_path(collection)}/get", _FOUND, body=body_of(DocumentIds(list(several(ids, "ids")))))


def documents_page(
    *,
    collection: str = DEFAULT_COLLECTION,
    filter: Filter | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Call[DocumentPage]:
    """Return a page of documents in the order of their ids; it may have few and not be the last.

    Args:
        collection: name of the collection.
        filter: conditions on the metadata.
        limit: maximum number of documents on the page, 1 to 1,000.
        cursor: ``next_cursor`` of the page before.
    """
    return Call("GET", _path(collection), _PAGE, params=filter_param(filter) | known(limit=limit, cursor=cursor))


def patch_document(
    document_id: str | int, metadata: Metadata, *, collection: str = DEFAULT_COLLECTION
) -> Call[Document]:
    """Merge values into a document's metadata (JSON Merge Patch: None removes a key), and return the document."""
    path = f"{_path(collection)}/{part(document_id, 'document_id')}"
    return Call("PATCH", path, _DOCUMENT, body=body_of(DocumentPatch(metadata)))


def delete_document(document_id: str | int, *, collection: str = DEFAULT_COLLECTION) -> Call[bool]:
    """Delete a document, and tell whether there was one; false too if a lost reply made the client ask again."""
    return Call("DELETE", _path(collection), _DELETED, params={"id": str(document_id)})


def delete_documents(
    ids: Sequence[str | int] | None = None,
    *,
    filter: Filter | None = None,
    collection: str = DEFAULT_COLLECTION,
) -> Call[int]:
    """Delete up to 1,000 documents by ids, or all that match a filter, and return their number.

    It is not sent again after a lost reply, because the second number would be too small.

    Args:
        ids: either this or ``filter``.
        filter: conditions on the metadata; ``{}`` matches every document.
        collection: name of the collection.

    Raises:
        ValueError: both or none of ``ids`` and ``filter`` are given.
    """
    if (ids is None) == (filter is None):
        raise ValueError("delete_documents: either ids or filter was expected")
    deletion = DocumentDeletion(ids=None if ids is None else list(several(ids, "ids")), filter=filter)
    return Call("POST", f"{_path(collection)}/delete", _COUNT, body=body_of(deletion), repeatable=False)


def compare_source(
    source: str,
    documents: Mapping[str, str] | Sequence[SourceEntry],
    *,
    collection: str = DEFAULT_COLLECTION,
) -> Call[SourceReply]:
    """Tell the gateway all documents that a source has; it deletes those that the source has no more.

    The reply has the ids that have to be ingested. An empty list deletes all documents of the source. A lost reply is
    not asked for again, because the second one would tell no deletions.

    Args:
        source: name of the source.
        documents: id → hash of each document, or a list of entries.
        collection: name of the collection.
    """
    pairs = documents.items() if isinstance(documents, Mapping) else ((entry.id, entry.hash) for entry in documents)
    entries = [SourceEntry(key, value) for key, value in pairs]
    path = f"/v1/collections/{part(collection, 'collection')}/sources/{part(source, 'source')}"
    return Call("PUT", path, _SOURCE, body=body_of(SourceList(entries)), repeatable=False)


def _path(collection: str) -> str:
    return f"/v1/collections/{part(collection, 'collection')}/documents"
