"""The embedder over HTTP: the only module that imports httpx.

A request that is cancelled while in flight never gives its place in httpx's pool back (httpcore issue 1093), so no
request is: each runs in a task of its own, ended by its time-outs alone, and who gives up leaves it to its end.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import httpx
import msgspec
import numpy as np

from tandem_contract import embed, headers
from tandem_contract.decoding import InvalidMessage, decode_json, decode_msgpack
from tandem_contract.embed import EmbedRequest, Kind, PackedEmbedReply, Priority
from tandem_contract.errors import ReceivedErrorReply
from tandem_contract.service.logs import request_id
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.model import Embeddings

log = logging.getLogger(__name__)

# Under the embedder's own keep-alive time-out, so that it is we who close an idle connection.
_KEEPALIVE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0
# Unit length in float32, after a sum over some hundred squares.
_NORM_TOLERANCE = 1e-3

_encoder = msgspec.msgpack.Encoder()
_reply_decoder = msgspec.msgpack.Decoder(PackedEmbedReply)
_error_decoder = msgspec.json.Decoder(ReceivedErrorReply)


class HttpxEmbedder:
    """Implements ``Embedder`` over one base URL."""

    def __init__(
        self,
        base_url: str,
        *,
        max_connections: int,
        on_call: Callable[[str, float], None] = lambda outcome, seconds: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make the client; it connects at the first call.

        Args:
            base_url: of the embedder, without a slash at the end.
            max_connections: bound on connections, and with it on calls at a time.
            on_call: called with the outcome and the seconds of each call.
            transport: another way to the embedder, for tests.
        """
        self._url = f"{base_url}{embed.PATH}"
        self._ready_url = f"{base_url}/readyz"
        self._on_call = on_call
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_KEEPALIVE_SECONDS,
            ),
            headers={"content-type": headers.MSGPACK, "accept": headers.MSGPACK, "accept-encoding": "identity"},
            trust_env=False,
            transport=transport,
        )
        self._in_flight: set[asyncio.Task[httpx.Response]] = set()

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        """Return one vector a text; see ``Embedder.embed``."""
        started = time.monotonic()
        outcome = "error"
        try:
            response = await self._send(
                _encoder.encode(EmbedRequest(texts=list(texts), kind=kind, priority=priority)), started + timeout
            )
            embeddings = _read(response, len(texts))
            outcome = "ok"
            return embeddings
        except (EmbedderUnavailable, EmbedderRejected, EmbedderBroken, Overloaded, DeadlineExceeded) as error:
            outcome = type(error).__name__
            raise
        finally:
            self._on_call(outcome, time.monotonic() - started)

    async def ready(self, *, timeout: float) -> bool:
        """Return whether the embedder says that it is ready; see ``Embedder.ready``."""
        try:
            response = await self._exchange(self._client.build_request("GET", self._ready_url), timeout)
        except (httpx.HTTPError, DeadlineExceeded):
            return False
        return response.status_code == httpx.codes.OK

    async def close(self) -> None:
        """Wait for the requests in flight, which their time-outs bound, and close the connections."""
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._client.aclose()

    async def _send(self, body: bytes, deadline: float) -> httpx.Response:
        for attempt in (1, 2):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded("the embedder was not asked: the time was up before")
            request = self._client.build_request("POST", self._url, content=body, headers=_headers(remaining))
            try:
                return await self._exchange(request, remaining)
            except httpx.TimeoutException as error:
                if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
                    raise self._unreachable(error) from error
                raise DeadlineExceeded(f"the embedder did not answer within {remaining:.3g} s") from error
            except httpx.TransportError as error:
                # The embedder may have closed an idle connection just as it was taken: one more try, on a fresh one.
                if attempt == 1 and not isinstance(error, httpx.ConnectError):
                    continue
                raise self._unreachable(error) from error
            except httpx.DecodingError as error:
                raise EmbedderBroken(f"the embedder's answer cannot be unpacked: {error}") from error
        raise AssertionError("unreachable")

    def _unreachable(self, error: Exception) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            f"the embedder at {self._url} cannot be reached: {str(error) or type(error).__name__}"
        )

    async def _exchange(self, request: httpx.Request, timeout: float) -> httpx.Response:
        request.extensions["timeout"] = httpx.Timeout(
            timeout, connect=min(_CONNECT_SECONDS, timeout), pool=timeout
        ).as_dict()
        task = asyncio.ensure_future(self._client.send(request))
        self._in_flight.add(task)
        task.add_done_callback(self._ended)
        # httpx's read time-out starts anew with each piece of an answer; this one does not.
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            raise DeadlineExceeded(f"the embedder did not answer within {timeout:.3g} s")
        return task.result()

    def _ended(self, task: "asyncio.Task[httpx.Response]") -> None:
        self._in_flight.discard(task)
        if not task.cancelled():
            task.exception()  # taken, in case nobody waits for it any more


def _headers(remaining: float) -> dict[str, str]:
    found = {headers.TIMEOUT_MS: str(max(1, int(remaining * 1000)))}
    current = request_id.get()
    if current is not None:
        found[headers.REQUEST_ID] = current
    return found


def _read(response: httpx.Response, count: int) -> Embeddings:
    """Return the vectors of a response, after checking all that the contract promises of them."""
    if response.status_code != httpx.codes.OK:
        raise _refusal(response)
    try:
        reply = decode_msgpack(response.content, _reply_decoder)
    except InvalidMessage as error:
        raise EmbedderBroken(f"the embedder's answer cannot be read: {error.message}") from error
    expected = count * reply.dim * 4
    if reply.dim < 1 or len(reply.embeddings) != expected:
        raise EmbedderBroken(
            f"the embedder sent {len(reply.embeddings)} bytes for {count} texts of {reply.dim} numbers, not {expected}"
        )
    vectors = np.frombuffer(reply.embeddings, dtype="<f4").reshape(count, reply.dim).astype(np.float32, copy=False)
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # Written so that NaN, which compares as false, counts as wrong.
    if not (np.abs(norms - 1.0) <= _NORM_TOLERANCE).all():
        raise EmbedderBroken("the embedder sent vectors that are not finite or not of unit length")
    return Embeddings(vectors, reply.model, reply.fingerprint)


def _refusal(
    response: httpx.Response,
) -> EmbedderUnavailable | EmbedderRejected | EmbedderBroken | Overloaded | DeadlineExceeded:
    status = response.status_code
    try:
        message = decode_json(response.content, _error_decoder).error.message
    except InvalidMessage:
        message = ascii(response.text[:200])
    said = f"the embedder answered {status}: {message}"
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Overloaded(said, retry_after=_retry_after(response))
    if status in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.BAD_GATEWAY):
        return EmbedderUnavailable(said, retry_after=_retry_after(response))
    if status == httpx.codes.GATEWAY_TIMEOUT:
        return DeadlineExceeded(said)
    if status in (httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.BAD_REQUEST):
        return EmbedderRejected(said)
    return EmbedderBroken(said)


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(120.0, max(0.0, float(response.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0
