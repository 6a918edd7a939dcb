"""A pool of embedders whose connections a test controls, and a clock that it sets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.adapters.pool.replica import ProbeResult
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings, ServedModel
from tests.support.fakes import FINGERPRINT, MODEL, eventually, vectors_of

OTHER = "0" * 32
TEXTS = ["one", "two"]
A, B, C = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
URLS = {label: f"http://{label}" for label in (A, B, C)}


class ReplicaConnection:
    """Implements ``ReplicaConnection``: answers, or raises ``error`` if set; ``hold`` keeps calls until ``release``."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.error: Exception | None = None
        self.fingerprint = FINGERPRINT
        self.found: Probe = "ready"
        self.silent = False
        """Whether /readyz names no model."""
        self.timeouts: list[float] = []
        self.calls: list[list[str]] = []
        self.closed = False
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, split: Split | None = None
    ) -> Embeddings:
        self.calls.append(list(texts))
        self.timeouts.append(timeout)
        await self._gate.wait()
        if self.error is not None:
            raise self.error
        return Embeddings(vectors_of(texts), MODEL, self.fingerprint)

    async def probe(self, *, timeout: float) -> ProbeResult:
        served = ServedModel(self.fingerprint, MODEL, 8, 256, "int8")
        return ProbeResult(self.found, served if self.found == "ready" and not self.silent else None)

    def close(self) -> None:
        self.closed = True


class PoolFixture:
    """A pool over such connections, and the events that it reported."""

    def __init__(self, *labels: str, names: dict[str, list[str]] | None = None) -> None:
        self.now = 1000.0
        self.channels: dict[str, ReplicaConnection] = {}
        self.names = names or {}
        self.resolver_error: OSError | None = None
        self.retried: list[str] = []
        self.ejected: list[str] = []
        self.left: list[str] = []
        self.unresolved = 0
        self.pool = EmbedderPool(
            "stable",
            [*(URLS[label] for label in labels), *(f"http://{name}:1" for name in self.names)],
            self._connect,
            settings=PoolSettings(attempt=2.0, resolve=0.01),
            events=PoolEvents(self.retried.append, self.ejected.append, self.left.append, self._unresolved),
            resolve=self._resolve,
            clock=lambda: self.now,
            draw=lambda: 0.0,
        )

    def _connect(self, address: Address) -> ReplicaConnection:
        return self.channels.setdefault(address.label, ReplicaConnection(address.label))

    def _unresolved(self) -> None:
        self.unresolved += 1

    async def _resolve(self, host: str, port: int) -> list[str]:
        if self.resolver_error is not None:
            raise self.resolver_error
        return self.names[host]

    async def embed(self, timeout: float = 10.0, priority: Priority = "interactive", **wish: str) -> Embeddings:
        return await self.pool.embed(TEXTS, kind="query", priority=priority, timeout=timeout, **wish)

    def statuses(self) -> dict[str, str]:
        return {replica.label: replica.status for replica in self.pool.state().replicas}


@asynccontextmanager
async def scenario(fixture: Callable[[], PoolFixture]) -> AsyncIterator[PoolFixture]:
    made = fixture()
    try:
        yield made
    finally:
        made.pool.close()


async def until(look: Callable[[], bool]) -> None:
    await eventually(lambda: asyncio.sleep(0, look()), bool)
