"""What the handlers of compatible routes share."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from tandem_gateway.access.embeddings import GuardedEmbedTexts
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.http.body import caller_timeout
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.metrics.embeddings import Api, EmbeddingMetrics
from tandem_gateway.use_cases.embed_request import EmbedCommand, EmbeddedTexts
from tandem_gateway.use_cases.embed_texts import EmbedTexts
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Receive, Scope

ERRORS: Final = (400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)
"""Statuses of the errors of a request for vectors."""


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    """The gateway, the limits of bodies, and the metrics.

    Attributes:
        gateway: the gateway.
        bodies: limits of bodies.
        metrics: metrics to update; None for an application that only describes its routes.
        turn: of large replies, which are written one at a time.
    """

    gateway: Gateway
    bodies: BodyLimits
    metrics: EmbeddingMetrics | None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def embed_texts(self, scope: Scope) -> EmbedTexts | GuardedEmbedTexts:
        """Return the use case for the caller of a request; see ``Gateway.ready``."""
        return self.gateway.ready(principal_of(scope)).embed_texts

    async def embed(
        self, scope: Scope, receive: Receive, api: Api, command: EmbedCommand, lease: Lease
    ) -> EmbeddedTexts:
        """Return the vectors of a request, and count them; see ``EmbedTexts.embed``.

        Raises:
            ClientGone: the client closed the connection.
        """
        work = self.embed_texts(scope).embed(command, lease, caller_timeout(scope))
        embedded = await cancel_on_disconnect(scope, receive, work)
        if self.metrics is not None:
            self.metrics.embedded(api, embedded.count, embedded.tokens, embedded.truncated)
        return embedded
