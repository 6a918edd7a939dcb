"""Read and delete stored documents and collections."""

from collections.abc import Callable

from tandem_gateway.errors import NotFound
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.documents import DocumentStore
from tandem_gateway.records.documents import CollectionRecord, DocumentView
from tandem_gateway.use_cases.validation import check_collection, check_document_id


class Documents:
    """Access to documents by id and to collections by name; calls ``on_changed`` after each deletion."""

    def __init__(self, documents: DocumentStore, catalogue: Catalogue, on_changed: Callable[[], None]) -> None:
        self._documents = documents
        self._catalogue = catalogue
        self._on_changed = on_changed

    async def document(self, collection: str, doc_id: str) -> DocumentView:
        """Return the newest version of a document.

        Raises:
            InvalidRequest: the collection's name or the id is not valid.
            NotFound: the document does not exist.
        """
        check_collection(collection)
        check_document_id(doc_id, "id")
        view = await self._documents.document(collection, doc_id)
        if view is None:
            raise NotFound(f"id: collection {collection!r} has no document {doc_id!r}", param="id")
        return view

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document, and return whether it existed.

        Raises:
            InvalidRequest: the collection's name or the id is not valid.
        """
        check_collection(collection)
        check_document_id(doc_id, "id")
        deleted = await self._documents.delete(collection, doc_id)
        self._on_changed()
        return deleted

    async def collections(self) -> list[CollectionRecord]:
        """Return all collections, ordered by name."""
        return await self._catalogue.collections()

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection, and return whether it existed.

        Raises:
            InvalidRequest: the name is not valid.
        """
        check_collection(collection)
        deleted = await self._catalogue.delete_collection(collection)
        self._on_changed()
        return deleted
