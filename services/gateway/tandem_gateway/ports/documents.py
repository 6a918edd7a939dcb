"""Documents and their jobs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import (
    Deletions,
    DocumentPage,
    DocumentView,
    IdempotencyKey,
    IdPage,
    JobRecord,
    MetadataPage,
    NewDocument,
    StoredContent,
)
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.records.sources import SourceDifference

KEY_SECONDS: Final = 86_400.0
"""Seconds for which an idempotency key names its job. The job may be forgotten earlier; see ``Retention``."""


class IngestStore(Protocol):
    """Accepts documents, and counts them in jobs. A write is on disk when its method returns.

    Every method may raise StorageUnavailable and StorageCorrupt.
    """

    async def accept(
        self,
        job_id: str,
        collection: str,
        documents: Sequence[NewDocument],
        now: float,
        key: IdempotencyKey | None = None,
        skipped: Sequence[SkippedDocument] = (),
        owner: str | None = None,
    ) -> JobRecord:
        """Store documents to be embedded, and a job that counts them; create the collection if it is new.

        A document whose newest version has the same content counts as unchanged at once. A document of which only the
        metadata changed keeps its vectors, under new passage ids, and counts as processed at once. Any other document
        replaces the older version once all its passages have vectors; until then search finds the older version.

        Args:
            job_id: of the job; no other job may have it.
            collection: name of the collection.
            documents: to store, in order.
            now: seconds since the epoch.
            key: if a job that was accepted with this key less than ``KEY_SECONDS`` ago is still kept, the store returns
                that job as it is now, and stores nothing.
            skipped: the documents that were left out, in order. The job counts and lists them, each at its index.
            owner: whose documents they are; None if that is not known. See ``EmbeddingQueue.claim``.

        Raises:
            Conflict: the job with the same key has another request hash.
            InvalidRequest: the collection is new and the limit on collections is reached.
            Overloaded: too many documents wait to be embedded, or too many writes wait.
            DeadlineExceeded: the write took too long; it may still take effect.
        """
        ...


PAGE_SCANNED: Final = 1000
"""Maximum number of documents that one call for a page looks at."""
PAGE_BYTES: Final = 1 << 20
"""Size of the texts and metadata after which a page ends; its first document may be larger."""
MAX_SOURCE_DELETIONS: Final = 10_000
"""Maximum number of documents that one call of ``synchronize`` deletes, in one commit: the other writes wait for it."""
DELETED_AT_ONCE: Final = 200
"""Maximum number of documents that one call of ``delete_some`` deletes: the other writes wait for it."""


MetadataChange = Callable[[StoredContent], NewDocument]
"""Returns a stored document with other metadata."""


class DocumentStore(Protocol):
    """Reads, changes and deletes documents. A write is on disk when its method returns.

    Every method may raise StorageUnavailable and StorageCorrupt. Each that writes may also raise Overloaded and
    DeadlineExceeded; after DeadlineExceeded the write may still take effect.

    A filter looks at the metadata of a document's newest version, which is the one that ``document`` returns.
    """

    async def document(self, collection: str, doc_id: str) -> DocumentView | None:
        """Return the newest version of a document; None if there is none."""
        ...

    async def documents(
        self, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter = EVERYTHING
    ) -> list[DocumentView]:
        """Return the newest versions of documents, in the order of the ids; absent ones are left out.

        So are those that do not match ``condition``, whose size does not count.

        Raises:
            TooManyBytes: their texts and metadata have more than ``most_bytes`` bytes.
        """
        ...

    async def page(self, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
        """Return the newest versions of documents that match, in the order of their ids by code points.

        The page ends early after ``PAGE_SCANNED`` documents, matching or not, and after ``PAGE_BYTES`` of documents or
        of metadata looked at. It may be empty. Following the pages from ``after=""`` finds each document once that
        exists, and matches, all the while.

        Args:
            collection: name of the collection.
            after: return documents with greater ids only.
            limit: maximum number of documents, at least 1.
            condition: that the documents match.

        Returns:
            The page; None if the collection does not exist.
        """
        ...

    async def metadata(self, collection: str, after: str) -> MetadataPage | None:
        """Return the metadata of documents' newest versions; the pages are as those of ``page``.

        Returns:
            The page; None if the collection does not exist.
        """
        ...

    async def matching(self, collection: str, after: str, condition: Filter) -> IdPage:
        """Return the ids of documents that match; the pages are as those of ``page``.

        A page has at most ``DELETED_AT_ONCE`` ids. A collection that does not exist has no documents.
        """
        ...

    async def waiting(self, collection: str) -> Keys:
        """Return the first passages of the versions that wait for their vectors, ascending, ``(n,) uint64``.

        A collection that does not exist has none.
        """
        ...

    async def change_metadata(self, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
        """Change the metadata of a document in one commit; no passage gets another vector.

        If a newer version waits for its vectors, both versions change: search finds the older one until then. The
        passages of a changed version get new ids, which is how the indexes learn of the change. Jobs go on waiting.

        Args:
            collection: name of the collection.
            doc_id: id of the document.
            change: returns the content that replaces a version's; only its metadata may differ. It runs within the
                write, perhaps in another thread and more than once. If it raises, the store changes nothing. A version
                whose metadata stays the same is not written; if all versions stay, there is no commit.

        Returns:
            The newest version of the document after the change; None if there is none.
        """
        ...

    async def synchronize(self, collection: str, source: str, listed: Mapping[str, str]) -> SourceDifference:
        """Delete the documents of a source that are not listed, in one commit, and return what else differs.

        The source and the hash of a document are those of its newest version. A collection that does not exist has no
        documents.

        Args:
            collection: name of the collection.
            source: name of the source.
            listed: id → hash of each document that the source has.

        Raises:
            InvalidRequest: more than ``MAX_SOURCE_DELETIONS`` documents are not listed. Nothing is deleted.
        """
        ...

    async def delete(self, collection: str, doc_id: str) -> bool:
        """Delete all versions of a document, and return whether it existed."""
        ...

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        """Delete all versions of the first of these documents, if the newest matches; call it again for the rest.

        Of a document that is not stored, it drops what is kept of a version that failed, if that matches.

        One call deletes at most ``DELETED_AT_ONCE`` documents, and one at least if ``doc_ids`` has any that exists
        and matches. It takes one commit.
        """
        ...
