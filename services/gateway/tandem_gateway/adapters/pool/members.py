"""The replicas of a pool, and which of them are in rotation."""

import logging
from collections.abc import Callable, Mapping
from typing import Generic

from tandem_gateway.adapters.pool import health
from tandem_gateway.adapters.pool.addresses import Address, difference
from tandem_gateway.adapters.pool.config import PoolEvents
from tandem_gateway.adapters.pool.health import EjectionPolicy, Failure, Health
from tandem_gateway.adapters.pool.replica import C, Replica
from tandem_gateway.records.embedders import ReplicaState, ReplicaStatus

log = logging.getLogger(__name__)


class Members(Generic[C]):
    """Adds, removes, ejects and readmits replicas, and logs each change; the pool owns it."""

    def __init__(
        self,
        pool: str,
        connect: Callable[[Address], C],
        events: PoolEvents,
        policy: EjectionPolicy,
        *,
        clock: Callable[[], float],
        server: str = "embedder",
    ) -> None:
        """Make it, without a replica.

        Args:
            pool: name of the pool in logs.
            connect: makes the channel to one address.
            events: see ``config.PoolEvents``.
            policy: decides when replicas are ejected and readmitted.
            clock: monotonic clock, in seconds.
            server: what logs call a replica.
        """
        self._pool = pool
        self._server = server
        self._named = f"{'an' if server[0] in 'aeiou' else 'a'} {server}"
        self._connect = connect
        self._events = events
        self._policy = policy
        self._clock = clock
        self._replicas: dict[str, Replica[C]] = {}
        self.serving: list[Replica[C]] = []
        """Replicas in rotation."""
        self.ejected: list[Replica[C]] = []
        """Replicas out of rotation that have not left the pool."""

    def __len__(self) -> int:
        return len(self._replicas)

    def staying(self) -> list[Replica[C]]:
        """Return the replicas that have not left the pool."""
        return [replica for replica in self._replicas.values() if not replica.draining]

    def update(self, wanted: Mapping[str, Address]) -> None:
        """Add and remove replicas to match these addresses, which are by label."""
        for label in wanted.keys() & self._replicas.keys():
            self._replicas[label].draining = False
        change = difference(self._replicas, wanted)
        for address in change.added:
            self._replicas[address.label] = Replica(address, self._connect(address))
        for label in change.gone:
            replica = self._replicas[label]
            if not replica.draining:
                about = {"pool": self._pool, "replica": label, "in_flight": replica.in_flight}
                log.info("%s left the pool", self._named, extra=about)
            replica.draining = True
            self.drop_if_idle(replica)
        for address in change.added:
            log.info("%s joined the pool", self._named, extra={"pool": self._pool, "replica": address.label})
        self._sort()

    def succeeded(self, replica: Replica[C], started: float) -> None:
        """Count a call that a replica has answered; ``started`` is the time of the clock when the call began."""
        before = replica.health
        after = health.succeeded(before, started, self._clock(), self._policy)
        if after is not before:
            self.set_health(replica, after)

    def failed(self, replica: Replica[C], failure: Failure, started: float, why: str) -> None:
        """Count a call that a replica has not answered; ``started`` as in ``succeeded``."""
        after = health.failed(replica.health, failure, started, self._clock(), self._policy)
        self.set_health(replica, after, failure, why)

    def set_health(
        self, replica: Replica[C], after: Health, failure: Failure = "unavailable", why: str | None = None
    ) -> None:
        """Set a replica's health; ``failure`` and ``why`` are the reason if this ejects it."""
        before, replica.health = replica.health, after
        if before.ejected == after.ejected or replica.draining:
            return
        about = {"pool": self._pool, "replica": replica.address.label}
        if after.ejected:
            # The embedder that returns at this address may have another model.
            replica.served = None
            self._events.ejected(failure)
            seconds = round(after.until - after.since, 3)
            log.warning(
                "%s ejected", self._server, extra={**about, "reason": failure, "error": why, "seconds": seconds}
            )
        else:
            log.info("%s takes part again", self._server, extra=about)
        self._sort()

    def drop_if_idle(self, replica: Replica[C]) -> None:
        """Close a replica that has left the pool, once it has no call in flight."""
        if not replica.draining or replica.in_flight or self._replicas.get(replica.address.label) is not replica:
            return
        del self._replicas[replica.address.label]
        replica.channel.close()
        self._events.left(replica.address.label)

    def state(self) -> list[ReplicaState]:
        """Return the state of each replica."""
        return [
            ReplicaState(label, _status(replica), replica.in_flight, replica.served)
            for label, replica in self._replicas.items()
        ]

    def close(self) -> None:
        """Close the connections."""
        for replica in self._replicas.values():
            replica.channel.close()

    def _sort(self) -> None:
        members = self.staying()
        self.serving = [replica for replica in members if not replica.health.ejected]
        self.ejected = [replica for replica in members if replica.health.ejected]


def _status(replica: Replica[C]) -> ReplicaStatus:
    if replica.draining:
        return "draining"
    return "ejected" if replica.health.ejected else "serving"
