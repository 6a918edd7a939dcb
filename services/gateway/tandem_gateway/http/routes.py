"""The gateway's routes. Each handler decodes a request, calls a use case and encodes the reply."""

from dataclasses import dataclass
from typing import Final

import msgspec

from tandem_contract.client_api import (
    Collection,
    CollectionList,
    Deleted,
    DocumentFailure,
    Job,
    JobStatus,
    Probe,
    SearchRequest,
    StoredDocument,
)
from tandem_contract.decoding import cut
from tandem_gateway.errors import InvalidRequest, NotReady
from tandem_gateway.http import openapi
from tandem_gateway.http.body import caller_timeout, query_parameters, read_body_of, read_json
from tandem_gateway.http.clock import now, rfc3339
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.search_reply import write_search_reply
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.metrics.gateway import CONTENT_TYPE as METRICS_TYPE
from tandem_gateway.records.documents import JobRecord
from tandem_gateway.use_cases.validation import RequestLimits, has_dot_segment
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.http import Endpoint, Handler, Reply
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.request_id import Receive, Scope

_encoder = msgspec.json.Encoder()
_search_decoder = msgspec.json.Decoder(SearchRequest)

# Share of the memory budget that ingests may use; the rest is reserved for searches and their answers.
_INGEST_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Maximum sizes of bodies, in bytes, and the memory budget of all requests together.

    Attributes:
        ingest: request body of an ingest.
        search: request body of a search.
        answer: response body of a search.
        memory: the memory budget.
    """

    ingest: int
    search: int
    answer: int
    memory: MemoryBudget


def endpoints(gateway: Gateway, limits: RequestLimits, bodies: BodyLimits, reader: IngestReader) -> list[Endpoint]:
    """Return the endpoints of one gateway, the busiest first."""

    async def search(scope: Scope, receive: Receive) -> Reply:
        started = now()
        message = await read_json(scope, receive, _search_decoder, bodies.search)
        work = gateway.ready().answering.answer(message, caller_timeout(scope))
        answer = await cancel_on_disconnect(scope, receive, work)
        return await write_search_reply(answer, started, bodies.answer, bodies.memory)

    async def ingest(scope: Scope, receive: Receive) -> Reply:
        ready = gateway.ready()
        lease = bodies.memory.lease(_INGEST_SHARE)
        body = await read_body_of(scope, receive, bodies.ingest, lease)
        collection, documents = await reader.read(body, lease)
        del body, lease  # frees the body; the documents hold the lease for as long as they exist
        record, ids = await ready.ingest.accept(collection, documents)
        return _json(_job(record, None, ids), status=202)

    async def job(scope: Scope, receive: Receive) -> Reply:
        parts = gateway.ready()
        record = await parts.ingest.job(scope["path_params"]["job_id"])
        return _json(_job(record, parts.embedding.blocked_reason(record.collection)))

    async def collections(scope: Scope, receive: Receive) -> Reply:
        records = await gateway.ready().documents.collections()
        return _json(
            CollectionList([Collection(r.name, r.live, r.pending, r.fingerprint, r.model, r.dim) for r in records])
        )

    async def delete_collection(scope: Scope, receive: Receive) -> Reply:
        return _json(Deleted(await gateway.ready().documents.delete_collection(scope["path_params"]["collection"])))

    async def document(scope: Scope, receive: Receive) -> Reply:
        collection, doc_id = _document_of(scope)
        view = await gateway.ready().documents.document(collection, doc_id)
        return _json(
            StoredDocument(
                view.doc_id,
                view.text,
                msgspec.Raw(view.metadata.encode()),
                collection,
                view.embedded,
                view.coverage.truncated if view.coverage else None,
                view.coverage.unknown if view.coverage else None,
            )
        )

    async def delete_document(scope: Scope, receive: Receive) -> Reply:
        collection, doc_id = _document_of(scope)
        return _json(Deleted(await gateway.ready().documents.delete(collection, doc_id)))

    async def healthz(scope: Scope, receive: Receive) -> Reply:
        health = await gateway.health()
        return _json(health, status=503 if health.status == "failed" else 200)

    async def livez(scope: Scope, receive: Receive) -> Reply:
        return _json(Probe("alive"))

    async def readyz(scope: Scope, receive: Receive) -> Reply:
        gateway.ready()
        if gateway.draining:
            raise NotReady("the gateway is shutting down")
        return _json(Probe("ready"))

    async def metrics(scope: Scope, receive: Receive) -> Reply:
        return Reply(200, await gateway.exposition(), METRICS_TYPE.encode())

    described = _encoder.encode(openapi.document(limits))

    async def openapi_document(scope: Scope, receive: Receive) -> Reply:
        return Reply(200, described)

    routes: dict[str, dict[str, Handler]] = {
        "/v1/search": {"POST": search},
        "/v1/ingest": {"POST": ingest},
        "/v1/jobs/{job_id}": {"GET": job},
        "/v1/collections": {"GET": collections},
        "/v1/collections/{collection}": {"DELETE": delete_collection},
        "/v1/collections/{collection}/documents": {"GET": document, "DELETE": delete_document},
        "/v1/collections/{collection}/documents/{document_id:path}": {"GET": document, "DELETE": delete_document},
        "/healthz": {"GET": healthz},
        "/livez": {"GET": livez},
        "/readyz": {"GET": readyz},
        "/metrics": {"GET": metrics},
        "/openapi.json": {"GET": openapi_document},
    }
    return [Endpoint(template, handlers, reply_to) for template, handlers in routes.items()]


def _document_of(scope: Scope) -> tuple[str, str]:
    """Return the collection and the id of the document that a request names.

    The id is the query parameter ``id``, which clients and proxies do not change, or the rest of the path.

    Raises:
        InvalidRequest: the request has no id, or the path's id has a dot segment, which clients and proxies remove.
    """
    collection: str = scope["path_params"]["collection"]
    doc_id: str | None = scope["path_params"].get("document_id")
    if doc_id is None:
        doc_id = query_parameters(scope, "id").get("id")
        if doc_id is None:
            raise InvalidRequest(
                "id: the document's id was expected as a query parameter", param="id", code="missing_field"
            )
    elif has_dot_segment(doc_id):
        raise InvalidRequest(
            "id: '.' and '..' are not allowed between slashes of a path; "
            f"use /v1/collections/{cut(collection)}/documents?id=",
            param="id",
        )
    return collection, doc_id


def _json(message: object, status: int = 200) -> Reply:
    return Reply(status, _encoder.encode(message))


def _job(record: JobRecord, blocked_reason: str | None, ids: list[str] | None = None) -> Job:
    status: JobStatus
    error: str | None = None
    if record.finished_at is not None:
        status = "failed" if record.failed else "completed"
        if record.failed:
            error = f"{record.failed} of {record.total} documents could not be embedded"
    else:
        status = "running" if record.started_at is not None else "pending"
        error = f"waiting: {blocked_reason}" if blocked_reason else None
    return Job(
        job_id=record.job_id,
        status=status,
        total_documents=record.total,
        processed_documents=record.processed,
        error=error,
        started_at=rfc3339(record.started_at),
        finished_at=rfc3339(record.finished_at),
        created_at=rfc3339(record.created_at) or "",
        collection=record.collection,
        unchanged_documents=record.unchanged,
        failed_documents=record.failed,
        truncated_documents=record.truncated,
        unreadable_documents=record.unreadable,
        failures=[DocumentFailure(doc_id, reason) for doc_id, reason in record.failures],
        document_ids=ids,
    )
