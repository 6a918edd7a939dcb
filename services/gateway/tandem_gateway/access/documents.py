"""The documents and collections of a caller: reads need the role ``search``, changes of documents ``ingest``."""

import contextlib
from collections.abc import Mapping

from tandem_gateway.access.pages import document_page
from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.access.stamping import check_fields
from tandem_gateway.access.trail import note
from tandem_gateway.errors import InvalidRequest, NotFound
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.documents import MetadataChange
from tandem_gateway.records.documents import (
    CollectionChange,
    CollectionRecord,
    DocumentPage,
    DocumentView,
    NewDocument,
    StoredContent,
)
from tandem_gateway.records.sizes import CollectionSizes
from tandem_gateway.records.sources import SourceDifference
from tandem_gateway.use_cases.collections import Collections
from tandem_gateway.use_cases.documents import Documents, check_ids, check_page_limit, no_document
from tandem_gateway.use_cases.sources import Sources
from tandem_gateway.use_cases.validation import check_collection, check_document_id


class GuardedDocuments:
    """``Documents`` for one caller. Each method also raises Forbidden.

    The holder of a filter uses the documents that it matches. Any other is answered as one that does not exist.
    """

    __slots__ = ("_collections", "_documents", "_principal")

    def __init__(self, documents: Documents, collections: Collections, principal: Principal) -> None:
        self._documents = documents
        self._collections = collections
        self._principal = principal

    async def document(self, collection: str, doc_id: str) -> DocumentView:
        """Return a document; see ``Documents.document``."""
        check_use(self._principal, "search", collection)
        of_key = self._principal.filter
        if of_key is None:
            return await self._documents.document(collection, doc_id)
        check_collection(collection)
        check_document_id(doc_id, "id")
        for stored in of_key.candidates(doc_id):
            try:
                view = await self._documents.document(collection, stored)
            except NotFound:
                continue
            if of_key.allows(view.metadata):
                return of_key.view(view)
        raise no_document(collection, doc_id)

    async def documents(self, collection: str, doc_ids: list[str]) -> list[DocumentView]:
        """Return documents by their ids; see ``Documents.documents``."""
        check_use(self._principal, "search", collection)
        of_key = self._principal.filter
        if of_key is None:
            return await self._documents.documents(collection, doc_ids)
        check_ids(doc_ids)
        await self._collections.collection(collection)
        found: dict[str, DocumentView] = {}
        for choose in (of_key.own, of_key.shared):
            if stored := choose([doc_id for doc_id in doc_ids if doc_id not in found]):
                views = await self._documents.documents(collection, stored, of_key.condition)
                found |= {of_key.shown(view.doc_id): of_key.view(view) for view in views}
        shown = [found[doc_id] for doc_id in dict.fromkeys(doc_ids) if doc_id in found]
        self._documents.check_size(shown)
        return shown

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage:
        """Return a page of documents; see ``Documents.page``."""
        check_use(self._principal, "search", collection)
        of_key = self._principal.filter
        if of_key is None:
            return await self._documents.page(collection, after, limit, condition)
        check_page_limit(limit)
        narrowed = of_key.narrowed(condition)
        page = await document_page(
            lambda start, count: self._documents.page(collection, start, count, narrowed), after, limit
        )
        return DocumentPage([of_key.view(view) for view in page.documents], page.after)

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete a document; see ``Documents.delete``."""
        check_use(self._principal, "ingest", collection)
        deleted = await self._deleted(collection, doc_id)
        note(documents=int(deleted))
        return deleted

    async def _deleted(self, collection: str, doc_id: str) -> bool:
        of_key = self._principal.filter
        if of_key is None:
            return await self._documents.delete(collection, doc_id)
        check_collection(collection)
        check_document_id(doc_id, "id")
        return await self._documents.delete_all(collection, of_key.candidates(doc_id), of_key.condition) > 0

    async def delete_all(self, collection: str, doc_ids: list[str]) -> int:
        """Delete documents by their ids; see ``Documents.delete_all``."""
        check_use(self._principal, "ingest", collection)
        of_key = self._principal.filter
        if of_key is None:
            deleted = await self._documents.delete_all(collection, doc_ids)
            note(documents=deleted)
            return deleted
        check_collection(collection)
        check_ids(doc_ids)
        deleted = 0
        for stored in (of_key.own(doc_ids), of_key.shared(doc_ids)):
            if stored:
                deleted += await self._documents.delete_all(collection, stored, of_key.condition)
        note(documents=deleted)
        return deleted

    async def delete_matching(self, collection: str, condition: Filter) -> int:
        """Delete the documents that match; see ``Documents.delete_matching``."""
        check_use(self._principal, "ingest", collection)
        of_key = self._principal.filter
        narrowed = condition if of_key is None else of_key.narrowed(condition)
        deleted = await self._documents.delete_matching(collection, narrowed)
        note(documents=deleted)
        return deleted

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView:
        """Change a document's metadata; see ``Documents.change_metadata``.

        Raises:
            InvalidRequest: the change is one of a field of the caller's filter.
        """
        check_use(self._principal, "ingest", collection)
        changed = await self._changed(collection, doc_id, change)
        note(documents=1)
        return changed

    async def _changed(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView:
        of_key = self._principal.filter
        if of_key is None:
            return await self._documents.change_metadata(collection, doc_id, change)
        check_collection(collection)
        check_document_id(doc_id, "id")

        def checked(stored: StoredContent) -> NewDocument:
            if not of_key.allows(stored.metadata):
                raise no_document(collection, doc_id)
            content = change(stored)
            for name in check_fields(content.metadata, "metadata", of_key):
                place = f"metadata.{name[:80]}"
                raise InvalidRequest(f"{place}: the filter of the key sets this field; it stays", param=place)
            return content

        for stored_id in of_key.candidates(doc_id):
            try:
                return of_key.view(await self._documents.change_metadata(collection, stored_id, checked))
            except NotFound:
                continue
        raise no_document(collection, doc_id)

    async def collections(self) -> list[CollectionRecord]:
        """Return the collections that the caller may use, ordered by name, with the counts of its documents."""
        check_role(self._principal, "search")
        records = [record for record in await self._documents.collections() if self._principal.covers(record.name)]
        found = []
        for record in records:
            with contextlib.suppress(NotFound):  # it was deleted meanwhile
                found.append(await counted(record, self._collections, self._principal))
        return found

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
        """Return a collection with the counts of the caller's documents; see ``Collections.collection``."""
        check_use(self._principal, "search", name)
        return await counted(await self._collections.collection(name), self._collections, self._principal)

    async def sizes(self, record: CollectionRecord) -> CollectionSizes:
        """Return the sizes of a collection, of which the holder of a filter learns none; see ``Collections.sizes``."""
        check_use(self._principal, "search", record.name)
        return await self._collections.sizes(record) if self._principal.filter is None else CollectionSizes()

    async def put(self, name: str, change: CollectionChange) -> CollectionRecord:
        """Create or change a collection, which needs the role ``admin``; see ``Collections.put``."""
        check_use(self._principal, "admin", name)
        return await self._collections.put(name, change)


class GuardedSources:
    """``Sources`` for one caller. The holder of a filter has sources of its own."""

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
        of_key = self._principal.filter
        if of_key is None:
            difference = await self._sources.synchronize(collection, source, documents)
            note(documents=len(difference.deleted))
            return difference
        stored = {of_key.stored(doc_id): given for doc_id, given in documents.items()}
        found = await self._sources.synchronize(collection, source, stored, of_key.namespace.names)
        note(documents=len(found.deleted))
        shown = ([of_key.shown(each) for each in ids] for ids in (found.missing, found.changed, found.deleted))
        return SourceDifference(*shown)


async def counted(record: CollectionRecord, collections: Collections, principal: Principal) -> CollectionRecord:
    """Return a collection with the counts of a caller's documents.

    Raises:
        NotFound: the collection was deleted meanwhile.
    """
    if principal.filter is None:
        return record
    return await collections.counted(record, principal.filter.condition)
