"""Implements ``SharedState`` in the database."""

import secrets
import socket
from typing import Final

from tandem_gateway import __version__
from tandem_gateway.adapters.postgres import leadership
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.lanes import Lane
from tandem_gateway.ports.shared_state import ALIVE_SECONDS
from tandem_gateway.records.gateways import SharedShares

_KEPT_SECONDS: Final = 3600.0
"""Time for which the row of a gateway that is gone stays, for operators who look into the table."""


class PostgresSharedState:
    """What the gateways of a database tell each other; see ``SharedState``."""

    def __init__(self, lane: Lane, *, alive_seconds: float = ALIVE_SECONDS) -> None:
        """Use a store.

        Args:
            lane: runs the statements.
            alive_seconds: see ``ALIVE_SECONDS``.
        """
        self._lane = lane
        self._alive_seconds = alive_seconds
        self._host = socket.gethostname()
        self.gateway_id = f"{self._host}-{secrets.token_hex(8)}"
        """See ``SharedState.gateway_id``."""

    async def beat(self) -> int:
        """Tell that this gateway lives; see ``SharedState.beat``."""
        values = (self.gateway_id, self._host, __version__, self._alive_seconds, _KEPT_SECONDS)

        def beat(connection: Connection) -> int:
            row = connection.execute("SELECT beat_v1(%s, %s, %s, %s, %s)", values).fetchone()
            assert row is not None
            return int(row[0])

        return await self._lane.run(beat, repeatable=True, followed=False)

    async def leave(self) -> None:
        """Tell that this gateway stops; see ``SharedState.leave``."""
        await self._lane.run(
            lambda c: c.execute("SELECT leave_v1(%s)", (self.gateway_id,)), repeatable=True, followed=False
        )
        resign = "UPDATE leaders SET until = '-infinity' WHERE owner = %s"
        await self._lane.run(lambda c: c.execute(resign, (self.gateway_id,)), repeatable=True, followed=False)

    async def lead(self, work: str, seconds: float) -> bool:
        """Take some work, or go on with it; see ``SharedState.lead``."""
        term = await self._lane.run(
            lambda c: leadership.lead(c, work, self.gateway_id, seconds), repeatable=True, followed=False
        )
        return term is not None

    async def shares(self) -> SharedShares | None:
        """Return the shares; see ``SharedState.shares``."""
        return await self._lane.run(_shares, repeatable=True, followed=False)

    async def set_shares(
        self, canary_weight: int, shadow_percent: int, *, roll_back: str | None = None, expected: int | None = None
    ) -> SharedShares | None:
        """Set the shares; see ``SharedState.set_shares``."""
        values = (expected, canary_weight, shadow_percent, roll_back)

        def change(connection: Connection) -> SharedShares | None:
            row = connection.execute("SELECT set_traffic_v1(%s, %s, %s, %s)", values).fetchone()
            return _shares(connection) if row is not None and row[0] is not None else None

        # Repeated after a lost answer, a change of the version that was expected would seem to be another's.
        return await self._lane.run(change, repeatable=expected is None, followed=False)


def _shares(connection: Connection) -> SharedShares | None:
    row = connection.execute("SELECT version, canary_weight, shadow_percent, roll_back FROM traffic").fetchone()
    return None if row is None else SharedShares(*row)
