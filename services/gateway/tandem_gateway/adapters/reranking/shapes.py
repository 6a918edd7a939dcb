"""The messages of rerank servers: TEI's ``/rerank`` and Cohere's ``/v2/rerank``. Pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from tandem_contract.compatible.rerank import ReceivedRerankReply, ReceivedTeiRank
from tandem_contract.decoding import InvalidMessage, cut, decode_json
from tandem_gateway.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RerankerBroken,
    RerankerError,
    RerankerRejected,
    RerankerUnavailable,
)
from tandem_runtime.memory import utf8_bytes

RerankApi = Literal["tei", "cohere"]

_REST_BYTES: Final = 64 << 10
_RESULT_BYTES: Final = 256
"""Maximum bytes of a reply, and for each document besides its text."""
_JSON_BYTES: Final = 6
"""Maximum bytes of JSON for a byte of text: some servers send the documents back, whatever they were asked."""
_TOLERANCE: Final = 1e-3
_MAX_MESSAGE_CHARS: Final = 300
_tei_decoder = msgspec.json.Decoder(list[ReceivedTeiRank])
_cohere_decoder = msgspec.json.Decoder(ReceivedRerankReply)
_encoder = msgspec.json.Encoder()


class ServerScores(msgspec.Struct, frozen=True):
    """The scores of one call, in the order of its documents; ``tokens`` is None if the server does not tell it."""

    scores: Sequence[float]
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServerError:
    """The parts of an error that its status does not tell."""

    status: int
    body: bytes
    retry_after: str | None = None


def endpoint(url: str, api: RerankApi) -> str:
    """Return the URL of the calls: the given one if its path ends with ``/rerank``, or else the API's path below it."""
    if urlsplit(url).path.endswith("/rerank"):
        return url
    return f"{url}{'/rerank' if api == 'tei' else '/v2/rerank'}"


def health_url(url: str) -> str:
    """Return the URL of the probe: ``/health`` at the server's root."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/health"


def encode_call(api: RerankApi, query: str, documents: Sequence[str], model: str | None, *, raw: bool) -> bytes:
    """Return the body of a call.

    Raises:
        InvalidRequest: the API has no raw scores.
    """
    if api == "tei":
        return _encoder.encode({"query": query, "texts": documents, "raw_scores": raw, "truncate": True})
    if raw:
        raise InvalidRequest(
            "raw_scores: the rerank server's API (TANDEM_RERANKER_API=cohere) has none", param="raw_scores"
        )
    body = {"query": query, "documents": documents, "top_n": len(documents), "return_documents": False}
    return _encoder.encode(body if model is None else {"model": model, **body})


def max_reply_bytes(documents: Sequence[str]) -> int:
    """Return the maximum size of the reply to a call, in bytes."""
    return _REST_BYTES + sum(_RESULT_BYTES + _JSON_BYTES * utf8_bytes(text) for text in documents)


def read_reply(api: RerankApi, body: bytes, count: int, *, raw: bool) -> ServerScores:
    """Return the scores of a reply.

    Args:
        api: the server's API.
        body: the reply's body.
        count: number of documents of the call.
        raw: whether the scores may be any numbers. Otherwise they are from 0 to 1.

    Raises:
        RerankerBroken: the reply cannot be read, lacks a document or has one twice, or a score is not allowed.
    """
    try:
        if api == "tei":
            ranks = decode_json(body, _tei_decoder)
            return ServerScores(_in_order([(each.index, each.score) for each in ranks], count, raw=raw))
        reply = decode_json(body, _cohere_decoder)
    except InvalidMessage as error:
        said = cut(error.message, _MAX_MESSAGE_CHARS)
        raise RerankerBroken(f"the rerank server's reply cannot be read as that of the API {api!r}: {said}") from error
    found = _in_order([(each.index, each.relevance_score) for each in reply.results], count, raw=raw)
    return ServerScores(found, reply.usage.total_tokens if reply.usage is not None else None)


def _in_order(found: Sequence[tuple[int, float]], count: int, *, raw: bool) -> list[float]:
    if sorted(index for index, _ in found) != list(range(count)):
        raise RerankerBroken(f"the rerank server's reply does not have each of the {count} documents once")
    scores = [score for _, score in sorted(found)]
    # NaN compares as false; the comparisons are written so that it counts as invalid.
    if raw:
        if not all(math.isfinite(score) for score in scores):
            raise RerankerBroken("the rerank server sent a score that is not finite")
        return scores
    if not all(-_TOLERANCE <= score <= 1.0 + _TOLERANCE for score in scores):
        raise RerankerBroken("the rerank server sent a score that is not from 0 to 1")
    return [min(1.0, max(0.0, score)) for score in scores]


def refusal(error: ServerError) -> RerankerError | Overloaded | DeadlineExceeded:
    """Return the domain error for a response whose status is not 200."""
    said = f"the rerank server answered {error.status}: {cut(_message(error.body), _MAX_MESSAGE_CHARS)}"
    if error.status == 429:
        return Overloaded(said, retry_after=_seconds(error.retry_after))
    if error.status in (502, 503):
        return RerankerUnavailable(said, retry_after=_seconds(error.retry_after))
    if error.status in (408, 504):
        return DeadlineExceeded(said)
    if error.status in (400, 404, 413, 422):
        return RerankerRejected(said)
    return RerankerBroken(said)


def _message(body: bytes) -> str:
    """Return the message of an error: both APIs have it in a field, under different names."""
    try:
        found = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ascii(body[:_MAX_MESSAGE_CHARS])
    told = next((found[name] for name in ("message", "error", "detail") if isinstance(found.get(name), str)), None)
    return told if isinstance(told, str) else ascii(body[:_MAX_MESSAGE_CHARS])


def _seconds(text: str | None) -> float:
    try:
        return min(120.0, max(0.0, float(text or "1")))
    except ValueError:
        return 1.0
