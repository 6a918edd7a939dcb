"""The client API's handlers. Each translates a message of the contract, calls a use case and returns a message."""

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from tandem_contract.client_api import (
    ChunkingSetting,
    Collection,
    CollectionList,
    CollectionSettings,
    Deleted,
    DocumentList,
    DocumentPatch,
    IngestRequest,
    Job,
    StoredDocument,
)
from tandem_contract.decoding import Body, cut, decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import idempotency_key_of, query_parameters, read_body_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.document_routes import DOCUMENT_ROUTES, list_documents
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.ingest_body import WHOLE_BYTES, IngestReader
from tandem_gateway.http.ingest_content import content_of
from tandem_gateway.http.limits import INGEST_SHARE, BodyLimits
from tandem_gateway.http.messages import collection_list, collection_reply, job_reply, stored_document
from tandem_gateway.http.metadata_patch import patched, read_patch
from tandem_gateway.http.openapi_operations import (
    COLLECTION_EXAMPLES,
    INGEST_EXAMPLES,
    INGEST_LINES,
    INGEST_PARAMETERS,
    PATCH_EXAMPLES,
    DocumentByQuery,
    DocumentsByQuery,
    refusals,
    with_body,
)
from tandem_gateway.records.chunking import Chunking
from tandem_gateway.records.documents import CollectionChange
from tandem_gateway.use_cases.validation import has_dot_segment
from tandem_runtime.body import read_body

# Every path with a parameter can answer 404: a name with a slash or a line end makes it a different path.
_DELETE_ERRORS: Final = (403, 404, 422, 429, 500, 503, 504)
_GET_ERRORS: Final = (403, 404, 422, 500, 503, 504)

InCollection = Annotated[str, PathParameter(description="Name of the collection.")]
DocumentId = Annotated[
    str,
    PathParameter(
        description="Id of the document. An id with a segment '.' or '..' between slashes is refused here: "
        "clients remove them."
    ),
]
_SETTINGS_BYTES: Final = 64 << 10
_PATCH_BYTES: Final = 1 << 20
_DOCUMENTS: Final = "/v1/collections/{collection:str}/documents"
_DOCUMENT: Final = f"{_DOCUMENTS}/{{document_id:path}}"


