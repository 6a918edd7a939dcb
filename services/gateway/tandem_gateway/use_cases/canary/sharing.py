"""Keeps the shares of the canary the same in all gateways of a store.

A change is stored first and then counts in its own gateway at once; the others read it within ``LOOK_SECONDS``. A
rollback counts in its own gateway at once and is stored afterwards, unless an operator has set other shares meanwhile.
Shares that were stored take precedence over those of the settings, also after a start.
"""

import asyncio
import logging
from typing import Final

import msgspec

from tandem_gateway.errors import DeadlineExceeded, GatewayError, NotReady, Overloaded, StorageError, for_log
from tandem_gateway.ports.shared_state import SharedState
from tandem_gateway.records.gateways import SharedShares
from tandem_gateway.use_cases.canary.records import CanaryState, RollBack
from tandem_gateway.use_cases.canary.router import CanaryRouter

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""Seconds between two looks for shares that another gateway has set."""
_FAILURES: Final = (StorageError, DeadlineExceeded, Overloaded)
_decoder = msgspec.json.Decoder(RollBack)


class TrafficSharing:
    """The shares of the canary, for operators; one event loop owns it."""

    def __init__(self, router: CanaryRouter, *, shared: bool = False) -> None:
        """Make it.

        Args:
            router: shares the calls.
            shared: whether other gateways have the same shares, through the store that ``follow`` gets.
        """
        self._router = router
        self._shared = shared
        self._store: SharedState | None = None
        self._version = 0

    def state(self) -> CanaryState:
        """Return the shares, the pools and the observations of this gateway."""
        return self._router.state()

    async def change(self, canary_weight: int, shadow_percent: int | None = None) -> None:
        """Set the shares of all gateways; see ``CanaryRouter.change``.

        Raises:
            InvalidRequest: a share is not valid.
            NotReady: the store is not open yet.
            StorageError: the store does not answer; nothing was changed, unless it answers too late.
        """
        if not self._shared:
            self._router.change(canary_weight, shadow_percent)
            return
        if self._store is None:
            raise NotReady("the gateway is starting: the store that has the shares is not open yet")
        shadow = self._router.shadow_percent if shadow_percent is None else shadow_percent
        self._router.check(canary_weight, shadow)
        stored = await self._store.set_shares(canary_weight, shadow)
        assert stored is not None
        self._apply(stored)

    async def follow(self, store: SharedState) -> None:
        """Apply the shares that other gateways set, and store rollbacks, until cancelled."""
        self._store = store
        failing = False
        while True:
            try:
                await self.step(store)
                failing = False
            except _FAILURES as error:
                if not failing:
                    log.error("the canary's shares cannot be read", extra={"error": for_log(error)})
                failing = True
            await asyncio.sleep(LOOK_SECONDS)

    async def step(self, store: SharedState) -> None:
        """Store a rollback of this gateway, if there is one, and apply what is stored."""
        rolled_back = self._router.take_roll_back()
        if rolled_back is not None:
            try:
                stored = await store.set_shares(
                    0,
                    self._router.shadow_percent,
                    roll_back=msgspec.json.encode(rolled_back).decode(),
                    expected=self._version,
                )
            except GatewayError:
                self._router.keep_roll_back(rolled_back)
                raise
            if stored is not None:
                self._version = stored.version  # the router has these shares already
        found = await store.shares()
        if found is not None:
            self._apply(found)

    def _apply(self, found: SharedShares) -> None:
        if found.version <= self._version:
            return
        self._version = found.version
        rolled_back = None if found.roll_back is None else _decoder.decode(found.roll_back)
        self._router.adopt(found.canary_weight, found.shadow_percent, rolled_back)
