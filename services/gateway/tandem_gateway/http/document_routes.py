"""The client API's handlers that concern many documents: lists, reads by ids, deletions by ids or by a filter."""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.client_api import (
    DeletedDocuments,
    DocumentDeletion,
    DocumentIds,
    DocumentList,
    FacetsReply,
    FacetsRequest,
    FacetValue,
    FoundDocuments,
)
from tandem_contract.decoding import decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.tree import EVERYTHING, Scalar
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import read_body_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.filters import read_filter
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.messages import stored_document
from tandem_gateway.http.openapi_operations import DELETION_EXAMPLES, FACETS_EXAMPLES, IDS_EXAMPLES, refusals, with_body
from tandem_gateway.ports.documents import PAGE_BYTES
from tandem_gateway.records.documents import DocumentView
from tandem_gateway.use_cases.facets import Facet as Counted
from tandem_runtime.http import Reply

DEFAULT_PAGE: Final = 100
"""Documents on a page of a list, if the request does not say how many."""

# A thousand ids of 256 characters take this much, unless they are written as escapes.
_BODY_BYTES: Final = 1 << 20
# A page may have one document more than its limit on bytes, and JSON takes up to six bytes a character.
_PAGE_LEASE: Final = 4 * PAGE_BYTES
_LARGE_BYTES: Final = 256 << 10
_DIGITS: Final = 9
_INVALID_CURSOR: Final = "cursor: the next_cursor of an earlier page was expected"
_DOCUMENTS: Final = "/v1/collections/{collection:str}/documents"

_InCollection = Annotated[str, PathParameter(description="Name of the collection.")]


class _Facets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``FacetsRequest`` with its filter still as JSON."""

    fields: list[str]
    filter: msgspec.Raw = msgspec.Raw(b"null")
    limit: int = 10


class _Deletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``DocumentDeletion`` with its filter still as JSON, so that numbers keep all digits."""

    ids: list[str | int] | None = None
    filter: msgspec.Raw = msgspec.Raw(b"null")


_ids = msgspec.json.Decoder(DocumentIds)
_facets = msgspec.json.Decoder(_Facets)
_deletion = msgspec.json.Decoder(_Deletion)
_encoder = msgspec.json.Encoder()


@post(
    f"{_DOCUMENTS}/get",
    status_code=200,
    operation_id="get_documents",
    operation_class=with_body(DocumentIds, IDS_EXAMPLES),
    summary="Return the newest versions of documents by their ids.",
    response_description="The documents in the order of the ids, and the ids that no document has.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def get_documents(
    collection: _InCollection,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> Response[FoundDocuments]:
    """Return documents. The reply holds its bytes in the memory budget until it is sent."""
    documents = gateway.ready().documents
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODY_BYTES, lease)
    ids = [str(each) for each in decode_json(body, _ids).ids]
    views = await documents.documents(collection, ids)
    size = sum(len(view.text) + len(view.metadata) for view in views)
    lease.hold(len(body) + 2 * size)
    if size <= _LARGE_BYTES:
        encoded = _encode(views, collection)
    else:
        encoded = await asyncio.to_thread(_encode, views, collection)
    found = {view.doc_id for view in views}
    missing = _encoder.encode([doc_id for doc_id in dict.fromkeys(ids) if doc_id not in found])
    reply = b'{"documents":[' + encoded + b'],"missing":' + missing + b"}"
    lease.hold(len(reply))
    return Sent(Reply(200, reply, lease=lease))


@post(
    f"{_DOCUMENTS}/delete",
    status_code=200,
    operation_id="delete_documents",
    operation_class=with_body(DocumentDeletion, DELETION_EXAMPLES),
    summary="Delete documents by their ids, or those that match a filter.",
    response_description="How many documents were deleted.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def delete_documents(
    collection: _InCollection,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> DeletedDocuments:
    """Delete documents."""
    documents = gateway.ready().documents
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODY_BYTES, lease)
    message = decode_json(body, _deletion)
    by_filter = bytes(message.filter) != b"null"
    if by_filter == (message.ids is not None):
        raise InvalidRequest("ids: either ids or filter was expected, and not both", param="ids")
    if message.ids is not None:
        return DeletedDocuments(await documents.delete_all(collection, [str(each) for each in message.ids]))
    return DeletedDocuments(await documents.delete_matching(collection, read_filter(bytes(message.filter))))


