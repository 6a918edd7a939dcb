"""The client API's handlers that concern jobs."""

import base64
import binascii
import math
from typing import Annotated, Any, Final, get_args

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.client_api import Job, JobList, JobStatus
from tandem_contract.decoding import cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import query_parameters, whole_number
from tandem_gateway.http.messages import job_reply
from tandem_gateway.http.openapi import JobByQuery, JobsByQuery, refusals
from tandem_gateway.lifecycle import Gateway, UseCases
from tandem_gateway.records.documents import JobFilter, JobPosition, JobRecord
from tandem_gateway.use_cases.documents import MAX_PAGE
from tandem_gateway.use_cases.jobs import MAX_WAIT_SECONDS, is_job_id
from tandem_runtime.body import cancel_on_disconnect

DEFAULT_PAGE: Final = 100
"""Jobs on a page of a list, if the request does not say how many."""

_JobId = Annotated[str, PathParameter(description="Id of the job.")]


@get(
    "/v1/jobs",
    operation_id="list_jobs",
    operation_class=JobsByQuery,
    summary="List jobs, the newest first.",
    response_description="A page of jobs, without their failures.",
    responses=refusals(403, 422, 500, 503, 504),
)
async def jobs(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> JobList:
    """Return a page of jobs."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "status", "collection", "limit", "cursor")
    limit = whole_number(given, "limit", DEFAULT_PAGE, 1, MAX_PAGE)
    condition = JobFilter(_read_status(given.get("status")), given.get("collection"))
    page = await use_cases.jobs.page(_read_cursor(given.get("cursor")), limit, condition)
    return JobList(
        [_reply(use_cases, record) for record in page.jobs], None if page.before is None else _cursor(page.before)
    )


@get(
    "/v1/jobs/{job_id:str}",
    operation_id="get_job",
    operation_class=JobByQuery,
    summary="Return the progress of an ingest; on request, wait for its end.",
    response_description="The job.",
    responses=refusals(403, 404, 422, 500, 503, 504),
)
async def job(job_id: _JobId, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Job:
    """Return a job."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "wait_seconds")
    seconds = whole_number(given, "wait_seconds", 0, 0, MAX_WAIT_SECONDS)
    if not seconds:
        return _reply(use_cases, await use_cases.jobs.job(job_id))
    waits = use_cases.jobs.job(job_id, seconds)
    return _reply(use_cases, await cancel_on_disconnect(scope_of(request), receive_of(request), waits))


@post(
    "/v1/jobs/{job_id:str}/cancel",
    status_code=200,
    operation_id="cancel_job",
    summary="Cancel what a job has not embedded yet; a job that has ended stays as it is.",
    response_description="The job, which has ended.",
    responses=refusals(403, 404, 429, 500, 503, 504),
)
async def cancel_job(job_id: _JobId, gateway: NamedDependency[Gateway]) -> Job:
    """Cancel a job."""
    use_cases = gateway.ready()
    return _reply(use_cases, await use_cases.jobs.cancel(job_id))


JOB_ROUTES: Final = (jobs, job, cancel_job)


def _reply(use_cases: UseCases, record: JobRecord) -> Job:
    return job_reply(record, use_cases.embedding.blocked_reason(record.collection))


def _read_status(status: str | None) -> JobStatus | None:
    for each in get_args(JobStatus):
        if each == status:
            known: JobStatus = each
            return known
    if status is not None:
        raise InvalidRequest(
            f"status: one of {', '.join(get_args(JobStatus))} was expected, not {cut(status)}", param="status"
        )
    return None


def _cursor(position: JobPosition) -> str:
    created_at, job_id = position
    return base64.urlsafe_b64encode(f"{created_at.hex()} {job_id}".encode()).decode()


def _read_cursor(cursor: str | None) -> JobPosition | None:
    """Return the position of a cursor; None without a cursor."""
    if cursor is None:
        return None
    try:
        created_at, job_id = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode().split(" ")
        position = float.fromhex(created_at), job_id
    except (binascii.Error, ValueError, OverflowError):  # UnicodeError is a ValueError
        position = math.nan, ""
    if not (math.isfinite(position[0]) and is_job_id(position[1])):
        raise InvalidRequest("cursor: the next_cursor of an earlier page was expected", param="cursor")
    return position
