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
from tandem_gateway.adapters.pool.addresses import Address, difference, origin
from tandem_gateway.adapters.pool.balancer import candidates, choose, having
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.dns import Names, Resolver, system_resolver
from tandem_gateway.adapters.pool.health import Failure, Health
from tandem_gateway.adapters.pool.replica import FINGERPRINT_SECONDS, Replica, ReplicaConnection
from tandem_gateway.adapters.pool.retry_budget import RetryBudget
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    GatewayError,
    Overloaded,
)
from tandem_gateway.records.embedders import Embeddings, PoolState, ReplicaState

log = logging.getLogger(__name__)

# The pool embeds this text to learn a replica's model, if the replica's last reply is too old to tell.
_SHORT_TEXT = "fingerprint"
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
        self._connect = connect
        self._settings = settings
        self._events = events or PoolEvents()
        self._clock = clock
        self._draw = draw
        self._names = Names(
            [origin(url) for url in urls], resolve, seconds=settings.resolve, on_failure=self._events.unresolved
        )
        self._looked_up = asyncio.Event()
        self._budget = RetryBudget(clock())
        self._replicas: dict[str, Replica] = {}
        self._serving: list[Replica] = []
        self._ejected: list[Replica] = []
        self.replicas = 1
        """Number of replicas in rotation, at least 1, because the pool calls an ejected replica if none serves."""
        self._update()

    async def embed(
        self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float, fingerprint: str | None = None
    ) -> Embeddings:
        """Return one vector per text; see ``Embedder.embed``."""
        now = self._clock()
        deadline = now + timeout
        if not self._replicas:
            await self._await_addresses(timeout)
            now = self._clock()
        first = self._choose(priority, now, fingerprint=fingerprint)
        if first is None:
            raise EmbedderUnavailable(f"the embedder has no address: {self._why_none()}")
        self._budget.called()
        error: GatewayError | None = None
        found: Embeddings | None = None
        try:
            limit = self._limit(deadline - now, priority, now)
            found = await self._ask(first, texts, kind, priority, limit)
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
        return await self._ask(second, texts, kind, priority, deadline - now)

    async def ready(self, *, timeout: float) -> bool:
        """Probe every replica, return ready ones to rotation, and return whether any is ready."""
        if not self._replicas:
            with contextlib.suppress(DeadlineExceeded):
                await self._await_addresses(timeout)
        asked = [replica for replica in self._replicas.values() if not replica.draining]
        found = await asyncio.gather(*(self._probe(replica, timeout) for replica in asked))
        return any(found)

    def serves(self, fingerprint: str) -> bool:
        """Return whether a serving replica is known to have the model with this fingerprint."""
        now = self._clock()
        return any(replica.has(fingerprint, now) for replica in self._serving)

    @property
    def up(self) -> bool:
        """Whether any replica is not ejected."""
        return bool(self._serving)

    async def follow_names(self) -> None:
        """Keep the replicas in step with DNS until cancelled; returns at once if the pool has no names."""
        while self._names.to_resolve:
            await self._names.look_up()
            self._update()
            self._looked_up.set()
            await asyncio.sleep(self._settings.resolve)

    def state(self) -> PoolState:
        """Return the state of the pool and of each replica."""
        return PoolState(
            self.name,
            [
                ReplicaState(
                    label,
                    "draining" if replica.draining else "ejected" if replica.health.ejected else "serving",
                    replica.in_flight,
                    replica.fingerprint,
                )
                for label, replica in self._replicas.items()
            ],
        )

    def close(self) -> None:
        """Close the connections."""
        self._names.close()
        for replica in self._replicas.values():
            replica.channel.close()

    # load balancing

    def _choose(
        self, priority: Priority, now: float, *, fingerprint: str | None, tried: Replica | None = None
    ) -> Replica | None:
        among = candidates(self._serving, self._ejected, fingerprint=fingerprint, tried=tried, now=now)
        return self._lighter(among, priority) if among else None

    def _choose_another(
        self, first: Replica, priority: Priority, now: float, fingerprint: str | None, *, wrong_model: bool
    ) -> Replica | None:
        if wrong_model and fingerprint is not None:
            among = having(self._serving, fingerprint=fingerprint, tried=first, now=now)
            return self._lighter(among, priority) if among else None
        return self._choose(priority, now, fingerprint=fingerprint, tried=first)

    def _lighter(self, among: Sequence[Replica], priority: Priority) -> Replica:
        load = Replica.query_load if priority == "interactive" else Replica.document_load
        return choose(among, load, self._draw(), self._draw())

    def _limit(self, remaining: float, priority: Priority, now: float) -> float:
        if len(self._serving) < 2 or not self._budget.allows(now):
            return remaining
        half = remaining / 2
        return min(half, self._settings.attempt) if priority == "interactive" else half

    # calls

    async def _ask(
        self, replica: Replica, texts: Sequence[str], kind: Kind, priority: Priority, limit: float
    ) -> Embeddings:
        started = self._clock()
        if priority == "interactive":
            replica.queries += 1
        else:
            replica.documents += 1
        try:
            found = await replica.channel.embed(texts, kind=kind, priority=priority, timeout=limit)
        except EmbedderUnavailable as error:
            self._failed(replica, "unavailable", started, str(error))
            raise
        except EmbedderBroken as error:
            self._failed(replica, "broken", started, str(error))
            raise
        except DeadlineExceeded as error:
            # A timeout shorter than ``attempt`` does not count: it says nothing about the replica.
            if limit >= self._settings.attempt:
                self._failed(replica, "late", started, str(error))
            raise
        except (EmbedderRejected, Overloaded):
            self._succeeded(replica, started)
            raise
        finally:
            if priority == "interactive":
                replica.queries -= 1
            else:
                replica.documents -= 1
            if replica.draining and not replica.in_flight:
                self._drop(replica)
        self._succeeded(replica, started)
        if replica.fingerprint != found.fingerprint:
            about = {"pool": self.name, "replica": replica.address.label}
            log.info("the embedder's model", extra={**about, "model": found.model, "fingerprint": found.fingerprint})
            replica.fingerprint = found.fingerprint
        replica.seen = self._clock()
        return found

    async def _probe(self, replica: Replica, timeout: float) -> bool:
        found = await replica.channel.probe(timeout=timeout)
        now = self._clock()
        after = health.probed(replica.health, found, now, self._settings.policy)
        self._set_health(replica, after, "late" if found == "late" else "unavailable", f"the probe says: {found}")
        known = replica.fingerprint is not None and now - replica.seen < FINGERPRINT_SECONDS / 2
        wanted = self._settings.identify or len(self._replicas) > 1
        if found == "ready" and wanted and not known and not replica.draining:
            try:
                await self._ask(replica, [_SHORT_TEXT], "query", "interactive", timeout)
            except GatewayError as error:
                log.debug("a replica did not say its model", extra={"replica": replica.address.label, "error": error})
        return found == "ready"

    def _succeeded(self, replica: Replica, started: float) -> None:
        before = replica.health
        after = health.succeeded(before, started, self._clock(), self._settings.policy)
        if after is not before:
            self._set_health(replica, after)

    def _failed(self, replica: Replica, failure: Failure, started: float, why: str) -> None:
        after = health.failed(replica.health, failure, started, self._clock(), self._settings.policy)
        self._set_health(replica, after, failure, why)

    def _set_health(
        self, replica: Replica, after: Health, failure: Failure = "unavailable", why: str | None = None
    ) -> None:
        """Set a replica's health; ``failure`` and ``why`` are the reason if this ejects it."""
        before, replica.health = replica.health, after
        if before.ejected == after.ejected or replica.draining:
            return
        about = {"pool": self.name, "replica": replica.address.label}
        if after.ejected:
            # The embedder that returns at this address may have another model.
            replica.fingerprint = None
            self._events.ejected(failure)
            seconds = round(after.until - after.since, 3)
            log.warning("embedder ejected", extra={**about, "reason": failure, "error": why, "seconds": seconds})
        else:
            log.info("embedder takes part again", extra=about)
        self._sort()

    # membership

    def _update(self) -> None:
        """Add and remove replicas to match the known addresses."""
        wanted = self._names.addresses()
        for label in wanted.keys() & self._replicas.keys():
            self._replicas[label].draining = False
        change = difference(self._replicas, wanted)
        for address in change.added:
            self._replicas[address.label] = Replica(address, self._connect(address))
        for label in change.gone:
            replica = self._replicas[label]
            if not replica.draining:
                about = {"pool": self.name, "replica": label, "in_flight": replica.in_flight}
                log.info("an embedder left the pool", extra=about)
            replica.draining = True
            if not replica.in_flight:
                self._drop(replica)
        for address in change.added:
            log.info("an embedder joined the pool", extra={"pool": self.name, "replica": address.label})
        self._sort()

    def _drop(self, replica: Replica) -> None:
        if self._replicas.get(replica.address.label) is not replica:
            return  # it was dropped already
        del self._replicas[replica.address.label]
        replica.channel.close()
        self._events.left(replica.address.label)

    def _sort(self) -> None:
        members = [replica for replica in self._replicas.values() if not replica.draining]
        self._serving = [replica for replica in members if not replica.health.ejected]
        self._ejected = [replica for replica in members if replica.health.ejected]
        self.replicas = max(1, len(self._serving))

    async def _await_addresses(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._looked_up.wait()
        except TimeoutError:
            raise DeadlineExceeded("the embedder's name was not resolved in time") from None

    def _why_none(self) -> str:
        return "; ".join(f"{origin.host}: {why}" for origin, why in self._names.failing.items()) or "it is gone"
