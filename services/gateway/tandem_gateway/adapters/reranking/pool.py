"""The rerank servers as one: balances the calls, retries once, and ejects failing servers.

The decisions are those of the pool of embedders, ``adapters.pool``: two random choices, ejection, and the retry budget.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tandem_gateway.adapters.pool import health
from tandem_gateway.adapters.pool.addresses import Address, origin
from tandem_gateway.adapters.pool.balancer import candidates, choose
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.dns import Names, Resolver, system_resolver
from tandem_gateway.adapters.pool.health import Failure, Probe
from tandem_gateway.adapters.pool.members import Members
from tandem_gateway.adapters.pool.replica import Replica
from tandem_gateway.adapters.pool.retry_budget import RetryBudget
from tandem_gateway.adapters.reranking.shapes import ServerScores
from tandem_gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    Overloaded,
    RerankerBroken,
    RerankerRejected,
    RerankerUnavailable,
)
from tandem_gateway.records.embedders import PoolState

# Minimum number of seconds left for a retry.
_SHORTEST_TRY: Final = 0.005
_PROBE_SECONDS: Final = 2.0
_PROBE_TIMEOUT: Final = 1.0


class RerankConnection(Protocol):
    """Carries the calls to one rerank server."""

    async def rerank(
        self, query: str, documents: Sequence[str], *, model: str | None, raw: bool, timeout: float
    ) -> ServerScores:
        """Return the scores of documents; raises as ``Reranker.rerank``."""
        ...

    async def probe(self, *, timeout: float) -> Probe:
        """Ask the server whether it is ready."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class RerankPool:
    """Several rerank servers that serve the same model; one event loop owns it."""

    def __init__(
        self,
        urls: Sequence[str],
        connect: Callable[[Address], RerankConnection],
        *,
        settings: PoolSettings,
        events: PoolEvents | None = None,
        resolve: Resolver = system_resolver,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Make the pool; ``follow`` keeps it in step with DNS and with the servers' health.

        Args:
            urls: URLs of the servers; every address of a host name becomes a replica.
            connect: makes the connection to one address.
            settings: see ``PoolSettings``.
            events: see ``PoolEvents``.
            resolve: resolver of the host names.
            clock: monotonic clock, in seconds.
            draw: returns random numbers from 0 to 1, 1 excluded.
        """
        self._settings = settings
        self._events = events or PoolEvents()
        self._clock = clock
        self._draw = draw
        self._names = Names(
            [origin(url) for url in urls], resolve, seconds=settings.resolve, on_failure=self._events.unresolved
        )
        self._budget = RetryBudget(clock())
        self._members: Members[RerankConnection] = Members(
            "rerank", connect, self._events, settings.policy, clock=clock, server="rerank server"
        )
        self._members.update(self._names.addresses())

    async def rerank(
        self, query: str, documents: Sequence[str], *, model: str | None, raw: bool, timeout: float
    ) -> ServerScores:
        """Return the scores of documents by one server; raises as ``Reranker.rerank``."""
        now = self._clock()
        deadline = now + timeout
        if not self._members:
            await self._look_up()
        first = self._choose(now)
        if first is None:
            raise RerankerUnavailable("the rerank server has no address")
        self._budget.called()
        error: GatewayError
        try:
            return await self._ask(first, query, documents, model, raw, self._limit(deadline - now, now))
        except (RerankerUnavailable, RerankerBroken, Overloaded, DeadlineExceeded) as failure:
            error = failure
        try:
            now = self._clock()
            second = self._choose(now, tried=first)
            if second is None or deadline - now < _SHORTEST_TRY or not self._budget.take(now):
                raise error
        finally:
            del error  # breaks the reference cycle: error, traceback, this frame, error
        self._events.retried("failed")
        return await self._ask(second, query, documents, model, raw, deadline - now)

    async def follow(self) -> None:
        """Keep the pool in step with DNS and with the servers' health until cancelled."""
        looked_up = -math.inf
        while True:
            if self._clock() - looked_up >= self._settings.resolve:
                looked_up = self._clock()
                await self._look_up()
            await asyncio.gather(*(self._probe(replica) for replica in self._members.staying()))
            await asyncio.sleep(_PROBE_SECONDS)

    def state(self) -> PoolState:
        """Return the state of each server."""
        return PoolState("rerank", self._members.state())

    def close(self) -> None:
        """Close the connections."""
        self._names.close()
        self._members.close()

    async def _look_up(self) -> None:
        if self._names.to_resolve:
            await self._names.look_up()
            self._members.update(self._names.addresses())

    def _choose(self, now: float, tried: Replica[RerankConnection] | None = None) -> Replica[RerankConnection] | None:
        among = candidates(self._members.serving, self._members.ejected, fingerprint=None, tried=tried, now=now)
        return choose(among, Replica.query_load, self._draw(), self._draw()) if among else None

    def _limit(self, remaining: float, now: float) -> float:
        """Return the seconds of the first attempt: half of them while another server could be asked as well."""
        if len(self._members.serving) < 2 or not self._budget.allows(now):
            return remaining
        return remaining / 2

    async def _ask(
        self,
        replica: Replica[RerankConnection],
        query: str,
        documents: Sequence[str],
        model: str | None,
        raw: bool,
        limit: float,
    ) -> ServerScores:
        started = self._clock()
        replica.queries += 1
        try:
            found = await replica.channel.rerank(query, documents, model=model, raw=raw, timeout=limit)
        except RerankerUnavailable as error:
            self._members.failed(replica, "unavailable", started, str(error))
            raise
        except RerankerBroken as error:
            self._members.failed(replica, "broken", started, str(error))
            raise
        except DeadlineExceeded as error:
            # A timeout shorter than ``attempt`` does not count: it says nothing about the server.
            if limit >= self._settings.attempt:
                self._members.failed(replica, "late", started, str(error))
            raise
        except (RerankerRejected, Overloaded):
            self._members.succeeded(replica, started)
            raise
        finally:
            replica.queries -= 1
            self._members.drop_if_idle(replica)
        self._members.succeeded(replica, started)
        return found

    async def _probe(self, replica: Replica[RerankConnection]) -> None:
        found = await replica.channel.probe(timeout=_PROBE_TIMEOUT)
        after = health.probed(replica.health, found, self._clock(), self._settings.policy)
        failure: Failure = "late" if found == "late" else "unavailable"
        self._members.set_health(replica, after, failure, f"the probe says: {found}")
