"""Decides when the embedding worker pauses, all of it or one collection, and says why documents wait.

The clock is an argument, in seconds that never go back. A restart may lose all of this.
"""

import random
from collections.abc import Set

from tandem_gateway.use_cases.backoff import delay

_MAX_ASKED_SECONDS = 5.0
"""Longest pause for which an embedder may ask."""


class EmbeddingPauses:
    """The pauses of one worker."""

    def __init__(self) -> None:
        """Begin without a pause."""
        self.not_before = 0.0
        """Earliest time of the next call."""
        self._failures = 0
        """Number of calls that failed in a row."""
        self._until: dict[int, float] = {}
        """Collection that waits → time of the next attempt."""
        self._reasons: dict[str, tuple[int, str]] = {}
        """Name of a collection → its id and why it waits; a new collection may have a deleted one's name."""
        self._reason: str | None = None
        """Why every collection waits."""

    @property
    def paused(self) -> Set[int]:
        """The collections that wait."""
        return self._until.keys()

    def reason(self, collection: str) -> str | None:
        """Return why the documents of a collection wait; None if nothing blocks them."""
        found = self._reasons.get(collection)
        return found[1] if found is not None else self._reason

    def end(self, now: float) -> None:
        """End the pauses of collections whose time is up."""
        for collection_id in [number for number, until in self._until.items() if until <= now]:
            del self._until[collection_id]

    def next_end(self, otherwise: float) -> float:
        """Return the time at which the pause of a collection ends; ``otherwise`` if none waits."""
        return min(self._until.values(), default=otherwise)

    def pause(self, collection_id: int, name: str, until: float, reason: str) -> None:
        """Let a collection wait until a time."""
        self._until[collection_id] = until
        self._reasons[name] = collection_id, reason

    def claimed(self, collection_id: int, name: str) -> None:
        """Note that documents of a collection are claimed: the reason of a deleted one with its name is no more."""
        if self._reasons.get(name, (collection_id,))[0] != collection_id:
            del self._reasons[name]

    def embedded(self, name: str) -> None:
        """Note that documents of a collection got their vectors."""
        self._reasons.pop(name, None)

    def answered(self) -> bool:
        """Note that the embedder answers; return whether documents waited for that."""
        waited = self._reason is not None
        self._failures = 0
        self._reason = None
        return waited

    def back_off(self, reason: str, now: float, at_least: float = 0.0) -> bool:
        """Pause all calls after one that failed; return whether it is the first in a row.

        Args:
            reason: why documents wait.
            now: time of the failure.
            at_least: seconds for which the embedder asks.
        """
        self._failures += 1
        pause = max(delay(self._failures, random.random()), min(at_least, _MAX_ASKED_SECONDS))  # noqa: S311 - jitter, no secret
        self.not_before = now + pause
        self._reason = reason
        return self._failures == 1
