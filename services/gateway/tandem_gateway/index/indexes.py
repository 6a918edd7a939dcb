"""The indexes of all collections: they follow the store, and answer queries whose vectors are known.

Nothing here is safe for threads; ``index.thread`` sees to it that one at a time is in here.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tandem_gateway.errors import FingerprintMismatch, GatewayError, NoSnapshotYet, NotFound, SnapshotUnusable
from tandem_gateway.index import follower
from tandem_gateway.index.follower import Followed
from tandem_gateway.index.hits import LiveRows, score
from tandem_gateway.model import CollectionRecord, Hit, Keys, LiveDocument, Vectors
from tandem_gateway.ports import ChangeFeed, SnapshotStore, VectorIndexFactory

log = logging.getLogger(__name__)

# How often hits whose rows were replaced meanwhile are looked for again before they are left out.
_MAX_REPEATS = 3
# Of documents that were hits lately; a row from memory costs a tenth of one from the store, with its checksum.
_KEPT_BYTES = 4 << 20


class VectorQuery(msgspec.Struct, frozen=True):
    """One query; ``vector`` is ``(dim,) float32`` of unit length."""

    collection: str
    vector: Vectors
    fingerprint: str
    top_k: int


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far a collection's index is, for metrics and the decision to take a snapshot."""

    collection_id: int
    collection: str
    count: int
    position: int
    removed: int
    loaded: int = 0
    """Position of the snapshot that it was loaded from; 0 if it was built from the store."""


Answer = list[Hit] | GatewayError
"""A query's hits by descending score, or the error that concerns it alone."""


