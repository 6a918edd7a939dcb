"""``POST /embed`` as a plain ASGI application.

On this hot path, a framework's request and response objects would double the HTTP cost.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import Body, InvalidMessage, decode_json, decode_msgpack
from tandem_contract.embed import PATH, Chunking, EmbedRequest
from tandem_embedder.api.embed_replies import EmbedReplies
from tandem_embedder.api.negotiation import Syntax, reply_syntax, request_syntax
from tandem_embedder.api.replies import internal, of_error
from tandem_embedder.embed_passages import HoldRows
from tandem_embedder.embedded import Embedded
from tandem_embedder.errors import InvalidDeadline
from tandem_embedder.metrics import Metrics
from tandem_runtime.body import ClientGone, cancel_on_disconnect, read_body
from tandem_runtime.http import CLIENT_GONE, ROUTE, Reply, refusal, shutting_down
from tandem_runtime.json_slices import find_array
from tandem_runtime.memory import FREE_BYTES, MemoryBudget, memory_bytes
from tandem_runtime.request_id import Receive, Scope, Send

log = logging.getLogger(__name__)

_TIMEOUT: Final = headers.TIMEOUT_MS.encode()
_MAX_DIGITS: Final = 9
# Larger bodies are decoded in a thread. A body of this size blocks the event loop for about a millisecond.
_READ_AT_ONCE_BYTES: Final = 256 << 10

MAX_TEXTS: Final = 100_000
"""Highest value of the setting MAX_CLIENT_BATCH_SIZE. The route rejects more texts before decoding them."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits on the size of one body in bytes, and on the memory of all bodies together."""

    body_bytes: int
    memory: MemoryBudget


class _BoundedRequest(EmbedRequest, frozen=True, forbid_unknown_fields=True):
    texts: Annotated[list[str], msgspec.Meta(max_length=MAX_TEXTS)]


class EmbedUseCase(Protocol):
    """Port: the part of the service that the route uses."""

    model: str
    fingerprint: str
    dim: int

    async def embed(self, request: EmbedRequest, timeout: float | None, hold_rows: HoldRows) -> Embedded:
        """Return the vectors of the request; ``timeout`` is in seconds.

        With ``chunking``, ``hold_rows`` holds memory for the number of rows that it gets.

        Raises:
            EmbedderError: if the request cannot be served.
        """


class EmbedRoute:
    """The ASGI application of the route."""

    def __init__(self, service: EmbedUseCase, metrics: Metrics, limits: BodyLimits) -> None:
        self._service = service
        self._metrics = metrics
        self._limits = limits
        self._json_in = msgspec.json.Decoder(_BoundedRequest)
        self._msgpack_in = msgspec.msgpack.Decoder(_BoundedRequest)
        self._replies = EmbedReplies(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ROUTE] = PATH
        started = time.perf_counter()
        try:
            reply = await self._answer(scope, receive, started)
        except ClientGone:
            self._metrics.request(CLIENT_GONE, time.perf_counter() - started)
            return
        except asyncio.CancelledError:
            reply = shutting_down("the embedder")  # nothing else cancels a request whose client is still there
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
        lease = self._limits.memory.lease()
        body = await read_body(scope, receive, self._limits.body_bytes, lease=lease)
        if len(body) <= _READ_AT_ONCE_BYTES:
            request = self._read(body, syntax)
        else:
            request = await asyncio.to_thread(self._read, body, syntax)
        if len(body) > FREE_BYTES:
            lease.hold(sum(map(memory_bytes, request.texts)))
        del body
        if timeout is not None:
            timeout -= time.perf_counter() - started  # the timeout starts when the request arrives
        texts_bytes = lease.held
        row_bytes = self._replies.row_bytes(wanted)

        def hold_rows(rows: int) -> None:
            lease.hold(texts_bytes + rows * row_bytes)

        embedded = await cancel_on_disconnect(scope, receive, self._service.embed(request, timeout, hold_rows))
        self._metrics.embedded(embedded)
        if not isinstance(request.chunking, Chunking):
            return self._replies.write(embedded, wanted)
        del request
        # A reply can have megabytes: the lease holds them until they are sent.
        reply = await asyncio.to_thread(self._replies.write_passages, embedded, wanted)
        lease.hold(len(reply.body))
        return msgspec.structs.replace(reply, lease=lease)

    def _read(self, body: Body, syntax: Syntax) -> EmbedRequest:
        """Decode a request's body. Rejects too many texts before it decodes them.

        In MessagePack an array starts with its length, which msgspec checks against the type's limit.

        Raises:
            InvalidMessage: if the body is malformed or has more than ``MAX_TEXTS`` texts.
        """
        if syntax is Syntax.MSGPACK:
            return decode_msgpack(body, self._msgpack_in)
        if len(body) > FREE_BYTES:
            texts = find_array(body, "texts", MAX_TEXTS)
            if texts is not None and texts.too_many:
                raise InvalidMessage(
                    f"texts: at most {MAX_TEXTS} texts are taken in one request", code="limit_exceeded", param="texts"
                )
        return decode_json(body, self._json_in)


def timeout_seconds(value: bytes | None) -> float | None:
    """Return the header ``x-request-timeout-ms`` in seconds; None if it is absent.

    Raises:
        InvalidDeadline: if it is not a whole number of milliseconds.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_DIGITS:
        raise InvalidDeadline(
            f"{headers.TIMEOUT_MS}: a whole number of milliseconds was expected", param=headers.TIMEOUT_MS
        )
    return int(value) / 1000
