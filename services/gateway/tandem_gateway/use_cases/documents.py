"""Read, change and delete stored documents and collections."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, NotFound, TooManyBytes
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.documents import PAGE_BYTES, DocumentStore, MetadataChange
from tandem_gateway.records.documents import CollectionRecord, DocumentPage, DocumentView
from tandem_gateway.use_cases.validation import check_collection, check_document_id
from tandem_runtime.durations import duration
from tandem_runtime.memory import utf8_bytes

MAX_IDS: Final = 1000
"""Maximum number of ids in one request."""
MAX_PAGE: Final = 1000
"""Maximum number of documents on a page of a listing."""
# Seconds after which a page ends that a filter leaves nearly empty.
_PAGE_SECONDS: Final = 1.0


class Documents:
    """Access to documents and to collections by name; calls ``on_changed`` after each change and deletion."""

    def __init__(
        self,
        documents: DocumentStore,
        catalogue: Catalogue,
        on_changed: Callable[[], None],
        *,
        answer_bytes: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the use case.

        Args:
            documents: the documents.
            catalogue: the collections.
            on_changed: called after each change and deletion.
            answer_bytes: maximum size of the documents of an answer.
            timeout: maximum seconds of a deletion of many documents.
            clock: returns seconds and never goes back.
        """
        self._documents = documents
        self._catalogue = catalogue
        self._on_changed = on_changed
        self._answer_bytes = answer_bytes
        self._timeout = timeout
        self._clock = clock

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
            raise no_document(collection, doc_id)
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

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView:
        """Change a document's metadata, and return the newest version of the document.

        Args:
            collection: name of the collection.
            doc_id: id of the document.
            change: see ``DocumentStore.change_metadata``.

        Raises:
            InvalidRequest: the collection's name or the id is not valid, or ``change`` refuses the new metadata.
            NotFound: the document does not exist.
        """
        check_collection(collection)
        check_document_id(doc_id, "id")
        view = await self._documents.change_metadata(collection, doc_id, change)
        if view is None:
            raise no_document(collection, doc_id)
        self._on_changed()
        return view

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage:
        """Return documents that match, in the order of their ids; see ``DocumentStore.page``.

        A page has fewer documents than ``limit``, perhaps none, if they are large or if few match. Only ``after`` says
        whether it is the last.

        Raises:
            InvalidRequest: the name or the limit is not valid.
            NotFound: the collection does not exist.
        """
        check_collection(collection)
        check_page_limit(limit)
        end = self._clock() + _PAGE_SECONDS
        found: list[DocumentView] = []
        while True:
            page = await self._documents.page(collection, after, limit - len(found), condition)
            if page is None:
                raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
            found += page.documents
            size = sum(len(view.text) + len(view.metadata) for view in found)
            if page.after is None or len(found) == limit or size >= PAGE_BYTES or self._clock() >= end:
                return DocumentPage(found, page.after)
            after = page.after

    async def documents(
        self, collection: str, doc_ids: list[str], condition: Filter = EVERYTHING
    ) -> list[DocumentView]:
        """Return the newest versions of documents, each once, in the order of the ids; absent ones are left out.

        So are those that do not match ``condition``.

        Raises:
            InvalidRequest: the name or an id is not valid, or the documents are over the limit of an answer.
            NotFound: the collection does not exist.
        """
        check_collection(collection)
        check_ids(doc_ids)
        try:
            found = await self._documents.documents(
                collection, list(dict.fromkeys(doc_ids)), self._answer_bytes, condition
            )
        except TooManyBytes:
            raise self._too_large() from None
        if not found and all(record.name != collection for record in await self._catalogue.collections()):
            raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
        return found

    def check_size(self, views: list[DocumentView]) -> None:
        """Check that an answer may have these documents.

        Raises:
            InvalidRequest: they are over the limit of an answer.
        """
        if sum(utf8_bytes(view.text) + utf8_bytes(view.metadata) for view in views) > self._answer_bytes:
            raise self._too_large()

    def _too_large(self) -> InvalidRequest:
        return InvalidRequest(
            f"ids: the documents have more than {self._answer_bytes} bytes, which is the limit of an answer "
            "(TANDEM_MAX_ANSWER_BYTES); ask for fewer",
            param="ids",
            code="limit_exceeded",
        )

    async def delete_all(self, collection: str, doc_ids: list[str], condition: Filter = EVERYTHING) -> int:
        """Delete documents by id, and return how many existed and matched ``condition``.

        Raises:
            InvalidRequest: the name or an id is not valid.
            DeadlineExceeded: as in ``delete_matching``.
        """
        check_collection(collection)
        check_ids(doc_ids)
        deleting = _Deleting(self._clock() + self._timeout)
        await self._delete_some(deleting, collection, list(dict.fromkeys(doc_ids)), condition)
        return deleting.deleted

    async def delete_matching(self, collection: str, condition: Filter) -> int:
        """Delete the documents whose newest version matches, and return how many.

        The deletion takes many commits. It deletes every document that exists, and matches, all the while. Documents
        that other requests write meanwhile may be missed.

        Raises:
            InvalidRequest: the name is not valid.
            DeadlineExceeded: it took too long. The message says how many are deleted; a repetition goes on.
        """
        check_collection(collection)
        deleting = _Deleting(self._clock() + self._timeout)
        after: str | None = ""
        while after is not None:
            self._check_time(deleting)
            page = await self._documents.matching(collection, after, condition)
            await self._delete_some(deleting, collection, page.ids, condition)
            after = page.after
        return deleting.deleted

    async def _delete_some(self, deleting: "_Deleting", collection: str, doc_ids: list[str], condition: Filter) -> None:
        while doc_ids:
            self._check_time(deleting)
            try:
                step = await self._documents.delete_some(collection, doc_ids, condition)
            except DeadlineExceeded as error:
                raise DeadlineExceeded(f"{error}; {deleting.progress()}") from None
            deleting.deleted += step.deleted
            doc_ids = doc_ids[step.done :]
            self._on_changed()

    def _check_time(self, deleting: "_Deleting") -> None:
        if self._clock() >= deleting.end:
            raise DeadlineExceeded(f"the deletion took longer than {duration(self._timeout)}; {deleting.progress()}")

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


@dataclass(slots=True)
class _Deleting:
    """A deletion in steps: when it must end, and what it has done."""

    end: float
    deleted: int = 0

    def progress(self) -> str:
        return f"{self.deleted} documents are deleted, and others may be left: send the request again to go on"


def no_document(collection: str, doc_id: str) -> NotFound:
    """Return the error for an id that no document has."""
    return NotFound(f"id: collection {collection!r} has no document {doc_id!r}", param="id")


def check_page_limit(limit: int) -> None:
    """Check the maximum number of documents on a page.

    Raises:
        InvalidRequest: it is not from 1 to ``MAX_PAGE``.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(
            f"limit: a whole number from 1 to {MAX_PAGE} was expected, not {limit}",
            param="limit",
            code="limit_exceeded",
        )


def check_ids(doc_ids: list[str]) -> None:
    """Check the ids of documents to look up.

    Raises:
        InvalidRequest: there are none or too many, or one is not valid.
    """
    if not 1 <= len(doc_ids) <= MAX_IDS:
        raise InvalidRequest(
            f"ids: 1 to {MAX_IDS} ids were expected, not {len(doc_ids)}",
            param="ids",
            code="limit_exceeded" if doc_ids else "invalid_field",
        )
    for place, doc_id in enumerate(doc_ids):
        check_document_id(doc_id, f"ids[{place}]")
