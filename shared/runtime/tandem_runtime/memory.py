"""One budget for the memory of requests: bodies, decoded messages, and answers until they are sent.

Each request has a limit of its own, but a service handles many requests at a time. Code that needs much memory first
takes a lease on the budget, which raises ``OverBudget`` if too few bytes are left. Such a refusal is cheap, and the
client can retry. A process that runs out of memory loses every request at once.

A lease returns its bytes on ``release`` or when its last reference goes. A caller therefore ties the lease to the data:
the bytes count as long as the data is reachable.
"""

import threading
from typing import Final

FREE_BYTES: Final = 1 << 16
"""Bytes that each lease may hold without counting. The limit on connections bounds their sum."""

RETRY_SECONDS: Final = 1.0


class OverBudget(Exception):
    """The budget has too few bytes left; ``str()`` is a message for a person."""


class MemoryBudget:
    """Counts bytes; any thread may use it."""

    def __init__(self, limit: int, setting: str) -> None:
        """Make the budget.

        Args:
            limit: bytes.
            setting: name of the variable that sets the limit, for messages.
        """
        self.limit = limit
        self._setting = setting
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes that all leases hold now, without the free ones."""
        return self._held

    def lease(self, share: float = 1.0) -> "Lease":
        """Return a lease that holds nothing yet.

        Args:
            share: maximum part of the limit that all leases together may hold after this one grows. A share below 1
                reserves the rest for more urgent work.
        """
        return Lease(self, int(self.limit * share))

    def _change(self, bytes: int, most: int) -> None:
        with self._lock:
            if bytes > 0 and self._held + bytes > most:
                raise OverBudget(
                    f"requests under way hold {self._held} bytes, and {bytes} more would exceed the limit of {most} "
                    f"({self._setting}); retry later, or send less at once"
                )
            self._held += bytes


class Lease:
    """A number of bytes held from a budget; see the module."""

    __slots__ = ("_budget", "_counted", "_most", "held")

    def __init__(self, budget: MemoryBudget, most: int) -> None:
        self._budget = budget
        self._most = most
        self._counted = 0
        self.held = 0
        """Bytes, including the free ones."""

    def hold(self, total: int) -> None:
        """Set the number of bytes to hold, more or fewer than before.

        Raises:
            OverBudget: if the budget has too few bytes left; the lease does not change.
        """
        counted = max(0, total - FREE_BYTES)
        if counted != self._counted:
            self._budget._change(counted - self._counted, self._most)
            self._counted = counted
        self.held = total

    def add(self, bytes: int) -> None:
        """Hold more bytes; raises as ``hold`` does."""
        self.hold(self.held + bytes)

    def release(self) -> None:
        """Return all bytes; a second call does nothing."""
        self.hold(0)

    def __del__(self) -> None:
        self.release()


def utf8_bytes(text: str) -> int:
    """Return the length of a text in UTF-8, in bytes."""
    return len(text) if text.isascii() else len(text.encode())


def memory_bytes(text: str) -> int:
    """Return the maximum memory of a text, in bytes.

    ``sys.getsizeof`` is no substitute: CPython caches a text's UTF-8 after encoding it, so the same text takes more
    later. A character takes up to four bytes, plus its UTF-8.
    """
    return len(text) if text.isascii() else 4 * len(text) + len(text.encode())
