"""The handler of ``POST /v1/ingest/files``."""

import threading
from collections.abc import Callable
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency

from tandem_contract.client_api import FilesJob
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import idempotency_key_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.file_documents import FileDocumentsReader, metadata_of_form
from tandem_gateway.http.form import Form, FormLimits, FormParser, boundary_of
from tandem_gateway.http.limits import INGEST_SHARE, BodyLimits
from tandem_gateway.http.messages import files_job_reply
from tandem_gateway.http.openapi_operations import FilesByForm, refusals
from tandem_gateway.records.files import ExtractionTask
from tandem_gateway.use_cases.validation import check_collection
from tandem_runtime.body import cancel_on_disconnect, feed_body
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Receive, Scope


@post(
    "/v1/ingest/files",
    status_code=202,
    operation_id="ingest_files",
    operation_class=FilesByForm,
    summary="Store the documents of files; a job embeds them. The reply means that they are on disk.",
    response_description="The job, and what became of each file. The documents are on disk and wait for embedding.",
    responses=refusals(400, 403, 408, 409, 413, 415, 422, 429, 500, 503, 504),
)
async def ingest_files(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
    form_limits: NamedDependency[FormLimits],
    file_reader: NamedDependency[FileDocumentsReader],
) -> FilesJob:
    """Store the documents of files. A lease holds the bytes of the form, then of what was read, then of documents."""
    ready = gateway.ready()
    scope, receive = scope_of(request), receive_of(request)
    key = idempotency_key_of(scope)
    lease = bodies.memory.lease(INGEST_SHARE)
    form = await _read_form(scope, receive, bodies.ingest, form_limits, lease)
    check_collection(form.collection)
    task = ExtractionTask(metadata_of_form(form.metadata), file_reader.max_documents)
    work = ready.files.extract(form.files, task, _adding(lease))
    extractions = await cancel_on_disconnect(scope, receive, work)
    collection, names = form.collection, [file.name for file in form.files]
    del form, work
    lease.hold(sum(len(extraction.lines) for extraction in extractions))
    read = await file_reader.read(names, extractions, lease)
    del lease, extractions  # the documents hold the lease for as long as they exist
    documents, files = read.documents, read.files
    del read
    record, ids = await ready.ingest.accept(collection, documents, key)
    return files_job_reply(record, ids, files)


async def _read_form(scope: Scope, receive: Receive, max_bytes: int, limits: FormLimits, lease: Lease) -> Form:
    parser = FormParser(boundary_of(scope), limits, lease.add)
    await feed_body(scope, receive, max_bytes, parser.feed)
    return parser.form()


def _adding(lease: Lease) -> Callable[[int], None]:
    """Return a function that holds more bytes, for several threads: a lease belongs to one."""
    lock = threading.Lock()

    def add(bytes: int) -> None:
        with lock:
            lease.add(bytes)

    return add