class Indexes:
    """The indexes and their positions in the store's sequence of changes."""

    def __init__(
        self,
        feed: ChangeFeed,
        snapshots: SnapshotStore,
        factory: VectorIndexFactory,
        *,
        on_search: Callable[[float, int], None],
    ) -> None:
        """Make them empty; ``load`` fills them.

        Args:
            feed: of the store; is closed with them.
            snapshots: where indexes are loaded from at the start.
            factory: makes indexes.
            on_search: called with the seconds and the queries of each batch.
        """
        self._feed = feed
        self._snapshots = snapshots
        self._factory = factory
        self._on_search = on_search
        self._followed: dict[int, Followed] = {}
        self._loaded: dict[int, int] = {}
        self._records: dict[str, CollectionRecord] = {}
        self._rows = LiveRows(_KEPT_BYTES)

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to, as far as is known; any thread may ask."""
        record = self._records.get(collection)
        return record.fingerprint if record is not None else None

    def load(self) -> list[str]:
        """Load every index, and return what was repaired."""
        records = self._feed.collections()
        noticed = [
            f"index folder {name!r} belonged to no collection and was removed"
            for name in self._snapshots.remove_strangers(record.collection_id for record in records)
        ]
        for record in records:
            if record.dim is None:
                continue
            started = time.monotonic()
            try:
                followed = follower.restore(self._feed, self._snapshots, self._factory, record)
                origin = "snapshot"
            except SnapshotUnusable as reason:
                followed = follower.empty(self._feed, self._factory, record.dim)
                origin = "store"
                if not isinstance(reason, NoSnapshotYet):
                    noticed.append(f"index of collection {record.name!r} is rebuilt from the store: {reason}")
            self._loaded[record.collection_id] = followed.position
            applied = follower.catch_up(followed, self._feed, self._factory, record)
            self._followed[record.collection_id] = followed
            log.info(
                "index loaded",
                extra={
                    "collection": record.name,
                    "model": record.model,
                    "fingerprint": record.fingerprint,
                    "origin": origin,
                    "vectors": len(followed.index),
                    "changes_applied": applied,
                    "seconds": round(time.monotonic() - started, 3),
                },
            )
        self.follow()
        return noticed

    def reload(self, collection_id: int) -> None:
        """Take a collection's index from its snapshot, which a helper has built anew."""
        for record in self._feed.collections():
            if record.collection_id == collection_id and record.dim is not None:
                fresh = follower.restore(self._feed, self._snapshots, self._factory, record)
                follower.catch_up(fresh, self._feed, self._factory, record)
                self._followed[collection_id] = fresh

    def state(self) -> list[IndexState]:
        """Return how far each index is."""
        self.follow()
        return [
            IndexState(
                record.collection_id,
                record.name,
                len(followed.index),
                followed.position,
                followed.removed,
                self._loaded.get(record.collection_id, 0),
            )
            for record in self._records.values()
            if (followed := self._followed.get(record.collection_id)) is not None
        ]

    def follow(self) -> bool:
        """Bring every index up to date, and return whether there was news."""
        if not self._feed.has_news():
            return False
        try:
            self._records = {record.name: record for record in self._feed.collections()}
            known = {record.collection_id for record in self._records.values()}
            for gone in self._followed.keys() - known:
                del self._followed[gone]
            for record in self._records.values():
                if record.dim is None:
                    continue
                followed = self._followed.get(record.collection_id)
                if followed is None:
                    followed = follower.empty(self._feed, self._factory, record.dim)
                    self._followed[record.collection_id] = followed
                follower.catch_up(followed, self._feed, self._factory, record)
        except BaseException:
            self._feed.news_not_taken()
            raise
        return True

    def search(self, queries: Sequence[VectorQuery]) -> list[Answer]:
        """Answer queries, each by what was committed before."""
        started = time.monotonic()
        self.follow()
        for _ in range(_MAX_REPEATS):
            candidates = self._candidates(queries)
            wanted = _keys(candidates)
            rows = self._rows.get(wanted, self._feed)
            # A row that was replaced between index and store has its successor found by another look.
            if len(rows) == len(wanted) or not self.follow():
                break
        return self._answers(queries, candidates, rows, started)

    def search_in_memory(self, queries: Sequence[VectorQuery], most: int) -> list[Answer] | None:
        """Answer queries as ``search`` does, if that needs no disk and little time; return None if it does.

        Args:
            queries: see ``search``.
            most: vectors that may be compared, all queries together, where a query looks at every vector of its index.
        """
        started = time.monotonic()
        if sum(self._size(query.collection) for query in queries) > most:
            return None
        if self._feed.has_news():
            self._feed.news_not_taken()
            return None
        candidates = self._candidates(queries)
        rows = self._rows.kept(_keys(candidates))
        if rows is None:
            return None
        return self._answers(queries, candidates, rows, started)

    def close(self) -> None:
        """Close the feed."""
        self._feed.close()

    def _size(self, collection: str) -> int:
        record = self._records.get(collection)
        followed = self._followed.get(record.collection_id) if record is not None else None
        return len(followed.index) if followed is not None else 0

    def _candidates(self, queries: Sequence[VectorQuery]) -> list[Keys | GatewayError]:
        """Return each query's nearest keys; queries of one collection go to its index together."""
        found: list[Keys | GatewayError] = [_NONE] * len(queries)
        together: dict[tuple[str, int], list[int]] = {}
        for place, query in enumerate(queries):
            record = self._records.get(query.collection)
            if record is None:
                message = f"collection: there is no collection {query.collection!r}"
                found[place] = NotFound(message, param="collection")
            elif record.collection_id in self._followed:
                if record.fingerprint == query.fingerprint and record.dim == len(query.vector):
                    together.setdefault((query.collection, query.top_k), []).append(place)
                else:
                    found[place] = FingerprintMismatch(
                        record.name, pinned=str(record.fingerprint), offered=query.fingerprint
                    )
        for (collection, top_k), places in together.items():
            index = self._followed[self._records[collection].collection_id].index
            vectors = np.array([queries[place].vector for place in places])
            for place, keys in zip(places, index.search(vectors, top_k), strict=True):
                found[place] = keys
        return found

    def _answers(
        self,
        queries: Sequence[VectorQuery],
        candidates: Sequence[Keys | GatewayError],
        rows: dict[int, LiveDocument],
        started: float,
    ) -> list[Answer]:
        """Return what each query's candidates come to, and report the batch, which began at ``started``."""
        answers = [
            keys if isinstance(keys, GatewayError) else score(query.vector, keys, rows)
            for query, keys in zip(queries, candidates, strict=True)
        ]
        self._on_search(time.monotonic() - started, len(queries))
        return answers


_NONE: Keys = np.empty(0, np.uint64)


def _keys(candidates: Sequence[Keys | GatewayError]) -> set[int]:
    return {key for keys in candidates if not isinstance(keys, GatewayError) for key in keys.tolist()}
