"""The client API's handlers that concern jobs."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.client_api import (
    Job,
    JobDocument,
    JobDocumentList,
    JobDocumentStatus,
    JobList,
    JobStatus,
    RetriedJob,
)
from tandem_contract.decoding import cut
from tandem_gateway.access.use_cases import CallersUseCases
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import query_parameters, whole_number
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.messages import job_reply
from tandem_gateway.http.openapi_operations import JobByQuery, JobDocumentsByQuery, JobsByQuery, refusals
from tandem_gateway.records.documents import JobFilter, JobPosition, JobRecord
from tandem_gateway.use_cases.documents import MAX_PAGE
from tandem_gateway.use_cases.jobs import MAX_WAIT_SECONDS, is_job_id
from tandem_runtime.body import cancel_on_disconnect

DEFAULT_PAGE: Final = 100
"""Jobs, or documents of a job, on a page of a list, if the request does not say how many."""

# An id takes 256 characters, and a reason 200 with a hundred exceptions; JSON takes up to six bytes a character.
_DOCUMENT_BYTES: Final = 4 << 10
_MAX_PLACE_DIGITS: Final = 9

_Status = TypeVar("_Status", bound=str)

_JobId = Annotated[str, PathParameter(description="Id of the job.")]
_JOB_STATUSES: Final[tuple[JobStatus, ...]] = get_args(JobStatus)
_DOCUMENT_STATUSES: Final[tuple[JobDocumentStatus, ...]] = get_args(JobDocumentStatus)


@get(
    "/v1/jobs",
    opt={QUERY: ("status", "collection", "limit", "cursor")},
    operation_id="list_jobs",
    operation_class=JobsByQuery,
    summary="List jobs, the newest first.",
    response_description="A page of jobs, without their failures.",
    responses=refusals(403, 422, 500, 503, 504),
)
async def jobs(request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]) -> JobList:
    """Return a page of jobs."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "status", "collection", "limit", "cursor")
    limit = whole_number(given, "limit", DEFAULT_PAGE, 1, MAX_PAGE)
    condition = JobFilter(_read_status(given, _JOB_STATUSES), given.get("collection"))
    page = await use_cases.jobs.page(_read_cursor(given.get("cursor")), limit, condition)
    return JobList(
        [_reply(use_cases, record) for record in page.jobs], None if page.before is None else _cursor(page.before)
    )


@get(
    "/v1/jobs/{job_id:str}",
    opt={QUERY: ("wait_seconds",)},
    operation_id="get_job",
    operation_class=JobByQuery,
    summary="Return the progress of an ingest; on request, wait for its end.",
    response_description="The job.",
    responses=refusals(403, 404, 422, 500, 503, 504),
)
async def job(job_id: _JobId, request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]) -> Job:
    """Return a job."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "wait_seconds")
    seconds = whole_number(given, "wait_seconds", 0, 0, MAX_WAIT_SECONDS)
    if not seconds:
        return _reply(use_cases, await use_cases.jobs.job(job_id))
    waits = use_cases.jobs.job(job_id, seconds)
    return _reply(use_cases, await cancel_on_disconnect(scope_of(request), receive_of(request), waits))


@get(
    "/v1/jobs/{job_id:str}/documents",
    opt={QUERY: ("status", "limit", "cursor")},
    operation_id="list_job_documents",
    operation_class=JobDocumentsByQuery,
    summary="List the documents of an ingest, and how each of them ended.",
    response_description="A page of documents, in the order of the ingest.",
    responses=refusals(403, 404, 422, 429, 500, 503, 504),
)
async def job_documents(
    job_id: _JobId,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> JobDocumentList:
    """Return a page of a job's documents."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "status", "limit", "cursor")
    limit = whole_number(given, "limit", DEFAULT_PAGE, 1, MAX_PAGE)
    status, first = _read_status(given, _DOCUMENT_STATUSES), _read_place(given.get("cursor"), job_id)
    lease = bodies.memory.lease()
    lease.hold(limit * _DOCUMENT_BYTES)
    page = await use_cases.jobs.documents(job_id, first, limit, status)
    return JobDocumentList(
        [JobDocument(each.doc_id, each.status, each.reason) for each in page.documents],
        None if page.next is None else _encoded(f"{page.next} {job_id}"),
    )


@post(
    "/v1/jobs/{job_id:str}/cancel",
    status_code=200,
    operation_id="cancel_job",
    summary="Cancel what a job has not embedded yet; a job that has ended stays as it is.",
    response_description="The job, which has ended.",
    responses=refusals(403, 404, 429, 500, 503, 504),
)
async def cancel_job(job_id: _JobId, gateway: NamedDependency[CallerGateway]) -> Job:
    """Cancel a job."""
    use_cases = gateway.ready()
    return _reply(use_cases, await use_cases.jobs.cancel(job_id))


@post(
    "/v1/jobs/{job_id:str}/retry",
    status_code=202,
    operation_id="retry_job",
    summary="Embed the failed documents of a job again; its other documents stay as they are.",
    response_description="The job, which goes on.",
    responses=refusals(403, 404, 409, 429, 500, 503, 504),
)
async def retry_job(job_id: _JobId, gateway: NamedDependency[CallerGateway]) -> RetriedJob:
    """Retry a job."""
    use_cases = gateway.ready()
    found = await use_cases.jobs.retry(job_id)
    job = msgspec.structs.asdict(_reply(use_cases, found.job))
    return RetriedJob(**job, retried_documents=found.retried, lost_documents=found.lost)


JOB_ROUTES: Final = (jobs, job, job_documents, cancel_job, retry_job)


def _reply(use_cases: CallersUseCases, record: JobRecord) -> Job:
    return job_reply(record, use_cases.blocked_reason(record.collection))


def _read_status(given: Mapping[str, str], known: Sequence[_Status]) -> _Status | None:
    status = given.get("status")
    for each in known:
        if each == status:
            return each
    if status is not None:
        raise InvalidRequest(f"status: one of {', '.join(known)} was expected, not {cut(status)}", param="status")
    return None


def _cursor(position: JobPosition) -> str:
    created_at, job_id = position
    return _encoded(f"{created_at.hex()} {job_id}")


def _encoded(cursor: str) -> str:
    return base64.urlsafe_b64encode(cursor.encode()).decode()


def _read_place(cursor: str | None, job_id: str) -> int:
    """Return the place at which a page of a job's documents begins; 0 without a cursor."""
    if cursor is None:
        return 0
    place, of_job = "", ""
    with suppress(binascii.Error, ValueError):  # UnicodeError is a ValueError
        place, of_job = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode().split(" ")
    if not (place.isascii() and place.isdigit() and len(place) <= _MAX_PLACE_DIGITS and of_job == job_id):
        raise InvalidRequest("cursor: the next_cursor of an earlier page of this job was expected", param="cursor")
    return int(place)


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
