"""HTTP client of one embedder: sends requests, and maps failures to domain errors; ``embedder_replies`` reads."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from tandem_contract import embed, headers
from tandem_contract.decoding import InvalidMessage
from tandem_contract.embed import READY_PATH, Chunking, EmbedRequest, Kind, Priority
from tandem_gateway.adapters.embedder_replies import (
    UNAUTHORIZED,
    cut_message,
    max_reply_bytes,
    max_split_reply_bytes,
    read_embeddings,
    read_passages,
    read_served_model,
)
from tandem_gateway.adapters.http.messages import ConnectFailed, ConnectionBroken, Response, ResponseTooLarge
from tandem_gateway.adapters.pool.replica import ProbeResult
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings, ServedModel
from tandem_runtime import trace
from tandem_runtime.durations import duration
from tandem_runtime.logs import request_id
from tandem_runtime.tokens import Tokens
from tandem_runtime.tracing import within

log = logging.getLogger(__name__)

_HEADERS: Final = {"content-type": headers.MSGPACK, "accept": headers.MSGPACK}
_UNREACHABLE: Final = "an embedder cannot be reached"
_REFUSES_TOKEN: Final = "an embedder refuses the gateway's token"  # noqa: S105 - a message
_UNREADABLE: Final = "an embedder's description of its model cannot be read and is ignored"

_CALL: Final = f"POST {embed.PATH}"

_encoder = msgspec.msgpack.Encoder()


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
        tokens: Tokens | None = None,
    ) -> None:
        """Make the adapter.

        Args:
            url: URL of the embedder, for messages.
            client: HTTP client that sends the calls.
            on_call: called with the outcome (``ok`` or the error's name) and the seconds of each call.
            tokens: the gateway's token for embedders that demand one.
        """
        self._tokens = tokens or Tokens()
        self._url = url
        self._server = urlsplit(url if "//" in url else f"//{url}")
        self._client = client
        self._on_call = on_call
        self._told: str | None = None
        self._told_whole = False

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, split: Split | None = None
    ) -> Embeddings:
        """Return the vectors of texts; see ``Embedder.embed``."""
        span = trace.current_span()
        if span is None:
            return await self._embed(texts, kind, priority, timeout, split)
        with within(span.child(_CALL, kind="client")) as call:
            call.set("http.request.method", "POST")
            call.set("server.address", self._server.hostname or "")
            if self._server.port is not None:
                call.set("server.port", self._server.port)
            call.set("tandem.kind", kind)
            call.set("tandem.priority", priority)
            call.set("tandem.texts", len(texts))
            return await self._embed(texts, kind, priority, timeout, split)

    async def _embed(
        self, texts: Sequence[str], kind: Kind, priority: Priority, timeout: float, split: Split | None
    ) -> Embeddings:
        started = time.monotonic()
        outcome = "error"
        try:
            request = EmbedRequest(texts=list(texts), kind=kind, priority=priority)
            embeddings = None
            if split is not None:
                embeddings = await self._embed_passages(request, split, started + timeout)
            if embeddings is None:
                reply = await self._send(request, max_reply_bytes(len(texts)), started + timeout)
                embeddings = read_embeddings(reply, len(texts))
            outcome = "ok"
            return embeddings
        except (EmbedderUnavailable, EmbedderRejected, EmbedderBroken, Overloaded, DeadlineExceeded) as error:
            outcome = type(error).__name__
            raise
        finally:
            self._on_call(outcome, time.monotonic() - started)

    async def _embed_passages(self, request: EmbedRequest, split: Split, deadline: float) -> Embeddings | None:
        """Return the vectors of the texts' passages; None if the embedder's release does not split texts."""
        chunking = Chunking(split.chunking.max_tokens, split.chunking.overlap_tokens, split.format)
        splitting = msgspec.structs.replace(request, chunking=chunking)
        try:
            reply = await self._send(splitting, max_split_reply_bytes(request.texts), deadline)
            return read_passages(reply, request.texts)
        except EmbedderRejected as error:
            if (error.code, error.param) != ("unknown_field", "chunking"):
                raise
        if not self._told_whole:
            self._told_whole = True
            log.warning(
                "an embedder of an earlier release does not split texts: long ones are truncated",
                extra={"replica": self._url},
            )
        return None

    async def probe(self, *, timeout: float) -> ProbeResult:
        """Ask the embedder whether it is ready and which model it serves.

        The status alone decides whether it is ready. A body that cannot be read is logged and ignored.

        Each embedder is probed about once a second. The probe takes a connection of the calls: it then proves the way
        that the calls take, with its address and its certificates, and loads no other HTTP client.
        """
        try:
            response = await self._client.call("GET", READY_PATH, self._authorization(), b"", timeout=timeout)
        except (ConnectFailed, ConnectionBroken, ResponseTooLarge) as error:
            self._tell(_UNREACHABLE, str(error))
            return ProbeResult("unreachable")
        except TimeoutError:
            return ProbeResult("late")
        if response.status == 200 and response.header(headers.EMBEDDER_TOKEN.encode()) == "refused":
            self._tell(_REFUSES_TOKEN, UNAUTHORIZED)
            return ProbeResult("token_refused")
        if response.status == 200:
            return ProbeResult("ready", self._served(response.body))
        if response.status == 503:
            self._told = None
        else:
            self._tell(
                _UNREACHABLE, f"{READY_PATH} has the status {response.status}; is there an embedder at this URL?"
            )
        return ProbeResult("not_ready")

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    def _served(self, body: bytes) -> ServedModel | None:
        """Return the model that a ready embedder describes; None if it does not or its description cannot be read."""
        try:
            served = read_served_model(body)
        except InvalidMessage as error:
            # One line, whatever the reasons: they may differ at each probe.
            self._tell(_UNREADABLE, cut_message(error.message), once_as=_UNREADABLE)
            return None
        self._told = None
        return served

    def _authorization(self) -> dict[str, str]:
        value = self._tokens.authorization
        return {} if value is None else {headers.AUTHORIZATION: value}

    def _tell(self, what: str, why: str, *, once_as: str | None = None) -> None:
        """Log a failed probe, once per reason: a refused certificate needs an operator, a restart does not."""
        reason = once_as or why
        if reason != self._told:
            self._told = reason
            log.warning(what, extra={"replica": self._url, "error": why})

    async def _send(self, request: EmbedRequest, max_bytes: int, deadline: float) -> Response:
        body = _encoder.encode(request)
        for last in (False, True):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DeadlineExceeded("the embedder was not asked: the time was up before")
            try:
                return await self._client.call(
                    "POST",
                    embed.PATH,
                    {**_headers(remaining), **self._authorization()},
                    body,
                    timeout=remaining,
                    fresh=last,
                    max_bytes=max_bytes,
                )
            except TimeoutError as error:
                raise DeadlineExceeded(f"the embedder did not answer within {duration(remaining)}") from error
            except ResponseTooLarge as error:
                raise EmbedderBroken(
                    "the embedder answers too much", detail=f"the embedder at {self._url} answers too much: {error}"
                ) from error
            except ConnectFailed as error:
                raise self._unreachable(error) from error
            except ConnectionBroken as error:
                # The embedder may have closed an idle connection just as it was taken. Retry once on a new connection;
                # embedding the texts twice does no harm.
                if last:
                    raise self._unreachable(error) from error
        raise AssertionError("unreachable")

    def _unreachable(self, error: Exception) -> EmbedderUnavailable:
        """Return the error of a failed connection; clients do not learn the embedder's address."""
        return EmbedderUnavailable(
            "the embedder cannot be reached; the gateway's log says why",
            detail=f"the embedder at {self._url} cannot be reached: {error}",
        )


def _headers(remaining: float) -> dict[str, str]:
    found = {**_HEADERS, headers.TIMEOUT_MS: str(max(1, int(remaining * 1000)))}
    current = request_id.get()
    if current is not None:
        found[headers.REQUEST_ID] = current
    traced = trace.current.get()
    if traced is not None:
        found.update(trace.headers_of(traced))
    return found
