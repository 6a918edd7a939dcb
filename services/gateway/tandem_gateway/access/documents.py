"""The documents and collections of a caller: reads need the role ``search``, changes of documents ``ingest``."""

from collections.abc import Mapping

from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.access.trail import note
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.documents import MetadataChange
from tandem_gateway.records.documents import CollectionChange, CollectionRecord, DocumentPage, DocumentView
from tandem_gateway.records.sources import SourceDifference
from tandem_gateway.use_cases.collections import Collections
from tandem_gateway.use_cases.documents import Documents
from tandem_gateway.use_cases.sources import Sources


class GuardedDocuments:
    """``Documents`` for one caller. Each method also raises Forbidden."""

    __slots__ = ("_documents", "_principal")

    def __init__(self, documents: Documents, principal: Principal) -> None:
        self._documents = documents
        self._principal = principal

    async def document(self, collection: str, doc_id: str) -> DocumentView:
        """Return a document; see ``Documents.document``."""
        check_use(self._principal, "search", collection)
        return await self._documents.document(collection, doc_id)

    async def documents(self, collection: str, doc_ids: list[str]) -> list[DocumentView]:
        """Return documents by their ids; see ``Documents.documents``."""
        check_use(self._principal, "search", collection)
        return await self._documents.documents(collection, doc_ids)

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage:
        """Return a page of documents; see ``Documents.page``."""
        check_use(self._principal, "search", collection)
        return await self._documents.page(collection, after, limit, condition)

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``Documents.delete``."""
        check_use(self._principal, "ingest", collection)
        deleted = await self._documents.delete(collection, doc_id)
        note(documents=int(deleted))
        return deleted

    async def delete_all(self, collection: str, doc_ids: list[str]) -> int:
        """Delete documents by their ids; see ``Documents.delete_all``."""
        check_use(self._principal, "ingest", collection)
        deleted = await self._documents.delete_all(collection, doc_ids)
        note(documents=deleted)
        return deleted

    async def delete_matching(self, collection: str, condition: Filter) -> int:
        """Delete the documents that match; see ``Documents.delete_matching``."""
        check_use(self._principal, "ingest", collection)
        deleted = await self._documents.delete_matching(collection, condition)
        note(documents=deleted)
        return deleted

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView:
        """Change a document's metadata; see ``Documents.change_metadata``."""
        check_use(self._principal, "ingest", collection)
        changed = await self._documents.change_metadata(collection, doc_id, change)
        note(documents=1)
        return changed

    async def collections(self) -> list[CollectionRecord]:
        """Return the collections that the caller may use, ordered by name."""
        check_role(self._principal, "search")
        return [record for record in await self._documents.collections() if self._principal.covers(record.name)]

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection, which needs the role ``admin``; see ``Documents.delete_collection``."""
        check_use(self._principal, "admin", collection)
        return await self._documents.delete_collection(collection)


class GuardedCollections:
    """``Collections`` for one caller. Each method also raises Forbidden."""

    __slots__ = ("_collections", "_principal")

    def __init__(self, collections: Collections, principal: Principal) -> None:
        self._collections = collections
        self._principal = principal

    async def collection(self, name: str) -> CollectionRecord:
        """Return a collection; see ``Collections.collection``."""
        check_use(self._principal, "search", name)
        return await self._collections.collection(name)

    async def put(self, name: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection, which needs the role ``admin``; see ``Collections.put``."""
        check_use(self._principal, "admin", name)
        return await self._collections.put(name, change)


class GuardedSources:
    """``Sources`` for one caller."""

    __slots__ = ("_principal", "_sources")

    def __init__(self, sources: Sources, principal: Principal) -> None:
        self._sources = sources
        self._principal = principal

    async def synchronize(self, collection: str, source: str, documents: Mapping[str, str]) -> SourceDifference:
        """Compare a source with its documents; see ``Sources.synchronize``.

        Raises:
            Forbidden: the caller may not write to this collection.
        """
        check_use(self._principal, "ingest", collection)
        found = await self._sources.synchronize(collection, source, documents)
        note(documents=len(found.deleted))
        return found
