"""The ingests of a caller: they need the role ``ingest`` and the collection, and get the filter of the caller's key."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from tandem_gateway.access.accounts import metered_caller
from tandem_gateway.access.audit import ANONYMOUS
from tandem_gateway.access.document_filter import without_counts
from tandem_gateway.access.principal import BOOTSTRAP_ID, Principal, check_role, check_use
from tandem_gateway.access.stamping import stamp
from tandem_gateway.access.trail import note
from tandem_gateway.errors import Overloaded
from tandem_gateway.records.documents import JobRecord, NewDocuments
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_gateway.records.namespaces import NO_NAMESPACE, Namespace
from tandem_gateway.use_cases.collections import Collections
from tandem_gateway.use_cases.file_extraction import FileExtraction
from tandem_gateway.use_cases.ingest import Ingest

# A thread stamps more documents, or longer ones, because they would hold the event loop for some milliseconds.
_IN_LOOP_DOCUMENTS: Final = 50
_IN_LOOP_CHARS: Final = 64 << 10


class GuardedIngest:
    """``Ingest`` for one caller."""

    __slots__ = ("_collections", "_ingest", "_principal")

    def __init__(self, ingest: Ingest, collections: Collections, principal: Principal) -> None:
        self._ingest = ingest
        self._collections = collections
        self._principal = principal

    async def accept(
        self, collection: str, documents: NewDocuments, key: str | None = None
    ) -> tuple[JobRecord, list[str]]:
        """Store documents; see ``Ingest.accept``.

        Raises:
            Forbidden: the caller may not write to this collection.
            NotFound: the caller has a filter, and the collection does not exist.
            RateLimited: a limit of the caller does not allow so many documents now.
        """
        check_use(self._principal, "ingest", collection)
        job, ids = await self._metered(collection, documents, key)
        note(job_id=job.job_id, documents=len(ids))
        return job, ids

    async def _metered(self, collection: str, documents: NewDocuments, key: str | None) -> tuple[JobRecord, list[str]]:
        account = metered_caller()
        if account is None:
            return await self._accepted(collection, documents, key, lambda count: None)
        account.check_tokens()
        account.use("documents", given := len(documents))
        stored: list[int] = []
        try:
            job, ids = await self._accepted(collection, documents, key, stored.append)
            account.owns(job.job_id)
        finally:
            # It failed, an earlier request with this key had stored the documents, or the filter left some out.
            if unused := given - sum(stored):
                account.give_back("documents", unused)
        return job, ids

    async def _accepted(
        self, collection: str, documents: NewDocuments, key: str | None, on_stored: Callable[[int], None]
    ) -> tuple[JobRecord, list[str]]:
        of_key = self._principal.filter
        if of_key is None:
            return await self._ingest.accept(collection, documents, key, self._namespace(NO_NAMESPACE), on_stored)
        await self._collections.collection(collection)  # another tenant would see a new one
        chars = sum(len(document.text) + len(document.metadata) for document in documents)
        if len(documents) <= _IN_LOOP_DOCUMENTS and chars <= _IN_LOOP_CHARS:
            stamp(documents, of_key)
        else:
            await asyncio.to_thread(stamp, documents, of_key)
        try:
            job, ids = await self._ingest.accept(
                collection, documents, key, self._namespace(of_key.namespace), on_stored
            )
        except Overloaded as error:
            raise without_counts(error) from None
        return of_key.job(job), [of_key.shown(doc_id) for doc_id in ids]

    def _namespace(self, names: Namespace) -> Namespace:
        """Return names with idempotency keys of the caller's own.

        Those of the key in a setting are the ones that were used before access control was switched on.
        """
        if self._principal.id in (BOOTSTRAP_ID, ANONYMOUS):
            return names
        # No idempotency key has a space.
        return replace(names, idempotency_keys=f"{self._principal.id} ")


class GuardedFileExtraction:
    """``FileExtraction`` for one caller. ``GuardedIngest`` checks the collection, which this step does not know."""

    __slots__ = ("_files", "_principal")

    def __init__(self, files: FileExtraction, principal: Principal) -> None:
        self._files = files
        self._principal = principal

    async def extract(
        self, files: Sequence[UploadedFile], task: ExtractionTask, hold: Callable[[int], None]
    ) -> list[Extraction]:
        """Read files; see ``FileExtraction.extract``.

        Raises:
            Forbidden: the caller has not the role ``ingest``.
        """
        check_role(self._principal, "ingest")
        return await self._files.extract(files, task, hold)
