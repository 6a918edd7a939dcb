"""The gateway's routes: bytes in, a use case, bytes out."""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from tandem_contract.client_api import (
    Collection,
    CollectionList,
    Deleted,
    DocumentFailure,
    Health,
    IngestRequest,
    Job,
    JobStatus,
    SearchHit,
    SearchReply,
    SearchRequest,
    StoredDocument,
)
from tandem_gateway.errors import NotReady
from tandem_gateway.http import openapi
from tandem_gateway.http.body import caller_timeout, read_json
from tandem_gateway.http.clock import milliseconds_since, now, rfc3339
from tandem_gateway.metrics import CONTENT_TYPE as METRICS_TYPE
from tandem_gateway.model import Hit, JobRecord
from tandem_gateway.service import Gateway

_encoder = msgspec.json.Encoder()
_ingest_decoder = msgspec.json.Decoder(IngestRequest)
_search_decoder = msgspec.json.Decoder(SearchRequest)

_Request = Request[Any, Any, Any]


def routes(gateway: Gateway, max_body_bytes: int) -> list[HTTPRouteHandler]:
    """Return the handlers, over one gateway."""

    @post("/v1/search", status_code=200)
    async def search(request: _Request) -> Response[bytes]:
        started = now()
        message = await read_json(request, _search_decoder, max_body_bytes)
        hits = await gateway.ready().search.search(message, caller_timeout(request))
        return _json(SearchReply([_hit(hit) for hit in hits], milliseconds_since(started)))

    @post("/v1/ingest", status_code=202)
    async def ingest(request: _Request) -> Response[bytes]:
        message = await read_json(request, _ingest_decoder, max_body_bytes)
        job, ids = await gateway.ready().ingest.accept(message)
        return _json(_job(job, None, ids), status=202)

    @get("/v1/jobs/{job_id:str}")
    async def job(job_id: str) -> Response[bytes]:
        parts = gateway.ready()
        record = await parts.ingest.job(job_id)
        return _json(_job(record, parts.embedding.why_waiting(record.collection)))

    @get("/v1/collections")
    async def collections() -> Response[bytes]:
        records = await gateway.ready().documents.collections()
        return _json(
            CollectionList([Collection(r.name, r.live, r.pending, r.fingerprint, r.model, r.dim) for r in records])
        )

    @delete("/v1/collections/{collection:str}", status_code=200)
    async def delete_collection(collection: str) -> Response[bytes]:
        return _json(Deleted(await gateway.ready().documents.delete_collection(collection)))

    @get("/v1/collections/{collection:str}/documents/{document_id:path}")
    async def document(collection: str, document_id: str) -> Response[bytes]:
        view = await gateway.ready().documents.document(collection, document_id.removeprefix("/"))
        return _json(
            StoredDocument(view.doc_id, view.text, msgspec.Raw(view.metadata.encode()), collection, view.embedded)
        )

    @delete("/v1/collections/{collection:str}/documents/{document_id:path}", status_code=200)
    async def delete_document(collection: str, document_id: str) -> Response[bytes]:
        return _json(Deleted(await gateway.ready().documents.delete(collection, document_id.removeprefix("/"))))

    @get("/healthz")
    async def healthz() -> Response[bytes]:
        health = await gateway.health()
        return _json(health, status=503 if health.status == "failed" else 200)

    @get("/livez")
    async def livez() -> Response[bytes]:
        return _json({"status": "alive"})

    @get("/readyz")
    async def readyz() -> Response[bytes]:
        gateway.ready()
        if gateway.draining:
            raise NotReady("the gateway is shutting down")
        return _json({"status": "ready"})

    @get("/metrics")
    async def metrics() -> Response[bytes]:
        return Response(await gateway.exposition(), media_type=METRICS_TYPE)

    @get("/openapi.json")
    async def openapi_document() -> Response[bytes]:
        return _json(openapi.document())

    return [
        search,
        ingest,
        job,
        collections,
        delete_collection,
        document,
        delete_document,
        healthz,
        livez,
        readyz,
        metrics,
        openapi_document,
    ]


def _json(message: Health | object, status: int = 200) -> Response[bytes]:
    return Response(_encoder.encode(message), status_code=status, media_type=MediaType.JSON)


def _hit(hit: Hit) -> SearchHit:
    return SearchHit(hit.doc_id, hit.score, hit.text, msgspec.Raw(hit.metadata.encode()))


def _job(record: JobRecord, why_waiting: str | None, ids: list[str] | None = None) -> Job:
    status: JobStatus
    error: str | None = None
    if record.finished_at is not None:
        status = "failed" if record.failed else "completed"
        if record.failed:
            error = f"{record.failed} of {record.total} documents could not be embedded"
    else:
        status = "running" if record.started_at is not None else "pending"
        error = f"waiting: {why_waiting}" if why_waiting else None
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
        failures=[DocumentFailure(doc_id, reason) for doc_id, reason in record.failures],
        document_ids=ids,
    )
