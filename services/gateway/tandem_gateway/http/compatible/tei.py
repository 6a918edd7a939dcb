"""The part of the API of Text Embeddings Inference (TEI) that embeds. ``errors`` gives its errors their shape."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from tandem_contract.compatible.tei import TeiEmbedRequest, TeiInfo
from tandem_gateway import __version__
from tandem_gateway.errors import InvalidRequest, NotReady
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.compatible.service import ERRORS, EmbeddingService
from tandem_gateway.http.compatible.texts import TextsReader
from tandem_gateway.http.compatible.vectors import FLOAT_BYTES, numbers, write_vectors
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.openapi_operations import Examples, tei_refusals, with_body
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.embed_request import MAX_TEXTS, EmbedCommand
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope

_EXAMPLES: Final[Examples] = {
    "two": ("Two texts", {"inputs": ["a pet on a rug", "The cat sat on the mat."], "truncate": True}),
}

_reader: Final = TextsReader(TeiEmbedRequest, "inputs")


async def embed_reply(scope: Scope, receive: Receive, service: EmbeddingService) -> Reply:
    """Answer ``POST /embed``.

    Raises:
        InvalidMessage, GatewayError, OverBudget, ClientGone: the request cannot be answered.
    """
    lease = service.bodies.memory.lease()
    request, texts = await _reader.read(scope, receive, service.bodies.ingest, lease)
    check_options(request)
    command = EmbedCommand(
        texts,
        "inputs",
        single=isinstance(request.inputs, str),
        cut=request.truncate is True,
        dimensions=request.dimensions,
    )
    del request, texts
    embedded = await service.embed(scope, receive, "tei", command, lease)
    return await write_vectors(
        embedded, b"[", _row, b"]", service.bodies.memory, number_bytes=FLOAT_BYTES, turn=service.turn
    )


def check_options(request: TeiEmbedRequest) -> None:
    """Check the options that mean another vector than the model's.

    Raises:
        InvalidRequest: the request has one.
    """
    if request.normalize is False:
        raise InvalidRequest(
            "normalize: the vectors of this service always have unit length; leave the field out, or send true",
            param="normalize",
        )
    if request.truncation_direction not in (None, "right", "Right"):
        raise InvalidRequest(
            "truncation_direction: a text is cut at its end; leave the field out, or send 'right'",
            param="truncation_direction",
        )
    if request.prompt_name is not None:
        raise InvalidRequest("prompt_name: this service has no named prompts; leave it out", param="prompt_name")


def _row(place: int, vector: Vectors) -> bytes:
    return numbers(vector)


@post(
    "/embed",
    status_code=200,
    operation_id="tei_embed",
    operation_class=with_body(TeiEmbedRequest, _EXAMPLES),
    summary="Return the vectors of texts, as the API of Text Embeddings Inference does.",
    response_description="The vectors, in the order of the texts.",
    responses=tei_refusals(*ERRORS),
)
async def tei_embed(
    request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Response[list[list[float]]]:
    """Return vectors. ``routes.hot_endpoints`` does it faster; this handler documents the route and can replace it."""
    return Sent(await embed_reply(scope_of(request), receive_of(request), embedding))


@get(
    "/info",
    operation_id="tei_info",
    summary="Return what is known of the served model, as the API of Text Embeddings Inference does.",
    response_description="The model.",
    responses=tei_refusals(403, 500, 503),
)
async def tei_info(request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]) -> TeiInfo:
    """Return the model."""
    model = embedding.embed_texts(scope_of(request)).model()
    return TeiInfo(model.model or "", model.fingerprint, model.precision, model.max_tokens, MAX_TEXTS, __version__)


@get(
    "/health",
    operation_id="tei_health",
    summary="Answer 200 with an empty body while texts can be embedded, as the API of Text Embeddings Inference does.",
    response_description="An embedder is ready.",
    media_type="text/plain",
    responses=tei_refusals(403, 500, 503),
)
async def tei_health(embedding: NamedDependency[EmbeddingService]) -> Response[str]:
    """Tell whether requests for vectors can be served."""
    gateway = embedding.gateway
    gateway.check_ready()
    if not (await gateway.health()).embedder_up:
        raise NotReady("no embedder answers")
    return Sent(Reply(200, b"", b"text/plain; charset=utf-8"))


TEI_ROUTES: Final = (tei_embed, tei_info, tei_health)
