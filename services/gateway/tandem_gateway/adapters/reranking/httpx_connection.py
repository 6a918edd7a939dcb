"""HTTP connection to one rerank server, by httpx2. Import this module only if there is one: see ``httpx_transport``."""

import time
from collections.abc import Callable, Sequence

import httpx2

from tandem_gateway.adapters.http.httpx_transport import HttpxTransport
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.adapters.reranking.shapes import (
    RerankApi,
    ServerError,
    ServerScores,
    encode_call,
    endpoint,
    health_url,
    max_reply_bytes,
    read_reply,
    refusal,
)
from tandem_gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    RerankerBroken,
    RerankerUnavailable,
)
from tandem_runtime import trace
from tandem_runtime.durations import duration
from tandem_runtime.logs import request_id
from tandem_runtime.tracing import within

_LEAST_SERVER_ERROR = 500
_CALL = "POST rerank server"


class HttpxRerankConnection:
    """Implements ``pool.RerankConnection``."""

    def __init__(
        self,
        url: str,
        transport: Http1Transport,
        api: RerankApi,
        *,
        token: str = "",
        on_call: Callable[[str, float], None] = lambda outcome, seconds: None,
    ) -> None:
        """Make the connection.

        Args:
            url: URL of the server.
            transport: its connections.
            api: its API.
            token: bearer token of the calls; empty for none.
            on_call: called with the outcome (``ok`` or the error's name) and the seconds of each call.
        """
        self._url = endpoint(url, api)
        self._server = httpx2.URL(self._url).host
        self._health = health_url(url)
        self._transport = transport
        self._api = api
        self._on_call = on_call
        self._client = httpx2.AsyncClient(
            transport=HttpxTransport(transport),
            headers={"authorization": f"Bearer {token}"} if token else None,
            trust_env=False,
        )

    async def rerank(
        self, query: str, documents: Sequence[str], *, model: str | None, raw: bool, timeout: float
    ) -> ServerScores:
        """Return the scores of documents; see ``Reranker.rerank``."""
        span = trace.current_span()
        if span is None:
            return await self._rerank(query, documents, model, raw=raw, timeout=timeout)
        with within(span.child(_CALL, kind="client")) as call:
            call.set("http.request.method", "POST")
            call.set("server.address", self._server)
            call.set("tandem.documents", len(documents))
            return await self._rerank(query, documents, model, raw=raw, timeout=timeout)

    async def _rerank(
        self, query: str, documents: Sequence[str], model: str | None, *, raw: bool, timeout: float
    ) -> ServerScores:
        body = encode_call(self._api, query, documents, model, raw=raw)
        started = time.monotonic()
        outcome = "error"
        try:
            response = await self._post(body, max_reply_bytes(documents), timeout)
            if response.status_code != httpx2.codes.OK:
                found = ServerError(response.status_code, response.content, response.headers.get("retry-after"))
                raise refusal(found)
            scores = read_reply(self._api, response.content, len(documents), raw=raw)
            outcome = "ok"
            return scores
        except GatewayError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._on_call(outcome, time.monotonic() - started)

    async def probe(self, *, timeout: float) -> Probe:
        """Ask the server for its health. A server without that route is ready if it answers at all."""
        try:
            response = await self._client.get(self._health, timeout=timeout)
        except httpx2.TimeoutException:
            return "late"
        except httpx2.TransportError:
            return "unreachable"
        return "ready" if response.status_code < _LEAST_SERVER_ERROR else "not_ready"

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    async def _post(self, body: bytes, max_bytes: int, timeout: float) -> httpx2.Response:
        headers = {"content-type": "application/json", "accept": "application/json"}
        if (current := request_id.get()) is not None:
            headers["x-request-id"] = current
        if (traced := trace.current.get()) is not None and traced.span is not None:
            headers |= trace.headers_of(traced)
        try:
            return await self._client.post(
                self._url,
                content=body,
                headers=headers,
                timeout=timeout,
                # To rerank twice does no harm, and the server may have closed an idle connection just as it was taken.
                extensions={"max_bytes": max_bytes, "idempotent": True},
            )
        except httpx2.TimeoutException as error:
            if isinstance(error, httpx2.ConnectTimeout):
                raise self._unreachable(error) from error
            raise DeadlineExceeded(f"the rerank server did not answer within {duration(timeout)}") from error
        except (httpx2.LocalProtocolError, httpx2.DecodingError) as error:
            raise RerankerBroken(
                "the rerank server cannot be asked", detail=f"the rerank server at {self._url} cannot be asked: {error}"
            ) from error
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> RerankerUnavailable:
        """Return the error of a failed connection; clients do not learn the server's address."""
        return RerankerUnavailable(
            "the rerank server cannot be reached; the gateway's log says why",
            detail=f"the rerank server at {self._url} cannot be reached: {error}",
        )