class _Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``DocumentPatch`` with its metadata still as JSON, so that numbers keep all digits."""

    metadata: msgspec.Raw


_patch: Final = msgspec.json.Decoder(_Patch)


@post(
    "/v1/ingest",
    status_code=202,
    opt={QUERY: ("collection", "on_error")},
    operation_id="ingest",
    operation_class=with_body(IngestRequest, INGEST_EXAMPLES, INGEST_PARAMETERS, INGEST_LINES),
    summary="Store documents; a job embeds them. The reply means that they are on disk.",
    response_description="The job. The documents are on disk and wait for embedding.",
    responses=refusals(400, 403, 408, 409, 413, 415, 422, 429, 500, 503, 504),
)
async def ingest(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
    reader: NamedDependency[IngestReader],
) -> Job:
    """Store documents. It reads the body itself: a lease holds the bytes of its body and of its documents."""
    ready = gateway.ready()
    key = idempotency_key_of(scope_of(request))
    lease = bodies.memory.lease(INGEST_SHARE)
    content = content_of(scope_of(request))
    body = await read_body(scope_of(request), receive_of(request), bodies.ingest, lease=lease)
    collection, documents = await reader.read(body, lease, content)
    del body, lease  # frees the body; the documents hold the lease for as long as they exist
    record, ids = await ready.ingest.accept(collection, documents, key)
    return job_reply(record, None, ids, documents.skipped)


@get(
    "/v1/collections",
    operation_id="list_collections",
    summary="List the collections.",
    response_description="All collections.",
    responses=refusals(403, 422, 500, 503, 504),
)
async def collections(request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]) -> CollectionList:
    """Return all collections."""
    return collection_list(await gateway.ready().documents.collections())


@get(
    "/v1/collections/{collection:str}",
    operation_id="get_collection",
    summary="Return a collection with its settings.",
    response_description="The collection.",
    responses=refusals(*_GET_ERRORS),
)
async def collection_by_name(collection: InCollection, gateway: NamedDependency[CallerGateway]) -> Collection:
    """Return a collection with its sizes."""
    found = gateway.ready().collections
    record = await found.collection(collection)
    return collection_reply(record, await found.sizes(record))


@put(
    "/v1/collections/{collection:str}",
    operation_id="put_collection",
    operation_class=with_body(CollectionSettings, COLLECTION_EXAMPLES),
    request_max_body_size=_SETTINGS_BYTES,
    summary="Create a collection, or change its settings.",
    response_description="The collection.",
    responses=refusals(400, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503, 504),
)
async def put_collection(
    collection: InCollection, data: JSONBody[CollectionSettings], gateway: NamedDependency[CallerGateway]
) -> Collection:
    """Create or change a collection."""
    chunking = data.chunking
    if isinstance(chunking, ChunkingSetting):
        change = CollectionChange(Chunking(chunking.max_tokens, chunking.overlap_tokens), data.language, data.engine)
    else:
        change = CollectionChange(chunking, data.language, data.engine)
    return collection_reply(await gateway.ready().collections.put(collection, change))


@delete(
    "/v1/collections/{collection:str}",
    status_code=200,
    operation_id="delete_collection",
    summary="Delete a collection with all its documents; deleting an absent one is no error.",
    response_description="Whether there was a collection to delete.",
    responses=refusals(*_DELETE_ERRORS),
)
async def delete_collection(collection: InCollection, gateway: NamedDependency[CallerGateway]) -> Deleted:
    """Delete a collection."""
    return Deleted(await gateway.ready().documents.delete_collection(collection))


@get(
    _DOCUMENTS,
    opt={QUERY: ("id", "filter", "limit", "cursor")},
    operation_id="get_document",
    operation_class=DocumentsByQuery,
    summary="Return the newest version of a document, or a page of the documents that match a filter.",
    response_description="With id the document, else the page.",
    responses=refusals(*_GET_ERRORS, 429),
)
async def document(
    collection: InCollection,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> StoredDocument | DocumentList:
    """Return the document whose id is in the query, which clients and proxies do not change; without id a page."""
    parameters = query_parameters(scope_of(request), "id", "filter", "limit", "cursor")
    if "id" not in parameters:
        return await list_documents(collection, parameters, gateway, bodies)
    for other in parameters:
        if other != "id":
            raise InvalidRequest(f"{other}: is for a list of documents, and there is an id", param=other)
    return await _read(gateway, collection, parameters["id"])


@delete(
    _DOCUMENTS,
    status_code=200,
    opt={QUERY: ("id",)},
    operation_id="delete_document",
    operation_class=DocumentByQuery,
    summary="Delete a document; deleting an absent one is no error.",
    response_description="Whether there was a document to delete.",
    responses=refusals(*_DELETE_ERRORS),
)
async def delete_document(
    collection: InCollection, request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]
) -> Deleted:
    """Delete the document whose id is in the query."""
    return Deleted(await gateway.ready().documents.delete(collection, _id_in_query(request)))


@get(
    _DOCUMENT,
    operation_id="get_document_by_path",
    summary="Return the newest version of a document.",
    response_description="The document.",
    responses=refusals(*_GET_ERRORS),
)
async def document_by_path(
    collection: InCollection, document_id: DocumentId, gateway: NamedDependency[CallerGateway]
) -> StoredDocument:
    """Return the document whose id is the rest of the path."""
    _check_segments(collection, document_id)
    return await _read(gateway, collection, document_id)


@delete(
    _DOCUMENT,
    status_code=200,
    operation_id="delete_document_by_path",
    summary="Delete a document; deleting an absent one is no error.",
    response_description="Whether there was a document to delete.",
    responses=refusals(*_DELETE_ERRORS),
)
async def delete_document_by_path(
    collection: InCollection, document_id: DocumentId, gateway: NamedDependency[CallerGateway]
) -> Deleted:
    """Delete the document whose id is the rest of the path."""
    _check_segments(collection, document_id)
    return Deleted(await gateway.ready().documents.delete(collection, document_id))


@patch(
    _DOCUMENT,
    operation_id="patch_document",
    operation_class=with_body(DocumentPatch, PATCH_EXAMPLES),
    summary="Merge values into a document's metadata; its vectors stay.",
    response_description="The newest version of the document.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def patch_document(
    collection: InCollection,
    document_id: DocumentId,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
    reader: NamedDependency[IngestReader],
) -> StoredDocument:
    """Change the metadata of a document."""
    documents = gateway.ready().documents
    _check_segments(collection, document_id)
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _PATCH_BYTES, lease)
    if len(body) <= WHOLE_BYTES:
        changes = _read_patch(body)
    else:
        changes = await asyncio.to_thread(_read_patch, body)
    view = await documents.change_metadata(
        collection, document_id, lambda stored: patched(stored, changes, reader.limits)
    )
    return stored_document(view, collection)


def _read_patch(body: Body) -> dict[str, Any]:
    return read_patch(bytes(decode_json(body, _patch).metadata))


COLLECTION_ROUTES: Final = (
    collections, collection_by_name, put_collection, delete_collection, document, delete_document, *DOCUMENT_ROUTES,
    document_by_path, delete_document_by_path, patch_document,
)  # fmt: skip


async def _read(gateway: CallerGateway, collection: str, document_id: str) -> StoredDocument:
    return stored_document(await gateway.ready().documents.document(collection, document_id), collection)


def _id_in_query(request: Request[Any, Any, Any]) -> str:
    """Return the query parameter ``id``.

    Raises:
        InvalidRequest: it is missing or repeated, or the query has another one.
    """
    document_id = query_parameters(scope_of(request), "id").get("id")
    if document_id is None:
        raise InvalidRequest(
            "id: the document's id was expected as a query parameter", param="id", code="missing_field"
        )
    return document_id


def _check_segments(collection: str, document_id: str) -> None:
    """Check the id in a path.

    Raises:
        InvalidRequest: it has a dot segment, which clients and proxies remove.
    """
    if has_dot_segment(document_id):
        raise InvalidRequest(
            "id: '.' and '..' are not allowed between slashes of a path; "
            f"use /v1/collections/{cut(collection)}/documents?id=",
            param="id",
        )
