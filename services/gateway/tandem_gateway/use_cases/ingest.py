"""Taking documents in, and telling how far they are."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.errors import NotFound
from tandem_gateway.ports.store import DocumentStore
from tandem_gateway.records.documents import JobRecord, NewDocuments

JOB_ID_PATTERN: Final = "^job_[0-9a-f]{32}$"
"""Of a job's id, as a JSON schema has it."""

_JOB_ID = re.compile(r"job_[0-9a-f]{32}\Z")


class Ingest:
    """Stores documents and hands them over to the embedding of what waits."""

    def __init__(
        self,
        store: DocumentStore,
        on_accepted: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._on_accepted = on_accepted
        self._clock = clock

    async def accept(self, collection: str, documents: NewDocuments) -> tuple[JobRecord, list[str]]:
        """Store checked documents; when this returns they are on disk.

        Returns:
            The job that counts them, and the documents' ids in the order sent.

        Raises:
            InvalidRequest: if the collection is new and there are too many.
            Overloaded, DeadlineExceeded, StorageError: nothing, or not certainly anything, was stored.
        """
        job_id = f"job_{secrets.token_hex(16)}"
        job = await self._store.accept(job_id, collection, documents, self._clock())
        self._on_accepted()
        return job, [document.doc_id for document in documents]

    async def job(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises:
            NotFound: for an id that no job has, or that cannot be a job's.
        """
        if not _JOB_ID.match(job_id):
            raise NotFound(f"job_id: {job_id[:80]!r} is no job id ('job_' and 32 hexadecimal digits)", param="job_id")
        job = await self._store.job(job_id)
        if job is None:
            raise NotFound(f"job_id: there is no job {job_id!r}", param="job_id")
        return job
