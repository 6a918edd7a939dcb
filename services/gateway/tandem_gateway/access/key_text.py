"""The text of an API key, ``tandem_<id>_<secret>``, and its keyed hash.

The secret is 32 random bytes, so it cannot be guessed, and a fast hash is enough. The hash has a key of its own: a copy
of the database without the file of that key does not even confirm a guess.
"""

import hashlib
import secrets
from typing import Final

MAX_BYTES: Final = 512
"""Maximum length of a key; the gateway does not hash a longer text."""
DIGEST_BYTES: Final = 32
KEY_ID_PATTERN: Final = "^[0-9a-f]{12}$"
"""Pattern of a key's id, in the syntax of JSON Schema."""

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_ID: Final = slice(len("tandem_"), len("tandem_") + 2 * _ID_BYTES)


def new_id() -> str:
    """Return a random id: 12 hexadecimal digits."""
    return secrets.token_hex(_ID_BYTES)


def new_text(key_id: str) -> str:
    """Return a new key with this id."""
    return f"tandem_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(text: bytes) -> bytes:
    """Return the part of a text that is the id, if the text is a key. The digest decides whether it is one."""
    return text[_ID]


def hasher(secret: bytes) -> "hashlib.blake2b":
    """Return a keyed hash (BLAKE2b) without input. Copies of it hash faster than new ones, which begin with the key."""
    return hashlib.blake2b(key=secret, digest_size=DIGEST_BYTES)


def digest_of(text: bytes, keyed: "hashlib.blake2b") -> bytes:
    """Return the keyed hash of a text, ``DIGEST_BYTES`` bytes; ``keyed`` is from ``hasher`` and stays as it is."""
    copy = keyed.copy()
    copy.update(text)
    return copy.digest()
