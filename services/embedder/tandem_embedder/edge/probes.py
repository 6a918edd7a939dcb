"""``/livez``, ``/readyz``, ``/metrics``, and the replies to what the framework itself refuses."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from tandem_embedder.edge.replies import Reply, internal, refusal
from tandem_embedder.metrics import CONTENT_TYPE
from tandem_embedder.readiness import Readiness, State

log = logging.getLogger(__name__)


class ReadyReply(msgspec.Struct, frozen=True):
    """``GET /readyz`` while the model is served."""

    model: str
    fingerprint: str
    dim: int
    max_seq_length: int
    precision: str
    status: str = "ready"


class ProbedService(Protocol):
    """What the probes need of the service."""

    readiness: Readiness

    def describe(self) -> ReadyReply:
        """Return what is served; asked only while ready."""

    def exposition(self) -> bytes:
        """Return the metrics as Prometheus text."""


def routes(service: ProbedService) -> list[HTTPRouteHandler]:
    """Return the handlers of the three paths."""
    encoder = msgspec.json.Encoder()

    @get("/livez", sync_to_thread=False)
    def livez() -> Response[bytes]:
        # A dead worker does not come back: only a restart helps, and liveness is what asks for one.
        if service.readiness.state is State.DEAD:
            return _response(refusal("not_ready", service.readiness.reason))
        return _response(Reply(200, b'{"status":"alive"}'))

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[bytes]:
        if not service.readiness.is_ready:
            return _response(refusal("not_ready", service.readiness.reason, retry_after_seconds=1.0))
        return _response(Reply(200, encoder.encode(service.describe())))

    @get("/metrics", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        return _response(Reply(200, service.exposition(), CONTENT_TYPE.encode()))

    return [livez, readyz, metrics]


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the framework's own refusals, such as 404 and 405, in the contract's shape."""
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        log.error("a request failed", exc_info=error)
        return _response(internal())
    if error.status_code == 405:
        return _response(
            refusal(
                "method_not_allowed",
                f"{request.method} is not allowed here",
                extra_headers=tuple((name.lower().encode(), value.encode()) for name, value in _allow(error)),
            )
        )
    if error.status_code == 404:
        return _response(refusal("not_found", f"there is nothing at {request.scope['path']}"))
    return _response(refusal("malformed_body", error.detail or "the request cannot be read"))


ExceptionHandler = Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
EXCEPTION_HANDLERS: dict[int | type[Exception], ExceptionHandler] = {HTTPException: refuse, Exception: refuse}


def _allow(error: HTTPException) -> list[tuple[str, str]]:
    return [(name, value) for name, value in (error.headers or {}).items() if name.lower() == "allow"]


def _response(reply: Reply) -> Response[bytes]:
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=reply.content_type.decode(),
        headers={name.decode(): value.decode() for name, value in reply.headers},
    )
