"""Jobs: one of them, lists, the end of one."""

import time
from collections.abc import Callable

from tandem_client.call import Call, Procedure, known, part, reply_of
from tandem_client.errors import JobStalled
from tandem_contract.client_api import (
    Job,
    JobDocumentList,
    JobDocumentStatus,
    JobList,
    JobStatus,
    RetriedJob,
)

MAX_WAIT_SECONDS = 60
"""The gateway takes no longer ``wait_seconds``."""
WAIT_SECONDS = 20
"""Seconds of one request that waits for a job's end. Proxies often close a connection that is silent for a minute."""

_JOB = reply_of(Job)
_RETRIED = reply_of(RetriedJob)
_PAGE = reply_of(JobList)
_DOCUMENTS = reply_of(JobDocumentList)


def get_job(job_id: str, *, wait_seconds: int = 0) -> Call[Job]:
    """Return a job, at its end or after ``wait_seconds`` (0 to 60); raises NotFound if there is none."""
    return Call(
        "GET",
        _path(job_id),
        _JOB,
        params={"wait_seconds": str(wait_seconds)} if wait_seconds else {},
        server_seconds=float(wait_seconds),
    )


def jobs_page(
    *,
    status: JobStatus | None = None,
    collection: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Call[JobList]:
    """Return a page of jobs, the newest first, without their failures; it may have few and not be the last."""
    params = known(status=status, collection=collection, limit=limit, cursor=cursor)
    return Call("GET", "/v1/jobs", _PAGE, params=params)


def job_documents_page(
    job_id: str, *, status: JobDocumentStatus | None = None, limit: int = 100, cursor: str | None = None
) -> Call[JobDocumentList]:
    """Return a page of the documents of a job, in the order of its ingest, and what became of each."""
    params = known(status=status, limit=limit, cursor=cursor)
    return Call("GET", f"{_path(job_id)}/documents", _DOCUMENTS, params=params)


def cancel_job(job_id: str) -> Call[Job]:
    """Cancel the documents of a job that are not embedded yet, and return the job."""
    return Call("POST", f"{_path(job_id)}/cancel", _JOB)


def retry_job(job_id: str) -> Call[RetriedJob]:
    """Embed the failed documents of a job again, and return the job; raises Conflict if none can be retried."""
    return Call("POST", f"{_path(job_id)}/retry", _RETRIED, repeatable=False)


def wait_job(
    job_id: str,
    *,
    timeout: float | None = None,
    stall_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Procedure[Job]:
    """Wait for the end of a job, and return it, whether it completed, failed or was cancelled.

    Args:
        job_id: of the job.
        timeout: seconds after which to give up; None to wait without end.
        stall_seconds: seconds without progress after which to give up; None for no such limit.
        clock: seconds; for tests.

    Raises:
        JobStalled: the job did not end in time.
    """
    began = moved = clock()
    processed = -1
    while True:
        now = clock()
        left = [WAIT_SECONDS, *(x for x in (_left(timeout, now - began), _left(stall_seconds, now - moved)) if x)]
        job: Job = yield get_job(job_id, wait_seconds=max(0, min(MAX_WAIT_SECONDS, int(min(left)))))
        if is_finished(job):
            return job
        now = clock()
        if job.processed_documents > processed:
            processed, moved = job.processed_documents, now
        for limit, since, what in ((timeout, began, "did not end"), (stall_seconds, moved, "made no progress")):
            if limit is not None and now - since >= limit:
                reason = f": {job.error}" if job.error else ""
                raise JobStalled(f"job {job_id} {what} in {limit:g} s{reason}; its documents are stored and wait")


def is_finished(job: Job) -> bool:
    """Tell whether a job has ended."""
    return job.status not in ("pending", "running")


def _left(limit: float | None, passed: float) -> float | None:
    return None if limit is None else max(1.0, limit - passed)


def _path(job_id: str) -> str:
    return f"/v1/jobs/{part(job_id, 'job_id')}"
