"""The handlers of searches. ``routes.hot_endpoints`` serves ``/v1/search`` before them, and faster."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from tandem_contract.client_api import (
    SearchBatch,
    SearchBatchReply,
    SearchReply,
    SearchRequest,
    SimilarRequest,
)
from tandem_contract.decoding import decode_json
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import caller_timeout, read_body_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.clock import now
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.messages import (
    ReceivedSearch,
    ReceivedSearchBatch,
    ReceivedSimilar,
    search_command,
    search_commands,
    similar_command,
)
from tandem_gateway.http.openapi_operations import (
    BATCH_EXAMPLES,
    SEARCH_EXAMPLES,
    SEARCH_PARAMETERS,
    SIMILAR_EXAMPLES,
    refusals,
    with_body,
)
from tandem_gateway.http.search_reply import write_batch_reply, write_search_reply
from tandem_runtime.body import cancel_on_disconnect

# A batch may have as many bytes as this number of single searches.
_BODIES_OF_BATCH: Final = 16
_BODIES_OF_VECTOR: Final = 4
"""A search with a vector may have as many bytes as this number of other searches."""
_similar_decoder = msgspec.json.Decoder(ReceivedSimilar)
_batch_decoder = msgspec.json.Decoder(ReceivedSearchBatch)

_ERRORS: Final = (400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)


@post(
    "/v1/search",
    status_code=200,
    operation_id="search",
    operation_class=with_body(SearchRequest, SEARCH_EXAMPLES, SEARCH_PARAMETERS),
    summary="Find the documents that answer a query.",
    response_description="The hits, by descending score.",
    responses=refusals(*_ERRORS),
)
async def search(
    data: JSONBody[ReceivedSearch],
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> Response[SearchReply]:
    """Answer a search. ``routes.hot_endpoints`` does it faster; this handler documents the route and can replace it."""
    started = now()
    work = gateway.ready().search_pipeline.answer(search_command(data), caller_timeout(scope_of(request)))
    answer = await cancel_on_disconnect(scope_of(request), receive_of(request), work)
    return Sent(await write_search_reply(answer, started, bodies.answer, bodies.memory))


@post(
    "/v1/search/batch",
    status_code=200,
    operation_id="search_batch",
    operation_class=with_body(SearchBatch, BATCH_EXAMPLES, SEARCH_PARAMETERS),
    summary="Answer several searches at once.",
    response_description="The reply to each search, in order.",
    responses=refusals(*_ERRORS),
)
async def search_batch(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> Response[SearchBatchReply]:
    """Answer several searches. It reads the body itself, because it allows a larger one than a single search."""
    started = now()
    ready = gateway.ready()
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODIES_OF_BATCH * bodies.search, lease)
    commands = search_commands(decode_json(body, _batch_decoder))
    del body, lease
    work = ready.batch_search.answer(commands, caller_timeout(scope_of(request)))
    answers = await cancel_on_disconnect(scope_of(request), receive_of(request), work)
    return Sent(await write_batch_reply(answers, started, bodies.answer, bodies.memory))


@post(
    "/v1/search/similar",
    status_code=200,
    operation_id="search_similar",
    operation_class=with_body(SimilarRequest, SIMILAR_EXAMPLES, SEARCH_PARAMETERS),
    summary="Find the documents that are similar to a document or near a vector.",
    response_description="The hits, by descending cosine similarity.",
    responses=refusals(*_ERRORS, 409),
)
async def search_similar(
    request: Request[Any, Any, Any],
    gateway: NamedDependency[CallerGateway],
    bodies: NamedDependency[BodyLimits],
) -> Response[SearchReply]:
    """Answer a search for similar documents. It reads the body itself, because a vector needs a larger one."""
    started = now()
    ready = gateway.ready()
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), _BODIES_OF_VECTOR * bodies.search, lease)
    command = similar_command(decode_json(body, _similar_decoder))
    del body, lease
    work = ready.similar_search.answer(command, caller_timeout(scope_of(request)))
    answer = await cancel_on_disconnect(scope_of(request), receive_of(request), work)
    return Sent(await write_search_reply(answer, started, bodies.answer, bodies.memory))


SEARCH_ROUTES: Final = (search, search_batch, search_similar)
