"""Looks for commits of this and of other gateways, so that the indexes apply them before a search needs them."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.errors import StorageError, for_log

log = logging.getLogger(__name__)

_SECONDS: Final = 0.1


class Watch:
    """A thread that asks the store for its version again and again. Searches do not rely on it: each asks, too."""

    def __init__(
        self,
        open_feed: Callable[[], PostgresIndexFeed],
        tell: Sequence[Callable[[], None]],
        *,
        seconds: float = _SECONDS,
        on_look: Callable[[int, float], None] = lambda version, at: None,
    ) -> None:
        """Make the thread; ``start`` starts it.

        Args:
            open_feed: called in the thread, which owns the feed. It compares the store with what the caches have then.
            tell: called in the thread after each change.
            seconds: between two looks.
            on_look: called in the thread after each look with the version and the monotonic time before the look.
        """
        self._on_look = on_look
        self._open_feed = open_feed
        self._tell = tell
        self._seconds = seconds
        self.ended: Future[str] = Future()
        """Done, with the reason, once the store has another history than before; the thread then ends."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; blocks."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        feed = self._open_feed()
        try:
            self._look(feed)
        finally:
            feed.close()

    def _look(self, feed: PostgresIndexFeed) -> None:
        seen: int | None = None
        failing = False
        while not self._stopped.wait(self._seconds):
            at = time.monotonic()
            try:
                version = feed.version()
            except StorageError as error:
                if feed.lost:
                    if self.ended.set_running_or_notify_cancel():
                        self.ended.set_result(str(error))
                    return
                if not failing:
                    log.error("the store cannot be watched", extra={"error": for_log(error)})
                failing = True
                continue
            if failing:
                log.info("the store is watched again")
            failing = False
            if version != seen:
                seen = version
                for tell in self._tell:
                    tell()
            self._on_look(version, at)
