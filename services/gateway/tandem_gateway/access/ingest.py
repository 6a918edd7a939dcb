"""The ingests of a caller: they need the role ``ingest`` and the collection."""

import time
from collections.abc import Callable, Sequence

from tandem_gateway.access.accounts import metered_caller
from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.records.documents import JobRecord, NewDocuments
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_gateway.use_cases.file_extraction import FileExtraction
from tandem_gateway.use_cases.ingest import Ingest


class GuardedIngest:
    """``Ingest`` for one caller."""

    __slots__ = ("_ingest", "_principal")

    def __init__(self, ingest: Ingest, principal: Principal) -> None:
        self._ingest = ingest
        self._principal = principal

    async def accept(
        self, collection: str, documents: NewDocuments, key: str | None = None
    ) -> tuple[JobRecord, list[str]]:
        """Store documents; see ``Ingest.accept``.

        Raises:
            Forbidden: the caller may not write to this collection.
            RateLimited: a limit of the caller does not allow so many documents now.
        """
        check_use(self._principal, "ingest", collection)
        account = metered_caller()
        if account is None:
            return await self._ingest.accept(collection, documents, key)
        account.check_tokens()
        account.use("documents", count := len(documents))
        accepted = False
        started = time.time()
        try:
            job, ids = await self._ingest.accept(collection, documents, key)
            accepted = key is None or job.created_at >= started
            account.owns(job.job_id)
        finally:
            if not accepted:  # it failed, or an earlier request with this key had stored the documents
                account.give_back("documents", count)
        return job, ids


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
