"""Finds the caller of a request by a JSON Web Token (JWT).

A verified token is kept by a keyed digest of its text, so the next request with it costs one hash and no signature. A
kept token counts no longer than a new one would: its expiry and its key are looked at each time.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tandem_gateway.access.principal import Principal
from tandem_gateway.access.token_claims import ClaimRules, principal_of_claims
from tandem_gateway.ports.tokens import TokenRefused, TokenVerifier

MAX_KEPT: Final = 4096
"""Maximum number of kept tokens."""
MAX_KEPT_BYTES: Final = 4 << 20
"""Maximum length of their texts, which are not kept: a principal's memory is in proportion to them."""


@dataclass(frozen=True, slots=True)
class _Kept:
    principal: Principal
    expires_at: float
    key: bytes
    length: int


def is_token(shown: bytes) -> bool:
    """Return whether a text has the shape of a JWT: three parts with dots between."""
    return shown.count(b".") == 2


class TokenAuthentication:
    """Callers with tokens of one issuer; the event loop owns it.

    A second issuer would be one more of these: the unverified ``iss`` of a token then only chooses which of them
    verifies it.
    """

    def __init__(self, verifier: TokenVerifier, rules: ClaimRules, clock: Callable[[], float] = time.time) -> None:
        """Make it.

        Args:
            verifier: of the issuer's tokens.
            rules: how its claims are read.
            clock: returns seconds since the epoch.
        """
        self._verifier = verifier
        self._rules = rules
        self._clock = clock
        self._salt = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._kept_bytes = 0

    async def authenticate(self, token: bytes) -> Principal:
        """Return the caller with this token. An unknown key waits for a fetch of the keys, within its deadline.

        Raises:
            TokenRefused: the token is not valid.
            ClaimsRefused: it is valid, and its claims allow nothing.
        """
        digest = hashlib.blake2b(token, key=self._salt, digest_size=32).digest()
        kept = self._kept.get(digest)
        if kept is not None:
            if self._clock() < kept.expires_at and self._verifier.holds(kept.key):
                self._kept.move_to_end(digest)
                return kept.principal
            self._forget(digest)
        try:
            verified = self._verifier.verify(token)
        except TokenRefused as refused:
            if refused.reason not in ("unknown_key", "no_keys"):
                raise
            await self._verifier.learn_keys()
            verified = self._verifier.verify(token)
        principal = principal_of_claims(verified.claims, self._rules, verified.expires_at)
        self._keep(digest, _Kept(principal, verified.expires_at, verified.key, len(token)))
        return principal

    async def follow(self) -> None:
        """Keep the issuer's keys up to date until cancelled."""
        await self._verifier.follow()

    def _keep(self, digest: bytes, kept: _Kept) -> None:
        self._forget(digest)  # another request may have kept it during a fetch
        self._kept[digest] = kept
        self._kept_bytes += kept.length
        while len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, digest: bytes) -> None:
        kept = self._kept.pop(digest, None)
        if kept is not None:
            self._kept_bytes -= kept.length
