"""Port for what gateways that share a store tell each other."""

from typing import Final, Protocol

from tandem_gateway.records.gateways import SharedShares

BEAT_SECONDS: Final = 5.0
"""Seconds between two signs of life."""
ALIVE_SECONDS: Final = 15.0
"""Seconds without a sign of life after which a gateway counts as gone, and its leases end."""


class SharedState(Protocol):
    """The state that all gateways of a store have in common. Methods raise StorageError if the store fails."""

    @property
    def gateway_id(self) -> str:
        """Id of this gateway, which no other one has; it is the name of its worker in the embedding queue."""
        ...

    async def beat(self) -> int:
        """Tell that this gateway lives, and end the leases of those that are gone; return how many live."""
        ...

    async def leave(self) -> None:
        """Tell that this gateway stops; its leases end."""
        ...

    async def lead(self, work: str, seconds: float) -> bool:
        """Take some work that one gateway does for all, or go on with it; return whether this gateway does it now.

        Another gateway may take it as soon as the seconds are over, by the clock of the store, or when this one leaves.
        """
        ...

    async def shares(self) -> SharedShares | None:
        """Return the shares of the canary; None while nobody has set them."""
        ...

    async def set_shares(
        self, canary_weight: int, shadow_percent: int, *, roll_back: str | None = None, expected: int | None = None
    ) -> SharedShares | None:
        """Set the shares of the canary.

        Args:
            canary_weight: in percent.
            shadow_percent: in percent.
            roll_back: the rollback that is the reason; None leaves the last one.
            expected: the version that the shares must have, 0 for none; None to set them in any case.

        Returns:
            The shares; None if they have another version than ``expected``.
        """
        ...
