"""Keeps the keys of a JWKS: fetches it in time, and again when a token names an unknown key.

A failed fetch opens nothing: the keys of the last good fetch count up to a maximum age, and no others. The next good
fetch replaces them all, so a key that the issuer withdraws stops counting with it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from tandem_gateway.adapters.jwt.keys import InvalidKeySet, KeySet, VerificationKey, parse_key_set
from tandem_gateway.ports.tokens import TokenRefused

log = logging.getLogger(__name__)

MAX_JWKS_BYTES: Final = 128 << 10
"""Maximum size of a JWKS in bytes."""


class JwksUnavailable(Exception):
    """A JWKS cannot be had; the message says why, for the log."""


class JwksSource(Protocol):
    """Where a JWKS comes from."""

    async def read(self) -> bytes:
        """Return the JWKS, of at most ``MAX_JWKS_BYTES``.

        Raises:
            JwksUnavailable: it cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """When to fetch; all in seconds.

    Attributes:
        refresh: between two fetches while all is well.
        interval: least time between two fetches, for unknown keys and after a failure.
        max_age: how long the keys of the last good fetch count.
        timeout: deadline of a fetch.
    """

    refresh: float
    interval: float
    max_age: float
    timeout: float


class KeyKeeper:
    """The keys of one JWKS; one event loop owns it."""

    def __init__(
        self,
        source: JwksSource,
        algorithms: Collection[str],
        policy: RefreshPolicy,
        observe: Callable[[bool | None, int], None] = lambda fetched, keys: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it, without keys.

        Args:
            source: where the JWKS comes from.
            algorithms: those that tokens may have.
            policy: when to fetch.
            observe: told after each fetch whether it was good, and how many keys count; with None if they got too old.
            clock: returns seconds that never go back.
        """
        self._source = source
        self._algorithms = algorithms
        self._policy = policy
        self._observe = observe
        self._clock = clock
        self._keys = KeySet(())
        self._fetched_at = float("-inf")
        self._attempted_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None
        self._failing = False
        self._empty = False

    def find(self, kid: str | None, algorithm: str) -> VerificationKey:
        """Return the key for a token; see ``KeySet.find``.

        Raises:
            TokenRefused: there is none.
        """
        keys = self._current()
        key = keys.find(kid, algorithm)
        if key is None:
            raise TokenRefused("unknown_key" if keys else "no_keys")
        return key

    def holds(self, fingerprint: bytes) -> bool:
        """Return whether a key counts."""
        return self._current().holds(fingerprint)

    async def learn(self) -> None:
        """Fetch, or wait for the fetch under way; nothing if the last one was a short time ago."""
        if self._fetch is None and self._clock() - self._attempted_at < self._policy.interval:
            return
        await self.fetch()

    async def fetch(self) -> None:
        """Fetch, or wait for the fetch under way. A caller that is cancelled does not end it for the others."""
        if self._fetch is None:
            self._attempted_at = self._clock()
            self._fetch = asyncio.create_task(self._fetch_once(), name="jwks")
            self._fetch.add_done_callback(self._ended)
        await asyncio.wait({self._fetch})

    async def follow(self) -> None:
        """Fetch in time until cancelled."""
        try:
            while True:
                await self.fetch()
                await asyncio.sleep(self._policy.interval if self._failing else self._policy.refresh)
        finally:
            if self._fetch is not None:
                self._fetch.cancel()

    def adopt(self, content: bytes) -> None:
        """Take over the keys of a JWKS.

        Raises:
            InvalidKeySet: it cannot be used.
        """
        self._keys = parse_key_set(content, self._algorithms)
        self._fetched_at = self._clock()

    async def _fetch_once(self) -> None:
        try:
            async with asyncio.timeout(self._policy.timeout):
                content = await self._source.read()
            self.adopt(content)
        except (JwksUnavailable, InvalidKeySet, TimeoutError) as error:
            reason = (
                f"no complete reply within {self._policy.timeout:g} s" if type(error) is TimeoutError else str(error)
            )
            self._failed(reason)
        except Exception as error:  # the gateway lives on whatever a reply does to a library
            log.exception("an unexpected error of the JWKS")
            self._failed(type(error).__name__)
        else:
            if self._failing:
                log.info("the JWKS is back", extra={"keys": len(self._keys)})
            self._failing = self._empty = False
            self._observe(True, len(self._keys))

    def _failed(self, reason: str) -> None:
        keys = len(self._current())
        if not keys and not self._empty:  # once, and not at every attempt
            self._empty = True
            log.error("the JWKS cannot be had and no key counts: every JWT is refused", extra={"error": reason})
        elif keys and not self._failing:
            log.error("the JWKS cannot be had; the known keys count", extra={"error": reason, "keys": keys})
        self._failing = True
        self._observe(False, keys)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._fetch = None

    def _current(self) -> KeySet:
        if self._keys and self._clock() - self._fetched_at > self._policy.max_age:
            log.error("the keys of the JWKS are too old and do not count any more: every JWT is refused")
            self._keys = KeySet(())
            self._observe(None, 0)
        return self._keys
