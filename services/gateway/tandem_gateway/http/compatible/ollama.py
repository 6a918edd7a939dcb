"""The part of Ollama's API that embeds, and what its clients ask before. ``errors`` gives its errors their shape."""

import time
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from tandem_contract.compatible.ollama import (
    OllamaEmbedReply,
    OllamaEmbedRequest,
    OllamaModel,
    OllamaPromptReply,
    OllamaPromptRequest,
    OllamaTags,
    OllamaVersion,
)
from tandem_gateway import __version__
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.compatible.service import ERRORS, EmbeddingService
from tandem_gateway.http.compatible.texts import TextsReader
from tandem_gateway.http.compatible.vectors import FLOAT_BYTES, numbers, write_vectors
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.openapi_operations import Examples, ollama_refusals, with_body
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.use_cases.embed_request import EmbedCommand
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope

_EMBED_EXAMPLES: Final[Examples] = {
    "two": ("Two texts", {"model": "all-minilm", "input": ["a pet on a rug", "The cat sat on the mat."]}),
}
_PROMPT_EXAMPLES: Final[Examples] = {"one": ("One text", {"model": "all-minilm", "prompt": "a pet on a rug"})}

_reader: Final = TextsReader(OllamaEmbedRequest, "input")
_prompt_reader: Final = TextsReader(OllamaPromptRequest, "prompt", lists=False)
_encoder: Final = msgspec.json.Encoder()


async def embed_reply(scope: Scope, receive: Receive, service: EmbeddingService) -> Reply:
    """Answer ``POST /api/embed``.

    Raises:
        InvalidMessage, GatewayError, OverBudget, ClientGone: the request cannot be answered.
    """
    started = time.perf_counter_ns()
    lease = service.bodies.memory.lease()
    request, texts = await _reader.read(scope, receive, service.bodies.ingest, lease)
    command = EmbedCommand(
        texts,
        "input",
        single=isinstance(request.input, str),
        model=request.model,
        cut=request.truncate is not False,
        dimensions=request.dimensions,
    )
    del request, texts
    embedded = await service.embed(scope, receive, "ollama", command, lease)
    closing = b'],"total_duration":%d,"load_duration":0,"prompt_eval_count":%d}' % (
        time.perf_counter_ns() - started,
        embedded.tokens,
    )
    opening = b'{"model":%s,"embeddings":[' % _encoder.encode(embedded.model)
    return await write_vectors(
        embedded, opening, _row, closing, service.bodies.memory, number_bytes=FLOAT_BYTES, turn=service.turn
    )


def _row(place: int, vector: Vectors) -> bytes:
    return numbers(vector)


@post(
    "/api/embed",
    status_code=200,
    operation_id="ollama_embed",
    operation_class=with_body(OllamaEmbedRequest, _EMBED_EXAMPLES),
    summary="Return the vectors of texts, as Ollama's API does.",
    response_description="The vectors, in the order of the texts.",
    responses=ollama_refusals(*ERRORS),
)
async def ollama_embed(
    request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Response[OllamaEmbedReply]:
    """Return vectors. ``routes.hot_endpoints`` does it faster; this handler documents the route and can replace it."""
    return Sent(await embed_reply(scope_of(request), receive_of(request), embedding))


@post(
    "/api/embeddings",
    status_code=200,
    operation_id="ollama_embeddings",
    operation_class=with_body(OllamaPromptRequest, _PROMPT_EXAMPLES),
    summary="Return the vector of a text, as Ollama's older route does.",
    response_description="The vector.",
    responses=ollama_refusals(*ERRORS),
)
async def ollama_embeddings(
    request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]
) -> Response[OllamaPromptReply]:
    """Return a vector."""
    scope, receive, bodies = scope_of(request), receive_of(request), embedding.bodies
    lease = bodies.memory.lease()
    message, texts = await _prompt_reader.read(scope, receive, bodies.ingest, lease)
    command = EmbedCommand(texts, "prompt", single=True, model=message.model)
    embedded = await embedding.embed(scope, receive, "ollama", command, lease)
    opening = b'{"embedding":'
    return Sent(
        await write_vectors(embedded, opening, _row, b"}", bodies.memory, number_bytes=FLOAT_BYTES, turn=embedding.turn)
    )


@get(
    "/api/tags",
    operation_id="ollama_tags",
    summary="List the served model and its other names, as Ollama's API does.",
    response_description="The model, under each of its names.",
    responses=ollama_refusals(403, 500, 503),
)
async def ollama_tags(request: Request[Any, Any, Any], embedding: NamedDependency[EmbeddingService]) -> OllamaTags:
    """Return the names of the model."""
    embed_texts = embedding.embed_texts(scope_of(request))
    fingerprint = embed_texts.model().fingerprint
    return OllamaTags([OllamaModel(name, name, fingerprint) for name in embed_texts.names()])


@get(
    "/api/version",
    operation_id="ollama_version",
    summary="Return the gateway's version, where Ollama's clients ask for Ollama's.",
    response_description="The version.",
    responses=ollama_refusals(403),
)
async def ollama_version() -> OllamaVersion:
    """Return the version."""
    return OllamaVersion(__version__)


OLLAMA_ROUTES: Final = (ollama_embed, ollama_embeddings, ollama_tags, ollama_version)
