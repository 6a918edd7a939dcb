"""Finds the caller of a request by its key, and keeps the keys up to date.

All keys are in memory, by their ids: a request costs a lookup and one hash, and never reads the disk. A task looks
for changes that the command line makes. Changes through this object count at once.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tandem_gateway.access.document_filter import read_filter
from tandem_gateway.access.key_text import MAX_BYTES, digest_of, hasher, id_of
from tandem_gateway.access.metering import Metering
from tandem_gateway.access.principal import BOOTSTRAP_ID, EVERY_COLLECTION, Principal, make_principal
from tandem_gateway.access.tokens import TokenAuthentication
from tandem_gateway.errors import StorageError, for_log
from tandem_gateway.ports.keys import KeyStore
from tandem_gateway.records.access import ApiKey, KeyTable

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_USES_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that works until it expires."""

    principal: Principal
    digest: bytes
    expires_at: float
    previous_digest: bytes
    previous_until: float


@dataclass(frozen=True, slots=True)
class _State:
    """What was read of the store; replaced as a whole."""

    on: bool
    hasher: "hashlib.blake2b"
    known: dict[bytes, _Known]
    revoked: frozenset[str]


class AccessControl:
    """The keys of a running gateway. ``load`` may run in any thread; the rest belongs to the event loop."""

    def __init__(
        self,
        store: KeyStore,
        *,
        bootstrap: str = "",
        tokens: TokenAuthentication | None = None,
        clock: Callable[[], float] = time.time,
        metering: Metering | None = None,
    ) -> None:
        """Make it; ``load`` reads the keys.

        Args:
            store: the keys.
            bootstrap: text of a key of the role ``admin`` for every collection, from a setting; empty for none.
            tokens: callers with JWTs; None for none. They switch access control on, as a key does.
            clock: returns seconds since the epoch.
            metering: the limits and the usage of callers, on the same store; None for neither.
        """
        self.store = store
        self.metering = metering
        self.tokens = tokens
        self.anonymous: Principal | None = None
        """Every caller while access control is off, so that its requests leave a trail for the audit log; None leaves
        the use cases without wrappers."""
        self._required = bool(bootstrap) or tokens is not None
        self._clock = clock
        self._bootstrap_hasher = hasher(secrets.token_bytes(32))
        self._bootstrap_digest = digest_of(bootstrap.encode(), self._bootstrap_hasher) if bootstrap else b""
        self._bootstrap = make_principal(BOOTSTRAP_ID, BOOTSTRAP_ID, "admin", (EVERY_COLLECTION,), limits=())
        self._loading = threading.Lock()
        self._state = _State(self._required, hasher(b""), {}, frozenset())
        self._version = -1
        self._used: dict[str, float] = {}

    @property
    def on(self) -> bool:
        """Whether only requests with a key are answered."""
        return self._state.on

    def require(self) -> None:
        """Keep access control on until the end of the process, whatever the store says."""
        self._required = True

    @property
    def has_keys(self) -> bool:
        """Whether there is a key that works now."""
        now = self._clock()
        return bool(self._bootstrap_digest) or any(known.expires_at > now for known in self._state.known.values())

    def load(self) -> None:
        """Read the keys; blocks.

        Raises:
            StorageError: they cannot be read. The keys read before still count.
        """
        with self._loading:
            version = self.store.version()  # before the table: a change between the two is then read again
            table = self.store.table()
            secret = self.store.secret() if table.keys else b""
            known = {key.id.encode(): _known(key) for key in table.keys if key.revoked_at is None}
            revoked = frozenset(key.id for key in table.keys if key.revoked_at is not None)
            self._state = _State(self._required or table.on, hasher(secret), known, revoked)
            self._version = version
            self._warn(table)

    def _warn(self, table: KeyTable) -> None:
        """Log what the person who changed the keys may not expect."""
        if self._required and table.keys and not table.on:
            log.warning(
                "the keys are switched off, which changes nothing: others can reach this gateway, or a setting has a "
                "key or tokens"
            )
        if self.on and self.tokens is None and not self.has_keys:
            log.warning("access control is on, and no key works: nobody is answered until there is one")

    def authenticate(self, shown: bytes) -> Principal | None:
        """Return the holder of a key; None if it is unknown, revoked or expired."""
        if len(shown) > MAX_BYTES:
            return None
        state = self._state
        known = state.known.get(id_of(shown))
        if known is not None:
            now = self._clock()
            digest = digest_of(shown, state.hasher)
            current = hmac.compare_digest(digest, known.digest)
            previous = hmac.compare_digest(digest, known.previous_digest) and now < known.previous_until
            if (current or previous) and now < known.expires_at:
                self._used[known.principal.id] = now
                return known.principal
        if self._bootstrap_digest and hmac.compare_digest(
            digest_of(shown, self._bootstrap_hasher), self._bootstrap_digest
        ):
            return self._bootstrap
        return None

    def still_allows(self, principal: Principal | None) -> bool:
        """Return whether a caller who was found at the begin of a request may go on: its key or token still counts.

        Args:
            principal: the caller; None if access control was off.
        """
        state = self._state
        if not state.on:
            return True
        if principal is None or principal.id in state.revoked:
            return False
        known = state.known.get(principal.id.encode())
        return self._clock() < (principal.expires_at if known is None else known.expires_at)

    async def follow(self) -> None:
        """Follow changes that other processes make, and record uses, until cancelled."""
        next_record = self._clock() + _USES_SECONDS
        failing = False
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await asyncio.to_thread(self.store.version) != self._version:
                    await asyncio.to_thread(self.load)
                    log.info("API keys read", extra={"keys": len(self._state.known), "on": self.on})
                if self._used and self._clock() >= next_record:
                    next_record = self._clock() + _USES_SECONDS
                    used, self._used = self._used, {}
                    await asyncio.to_thread(self.store.record_uses, used)
                failing = False
            except StorageError as error:
                if not failing:
                    log.error("the API keys cannot be read; those read before count", extra={"error": for_log(error)})
                failing = True

    def last_uses(self) -> dict[str, float]:
        """Return key id → last use, for uses that the store does not have yet."""
        return dict(self._used)

    def close(self) -> None:
        """Write the last uses and the usage, and close the store; blocks."""
        if self.metering is not None:
            self.metering.close()
        try:
            self.store.record_uses(self._used)
        except StorageError as error:
            log.warning("the last uses of keys are lost", extra={"error": for_log(error)})
        self.store.close()


def _known(key: ApiKey) -> _Known:
    return _Known(
        make_principal(
            key.id,
            key.name,
            key.role,
            key.collections,
            None if key.filter is None else read_filter(key.filter),
            key.limits,
        ),
        key.digest,
        float("inf") if key.expires_at is None else key.expires_at,
        key.previous_digest or b"",
        key.previous_until,
    )
