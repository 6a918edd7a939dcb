"""Reads an embedder's responses: validates them, and maps them to records and domain errors. Pure functions."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np

from tandem_contract.decoding import InvalidMessage, cut, decode_json, decode_msgpack
from tandem_contract.embed import (
    MAX_DIM,
    MAX_NAME_CHARS,
    MAX_PASSAGES,
    MAX_READY_BYTES,
    READY_PATH,
    Passage,
    ReceivedReadyReply,
)
from tandem_contract.errors import ReceivedErrorBody, ReceivedErrorReply
from tandem_gateway.adapters.http.messages import Response
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.chunking import Span
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import Embeddings, ServedModel

# Bounds of the squared length of a float32 unit vector, with a tolerance of 0.001 in the length.
_LEAST: Final = 0.999**2
_MOST: Final = 1.001**2
_MAX_MESSAGE_CHARS: Final = 300

# Limits memory: an element takes one byte of the reply and up to 32 bytes of memory. No request has more texts.
_AtMostTexts = msgspec.Meta(max_length=100_000)
_AtMostPassages = msgspec.Meta(max_length=MAX_PASSAGES)
# Maximum number of bytes in a reply besides its vectors, and for each passage.
_REST_BYTES: Final = 64 << 10
_PASSAGE_BYTES: Final = 64
# Maximum number of bytes in a reply with passages: the vectors of MAX_PASSAGES passages with 1,024 dimensions.
_MAX_SPLIT_BYTES: Final = 64 << 20
# A passage of the fewest tokens that a collection may ask for has more characters than this, on average.
_LEAST_PASSAGE_CHARS: Final = 2
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


UNAUTHORIZED: Final = (
    "the embedder refuses the gateway's token: the first token of TANDEM_EMBEDDER_TOKEN or "
    "TANDEM_EMBEDDER_TOKEN_FILE of the gateway must be among the embedder's"
)
"""The reason, for operators, of a status 401."""


class _Reply(msgspec.Struct):
    """``PackedEmbedReply`` with the limits of its fields."""

    embeddings: bytes
    dim: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)]
    model: _Name
    fingerprint: _Name
    truncated: Annotated[list[bool], _AtMostTexts]
    tokens: Annotated[list[_Count], _AtMostTexts] = []
    unknown: Annotated[list[float], _AtMostTexts] = []
    passages: Annotated[list[Passage], _AtMostPassages] | None = None


_reply_decoder = msgspec.msgpack.Decoder(_Reply)
_ready_decoder = msgspec.json.Decoder(ReceivedReadyReply)
_error_decoder = msgspec.json.Decoder(ReceivedErrorReply)


def read_served_model(body: bytes) -> ServedModel | None:
    """Return the model that the body of /readyz describes; None if it names no fingerprint.

    Raises:
        InvalidMessage: the body is too large or violates the contract.
    """
    if len(body) > MAX_READY_BYTES:
        raise InvalidMessage(
            f"{READY_PATH} has {len(body)} bytes, at most {MAX_READY_BYTES} are read", code="body_too_large"
        )
    reply = decode_json(body, _ready_decoder)
    if reply.fingerprint is None:
        return None
    return ServedModel(reply.fingerprint, reply.model, reply.dim, reply.max_seq_length, reply.precision)


def max_reply_bytes(count: int) -> int:
    """Return the maximum size of a reply with the vectors of ``count`` texts."""
    return count * MAX_DIM * 4 + _REST_BYTES


def max_split_reply_bytes(texts: Sequence[str]) -> int:
    """Return the maximum size of a reply with the vectors of these texts' passages."""
    passages = min(MAX_PASSAGES, len(texts) + sum(map(len, texts)) // _LEAST_PASSAGE_CHARS)
    return min(passages * MAX_DIM * 4, _MAX_SPLIT_BYTES) + passages * _PASSAGE_BYTES + _REST_BYTES


def read_embeddings(response: Response, count: int) -> Embeddings:
    """Check a response against the contract, and return its vectors.

    Raises:
        EmbedderError, Overloaded, DeadlineExceeded: the status is not 200, or the reply violates the contract.
    """
    return _embeddings(_decoded(response), count)


def read_passages(response: Response, texts: Sequence[str]) -> Embeddings:
    """Check a response to a request with ``chunking``, and return the vectors and spans of the texts' passages.

    Raises:
        EmbedderError, Overloaded, DeadlineExceeded: as ``read_embeddings``; also if the passages leave out a part of a
            text that is not white space.
    """
    reply = _decoded(response)
    if reply.passages is None:
        raise EmbedderBroken("the embedder was asked for passages and sent none")
    spans = _spans(reply.passages, texts)
    return msgspec.structs.replace(_embeddings(reply, len(reply.passages)), spans=spans)


def _spans(passages: Sequence[Passage], texts: Sequence[str]) -> list[list[Span]]:
    """Return the passages of each text, once they are known to be complete and in order."""
    spans: list[list[Span]] = [[] for _ in texts]
    last = 0
    for passage in passages:
        if not last <= passage.text < len(texts):
            raise EmbedderBroken(f"the embedder sent a passage of text {passage.text} after one of text {last}")
        last = passage.text
        spans[last].append(Span(passage.start, passage.end))
    for place, (text, found) in enumerate(zip(texts, spans, strict=True)):
        if not is_whole(text, found):
            raise EmbedderBroken(
                f"the passages that the embedder sent of text {place} are not in order, or leave some out"
            )
    return spans


def is_whole(text: str, spans: Sequence[Span]) -> bool:
    """Return whether passages are in order, within the text, and leave out nothing but white space."""
    covered, start = 0, -1
    for span in spans:
        gap = text[covered : span.start]
        if not start < span.start < span.stop <= len(text) or span.stop <= covered or (gap and not gap.isspace()):
            return False
        start, covered = span
    rest = text[covered:]
    return bool(spans) and (not rest or rest.isspace())


def _decoded(response: Response) -> _Reply:
    if response.status != 200:
        raise _refusal(response)
    try:
        return decode_msgpack(response.body, _reply_decoder)
    except InvalidMessage as error:
        raise EmbedderBroken(f"the embedder's answer cannot be read: {cut_message(error.message)}") from error


def _embeddings(reply: _Reply, count: int) -> Embeddings:
    """Return the vectors of a reply, of ``count`` rows."""
    expected = count * reply.dim * 4
    if len(reply.embeddings) != expected:
        raise EmbedderBroken(
            f"the embedder sent {len(reply.embeddings)} bytes for {count} texts of {reply.dim} numbers, not {expected}"
        )
    vectors = np.frombuffer(reply.embeddings, dtype="<f4").reshape(count, reply.dim).astype(np.float32, copy=False)
    # NaN compares as false; the comparison is written so that it counts as invalid.
    if not all(_LEAST <= square <= _MOST for square in np.einsum("ij,ij->i", vectors, vectors).tolist()):
        raise EmbedderBroken("the embedder sent vectors that are not finite or not of unit length")
    if len(reply.tokens) not in (0, count):
        raise EmbedderBroken(f"the embedder said how many tokens {len(reply.tokens)} texts have, but was sent {count}")
    return Embeddings(vectors, reply.model, reply.fingerprint, _coverages(reply, count), reply.tokens)


def _coverages(reply: _Reply, count: int) -> list[Coverage]:
    """Return the coverage of each text; empty if the embedder is too old to send ``unknown``."""
    if len(reply.truncated) != count or len(reply.unknown) not in (0, count):
        raise EmbedderBroken(
            f"the embedder said of {len(reply.truncated)} texts whether they were cut and of {len(reply.unknown)} how "
            f"much of them is unknown, but was sent {count}"
        )
    if not reply.unknown:
        return []
    if not any(reply.truncated) and not any(reply.unknown):
        return [WHOLE] * count
    # As above, NaN counts as invalid.
    if not all(0.0 <= share <= 1.0 for share in reply.unknown):
        raise EmbedderBroken("the embedder sent shares of unknown tokens that are not between 0 and 1")
    return list(map(Coverage, reply.truncated, reply.unknown))


def _refusal(
    response: Response,
) -> EmbedderUnavailable | EmbedderRejected | EmbedderBroken | Overloaded | DeadlineExceeded:
    status = response.status
    try:
        error = decode_json(response.body, _error_decoder).error
    except InvalidMessage:
        error = ReceivedErrorBody(ascii(response.body[:200]))
    message = error.message
    said = f"the embedder answered {status}: {cut_message(message)}"
    if status == 429:
        return Overloaded(said, retry_after=_retry_after(response))
    # 401, 403, 426: the gateway's configuration is at fault, not a text. A retry succeeds once an operator corrects it.
    if status in (401, 403, 426, 502, 503):
        return EmbedderUnavailable(UNAUTHORIZED if status == 401 else said, retry_after=_retry_after(response))
    if status == 504:
        return DeadlineExceeded(said)
    if status in (413, 422, 400):
        return EmbedderRejected(said, code=error.code, param=error.param)
    return EmbedderBroken(said)


def cut_message(message: str) -> str:
    """Shorten an embedder's text for a message."""
    return cut(message, _MAX_MESSAGE_CHARS)


def _retry_after(response: Response) -> float:
    try:
        return min(120.0, max(0.0, float(response.header(b"retry-after") or "1")))
    except ValueError:
        return 1.0
