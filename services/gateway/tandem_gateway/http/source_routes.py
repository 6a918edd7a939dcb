"""The client API's handler that compares a source with its documents."""

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, put
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.client_api import SourceList, SourceReply
from tandem_contract.decoding import Body, decode_json
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import read_body_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.ingest_body import WHOLE_BYTES
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.openapi_operations import SOURCE_EXAMPLES, refusals, with_body
from tandem_gateway.use_cases.sources import listed

# 10,000 entries with ids of 64 characters and hashes of 64 take 1.6 MB.
_BODY_BYTES: Final = 2 << 20
# Estimated memory of the decoded entries, as a multiple of their JSON.
_DECODED: Final = 4

_InCollection = Annotated[str, PathParameter(description="Name of the collection.")]
_Source = Annotated[str, PathParameter(description="Name of the source.")]

_decoder = msgspec.json.Decoder(SourceList)


@put(
    "/v1/collections/{collection:str}/sources/{source:str}",
    status_code=200,
    operation_id="put_source",
    operation_class=with_body(SourceList, SOURCE_EXAMPLES),
    summary="Compare a source with its documents, and delete those that it has no more.",
    response_description="The documents to ingest, and how many were deleted.",
    responses=refusals(400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
)
async def put_source(
    collection: _InCollection,
    source: _Source,
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> SourceReply:
    """Compare a source with its documents."""
    sources = gateway.ready().sources
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODY_BYTES, lease)
    lease.hold(_DECODED * len(body))
    documents = _read(body) if len(body) <= WHOLE_BYTES else await asyncio.to_thread(_read, body)
    found = await sources.synchronize(collection, source, documents)
    return SourceReply(found.missing, found.changed, len(found.deleted))


def _read(body: Body) -> dict[str, str]:
    entries = decode_json(body, _decoder).documents
    return listed(((str(each.id), each.hash) for each in entries), len(entries))
