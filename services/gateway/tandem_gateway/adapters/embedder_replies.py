"""Reads an embedder's responses: validates them, and maps them to records and domain errors. Pure functions."""

from typing import Annotated, Final

import msgspec
import numpy as np

from tandem_contract.decoding import InvalidMessage, cut, decode_json, decode_msgpack
from tandem_contract.embed import MAX_DIM, MAX_NAME_CHARS, MAX_READY_BYTES, READY_PATH, ReceivedReadyReply
from tandem_contract.errors import ReceivedErrorReply
from tandem_gateway.adapters.http.messages import Response
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import Embeddings, ServedModel

# Bounds of the squared length of a float32 unit vector, with a tolerance of 0.001 in the length.
_LEAST: Final = 0.999**2
_MOST: Final = 1.001**2
_MAX_MESSAGE_CHARS: Final = 300

# Limits memory: an element takes one byte of the reply and up to 32 bytes of memory. No request has more texts.
_AtMostTexts = msgspec.Meta(max_length=100_000)
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class _Reply(msgspec.Struct):
    """``PackedEmbedReply`` with the limits of its fields."""

    embeddings: bytes
    dim: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)]
    model: _Name
    fingerprint: _Name
    truncated: Annotated[list[bool], _AtMostTexts]
    tokens: Annotated[list[_Count], _AtMostTexts] = []
    unknown: Annotated[list[float], _AtMostTexts] = []


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


def read_embeddings(response: Response, count: int) -> Embeddings:
    """Check a response against the contract, and return its vectors.

    Raises:
        EmbedderError, Overloaded, DeadlineExceeded: the status is not 200, or the reply violates the contract.
    """
    if response.status != 200:
        raise _refusal(response)
    try:
        reply = decode_msgpack(response.body, _reply_decoder)
    except InvalidMessage as error:
        raise EmbedderBroken(f"the embedder's answer cannot be read: {cut_message(error.message)}") from error
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
        message = decode_json(response.body, _error_decoder).error.message
    except InvalidMessage:
        message = ascii(response.body[:200])
    said = f"the embedder answered {status}: {cut_message(message)}"
    if status == 429:
        return Overloaded(said, retry_after=_retry_after(response))
    if status in (503, 502):
        return EmbedderUnavailable(said, retry_after=_retry_after(response))
    if status == 504:
        return DeadlineExceeded(said)
    if status in (413, 422, 400):
        return EmbedderRejected(said)
    return EmbedderBroken(said)


def cut_message(message: str) -> str:
    """Shorten an embedder's text for a message."""
    return cut(message, _MAX_MESSAGE_CHARS)


def _retry_after(response: Response) -> float:
    try:
        return min(120.0, max(0.0, float(response.header(b"retry-after") or "1")))
    except ValueError:
        return 1.0
