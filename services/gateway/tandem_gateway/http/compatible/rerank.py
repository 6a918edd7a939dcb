"""The routes that rerank: in the shapes of Cohere (v1 and v2), Jina and Text Embeddings Inference (TEI).

``errors`` gives their errors the shape of each family.
"""

from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from tandem_contract import headers
from tandem_contract.compatible.rerank import (
    ApiVersion,
    CohereError,
    RerankDocument,
    RerankMeta,
    RerankReply,
    RerankRequest,
    RerankResult,
    RerankUsage,
    TeiRank,
    TeiRerankRequest,
)
from tandem_contract.decoding import decode_json
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import caller_timeout, read_body_of
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.openapi_operations import Examples, refusals, tei_refusals, with_body
from tandem_gateway.use_cases.reranking import RerankAnswer, RerankCommand
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.http import Reply
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import ID

TRUNCATED: Final = headers.TRUNCATED_DOCUMENTS.encode()
_MAX_WARNINGS: Final = 100
_ERRORS: Final = (400, 403, 408, 413, 415, 422, 429, 500, 503, 504)
_cohere_decoder = msgspec.json.Decoder(RerankRequest)
_tei_decoder = msgspec.json.Decoder(TeiRerankRequest)
_encoder = msgspec.json.Encoder()

COHERE_EXAMPLES: Final[Examples] = {
    "two": (
        "Two documents",
        {"query": "a pet on a rug", "documents": ["Steep the leaves.", "The cat sat on the mat."], "top_n": 2},
    ),
}
TEI_EXAMPLES: Final[Examples] = {
    "two": ("Two texts", {"query": "a pet on a rug", "texts": ["Steep the leaves.", "The cat sat on the mat."]}),
}


async def _answer(request: Request[Any, Any, Any], gateway: CallerGateway, command: RerankCommand) -> RerankAnswer:
    work = gateway.ready().rerank.answer(command, caller_timeout(scope_of(request)))
    return await cancel_on_disconnect(scope_of(request), receive_of(request), work)


async def _cohere(request: Request[Any, Any, Any], gateway: CallerGateway, bodies: BodyLimits, version: str) -> Reply:
    rerank = gateway.ready().rerank
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), bodies.rerank, lease)
    asked = decode_json(body, _cohere_decoder)
    del body
    rerank.check_count(len(asked.documents), "documents")
    texts = [each if isinstance(each, str) else each.text for each in asked.documents]
    answer = await _answer(request, gateway, RerankCommand(asked.query, texts, asked.top_n, asked.model or None))
    scores = answer.scores
    results = [
        RerankResult(place, scores.scores[place], RerankDocument(texts[place]) if asked.return_documents else None)
        for place in answer.order
    ]
    reply = RerankReply(
        request.scope[ID].decode(),  # type: ignore[typeddict-item]
        results,
        RerankMeta(ApiVersion(version), _warnings(answer)),
        scores.model,
        RerankUsage(scores.tokens) if scores.tokens is not None else msgspec.UNSET,
    )
    return _reply(reply, answer, lease)


def _warnings(answer: RerankAnswer) -> list[str]:
    """Return one line for each text of which the model read only the beginning, at most ``_MAX_WARNINGS``."""
    told = ["query: is longer than the model reads; only its beginning counts"] if answer.scores.query_truncated else []
    cut = answer.scores.truncated
    told += [f"documents[{place}]: is longer than the model reads; only its beginning counts" for place in cut]
    if len(told) > _MAX_WARNINGS:
        told[_MAX_WARNINGS:] = [f"and {len(told) - _MAX_WARNINGS} more documents"]
    return told


def _reply(message: object, answer: RerankAnswer, lease: Lease) -> Reply:
    encoded = _encoder.encode(message)
    lease.hold(len(encoded))
    cut = len(answer.scores.truncated)
    return Reply(200, encoded, lease=lease, headers=((TRUNCATED, b"%d" % cut),) if cut else ())


@post(
    "/v1/rerank",
    status_code=200,
    operation_id="rerank",
    operation_class=with_body(RerankRequest, COHERE_EXAMPLES),
    summary="Rerank documents by their relevance to a query, in the shape of Cohere v1 and Jina.",
    response_description="The documents by descending relevance.",
    responses=refusals(*_ERRORS, shape=CohereError),
)
async def rerank_v1(
    request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway], bodies: NamedDependency[BodyLimits]
) -> Response[RerankReply]:
    """Rerank documents."""
    return Sent(await _cohere(request, gateway, bodies, "1"))


@post(
    "/v2/rerank",
    status_code=200,
    operation_id="rerank_v2",
    operation_class=with_body(RerankRequest, COHERE_EXAMPLES),
    summary="Rerank documents by their relevance to a query, in the shape of Cohere v2.",
    response_description="The documents by descending relevance.",
    responses=refusals(*_ERRORS, shape=CohereError),
)
async def rerank_v2(
    request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway], bodies: NamedDependency[BodyLimits]
) -> Response[RerankReply]:
    """Rerank documents."""
    return Sent(await _cohere(request, gateway, bodies, "2"))


@post(
    "/rerank",
    status_code=200,
    operation_id="rerank_texts",
    operation_class=with_body(TeiRerankRequest, TEI_EXAMPLES),
    summary="Rerank texts by their relevance to a query, in the shape of Text Embeddings Inference.",
    response_description="The texts by descending score.",
    responses=tei_refusals(*_ERRORS),
)
async def rerank_texts(
    request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway], bodies: NamedDependency[BodyLimits]
) -> Response[list[TeiRank]]:
    """Rerank texts."""
    gateway.ready()
    lease = bodies.memory.lease()
    body = await read_body_of(scope_of(request), receive_of(request), bodies.rerank, lease)
    asked = decode_json(body, _tei_decoder)
    del body
    command = RerankCommand(asked.query, asked.texts, raw_scores=asked.raw_scores, field="texts")
    answer = await _answer(request, gateway, command)
    scores = answer.scores.scores
    ranks = [TeiRank(place, scores[place], asked.texts[place] if asked.return_text else None) for place in answer.order]
    return Sent(_reply(ranks, answer, lease))


RERANK_ROUTES: Final = (rerank_v1, rerank_v2, rerank_texts)
