"""HTTP client of one embedder: sends requests, validates replies, and maps failures to domain errors."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Protocol

import msgspec
import numpy as np

from tandem_contract import embed, headers
from tandem_contract.decoding import InvalidMessage, cut, decode_json, decode_msgpack
from tandem_contract.embed import MAX_DIM, MAX_NAME_CHARS, EmbedRequest, Kind, Priority
from tandem_contract.errors import ReceivedErrorReply
from tandem_gateway.adapters.http.messages import ConnectFailed, ConnectionBroken, Response, ResponseTooLarge
from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import Embeddings
from tandem_runtime import trace
from tandem_runtime.logs import request_id

log = logging.getLogger(__name__)

# Bounds of the squared length of a float32 unit vector, with a tolerance of 0.001 in the length.
_LEAST: Final = 0.999**2
_MOST: Final = 1.001**2
_HEADERS: Final = {"content-type": headers.MSGPACK, "accept": headers.MSGPACK}
_READY_PATH: Final = "/readyz"

# Maximum number of bytes in a reply besides its vectors.
_REST_BYTES: Final = 64 << 10
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


_encoder = msgspec.msgpack.Encoder()
_reply_decoder = msgspec.msgpack.Decoder(_Reply)
_error_decoder = msgspec.json.Decoder(ReceivedErrorReply)


class HttpClient(Protocol):
    """The interface of ``http.transport.Http1Transport``, which tests replace by a fake."""

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,
        fresh: bool = False,
        max_bytes: int = ...,
    ) -> Response:
        """Return the complete response; raises ConnectFailed, ConnectionBroken, ResponseTooLarge or TimeoutError."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class HttpEmbedder:
    """Implements ``pool.replica.ReplicaConnection`` over one HTTP client."""

    def __init__(
        self,
        url: str,
        client: HttpClient,
        *,
        on_call: Callable[[str, float], None] = lambda outcome, seconds: None,
    ) -> None:
        """Make the adapter.

        Args:
            url: URL of the embedder, for messages.
            client: HTTP client that sends the calls.
            on_call: called with the outcome (``ok`` or the error's name) and the seconds of each call.
        """
        self._url = url
        self._client = client
        self._on_call = on_call
        self._told: str | None = None

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        """Return one vector per text; see ``Embedder.embed``."""
        started = time.monotonic()
        outcome = "error"
        try:
            body = _encoder.encode(EmbedRequest(texts=list(texts), kind=kind, priority=priority))
            embeddings = _read(await self._send(body, len(texts), started + timeout), len(texts))
            outcome = "ok"
            return embeddings
        except (EmbedderUnavailable, EmbedderRejected, EmbedderBroken, Overloaded, DeadlineExceeded) as error:
            outcome = type(error).__name__
            raise
        finally:
            self._on_call(outcome, time.monotonic() - started)

    async def probe(self, *, timeout: float) -> Probe:
        """Ask the embedder for its readiness, and return the result.

        Each embedder is probed about once a second. The probe takes a connection of the calls: it then proves the way
        that the calls take, with its address and its certificates, and loads no other HTTP client.
        """
        try:
            response = await self._client.call("GET", _READY_PATH, {}, b"", timeout=timeout)
        except (ConnectFailed, ConnectionBroken, ResponseTooLarge) as error:
            self._tell_unreachable(str(error))
            return "unreachable"
        except TimeoutError:
            return "late"
        if response.status in (200, 503):
            self._told = None
        else:
            self._tell_unreachable(f"{_READY_PATH} has the status {response.status}; is there an embedder at this URL?")
        return "ready" if response.status == 200 else "not_ready"

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    def _tell_unreachable(self, why: str) -> None:
        """Log why the probe fails, once per reason: a refused certificate needs an operator, a restart does not."""
        if why != self._told:
            self._told = why
            log.warning("an embedder cannot be reached", extra={"replica": self._url, "error": why})

    async def _send(self, body: bytes, count: int, deadline: float) -> Response:
        for last in (False, True):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded("the embedder was not asked: the time was up before")
            try:
                return await self._client.call(
                    "POST",
                    embed.PATH,
                    _headers(remaining),
                    body,
                    timeout=remaining,
                    fresh=last,
                    max_bytes=count * MAX_DIM * 4 + _REST_BYTES,
                )
            except TimeoutError as error:
                raise DeadlineExceeded(f"the embedder did not answer within {remaining:.3g} s") from error
            except ResponseTooLarge as error:
                raise EmbedderBroken(f"the embedder at {self._url} answers too much: {error}") from error
            except ConnectFailed as error:
                raise EmbedderUnavailable(f"the embedder at {self._url} cannot be reached: {error}") from error
            except ConnectionBroken as error:
                # The embedder may have closed an idle connection just as it was taken. Retry once on a new connection;
                # embedding the texts twice does no harm.
                if last:
                    raise EmbedderUnavailable(f"the embedder at {self._url} cannot be reached: {error}") from error
        raise AssertionError("unreachable")


def _headers(remaining: float) -> dict[str, str]:
    found = {**_HEADERS, headers.TIMEOUT_MS: str(max(1, int(remaining * 1000)))}
    current = request_id.get()
    if current is not None:
        found[headers.REQUEST_ID] = current
    traced = trace.current.get()
    if traced is not None:
        found.update(trace.headers_of(traced))
    return found


def _read(response: Response, count: int) -> Embeddings:
    """Check a response against the contract, and return its vectors.

    Raises:
        EmbedderError, Overloaded, DeadlineExceeded: the status is not 200, or the reply violates the contract.
    """
    if response.status != 200:
        raise _refusal(response)
    try:
        reply = decode_msgpack(response.body, _reply_decoder)
    except InvalidMessage as error:
        raise EmbedderBroken(f"the embedder's answer cannot be read: {_cut(error.message)}") from error
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
    said = f"the embedder answered {status}: {_cut(message)}"
    if status == 429:
        return Overloaded(said, retry_after=_retry_after(response))
    if status in (503, 502):
        return EmbedderUnavailable(said, retry_after=_retry_after(response))
    if status == 504:
        return DeadlineExceeded(said)
    if status in (413, 422, 400):
        return EmbedderRejected(said)
    return EmbedderBroken(said)


def _cut(message: str) -> str:
    return cut(message, _MAX_MESSAGE_CHARS)


def _retry_after(response: Response) -> float:
    try:
        return min(120.0, max(0.0, float(response.header(b"retry-after") or "1")))
    except ValueError:
        return 1.0
