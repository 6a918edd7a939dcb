"""The endpoints ``/livez``, ``/readyz`` and ``/metrics``."""

import logging
from typing import Protocol

import msgspec

from tandem_contract import headers
from tandem_contract.embed import READY_PATH, ReadyReply
from tandem_embedder.api.replies import internal
from tandem_embedder.metrics import CONTENT_TYPE
from tandem_embedder.readiness import Readiness, State
from tandem_runtime.http import Endpoint, Reply, refusal
from tandem_runtime.request_id import Receive, Scope, header
from tandem_runtime.tokens import Tokens

log = logging.getLogger(__name__)


class ProbedService(Protocol):
    """Port: the part of the service that the probes use."""

    readiness: Readiness

    def describe(self) -> ReadyReply:
        """Return the description of the served model. Called only while the embedder is ready."""

    def exposition(self) -> bytes:
        """Return the metrics as Prometheus text."""


def probes(service: ProbedService, tokens: Tokens) -> list[Endpoint]:
    """Return the three endpoints, which need no token.

    A ready embedder that demands a token adds whether it accepts the request's own: a gateway then knows it before its
    first call.
    """
    encoder = msgspec.json.Encoder()

    async def livez(scope: Scope, receive: Receive) -> Reply:
        # A dead worker does not recover. Only a restart helps, and a failing liveness probe requests one.
        if service.readiness.state is State.DEAD:
            return refusal("not_ready", service.readiness.reason)
        return Reply(200, b'{"status":"alive"}')

    async def readyz(scope: Scope, receive: Receive) -> Reply:
        if not service.readiness.is_ready:
            return refusal("not_ready", service.readiness.reason, retry_after_seconds=1.0)
        more: tuple[tuple[bytes, bytes], ...] = ()
        if tokens:
            accepted = tokens.accepts(header(scope, headers.AUTHORIZATION.encode()))
            more = ((headers.EMBEDDER_TOKEN.encode(), b"accepted" if accepted else b"refused"),)
        return Reply(200, encoder.encode(service.describe()), headers=more)

    async def metrics(scope: Scope, receive: Receive) -> Reply:
        return Reply(200, service.exposition(), CONTENT_TYPE.encode())

    found = {"/livez": livez, READY_PATH: readyz, "/metrics": metrics}
    return [Endpoint(path, {"GET": handler}, _on_error) for path, handler in found.items()]


def _on_error(error: Exception) -> Reply:
    log.error("a request failed", exc_info=error)
    return internal()
