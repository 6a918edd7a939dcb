"""Logs which model an embedder serves, when that is first known and whenever it changes."""

import logging
from collections.abc import Sequence

from tandem_contract.embed import Kind, Priority
from tandem_gateway.model import Embeddings
from tandem_gateway.ports import Embedder

log = logging.getLogger(__name__)


class ModelNews:
    """An ``Embedder`` in front of another."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._last: tuple[str, str] | None = None

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        """Return what the embedder returns; see ``Embedder.embed``."""
        embedded = await self._embedder.embed(texts, kind=kind, priority=priority, timeout=timeout)
        model = (embedded.model, embedded.fingerprint)
        if model != self._last:
            self._last = model
            log.info("the embedder's model", extra={"model": embedded.model, "fingerprint": embedded.fingerprint})
        return embedded

    async def ready(self, *, timeout: float) -> bool:
        """Return what the embedder returns; see ``Embedder.ready``."""
        return await self._embedder.ready(timeout=timeout)
