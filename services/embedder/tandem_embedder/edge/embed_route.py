"""``POST /embed`` as a bare ASGI application: the hot route, which a framework's request and response would double."""

import asyncio
import logging
import time
from typing import Final, Protocol

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import decode_json, decode_msgpack
from tandem_contract.embed import EmbedReply, EmbedRequest, PackedEmbedReply
from tandem_contract.service.body import ClientGone, read_body, unless_gone
from tandem_contract.service.exchange import exchange_of
from tandem_contract.service.http import CLIENT_GONE, MSGPACK, Reply, refusal
from tandem_contract.service.request_id import Receive, Scope, Send
from tandem_embedder.edge.negotiation import Syntax, reply_syntax, request_syntax
from tandem_embedder.edge.replies import internal, of_error
from tandem_embedder.embed import Embedded
from tandem_embedder.errors import InvalidDeadline
from tandem_embedder.metrics import Metrics

log = logging.getLogger(__name__)

_TIMEOUT: Final = headers.TIMEOUT_MS.encode()
_MAX_DIGITS: Final = 9


class EmbedUseCase(Protocol):
    """What the route needs of the service."""

    model: str
    fingerprint: str
    dim: int

    async def embed(self, request: EmbedRequest, timeout: float | None) -> Embedded:
        """Return the vectors, or raise an ``EmbedderError``."""


class EmbedRoute:
    """The ASGI application of the route."""

    def __init__(self, service: EmbedUseCase, metrics: Metrics, max_body_bytes: int) -> None:
        self._service = service
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._json_in = msgspec.json.Decoder(EmbedRequest)
        self._msgpack_in = msgspec.msgpack.Decoder(EmbedRequest)
        self._json_out = msgspec.json.Encoder()
        self._msgpack_out = msgspec.msgpack.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        try:
            reply = await self._answer(scope, receive, started)
        except ClientGone:
            self._metrics.request(CLIENT_GONE, time.perf_counter() - started)
            return
        except asyncio.CancelledError:
            # Only the end of the service cancels a request whose client is still there; it can still be told.
            reply = refusal("not_ready", "the embedder is shutting down", retry_after_seconds=1.0)
        except Exception as error:
            foreseen = of_error(error)
            if foreseen is None:
                log.exception("a request failed")
            reply = foreseen or internal()
        if reply.code is not None:
            self._metrics.rejected(reply.code)
        self._metrics.request(reply.status, time.perf_counter() - started)
        await reply.send(scope, send)

    async def _answer(self, scope: Scope, receive: Receive, started: float) -> Reply:
        if scope["method"] != "POST":
            return refusal(
                "method_not_allowed",
                f"{scope['method']} is not allowed here; send POST",
                "method",
                extra_headers=((b"allow", b"POST"),),
            )
        given = dict(scope["headers"])
        syntax = request_syntax(given.get(b"content-type"), given.get(b"content-encoding"))
        wanted = reply_syntax(given.get(b"accept"))
        timeout = timeout_seconds(given.get(_TIMEOUT))
        exchange = exchange_of(scope)
        body = await read_body(receive, self._max_body_bytes, exchange=exchange)
        request = decode_json(body, self._json_in) if syntax is Syntax.JSON else decode_msgpack(body, self._msgpack_in)
        if timeout is not None:
            timeout -= time.perf_counter() - started  # it counts from the request's arrival
        embedded = await unless_gone(receive, self._service.embed(request, timeout), exchange)
        self._metrics.embedded(embedded)
        return self._write(embedded, wanted)

    def _write(self, embedded: Embedded, syntax: Syntax) -> Reply:
        service = self._service
        if syntax is Syntax.MSGPACK:
            packed = PackedEmbedReply(
                # astype copies only on a big-endian machine, or where rows are not contiguous.
                embeddings=embedded.vectors.astype("<f4", copy=False).tobytes(),
                dim=service.dim,
                model=service.model,
                fingerprint=service.fingerprint,
                tokens=embedded.tokens,
                truncated=embedded.truncated,
            )
            return Reply(200, self._msgpack_out.encode(packed), MSGPACK)
        reply = EmbedReply(
            embeddings=embedded.vectors.tolist(),
            dim=service.dim,
            model=service.model,
            fingerprint=service.fingerprint,
            tokens=embedded.tokens,
            truncated=embedded.truncated,
        )
        return Reply(200, self._json_out.encode(reply))


def timeout_seconds(value: bytes | None) -> float | None:
    """Return the seconds of the header ``x-request-timeout-ms``, None where it is not sent.

    Raises:
        InvalidDeadline: if it is no whole number of milliseconds.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidDeadline(
            f"{headers.TIMEOUT_MS}: a whole number of milliseconds was expected", param=headers.TIMEOUT_MS
        )
    return int(value) / 1000
