"""The background task that compares every row of the store with its checksum, slowly, again and again."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.ports.scrubbing import Scrubbing

log = logging.getLogger(__name__)

# Maximum number of damaged rows to remember and to log.
_MAX_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class ScrubPace:
    """How fast the scrub reads: at most 1 % of a core.

    Attributes:
        first: seconds from the start of the task to the first scrub, which leave the core to the gateway's start.
        rows: rows in one step.
        pause: seconds between steps.
    """

    first: float = 60.0
    rows: int = 200
    pause: float = 1.0


@dataclass(frozen=True, slots=True)
class ScrubEvents:
    """Callbacks for metrics, called in the event loop."""

    scrubbed: Callable[[int], None] = lambda rows: None
    damaged: Callable[[int], None] = lambda known: None
    completed: Callable[[], None] = lambda: None


_PACE = ScrubPace()
_NO_EVENTS = ScrubEvents()


class Scrubber:
    """Runs the scrub; ``damaged`` is how many damaged rows it has found since the start, at most 1,000."""

    def __init__(
        self, store: Scrubbing, *, seconds: float, pace: ScrubPace = _PACE, events: ScrubEvents = _NO_EVENTS
    ) -> None:
        """Make the task; ``run`` runs it.

        Args:
            store: to scrub.
            seconds: from the start of one scrub to the start of the next; 0 turns the task off.
            pace: see ``ScrubPace``.
            events: see ``ScrubEvents``.
        """
        self._store = store
        self._seconds = seconds
        self._pace = pace
        self._events = events
        self._known: set[tuple[str, int]] = set()

    @property
    def damaged(self) -> int:
        """Number of damaged rows found since the start, at most 1,000."""
        return len(self._known)

    async def run(self) -> None:
        """Scrub until cancelled; return at once if the task is turned off."""
        if not self._seconds:
            return
        await asyncio.sleep(self._pace.first)
        while True:
            started = time.monotonic()
            complete = False
            while not complete:
                complete = await self._step()
                await asyncio.sleep(self._pace.pause)
            self._events.completed()
            await asyncio.sleep(max(0.0, self._seconds - (time.monotonic() - started)))

    async def _step(self) -> bool:
        """Read some rows; return whether they were the last."""
        page = await self._store.scrub(self._pace.rows)
        self._events.scrubbed(page.rows)
        for table, row in page.damaged:
            if (table, row) not in self._known and len(self._known) < _MAX_KNOWN:
                self._known.add((table, row))
                log.error("a row of the store is not what was written", extra={"table": table, "row": row})
        self._events.damaged(len(self._known))
        return page.complete
