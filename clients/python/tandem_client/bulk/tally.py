"""Counts what becomes of the documents of a bulk ingest; keeps the first failures only."""

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tandem_client.bulk.batches import Batch, BulkOptions, Unsendable
from tandem_client.bulk.delivery import Accepted, Delivered
from tandem_client.errors import TandemError
from tandem_contract.client_api import Job

MAX_REASON_CHARS = 500
"""A longer reason is cut."""

_NONE_VALID = "not valid; the gateway tells the reason of the first document of such a batch only"
_DOCUMENT = re.compile(r"documents\[\d+\]")


@dataclass(frozen=True, slots=True)
class IngestFailure:
    """A document that is not stored, or that could not be embedded.

    Attributes:
        position: its place in the iterable, from 0; None if it failed later, in its job.
        id: None if it has none, or it is not valid.
        field: path of the field that is not valid, such as ``text``; None if no field is.
        reason: for a person.
    """

    position: int | None
    id: str | None
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a bulk ingest did.

    Attributes:
        documents: read from the iterable.
        accepted: stored by the gateway, in this run.
        unchanged: of the accepted: stored before with the same text and metadata.
        failed: of the accepted: could not be embedded, or were cancelled.
        skipped: not valid, so they are not stored.
        resumed: sent by an earlier run with the same resume file.
        pending: of the accepted: their jobs had not ended yet; 0 after ``wait=True``.
        jobs: number of jobs.
        failures: the first failed and skipped documents.
        seconds: time that it took.
    """

    documents: int = 0
    accepted: int = 0
    unchanged: int = 0
    failed: int = 0
    skipped: int = 0
    resumed: int = 0
    pending: int = 0
    jobs: int = 0
    failures: list[IngestFailure] = field(default_factory=list)
    seconds: float = 0.0


class IngestStopped(TandemError):
    """A bulk ingest stopped before its end; ``__cause__`` is why.

    Attributes:
        report: what it did until then. Documents that are accepted stay stored.
    """

    def __init__(self, report: IngestReport, cause: Exception) -> None:
        super().__init__(f"the ingest stopped after {report.accepted} accepted documents: {cause}")
        self.report = report


@dataclass(slots=True)
class OpenJob:
    """A job that had not ended when it was last seen."""

    job_id: str
    documents: int


class Tally:
    """Counts, and knows the jobs that have not ended. One thread uses it."""

    def __init__(self, options: BulkOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._began = clock()
        self.documents = 0
        self.open_jobs: deque[OpenJob] = deque()
        """The oldest first."""
        self._accepted = self._unchanged = self._failed = self._skipped = self._resumed = self._jobs = 0
        self._failures: list[IngestFailure] = []

    def delivered(self, outcome: Delivered) -> None:
        """Count a part of a batch that was sent."""
        if isinstance(outcome, Accepted):
            job, positions = outcome.job, outcome.batch.positions
            self._accepted += job.total_documents
            self._skipped += job.skipped_documents
            for skipped in job.skipped or []:
                position = positions[skipped.index]
                self._keep(position, skipped.id, *_in_the_run(skipped.param, skipped.message, position))
            self._jobs += 1
            self.open_jobs.append(OpenJob(job.job_id, job.total_documents))
        else:
            first, *others = outcome.batch.positions
            self._skipped += 1 + len(others)
            self._keep(first, None, *_in_the_run(outcome.error.field or "", outcome.error.message, first))
            for position in others[: self._options.max_failures]:
                self._keep(position, None, None, _NONE_VALID)

    def unsendable(self, document: Unsendable) -> None:
        """Count a document that JSON cannot say."""
        self._skipped += 1
        self._keep(document.position, None, None, document.reason)

    def resumed(self, batch: Batch, jobs: list[OpenJob]) -> None:
        """Count a batch that an earlier run sent."""
        self._resumed += len(batch.lines)
        if self._options.wait:
            self.open_jobs.extend(jobs)

    def too_many_jobs(self) -> bool:
        """Tell whether the oldest job has to end before the next request."""
        return len(self.open_jobs) > self._options.max_pending_jobs

    def ended(self, job: Job) -> None:
        """Count the end of the oldest open job."""
        self.open_jobs.popleft()
        self._unchanged += job.unchanged_documents
        self._failed += job.failed_documents + job.cancelled_documents
        for failure in job.failures:
            self._keep(None, failure.id, None, failure.error)

    def forgotten(self) -> None:
        """Drop the oldest open job: the gateway keeps it no more, so it has ended."""
        self.open_jobs.popleft()

    def report(self) -> IngestReport:
        """Return the numbers as they are now."""
        return IngestReport(
            documents=self.documents,
            accepted=self._accepted,
            unchanged=self._unchanged,
            failed=self._failed,
            skipped=self._skipped,
            resumed=self._resumed,
            pending=sum(job.documents for job in self.open_jobs),
            jobs=self._jobs,
            failures=list(self._failures),
            seconds=self._clock() - self._began,
        )

    def _keep(self, position: int | None, document_id: str | None, field: str | None, reason: str) -> None:
        if len(self._failures) < self._options.max_failures:
            cut = reason if len(reason) <= MAX_REASON_CHARS else f"{reason[:MAX_REASON_CHARS]}..."
            self._failures.append(IngestFailure(position, document_id, field, cut))


def _in_the_run(param: str, message: str, position: int) -> tuple[str | None, str]:
    """Return the field inside the document, and the message with the document's place in the run, not in its batch."""
    field = _DOCUMENT.sub("", param, count=1).lstrip(".") if _DOCUMENT.match(param) else param
    return field or None, _DOCUMENT.sub(f"documents[{position}]", message, count=1)
