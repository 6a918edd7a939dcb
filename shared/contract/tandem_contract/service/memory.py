"""One budget for the memory that requests hold: bodies, what is read from them, and answers until they are sent.

Each request has a limit of its own, but a service serves many at a time. Whatever holds much memory takes a lease on
the budget first, and is refused with ``OverBudget`` where the budget has nothing left. The refusal is cheap, and the
client can retry; a process that runs out of memory loses every request at once.

A lease gives its bytes back when ``release`` is called or its last reference goes. A caller therefore ties the lease
to the data: as long as something can reach the data, the bytes count.
"""

import threading
from typing import Final

FREE_BYTES: Final = 1 << 16
"""What each lease may hold without the budget's leave. The bound on connections bounds the sum of these."""

RETRY_SECONDS: Final = 1.0


class OverBudget(Exception):
    """The budget has not as many bytes left; ``str()`` is a message for a person."""


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
        """Bytes that are held now."""
        return self._held

    def lease(self, share: float = 1.0) -> "Lease":
        """Return a lease that holds nothing yet.

        Args:
            share: part of the limit that all leases together may hold when this one asks for more; less than 1 leaves
                the rest to more urgent work.
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
    """Bytes of a budget; see the module."""

    __slots__ = ("_budget", "_counted", "_most", "held")

    def __init__(self, budget: MemoryBudget, most: int) -> None:
        self._budget = budget
        self._most = most
        self._counted = 0
        self.held = 0
        """Bytes, the free ones included."""

    def hold(self, total: int) -> None:
        """Hold so many bytes from now on, more or fewer than before.

        Raises:
            OverBudget: if the budget has no more; the lease is as before.
        """
        counted = max(0, total - FREE_BYTES)
        if counted != self._counted:
            self._budget._change(counted - self._counted, self._most)
            self._counted = counted
        self.held = total

    def add(self, bytes: int) -> None:
        """Hold so many bytes more; raises as ``hold`` does."""
        self.hold(self.held + bytes)

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        self.hold(0)

    def __del__(self) -> None:
        self.release()


def utf8_bytes(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def memory_bytes(text: str) -> int:
    """Return the memory that a text may take, in bytes.

    ``sys.getsizeof`` will not do: CPython keeps the UTF-8 of a text beside it once it was encoded, so that the same
    text takes more later. A character takes up to four bytes, and its UTF-8.
    """
    return len(text) if text.isascii() else 4 * len(text) + len(text.encode())
