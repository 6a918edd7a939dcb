"""Implements ``SharedState`` in memory, for several gateways of one process."""

import time
from collections.abc import Callable

from tandem_gateway.ports.shared_state import ALIVE_SECONDS
from tandem_gateway.records.gateways import SharedShares


class SharedMemory:
    """What the gateways have in common."""

    def __init__(self) -> None:
        """Begin without gateways and without shares."""
        self.seen: dict[str, float] = {}
        """Gateway → time of its last sign of life."""
        self.shares: SharedShares | None = None
        self.leaders: dict[str, tuple[str, float]] = {}
        """Work → the gateway that does it, and until when."""


class MemorySharedState:
    """What one gateway knows of the others; see ``SharedState``."""

    def __init__(self, memory: SharedMemory, gateway_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it for one gateway; ``clock`` returns seconds."""
        self._memory = memory
        self._clock = clock
        self.gateway_id = gateway_id
        """See ``SharedState.gateway_id``."""

    async def beat(self) -> int:
        """Tell that this gateway lives; see ``SharedState.beat``."""
        now = self._clock()
        self._memory.seen[self.gateway_id] = now
        return sum(at >= now - ALIVE_SECONDS for at in self._memory.seen.values())

    async def leave(self) -> None:
        """Tell that this gateway stops; see ``SharedState.leave``."""
        self._memory.seen.pop(self.gateway_id, None)
        for work in [work for work, (owner, _) in self._memory.leaders.items() if owner == self.gateway_id]:
            del self._memory.leaders[work]

    async def lead(self, work: str, seconds: float) -> bool:
        """Take some work, or go on with it; see ``SharedState.lead``."""
        owner, until = self._memory.leaders.get(work, (self.gateway_id, 0.0))
        if owner != self.gateway_id and until > self._clock():
            return False
        self._memory.leaders[work] = self.gateway_id, self._clock() + seconds
        return True

    async def shares(self) -> SharedShares | None:
        """Return the shares; see ``SharedState.shares``."""
        return self._memory.shares

    async def set_shares(
        self, canary_weight: int, shadow_percent: int, *, roll_back: str | None = None, expected: int | None = None
    ) -> SharedShares | None:
        """Set the shares; see ``SharedState.set_shares``."""
        before = self._memory.shares
        version = before.version if before is not None else 0
        if expected not in (None, version):
            return None
        last = before.roll_back if before is not None else None
        self._memory.shares = SharedShares(version + 1, canary_weight, shadow_percent, roll_back or last)
        return self._memory.shares
