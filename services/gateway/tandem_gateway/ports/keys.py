"""Port of the API keys. The gateway and the command line use the same store at the same time."""

from collections.abc import Mapping
from typing import Final, Protocol

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.access import ApiKey, KeyTable, Usage, UsageKey

MAX_KEYS: Final = 1000
"""Maximum number of keys that are not revoked."""
MAX_REVOKED: Final = 1000
"""Maximum number of revoked keys that are kept; the oldest are forgotten."""

MAX_CALLERS: Final = 10_000
"""Callers of a day whose usage is kept for each of them at most; the usage of further ones is kept under ``OTHERS``."""
OTHERS: Final = "other"


class KeyStore(Protocol):
    """API keys. Each method blocks, may be called in any thread, and raises StorageError if the store fails.

    A change is on disk when its method returns.
    """

    def table(self) -> KeyTable:
        """Return all keys, and whether access control is on. A store that was never written is empty and off."""
        ...

    def secret(self) -> bytes:
        """Return the 32 random bytes with which keys are hashed; makes them if there is no key yet.

        Raises:
            StorageUnavailable: there are keys, and the secret is lost.
        """
        ...

    def version(self) -> int:
        """Return a number that changes after each change by another store of the same data."""
        ...

    def add(self, key: ApiKey) -> None:
        """Add a key, and switch access control on.

        Raises:
            InvalidRequest: there are ``MAX_KEYS`` keys that are not revoked.
        """
        ...

    def rotate(self, key_id: str, digest: bytes, previous_until: float) -> ApiKey | None:
        """Replace a key's digest, and return the key; its old digest is the previous one until that time.

        Returns:
            None if there is no such key, or it is revoked.
        """
        ...

    def revoke(self, key_id: str, at: float) -> ApiKey | None:
        """Revoke a key, and return it; None if there is no such key. A revoked key keeps its time."""
        ...

    def record_uses(self, last_used: Mapping[str, float]) -> None:
        """Record when keys were last used; unknown ids are ignored."""
        ...

    def add_usage(self, used: Mapping[UsageKey, Usage]) -> None:
        """Add to the usage of callers; all of it or, after an error, none."""
        ...

    def usage(
        self, first: int, last: int, caller: str | None = None, limit: int = MAX_CALLERS + 1
    ) -> dict[UsageKey, Usage]:
        """Return up to ``limit`` entries of the days from ``first`` to ``last``, of one caller or, for None, of all."""
        ...

    def forget_usage(self, before: int) -> None:
        """Forget the usage of the days before this one."""
        ...

    def switch(self, on: bool) -> None:
        """Switch access control on or off."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...


def too_many_keys() -> InvalidRequest:
    """Return the error for a key beyond the limit."""
    return InvalidRequest(
        f"keys: there are {MAX_KEYS} keys, which is the limit; revoke those that are not used",
        param="keys",
        code="limit_exceeded",
    )
