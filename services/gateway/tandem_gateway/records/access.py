"""API keys as the store keeps them. No record has the text of a key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tandem_gateway.records.limits import Limit

Role = Literal["search", "ingest", "admin"]

ROLES: Final[tuple[Role, ...]] = ("search", "ingest", "admin")
"""The roles in order: each includes those before it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its text; times are in seconds since the epoch."""

    id: str
    name: str
    role: Role
    collections: tuple[str, ...]
    """Globs; the key may use the collections whose name matches one of them."""
    digest: bytes = field(repr=False)
    """Keyed hash of the key's text."""
    created_at: float
    expires_at: float | None = None
    """The key does not work from this time on; None for a key that does not expire."""
    filter: str | None = None
    """JSON of the conditions on the documents that the key may use; None for all documents."""
    revoked_at: float | None = None
    last_used_at: float | None = None
    previous_digest: bytes | None = field(default=None, repr=False)
    """Keyed hash of the text before the last rotation; None if it does not work any more."""
    previous_until: float = 0.0
    """Time from which the previous text does not work."""
    limits: tuple[Limit, ...] | None = None
    """Limits of this key instead of those for all keys; None for those."""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """All keys of a store, in the order of their creation.

    Attributes:
        on: whether access control is on: only requests with a key are answered.
        keys: the keys, the revoked ones included.
    """

    on: bool
    keys: Sequence[ApiKey]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller used in a day."""

    requests: int = 0
    tokens: int = 0
    """Tokens that the model read for the caller: of queries, texts and documents."""
    documents: int = 0
    """Documents accepted."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.requests + other.requests, self.tokens + other.tokens, self.documents + other.documents)

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.requests - other.requests, self.tokens - other.tokens, self.documents - other.documents)


UsageKey = tuple[int, str]
"""A day, in days since the epoch in UTC, and the id of a caller."""
