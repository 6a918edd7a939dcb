"""API keys in memory."""

import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from tandem_gateway.ports.keys import MAX_CALLERS, MAX_KEYS, MAX_REVOKED, OTHERS, too_many_keys
from tandem_gateway.records.access import ApiKey, KeyTable, Usage, UsageKey


class MemoryKeyStore:
    """A ``KeyStore`` that is empty at its start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._keys: dict[str, ApiKey] = {}
        self._on = False
        self._usage: dict[UsageKey, Usage] = {}

    def table(self) -> KeyTable:
        """Return all keys."""
        with self._lock:
            return KeyTable(self._on, list(self._keys.values()))

    def secret(self) -> bytes:
        """Return the secret."""
        return self._secret

    def version(self) -> int:
        """Return 0: no other store has the same data."""
        return 0

    def add(self, key: ApiKey) -> None:
        """Add a key."""
        with self._lock:
            if sum(each.revoked_at is None for each in self._keys.values()) >= MAX_KEYS:
                raise too_many_keys()
            self._keys[key.id] = key
            self._on = True

    def rotate(self, key_id: str, digest: bytes, previous_until: float) -> ApiKey | None:
        """Replace a key's digest."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is None or key.revoked_at is not None:
                return None
            changed = replace(key, digest=digest, previous_digest=key.digest, previous_until=previous_until)
            self._keys[key_id] = changed
            return changed

    def revoke(self, key_id: str, at: float) -> ApiKey | None:
        """Revoke a key."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is None:
                return None
            if key.revoked_at is None:
                key = self._keys[key_id] = replace(key, revoked_at=at)
                revoked = [each for each in self._keys.values() if each.revoked_at is not None]
                revoked.sort(key=lambda each: each.revoked_at or 0.0)
                for old in revoked[:-MAX_REVOKED]:
                    del self._keys[old.id]
            return key

    def record_uses(self, last_used: Mapping[str, float]) -> None:
        """Record uses."""
        with self._lock:
            for key_id, at in last_used.items():
                if key_id in self._keys:
                    self._keys[key_id] = replace(self._keys[key_id], last_used_at=at)

    def add_usage(self, used: Mapping[UsageKey, Usage]) -> None:
        """Add to the usage."""
        with self._lock:
            callers = Counter(day for day, _ in self._usage)
            for (day, caller), usage in used.items():
                known = (day, caller) in self._usage or callers[day] < MAX_CALLERS
                key = (day, caller if known else OTHERS)
                callers[day] += key not in self._usage
                self._usage[key] = self._usage.get(key, Usage()) + usage

    def usage(
        self, first: int, last: int, caller: str | None = None, limit: int = MAX_CALLERS + 1
    ) -> dict[UsageKey, Usage]:
        """Return the usage of some days."""
        with self._lock:
            found = (
                ((day, name), usage)
                for (day, name), usage in sorted(self._usage.items())
                if first <= day <= last and caller in (None, name)
            )
            return dict(itertools.islice(found, limit))

    def forget_usage(self, before: int) -> None:
        """Forget the usage of early days."""
        with self._lock:
            self._usage = {key: usage for key, usage in self._usage.items() if key[0] >= before}

    def switch(self, on: bool) -> None:
        """Switch access control on or off."""
        with self._lock:
            self._on = on

    def close(self) -> None:
        """Do nothing."""
