"""Namespaces: the parts of the store's names that belong to the keys with one filter."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Namespace:
    """The begin of names that a caller gives: the store has the name behind it."""

    names: str = ""
    """Begin of the ids of documents and of sources."""
    jobs: str = ""
    """Begin of the hexadecimal digits of job ids, at most 16 of them."""
    idempotency_keys: str = ""
    """Begin of idempotency keys."""


NO_NAMESPACE: Final = Namespace()
"""The store has each name as the caller gives it."""
