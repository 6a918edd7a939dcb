"""Verifies a token with PyJWT: the header first, without trust, then the signature, then the claims.

PyJWT decodes a token character by character, which takes milliseconds for a long one. So the header is read here, and a
wrong signature ends before that: a forged token costs about 0.2 ms. PyJWT then makes all checks, the signature's again.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt
from jwt import exceptions
from jwt.algorithms import get_default_algorithms

from tandem_gateway.adapters.jwt.keys import MAX_KID_CHARS, KeySet, VerificationKey
from tandem_gateway.ports.tokens import MAX_SUBJECT_CHARS, MAX_TOKEN_BYTES, RefusalReason, TokenRefused, VerifiedToken

_COMPACT: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# RFC 9068 names access tokens. Other types, such as logout tokens, are for other purposes (RFC 8725, section 3.11).
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
_ALGORITHMS: Final = get_default_algorithms()

# In this order: a class stands before its base.
_REASONS: Final[tuple[tuple[type[Exception], RefusalReason], ...]] = (
    (exceptions.ExpiredSignatureError, "expired"),
    (exceptions.ImmatureSignatureError, "not_yet_valid"),
    (exceptions.InvalidAudienceError, "audience"),
    (exceptions.InvalidIssuerError, "issuer"),
    (exceptions.MissingRequiredClaimError, "claims"),
    (exceptions.InvalidSignatureError, "signature"),
    (exceptions.InvalidKeyError, "signature"),
    (exceptions.InvalidAlgorithmError, "algorithm"),
    (exceptions.DecodeError, "malformed"),
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are accepted.

    Attributes:
        name: claim ``iss`` of the tokens.
        audiences: one of them must be in the claim ``aud``.
        algorithms: those that tokens may have.
        leeway: seconds by which clocks may differ.
    """

    name: str
    audiences: tuple[str, ...]
    algorithms: frozenset[str]
    leeway: float


class Keys(Protocol):
    """Finds the key for a token."""

    def find(self, kid: str | None, algorithm: str) -> VerificationKey:
        """Return the key, or raise TokenRefused."""
        ...

    def holds(self, fingerprint: bytes) -> bool:
        """Return whether a key counts."""
        ...

    async def learn(self) -> None:
        """Look for new keys."""
        ...

    async def follow(self) -> None:
        """Keep the keys up to date until cancelled."""
        ...


class FixedKeys:
    """Keys that never change."""

    def __init__(self, key: VerificationKey) -> None:
        self._keys = KeySet((key,))
        self._key = key

    def find(self, kid: str | None, algorithm: str) -> VerificationKey:
        """Return the key, whatever id a token gives it: a secret has none.

        Raises:
            TokenRefused: the key is not for this algorithm.
        """
        if algorithm not in self._key.algorithms:
            raise TokenRefused("algorithm")
        return self._key

    def holds(self, fingerprint: bytes) -> bool:
        """Return whether this is the key."""
        return self._keys.holds(fingerprint)

    async def learn(self) -> None:
        """Do nothing."""

    async def follow(self) -> None:
        """Do nothing."""


class JwtVerifier:
    """Verifies the tokens of one issuer; see ``TokenVerifier``."""

    def __init__(self, issuer: Issuer, keys: Keys) -> None:
        self._issuer = issuer
        self._keys = keys

    def verify(self, token: bytes) -> VerifiedToken:
        """Verify a token; see ``TokenVerifier.verify``."""
        algorithm, kid = read_header(token, self._issuer.algorithms)
        key = self._keys.find(kid, algorithm)
        signed, _, signature = token.rpartition(b".")
        if not _ALGORITHMS[algorithm].verify(signed, key.key, _decoded(signature)):
            raise TokenRefused("signature")
        issuer = self._issuer
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=issuer.audiences,
                issuer=issuer.name,
                leeway=issuer.leeway,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
            expires_at = float(int(claims["exp"])) + issuer.leeway
        except exceptions.PyJWTError as error:
            raise TokenRefused(_reason(error)) from None
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            raise TokenRefused("claims") from None
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT_CHARS and subject.isprintable()):
            raise TokenRefused("claims")
        return VerifiedToken(claims, expires_at, key.fingerprint)

    def holds(self, key: bytes) -> bool:
        """Return whether a key with this fingerprint still counts."""
        return self._keys.holds(key)

    async def learn_keys(self) -> None:
        """Fetch the keys if it may help; see ``TokenVerifier.learn_keys``."""
        await self._keys.learn()

    async def follow(self) -> None:
        """Keep the keys up to date until cancelled."""
        await self._keys.follow()


def read_header(token: bytes, algorithms: Collection[str]) -> tuple[str, str | None]:
    """Return the algorithm and the id of the key that a token names. Nothing is verified yet.

    Keys, and addresses of keys, in a header (``jwk``, ``jku``, ``x5u``, ``x5c``) are never used.

    Raises:
        TokenRefused: the header is not acceptable, whatever the signature is.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused("too_large")
    if _COMPACT.fullmatch(token) is None:
        raise TokenRefused("malformed")
    try:
        header = json.loads(_decoded(token.partition(b".")[0]))
    except (ValueError, RecursionError):
        raise TokenRefused("malformed") from None
    if not isinstance(header, dict):
        raise TokenRefused("malformed")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenRefused("algorithm")
    # No extension is understood here, so every critical one must be refused (RFC 7515, section 4.1.11).
    if "crit" in header or "b64" in header or not (isinstance(kind, str) and kind.lower() in _TYPES):
        raise TokenRefused("header")
    if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS)):
        raise TokenRefused("header")
    return algorithm, kid


def _decoded(part: bytes) -> bytes:
    """Return the content of a part of a token, whose characters are checked.

    Raises:
        TokenRefused: its length is not possible.
    """
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise TokenRefused("malformed") from None


def _reason(error: Exception) -> RefusalReason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "claims")
