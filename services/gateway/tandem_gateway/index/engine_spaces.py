"""The spaces whose vector engine does not answer: why, and when to ask again."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from tandem_gateway.errors import GatewayError, StorageUnavailable, for_log
from tandem_gateway.index.first_passages import FirstPassages
from tandem_gateway.index.followed import FollowedIndex, following_engine
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.records.documents import CollectionRecord

log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0
"""Seconds after which an engine that did not answer is asked again."""


class EngineSpaces:
    """Begins to search spaces in vector engines, and remembers those whose engine does not answer."""

    def __init__(self, places: Places, clock: Callable[[], float] = time.monotonic) -> None:
        """Know of no space; ``clock`` returns seconds."""
        self._places = places
        self._clock = clock
        self._unanswered: dict[int, StorageUnavailable] = {}
        self._next = 0.0

    def __contains__(self, space_id: int) -> bool:
        return space_id in self._unanswered

    @property
    def due(self) -> list[int]:
        """The spaces whose engine should be asked again now."""
        return list(self._unanswered) if self._clock() >= self._next else []

    @property
    def waiting(self) -> set[int]:
        """The spaces whose engine does not answer."""
        return set(self._unanswered)

    def error(self, space_id: int) -> StorageUnavailable:
        """Return the error for a search in a space whose engine does not answer."""
        return error_of_engine(self._unanswered[space_id])

    def keep(self, spaces: Iterable[int]) -> None:
        """Forget all other spaces."""
        kept = set(spaces)
        self._unanswered = {space_id: error for space_id, error in self._unanswered.items() if space_id in kept}

    def begin(self, record: CollectionRecord, firsts: FirstPassages | None) -> FollowedIndex | None:
        """Return the index of a collection in an engine; None if the engine does not answer.

        Args:
            record: the collection.
            firsts: first passages that have all changes of the engine; None to read them from the store.
        """
        try:
            found = following_engine(self._places.engine_of(record), self._places.feed, record, firsts)
        except StorageUnavailable as error:
            log.error("an engine does not answer", extra={"collection": record.name, "error": for_log(error)})
            self._unanswered[record.space_id] = error.with_traceback(None)
            self._next = self._clock() + _PAUSE_SECONDS
            return None
        self._unanswered.pop(record.space_id, None)
        return found


def error_of_engine(error: GatewayError) -> StorageUnavailable:
    """Return the error of an engine for one query: each query raises its own."""
    return StorageUnavailable(str(error), detail=error.detail)
