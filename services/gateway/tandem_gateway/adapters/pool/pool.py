"""The replicas of an embedder as one ``Embedder``: it balances the load, retries once, and ejects failing replicas.

The pool retries a call if the failure may be the replica's alone: unreachable, not ready, late, overloaded, or an
invalid reply. The retry goes to another replica, within the caller's deadline and the pool's retry budget. While
another replica is available, the first attempt gets only part of the deadline, so that a hung replica leaves time for a
retry.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool import health
from tandem_gateway.adapters.pool.addresses import Address, origin
from tandem_gateway.adapters.pool.balancer import candidates, choose, having
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.dns import Names, Resolver, system_resolver
from tandem_gateway.adapters.pool.members import Members
from tandem_gateway.adapters.pool.replica import Replica, ReplicaConnection
from tandem_gateway.adapters.pool.retry_budget import RetryBudget
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    GatewayError,
    Overloaded,
)
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings, PoolState, ServedModel

log = logging.getLogger(__name__)

# Minimum number of seconds left for a retry.
_SHORTEST_TRY = 0.005


class EmbedderPool:
    """Implements ``ports.embedder.EmbedderPool``; one event loop owns it."""

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        connect: Callable[[Address], ReplicaConnection],
        *,
        settings: PoolSettings,
        events: PoolEvents | None = None,
        resolve: Resolver = system_resolver,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Make the pool; ``follow_names`` keeps it in step with DNS.

        Args:
            name: name of the pool in logs and metrics.
            urls: URLs of the embedders; every address of a host name becomes a replica.
            connect: makes the channel to one address.
            settings: see ``config.PoolSettings``.
            events: see ``config.PoolEvents``.
            resolve: resolver of the host names.
            clock: monotonic clock, in seconds.
            draw: returns random numbers from 0 to 1, 1 excluded.
        """
        self.name = name
        self._settings = settings
        self._events = events or PoolEvents()
        self._clock = clock
        self._draw = draw
        self._names = Names(
            [origin(url) for url in urls], resolve, seconds=settings.resolve, on_failure=self._events.unresolved
        )
        self._looked_up = asyncio.Event()
        self._budget = RetryBudget(clock())
        self._members: Members[ReplicaConnection] = Members(name, connect, self._events, settings.policy, clock=clock)
        self._members.update(self._names.addresses())

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind,
        priority: Priority,
        timeout: float,
        fingerprint: str | None = None,
        split: Split | None = None,
    ) -> Embeddings:
        """Return one vector per text; see ``Embedder.embed``."""
        now = self._clock()
        deadline = now + timeout
        if not self._members:
            await self._await_addresses(timeout)
            now = self._clock()
        first = self._choose(priority, now, fingerprint=fingerprint)
        if first is None:
            raise EmbedderUnavailable(
                "the embedder has no address; the gateway's log says why",
                detail=f"the embedder has no address: {self._why_none()}",
            )
        self._budget.called()
        error: GatewayError | None = None
        found: Embeddings | None = None
        try:
            limit = self._limit(deadline - now, priority, now)
            found = await self._ask(first, texts, kind, priority, limit, split)
            if fingerprint is None or found.fingerprint == fingerprint:
                return found
        except (EmbedderUnavailable, EmbedderBroken, Overloaded, DeadlineExceeded) as failure:
            error = failure
        now = self._clock()
        second = self._choose_another(first, priority, now, fingerprint, wrong_model=found is not None)
        if second is None or deadline - now < _SHORTEST_TRY or not self._budget.take(now):
            if found is not None:
                return found  # of another model than the caller wants; the caller reports that better
            assert error is not None
            try:
                raise error
            finally:
                # Breaks the reference cycle: error, traceback, this frame, error. Otherwise only the garbage collector
                # would free the texts and bodies that these frames hold.
                error = None
        self._events.retried("fingerprint" if error is None else type(error).__name__)
        error = None  # as above, because the second call may fail as well
        return await self._ask(second, texts, kind, priority, deadline - now, split)

    async def ready(self, *, timeout: float) -> bool:
        """Probe every replica, return ready ones to rotation, and return whether any is ready."""
        if not self._members:
            with contextlib.suppress(DeadlineExceeded):
                await self._await_addresses(timeout)
        found = await asyncio.gather(*(self._probe(replica, timeout) for replica in self._members.staying()))
        return any(found)

    def serves(self, fingerprint: str) -> bool:
        """Return whether a serving replica has the model with this fingerprint, or only a call can tell."""
        now = self._clock()
        return any(
            replica.has(fingerprint, now) or (replica.silent and replica.may_have(fingerprint, now))
            for replica in self._members.serving
        )

    @property
    def replicas(self) -> int:
        """Number of replicas in rotation, at least 1, because the pool calls an ejected replica if none serves."""
        return max(1, len(self._members.serving))

    @property
    def model_tokens(self) -> int | None:
        """The fewest tokens that the model of a replica reads; None if no replica has said it."""
        served = (replica.served for replica in self._members.serving)
        return min(
            (each.max_tokens for each in served if each is not None and each.max_tokens is not None), default=None
        )

    @property
    def up(self) -> bool:
        """Whether any replica is not ejected."""
        return bool(self._members.serving)

    @property
    def refused_token(self) -> bool:
        """Whether a replica refused the gateway's token at its last probe."""
        return any(replica.token_refused for replica in self._members.staying())

    async def follow_names(self) -> None:
        """Keep the replicas in step with DNS until cancelled; returns at once if the pool has no names."""
        while self._names.to_resolve:
            await self._names.look_up()
            self._members.update(self._names.addresses())
            self._looked_up.set()
            await asyncio.sleep(self._settings.resolve)

    def state(self) -> PoolState:
        """Return the state of the pool and of each replica."""
        return PoolState(self.name, self._members.state())

    def close(self) -> None:
        """Close the connections."""
        self._names.close()
        self._members.close()

    # load balancing

    def _choose(
        self,
        priority: Priority,
        now: float,
        *,
        fingerprint: str | None,
        tried: Replica[ReplicaConnection] | None = None,
    ) -> Replica[ReplicaConnection] | None:
        among = candidates(self._members.serving, self._members.ejected, fingerprint=fingerprint, tried=tried, now=now)
        return self._lighter(among, priority) if among else None

    def _choose_another(
        self,
        first: Replica[ReplicaConnection],
        priority: Priority,
        now: float,
        fingerprint: str | None,
        *,
        wrong_model: bool,
    ) -> Replica[ReplicaConnection] | None:
        if wrong_model and fingerprint is not None:
            among = having(self._members.serving, fingerprint=fingerprint, tried=first, now=now)
            return self._lighter(among, priority) if among else None
        return self._choose(priority, now, fingerprint=fingerprint, tried=first)

    def _lighter(self, among: Sequence[Replica[ReplicaConnection]], priority: Priority) -> Replica[ReplicaConnection]:
        load = Replica.query_load if priority == "interactive" else Replica.document_load
        return choose(among, load, self._draw(), self._draw())

    def _limit(self, remaining: float, priority: Priority, now: float) -> float:
        if len(self._members.serving) < 2 or not self._budget.allows(now):
            return remaining
        half = remaining / 2
        return min(half, self._settings.attempt) if priority == "interactive" else half

    # calls

    async def _ask(
        self,
        replica: Replica[ReplicaConnection],
        texts: Sequence[str],
        kind: Kind,
        priority: Priority,
        limit: float,
        split: Split | None,
    ) -> Embeddings:
        started = self._clock()
        if priority == "interactive":
            replica.queries += 1
        else:
            replica.documents += 1
        try:
            found = await replica.channel.embed(texts, kind=kind, priority=priority, timeout=limit, split=split)
        except EmbedderUnavailable as error:
            self._members.failed(replica, "unavailable", started, str(error))
            raise
        except EmbedderBroken as error:
            self._members.failed(replica, "broken", started, str(error))
            raise
        except DeadlineExceeded as error:
            # A timeout shorter than ``attempt`` does not count: it says nothing about the replica.
            if limit >= self._settings.attempt:
                self._members.failed(replica, "late", started, str(error))
            raise
        except (EmbedderRejected, Overloaded):
            self._members.succeeded(replica, started)
            raise
        finally:
            if priority == "interactive":
                replica.queries -= 1
            else:
                replica.documents -= 1
            self._members.drop_if_idle(replica)
        self._members.succeeded(replica, started)
        if replica.served is None or replica.served.fingerprint != found.fingerprint:
            self._learn(replica, ServedModel(found.fingerprint, found.model, found.vectors.shape[1]))
        replica.seen = self._clock()
        return found

    async def _probe(self, replica: Replica[ReplicaConnection], timeout: float) -> bool:
        result = await replica.channel.probe(timeout=timeout)
        now = self._clock()
        after = health.probed(replica.health, result.found, now, self._settings.policy)
        self._members.set_health(
            replica,
            after,
            "late" if result.found == "late" else "unavailable",
            f"the probe says: {result.found}",
        )
        replica.token_refused = result.found == "token_refused"
        if result.found != "ready":
            return False
        replica.silent = result.served is None
        if result.served is not None:
            self._learn(replica, result.served)
            replica.seen = now
        return True

    def _learn(self, replica: Replica[ReplicaConnection], served: ServedModel) -> None:
        """Record a replica's model, and log it if it is another one than before."""
        if replica.served is None or replica.served.fingerprint != served.fingerprint:
            about = {"pool": self.name, "replica": replica.address.label}
            log.info("the embedder's model", extra={**about, "model": served.model, "fingerprint": served.fingerprint})
        replica.served = served

    async def _await_addresses(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._looked_up.wait()
        except TimeoutError:
            raise DeadlineExceeded("the embedder's name was not resolved in time") from None

    def _why_none(self) -> str:
        return "; ".join(f"{origin.host}: {why}" for origin, why in self._names.failing.items()) or "it is gone"
