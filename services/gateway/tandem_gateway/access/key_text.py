"""The text of an API key, ``tandem_<id>_<secret>``, and its keyed hash.

The secret is 32 random bytes, so it cannot be guessed, and a fast hash is enough. The hash has a key of its own: a copy
of the database without the file of that key does not even confirm a guess.
"""

import hashlib
import re
import secrets
from typing import Final

MAX_BYTES: Final = 512
"""Maximum length of a key; the gateway does not hash a longer text."""
DIGEST_BYTES: Final = 32
KEY_ID_PATTERN: Final = "^[0-9a-f]{12}$"
"""Pattern of a key's id, in the syntax of JSON Schema."""

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_TEXT: Final = re.compile(rb"tandem_([0-9a-f]{12})_[A-Za-z0-9_-]{43}\Z")


def new_id() -> str:
    """Return a random id: 12 hexadecimal digits."""
    return secrets.token_hex(_ID_BYTES)


def new_text(key_id: str) -> str:
    """Return a new key with this id."""
    return f"tandem_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(text: bytes) -> str | None:
    """Return the id in a key; None if the text is not a key of this format."""
    found = _TEXT.match(text)
    return None if found is None else found[1].decode()


def digest_of(text: bytes, secret: bytes) -> bytes:
    """Return the keyed hash (BLAKE2b) of a key's text; ``DIGEST_BYTES`` bytes."""
    return hashlib.blake2b(text, key=secret, digest_size=DIGEST_BYTES).digest()
