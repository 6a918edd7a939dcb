"""DNS lookups of a pool's names. If a lookup fails, the last known addresses stay."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from tandem_gateway.adapters.pool.addresses import Address, Origin, addresses, of_one_family
from tandem_runtime.durations import duration

log = logging.getLogger(__name__)

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Maps host and port to IP addresses; raises OSError if there are none."""


async def system_resolver(host: str, port: int) -> list[str]:
    """Return a host's addresses by the system's resolver (hosts file and DNS)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Names:
    """The origins of one pool, and the addresses behind them; one event loop owns it."""

    def __init__(
        self, origins: Sequence[Origin], resolve: Resolver, *, seconds: float, on_failure: Callable[[], None]
    ) -> None:
        """Make it; ``look_up`` resolves the names.

        Args:
            origins: origins of the pool.
            resolve: resolver for the origins that are not IP addresses.
            seconds: timeout of a lookup.
            on_failure: called for each lookup that fails.
        """
        self._resolve = resolve
        self._seconds = seconds
        self._on_failure = on_failure
        self._known: dict[Origin, list[str]] = {
            origin: [origin.host] if origin.is_address else [] for origin in origins
        }
        self._lookups: dict[Origin, asyncio.Task[Sequence[str]]] = {}
        self.failing: dict[Origin, str] = {}
        """Origins whose last lookup failed, with the reason."""

    @property
    def to_resolve(self) -> list[Origin]:
        """The origins whose host is a name, not an IP address."""
        return [origin for origin in self._known if not origin.is_address]

    def addresses(self) -> dict[str, Address]:
        """Return the known addresses, by label."""
        return addresses(self._known)

    async def look_up(self) -> None:
        """Look up every name once."""
        await asyncio.gather(*(self._look_up(origin) for origin in self.to_resolve))

    def close(self) -> None:
        """Cancel the lookups in progress."""
        for lookup in self._lookups.values():
            lookup.cancel()
        self._lookups.clear()

    async def _look_up(self, origin: Origin) -> None:
        # A lookup occupies a thread until it ends. While one hangs, a second one must not occupy another thread.
        lookup = self._lookups.get(origin)
        if lookup is None:
            lookup = self._lookups[origin] = asyncio.ensure_future(self._resolve(origin.host, origin.port))
        done, _ = await asyncio.wait({lookup}, timeout=self._seconds)
        if not done:
            self._failed(origin, f"no answer within {duration(self._seconds)}")
            return
        del self._lookups[origin]
        try:
            found = of_one_family(lookup.result())
        except (OSError, UnicodeError) as error:
            self._failed(origin, str(error))
            return
        finally:
            del lookup  # breaks the reference cycle: error, traceback, this frame, error
        if not found:
            self._failed(origin, "it has no address")
            return
        self._known[origin] = found
        if self.failing.pop(origin, None) is not None:
            log.info("a name is resolved again", extra={"host": origin.host, "addresses": found})

    def _failed(self, origin: Origin, why: str) -> None:
        self._on_failure()
        if origin not in self.failing:
            kept = self._known[origin]
            log.warning("a name cannot be resolved", extra={"host": origin.host, "error": why, "kept": kept})
        self.failing[origin] = why
