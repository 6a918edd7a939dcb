"""The client API's handlers that concern the re-embedding of a collection."""

from typing import Annotated, Any, Final

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.client_api import Deleted, Reembedding, SpaceOverlap
from tandem_gateway.http.asgi_types import scope_of
from tandem_gateway.http.body import query_parameters, whole_number
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.openapi_operations import OverlapByQuery, refusals
from tandem_gateway.use_cases.reembedding import COMPARED, DEFAULT_QUERIES, MAX_QUERIES, Progress

_PATH: Final = "/v1/collections/{collection:str}/reembed"
_READ_ERRORS: Final = (403, 404, 422, 500, 503, 504)
_WRITE_ERRORS: Final = (403, 404, 409, 422, 429, 500, 503, 504)

_Collection = Annotated[str, PathParameter(description="Name of the collection.")]


@post(
    _PATH,
    status_code=202,
    operation_id="start_reembed",
    summary="Begin to embed a collection with the canary's model, while the present vectors serve.",
    response_description="The progress.",
    responses=refusals(*_WRITE_ERRORS),
)
async def start_reembed(collection: _Collection, gateway: NamedDependency[CallerGateway]) -> Reembedding:
    """Begin to re-embed a collection."""
    return _reply(await gateway.ready().reembed.start(collection))


@get(
    _PATH,
    operation_id="get_reembed",
    summary="Return how far the re-embedding of a collection is.",
    response_description="The progress.",
    responses=refusals(*_READ_ERRORS),
)
async def get_reembed(collection: _Collection, gateway: NamedDependency[CallerGateway]) -> Reembedding:
    """Return the progress."""
    return _reply(await gateway.ready().reembed.progress(collection))


@delete(
    _PATH,
    status_code=200,
    operation_id="delete_reembed",
    summary="Drop the vectors that do not serve: before the switch the new ones, after it the old ones.",
    response_description="Whether there were any.",
    responses=refusals(403, 404, 422, 429, 500, 503, 504),
)
async def delete_reembed(collection: _Collection, gateway: NamedDependency[CallerGateway]) -> Deleted:
    """Drop the vectors that do not serve."""
    return Deleted(await gateway.ready().reembed.drop(collection))


@post(
    f"{_PATH}/switch",
    status_code=200,
    operation_id="switch_reembed",
    summary="Serve a collection from its new vectors, in one commit.",
    response_description="The progress.",
    responses=refusals(*_WRITE_ERRORS),
)
async def switch_reembed(collection: _Collection, gateway: NamedDependency[CallerGateway]) -> Reembedding:
    """Switch to the new vectors."""
    return _reply(await gateway.ready().reembed.switch(collection))


@post(
    f"{_PATH}/rollback",
    status_code=200,
    operation_id="roll_back_reembed",
    summary="Serve a collection from its old vectors again, in one commit.",
    response_description="The progress.",
    responses=refusals(*_WRITE_ERRORS),
)
async def roll_back_reembed(collection: _Collection, gateway: NamedDependency[CallerGateway]) -> Reembedding:
    """Return to the old vectors."""
    return _reply(await gateway.ready().reembed.switch(collection, back=True))


@get(
    f"{_PATH}/overlap",
    opt={QUERY: ("queries",)},
    operation_id="get_reembed_overlap",
    operation_class=OverlapByQuery,
    summary="Compare searches with the old vectors and the new ones.",
    response_description="The share of the nearest documents that both find.",
    responses=refusals(*_WRITE_ERRORS),
)
async def get_reembed_overlap(
    collection: _Collection, request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]
) -> SpaceOverlap:
    """Compare both spaces."""
    use_cases = gateway.ready()
    given = query_parameters(scope_of(request), "queries")
    queries = whole_number(given, "queries", DEFAULT_QUERIES, 1, MAX_QUERIES)
    found = await use_cases.reembed.overlap(collection, queries)
    overlap = None if found.overlap is None else round(found.overlap, 4)
    return SpaceOverlap(collection, found.queries, COMPARED, overlap)


REEMBED_ROUTES: Final = (
    start_reembed, get_reembed, delete_reembed, switch_reembed, roll_back_reembed, get_reembed_overlap,
)  # fmt: skip


def _reply(progress: Progress) -> Reembedding:
    state, faults = progress.state, progress.faults
    space = state.space
    return Reembedding(
        collection=space.collection,
        status=progress.status,
        fingerprint=space.target.fingerprint,
        model=space.target.model,
        serving_fingerprint=space.serving.fingerprint,
        serving_model=space.serving.model,
        total_passages=state.passages,
        embedded_passages=state.embedded,
        truncated_passages=state.truncated,
        failed_passages=faults.failed,
        error=faults.error,
    )
