"""Port of JSON Web Tokens (JWT): what verifies one, and why a token is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

MAX_TOKEN_BYTES: Final = 8192
"""Longest token that is looked at."""
MAX_SUBJECT_CHARS: Final = 255
"""Maximum length of the claim ``sub``."""

RefusalReason = Literal[
    "too_large",
    "malformed",
    "algorithm",
    "header",
    "unknown_key",
    "no_keys",
    "signature",
    "expired",
    "not_yet_valid",
    "issuer",
    "audience",
    "claims",
    "role",
    "collections",
    "filter",
]
"""Why a token is refused; a label of a metric. The last three are of valid tokens that allow nothing."""


class TokenRefused(Exception):
    """A token is not valid. It has no text of the token."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason: Final = reason


class ClaimsRefused(Exception):
    """A token is valid, and its claims allow nothing; the message names the claim.

    The message has no value of a claim.
    """

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer, audience and times are right.

    Attributes:
        claims: what it says.
        expires_at: seconds since the epoch from which it is not accepted, the leeway included.
        key: fingerprint of the key that verified it, for ``TokenVerifier.holds``.
    """

    claims: Mapping[str, Any] = field(repr=False)
    expires_at: float
    key: bytes


class TokenVerifier(Protocol):
    """Verifies the tokens of one issuer. The event loop owns it."""

    def verify(self, token: bytes) -> VerifiedToken:
        """Verify a token; takes less than a millisecond.

        Raises:
            TokenRefused: it is not valid. With the reasons ``unknown_key`` and ``no_keys``, ``learn_keys`` may help.
        """
        ...

    def holds(self, key: bytes) -> bool:
        """Return whether a key with this fingerprint still counts."""
        ...

    async def learn_keys(self) -> None:
        """Fetch the keys, unless they were fetched a short time ago; returns within a deadline, and never fails.

        Calls at the same time make one fetch.
        """
        ...

    async def follow(self) -> None:
        """Keep the keys up to date until cancelled."""
        ...
