"""Encodes the answer to a search: a small answer in the event loop, a large one in a thread."""

import asyncio
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tandem_contract.client_api import (
    CandidateCounts,
    Highlights,
    HitExplanation,
    HitPassage,
    HitPlace,
    HitScores,
    SearchExplanation,
    SearchHit,
    SearchReply,
    SearchWarning,
    StageTimes,
)
from tandem_gateway.analysis.headings import heading_of
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.clock import milliseconds_since
from tandem_gateway.records.explanation import Explanation
from tandem_gateway.records.explanation import HitExplanation as HitPlaces
from tandem_gateway.records.search import USUAL_FIELDS, Hit
from tandem_gateway.use_cases.result_pages import Answer
from tandem_runtime.http import Reply
from tandem_runtime.memory import MemoryBudget

_LARGE_CHARS: Final = 256 << 10
"""A thread encodes answers with more characters, hit by hit, because they would block the event loop."""

_OFFSET_CHARS: Final = 8
_CHARS_A_BYTE: Final = 6
"""Characters of JSON for each byte of a vector, at most: a float32 has up to 24 with its comma."""

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
        hits = [_hit(hit, answer, place) for place, hit in enumerate(answer.hits)]
        return Reply(200, _encoder.encode(_reply(hits, answer, started)))
    lease = memory.lease()
    hits_json = await asyncio.to_thread(_encode_hits, answer, max_bytes)
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
        answer.reranked if answer.reranked is not None else msgspec.UNSET,
        _explanation(answer.explanation) if answer.explanation is not None else msgspec.UNSET,
    )


def _warnings(answer: Answer) -> list[SearchWarning]:
    told: list[tuple[bool, SearchWarning]] = [
        (answer.coverage.unknown > 0, "unknown_tokens"),
        (answer.only_exclusions, "only_exclusions"),
        (answer.limited, "group_limit"),
        (answer.reranked is False, "not_reranked"),
        (answer.rerank_truncated, "rerank_truncated"),
    ]
    return [warning for holds, warning in told if holds]


def _explanation(explanation: Explanation) -> SearchExplanation:
    times = StageTimes(**{stage: round(seconds * 1000, 3) for stage, seconds in explanation.stages.seconds.items()})
    counts = CandidateCounts(explanation.matching, explanation.dense, explanation.lexical)
    if explanation.reranked is not None:
        counts = msgspec.structs.replace(counts, rerank=explanation.reranked)
        if times.rerank is msgspec.UNSET:  # there was no document to rerank
            times = msgspec.structs.replace(times, rerank=None)
    return SearchExplanation(times, counts, explanation.stages.attempts)


def _hit_explanation(places: HitPlaces) -> HitExplanation:
    return HitExplanation(
        HitPlace(*places.dense) if places.dense is not None else None,
        HitPlace(*places.lexical) if places.lexical is not None else None,
    )


def _encode_hits(answer: Answer, max_bytes: int) -> bytes:
    """Return the hits as JSON, separated by commas.

    Raises:
        InvalidRequest: they take more than ``max_bytes``; one character may take six bytes of JSON.
    """
    parts: list[bytes] = []
    size = 0
    for place, hit in enumerate(answer.hits):
        part = _encoder.encode(_hit(hit, answer, place))
        size += len(part) + 1
        if size > max_bytes:
            raise InvalidRequest(
                f"top_k: the {len(answer.hits)} documents found have more than {max_bytes} bytes as JSON, which is the "
                "limit of an answer (TANDEM_MAX_ANSWER_BYTES); ask for fewer",
                param="top_k",
                code="limit_exceeded",
            )
        parts.append(part)
    return b",".join(parts)


def _chars(hit: Hit) -> int:
    """Return about the number of characters that the reply has for a hit, or more."""
    spans = len(hit.highlights or ()) + len(hit.passage_highlights or ())
    passage = hit.passage.stop - hit.passage.start if hit.passage is not None else 0
    numbers = len(hit.vector) * _CHARS_A_BYTE if hit.vector is not None else 0
    return len(hit.text) + passage + spans * _OFFSET_CHARS + numbers


def _hit(hit: Hit, answer: Answer, place: int) -> SearchHit:
    scores = HitScores(hit.dense, hit.lexical, msgspec.UNSET if answer.reranked is None else hit.rerank)
    fields = answer.fields
    found = hit.passage if answer.passages else None
    passage = None
    if found is not None:
        text, places = hit.text[found.start : found.stop], _spans(hit.passage_highlights)
        heading = heading_of(hit.text, found.start) if hit.markdown else None
        shown = msgspec.UNSET if heading is None else heading
        passage = HitPassage(text, found.start, found.stop, found.index, places, shown)
    metadata = msgspec.Raw(hit.metadata.encode()) if "metadata" in fields else msgspec.UNSET
    highlights = _spans(hit.highlights)
    if fields is USUAL_FIELDS and answer.explanation is None:  # the usual case, and faster
        return SearchHit(hit.doc_id, hit.score, hit.text, metadata, scores, passage, highlights)
    return SearchHit(
        hit.doc_id,
        hit.score,
        hit.text if "text" in fields else msgspec.UNSET,
        metadata,
        scores,
        passage if "passage" in fields else msgspec.UNSET,
        highlights if "text" in fields else msgspec.UNSET,
        _numbers(hit.vector) if "vector" in fields else msgspec.UNSET,
        _hit_explanation(answer.explanation.hits[place]) if answer.explanation is not None else msgspec.UNSET,
    )


def _spans(offsets: "array[int] | None") -> Highlights | msgspec.UnsetType:
    return msgspec.UNSET if offsets is None else list(zip(offsets[::2], offsets[1::2], strict=True))


def _numbers(vector: bytes | None) -> list[float] | None:
    """Return the numbers of a vector, which are float32; a client that reads them so gets the same bytes."""
    return None if vector is None else np.frombuffer(vector, "<f4").tolist()
