"""Encodes the answer to a search: a small answer in the event loop, a large one in a thread."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from tandem_contract.client_api import HitPassage, HitScores, SearchHit, SearchReply, SearchWarning
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.clock import milliseconds_since
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.hybrid_search import Answer
from tandem_runtime.http import Reply
from tandem_runtime.memory import MemoryBudget

_LARGE_CHARS: Final = 256 << 10
"""A thread encodes answers with more characters, hit by hit, because they would block the event loop."""

_encoder = msgspec.json.Encoder()
_RESULTS: Final = b'"results":[]'


async def write_search_reply(answer: Answer, started: float, max_bytes: int, memory: MemoryBudget) -> Reply:
    """Return an answer as a reply.

    Args:
        answer: the answer. The caller should keep no reference, so that its memory is freed once it is encoded.
        started: value of ``clock.now`` when the request arrived.
        max_bytes: maximum size of the reply, in bytes.
        memory: memory budget of all requests; a large reply holds its bytes until it is sent.

    Raises:
        InvalidRequest: the reply is larger than ``max_bytes``.
        OverBudget: the requests in progress use up the memory budget.
    """
    if sum(map(_chars, answer.hits)) <= _LARGE_CHARS:
        hits = [_hit(hit, answer.passages) for hit in answer.hits]
        return Reply(200, _encoder.encode(_reply(hits, answer, started)))
    lease = memory.lease()
    hits_json = await asyncio.to_thread(_encode_hits, answer.hits, max_bytes, answer.passages)
    lease.hold(len(hits_json))
    empty = _encoder.encode(_reply([], answer, started))
    assert empty.count(_RESULTS) == 1
    return Reply(200, empty.replace(_RESULTS, b'"results":[' + hits_json + b"]"), lease=lease)


async def write_batch_reply(answers: Sequence[Answer], started: float, max_bytes: int, memory: MemoryBudget) -> Reply:
    """Return the answers to a batch of searches as one reply; see ``write_search_reply``.

    Raises:
        InvalidRequest: the reply is larger than ``max_bytes``.
        OverBudget: the requests in progress use up the memory budget.
    """
    lease = memory.lease()
    parts: list[bytes] = []
    size = 0
    for answer in answers:
        reply = await write_search_reply(answer, started, max_bytes, memory)
        size += len(reply.body) + 1
        if size > max_bytes:
            raise InvalidRequest(
                f"searches: the {len(answers)} replies have more than {max_bytes} bytes, the limit of an answer "
                "(TANDEM_MAX_ANSWER_BYTES); ask for fewer hits",
                param="searches",
                code="limit_exceeded",
            )
        parts.append(reply.body)
        lease.hold(size)
    took = _encoder.encode(milliseconds_since(started))
    return Reply(200, b'{"replies":[' + b",".join(parts) + b'],"took_ms":' + took + b"}", lease=lease)


def _reply(hits: list[SearchHit], answer: Answer, started: float) -> SearchReply:
    coverage = answer.coverage
    return SearchReply(
        hits,
        milliseconds_since(started),
        answer.mode,
        answer.degraded,
        coverage.truncated,
        _warnings(answer),
    )


def _warnings(answer: Answer) -> list[SearchWarning]:
    unknown: list[SearchWarning] = ["unknown_tokens"] if answer.coverage.unknown else []
    return [*unknown, "only_exclusions"] if answer.only_exclusions else unknown


def _encode_hits(hits: list[Hit], max_bytes: int, passages: bool) -> bytes:
    """Return the hits as JSON, separated by commas.

    Raises:
        InvalidRequest: they take more than ``max_bytes``; one character may take six bytes of JSON.
    """
    parts: list[bytes] = []
    size = 0
    for hit in hits:
        part = _encoder.encode(_hit(hit, passages))
        size += len(part) + 1
        if size > max_bytes:
            raise InvalidRequest(
                f"top_k: the {len(hits)} documents found have more than {max_bytes} bytes as JSON, which is the limit "
                "of an answer (TANDEM_MAX_ANSWER_BYTES); ask for fewer",
                param="top_k",
                code="limit_exceeded",
            )
        parts.append(part)
    return b",".join(parts)


def _chars(hit: Hit) -> int:
    """Return the number of characters of text that the reply has for a hit."""
    return len(hit.text) + (hit.passage.stop - hit.passage.start if hit.passage is not None else 0)


def _hit(hit: Hit, passages: bool) -> SearchHit:
    scores = HitScores(hit.dense, hit.lexical)
    found = hit.passage if passages else None
    passage = HitPassage(hit.text[found.start : found.stop], found.start, found.stop, found.index) if found else None
    return SearchHit(hit.doc_id, hit.score, hit.text, msgspec.Raw(hit.metadata.encode()), scores, passage)
