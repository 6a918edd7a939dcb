"""OpenAI's embeddings API, also below the paths of Azure OpenAI."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_contract.compatible.openai import EmbeddingsReply, EmbeddingsRequest, Model, ModelList
from tandem_contract.decoding import cut
from tandem_gateway.errors import NotFound
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.compatible.service import ERRORS, EmbeddingService
from tandem_gateway.http.compatible.texts import TextsReader
from tandem_gateway.http.compatible.vectors import BASE64_BYTES, FLOAT_BYTES, base64, numbers, write_vectors
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.openapi_operations import Examples, refusals, with_body
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.embed_request import EmbedCommand
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope

_EXAMPLES: Final[Examples] = {
    "two": ("Two texts", {"model": "all-MiniLM-L6-v2", "input": ["a pet on a rug", "The cat sat on the mat."]}),
    "base64": ("One text, in base64", {"input": "a pet on a rug", "encoding_format": "base64"}),
}

_reader: Final = TextsReader(EmbeddingsRequest, "input")
_encoder: Final = msgspec.json.Encoder()

Deployment = Annotated[
    str, PathParameter(description="Name of the model, as `model` of the body, which takes precedence.")
]
ModelId = Annotated[str, PathParameter(description="A name of the model; it may have slashes.")]


async def embeddings_reply(
    scope: Scope, receive: Receive, service: EmbeddingService, deployment: str | None = None
) -> Reply:
    """Answer ``POST /v1/embeddings``.

    Raises:
        InvalidMessage, GatewayError, OverBudget, ClientGone: the request cannot be answered.
    """
    lease = service.bodies.memory.lease()
    request, texts = await _reader.read(scope, receive, service.bodies.ingest, lease)
    command = EmbedCommand(
        texts,
        "input",
        single=isinstance(request.input, str),
        model=request.model or deployment,
        kind=request.input_type or "query",
        cut=request.truncation == "cut",
        dimensions=request.dimensions,
    )
    packed = request.encoding_format == "base64"
    del request, texts
    embedded = await service.embed(scope, receive, "openai", command, lease)
    closing = b'],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        _encoder.encode(embedded.model),
        embedded.tokens,
        embedded.tokens,
    )
    return await write_vectors(
        embedded,
        b'{"object":"list","data":[',
        _packed_row if packed else _row,
        closing,
        service.bodies.memory,
        number_bytes=BASE64_BYTES if packed else FLOAT_BYTES,
        turn=service.turn,
        compressible=not packed,
    )


def _row(place: int, vector: Vectors) -> bytes:
    return b'{"object":"embedding","index":%d,"embedding":%s}' % (place, numbers(vector))


def _packed_row(place: int, vector: Vectors) -> bytes:
    return b'{"object":"embedding","index":%d,"embedding":"%s"}' % (place, base64(vector))


@post(
    "/v1/embeddings",
    status_code=200,
    operation_id="create_embeddings",
    operation_class=with_body(EmbeddingsRequest, _EXAMPLES),
    summary="Return the vectors of texts, as OpenAI's API does.",
    response_description="The vectors, in the order of the texts.",
    responses=refusals(*ERRORS),
)
async def create_embeddings(
    request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Response[EmbeddingsReply]:
    """Return vectors. ``routes.hot_endpoints`` does it faster; this handler documents the route and can replace it."""
    return Sent(await embeddings_reply(scope_of(request), receive_of(request), embedding))


@post(
    "/openai/deployments/{deployment:str}/embeddings",
    status_code=200,
    operation_id="create_azure_embeddings",
    operation_class=with_body(EmbeddingsRequest, _EXAMPLES),
    summary="Return the vectors of texts, at the path of Azure OpenAI; query parameters are ignored.",
    response_description="The vectors, in the order of the texts.",
    responses=refusals(*ERRORS),
)
async def create_azure_embeddings(
    deployment: Deployment, request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Response[EmbeddingsReply]:
    """Return vectors."""
    return Sent(await embeddings_reply(scope_of(request), receive_of(request), embedding, deployment))


@get(
    "/v1/models",
    operation_id="list_models",
    summary="List the served model and its other names.",
    response_description="The model, under each of its names.",
    responses=refusals(403, 500, 503),
)
async def list_models(request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]) -> ModelList:
    """Return the names of the model."""
    return ModelList([Model(name) for name in embedding.embed_texts(scope_of(request)).names()])


@get(
    "/v1/models/{model:path}",
    operation_id="get_model",
    summary="Return the served model by one of its names.",
    response_description="The model.",
    responses=refusals(403, 404, 500, 503),
)
async def get_model(
    model: ModelId, request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Model:
    """Return a model."""
    if not embedding.embed_texts(scope_of(request)).knows(model):
        raise NotFound(f"model: {cut(model)!r} is not served; GET /v1/models lists the names", param="model")
    return Model(model)


OPENAI_ROUTES: Final = (create_embeddings, create_azure_embeddings, list_models, get_model)