@post(
    "/v1/collections/{collection:str}/facets",
    status_code=200,
    operation_id="count_facets",
    operation_class=with_body(FacetsRequest, FACETS_EXAMPLES),
    summary="Count documents by the values of fields.",
    response_description="The most frequent values of each field, with their documents.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def count_facets(
    collection: _InCollection,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> Response[FacetsReply]:
    """Count documents. The values, and then the reply, hold their bytes in the memory budget until it is sent."""
    facets = gateway.ready().facets
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODY_BYTES, lease)
    message = decode_json(body, _facets)
    given = bytes(message.filter)
    condition = EVERYTHING if given == b"null" else read_filter(given)
    documents, found = await facets.count(collection, message.fields, condition, message.limit, lease.hold)
    reply = await asyncio.to_thread(_encode_facets, documents, found, bodies.answer)
    lease.hold(len(reply))
    return Sent(Reply(200, reply, lease=lease))


def _encode_facets(documents: int, found: Mapping[str, Counted], max_bytes: int) -> bytes:
    """Return facets as JSON. Each value is encoded by itself, so that other threads run meanwhile.

    Raises:
        InvalidRequest: they take more than ``max_bytes``; one character may take six bytes of JSON.
    """
    facets: list[bytes] = []
    size = 0
    for field, counted in found.items():
        values: list[bytes] = []
        for value, count in counted.values:
            values.append(_encoder.encode(_facet_value(value, count)))
            size += len(values[-1]) + 1
            if size > max_bytes:
                raise InvalidRequest(
                    f"limit: the values have more than {max_bytes} bytes as JSON, which is the limit of an answer "
                    "(TANDEM_MAX_ANSWER_BYTES); ask for fewer",
                    param="limit",
                    code="limit_exceeded",
                )
        facet = b'{"values":[' + b",".join(values) + b'],"other_count":%d}' % counted.others
        facets.append(_encoder.encode(field) + b":" + facet)
    return b'{"documents":%d,"facets":{' % documents + b",".join(facets) + b"}}"


def _facet_value(value: Scalar, count: int) -> FacetValue:
    """Return a value as clients see it; decimals are written with all their digits."""
    return FacetValue(msgspec.Raw(str(value).encode()) if isinstance(value, Decimal) else value, count)  # type: ignore[arg-type]


async def list_documents(
    collection: str, parameters: dict[str, str], gateway: CallerGateway, bodies: BodyLimits
) -> DocumentList:
    """Return a page of a collection's documents.

    Args:
        collection: name of the collection.
        parameters: of the query: ``filter``, ``limit`` and ``cursor``, all optional.
        gateway: the gateway.
        bodies: has the memory budget.
    """
    documents = gateway.ready().documents
    given = parameters.get("filter")
    condition = EVERYTHING if given is None else read_filter(given.encode())
    after, limit = _read_cursor(parameters.get("cursor")), _read_limit(parameters.get("limit"))
    lease = bodies.memory.lease()
    lease.hold(_PAGE_LEASE)
    page = await documents.page(collection, after, limit, condition)
    return DocumentList(
        [stored_document(view, collection) for view in page.documents],
        None if page.after is None else base64.urlsafe_b64encode(page.after.encode()).decode(),
    )


def _encode(views: Sequence[DocumentView], collection: str) -> bytes:
    """Return documents as JSON, separated by commas. Each is encoded by itself, so that other threads run meanwhile."""
    return b",".join(_encoder.encode(stored_document(view, collection)) for view in views)


def _read_cursor(cursor: str | None) -> str:
    """Return the id after which a page begins."""
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise InvalidRequest(_INVALID_CURSOR, param="cursor") from None


def _read_limit(limit: str | None) -> int:
    if limit is None:
        return DEFAULT_PAGE
    if not (limit.isascii() and limit.isdigit() and len(limit) <= _DIGITS):
        raise InvalidRequest("limit: a whole number was expected", param="limit")
    return int(limit)


DOCUMENT_ROUTES: Final = (get_documents, delete_documents, count_facets)
