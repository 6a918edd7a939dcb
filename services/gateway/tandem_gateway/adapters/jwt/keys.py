"""Keys that verify tokens: one secret, or the public keys of a JSON Web Key Set (JWKS, RFC 7517).

A key knows the algorithms that it may verify. So a token that names another algorithm never meets the key, whatever its
header says.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

log = logging.getLogger(__name__)

MAX_KEYS: Final = 100
"""Maximum number of keys in a set; a larger set is refused."""
MAX_KID_CHARS: Final = 256

_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})}
# The members of a public key (RFC 7518, section 6; RFC 8037). Others, such as a private exponent, are never read.
_PUBLIC: Final = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}


class InvalidKeySet(ValueError):
    """A JWKS cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key.

    Attributes:
        kid: its id in the set; None without one.
        algorithms: what it may verify.
        key: as PyJWT takes it.
        fingerprint: differs for different keys.
    """

    kid: str | None
    algorithms: frozenset[str]
    key: Any = field(repr=False)
    fingerprint: bytes = field(repr=False)


class KeySet:
    """Keys by their ids."""

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = tuple(keys)
        self._fingerprints = frozenset(key.fingerprint for key in keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for a token.

        Args:
            kid: of the token's header. Without one, the set must have exactly one key for the algorithm.
            algorithm: of the token's header.
        """
        fitting = [key for key in self._keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None

    def holds(self, fingerprint: bytes) -> bool:
        """Return whether the set has a key."""
        return fingerprint in self._fingerprints


def secret_key(secret: bytes, algorithms: Collection[str]) -> VerificationKey:
    """Return the key of a shared secret."""
    return VerificationKey(None, frozenset(algorithms), secret, hashlib.blake2b(secret, digest_size=16).digest())


def parse_key_set(content: bytes, algorithms: Collection[str]) -> KeySet:
    """Return the keys of a JWKS that may verify one of the algorithms.

    Keys of other kinds and uses, and keys that are too weak, are left out.

    Raises:
        InvalidKeySet: it is no JWKS, has more than ``MAX_KEYS`` keys, or none that can be used.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidKeySet("it is not JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise InvalidKeySet("it is no JWKS: an object with the array 'keys' was expected")
    if len(members) > MAX_KEYS:
        raise InvalidKeySet(f"it has {len(members)} keys, and {MAX_KEYS} is the limit")
    found: dict[tuple[str | None, bytes], VerificationKey] = {}
    for member in members:
        key = _key(member, frozenset(algorithms)) if isinstance(member, dict) else None
        if key is not None:
            found[key.kid, key.fingerprint] = key
    if not found:
        raise InvalidKeySet(f"it has no public key for {', '.join(sorted(algorithms))}, of {len(members)} keys")
    return KeySet(list(found.values()))


def _key(member: Mapping[str, Any], wanted: frozenset[str]) -> VerificationKey | None:
    """Return a key of a JWKS; None if it cannot be used."""
    algorithms = _algorithms(member) & wanted
    kid = member.get("kid")
    if not algorithms or not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID_CHARS)):
        return None
    kind = member["kty"]
    public = {name: member.get(name) for name in _PUBLIC[kind]}
    try:
        key: Any
        if kind == "RSA":
            key = RSAAlgorithm.from_jwk(public)
            if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
                log.warning("a key of the JWKS is not used: its size", extra={"bits": key.key_size})
                return None
        elif kind == "EC":
            key = ECAlgorithm.from_jwk(public)
        else:
            key = OKPAlgorithm.from_jwk(public)
    except (PyJWTError, ValueError, TypeError, ArithmeticError) as error:
        log.warning("a key of the JWKS is not used: it is not valid", extra={"error": type(error).__name__})
        return None
    canonical = json.dumps([public, sorted(algorithms)], sort_keys=True).encode()
    return VerificationKey(kid, algorithms, key, hashlib.blake2b(canonical, digest_size=16).digest())


def _algorithms(member: Mapping[str, Any]) -> frozenset[str]:
    """Return what a key may verify, by its kind, curve, use and algorithm."""
    use, operations, pinned = member.get("use"), member.get("key_ops"), member.get("alg")
    kind, curve = member.get("kty"), member.get("crv")
    if use not in (None, "sig") or not (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    ):
        return frozenset()
    found: frozenset[str] = frozenset()
    if kind == "RSA":
        found = _RSA
    elif kind == "EC" and isinstance(curve, str):
        found = _CURVES.get(curve, found)
    elif kind == "OKP" and curve == "Ed25519":
        found = frozenset({"EdDSA"})
        pinned = "EdDSA" if pinned == "Ed25519" else pinned  # RFC 9864 names the curve
    if pinned is None:
        return found
    return found & {pinned} if isinstance(pinned, str) else frozenset()
