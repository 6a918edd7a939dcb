"""The API keys as an administrator may use them over HTTP, while the gateway runs."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.access.principal import Principal, check_everything
from tandem_gateway.access.trail import note
from tandem_gateway.records.access import ApiKey, Usage, UsageKey

log = logging.getLogger(__name__)


class CallersKeys:
    """``KeyAdministration`` for one caller. A change counts when its method returns."""

    def __init__(self, access: AccessControl, principal: Principal) -> None:
        """Make it.

        Raises:
            Forbidden: the caller has not the role ``admin`` for every collection.
        """
        check_everything(principal, "admin")
        self._access = access
        self._principal = principal
        self._keys = KeyAdministration(access.store)

    async def create(self, wanted: NewKey) -> tuple[ApiKey, str]:
        """Make a key; see ``KeyAdministration.create``."""
        key, text = await asyncio.to_thread(self._keys.create, wanted)
        await self._changed("API key created", key)
        return key, text

    async def keys(self) -> Sequence[ApiKey]:
        """Return all keys, with their last uses so far."""
        found = await asyncio.to_thread(self._keys.keys)
        uses = self._access.last_uses()
        return [replace(key, last_used_at=uses[key.id]) if key.id in uses else key for key in found]

    async def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key; see ``KeyAdministration.revoke``."""
        key = await asyncio.to_thread(self._keys.revoke, key_id)
        await self._changed("API key revoked", key)
        return key

    async def rotate(self, key_id: str, grace_seconds: int) -> tuple[ApiKey, str]:
        """Give a key a new text; see ``KeyAdministration.rotate``."""
        key, text = await asyncio.to_thread(self._keys.rotate, key_id, grace_seconds)
        await self._changed("API key rotated", key)
        return key, text

    async def usage(self, first: int, last: int, caller: str | None) -> Mapping[UsageKey, Usage]:
        """Return what callers used on some days; see ``Metering.usage``."""
        metering = self._access.metering
        return {} if metering is None else await metering.usage(first, last, caller)

    async def _changed(self, what: str, key: ApiKey) -> None:
        note(key_id=key.id)
        await asyncio.to_thread(self._access.load)
        log.info(what, extra={"key_id": key.id, "key_name": key.name, "by": self._principal.id})
