"""The vector indexes of all collections. They follow the store and answer queries whose vectors are known.

Nothing here is thread-safe; ``index_thread`` lets one thread in at a time.
"""

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    FingerprintMismatch,
    GatewayError,
    InvalidRequest,
    NotFound,
    Overloaded,
    TooManyBytes,
)
from tandem_gateway.index import catch_up
from tandem_gateway.index.base import Base
from tandem_gateway.index.catch_up import Position
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.followed import FollowedIndex, following, restored_base
from tandem_gateway.index.hydration import DocumentCache, score
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.index.state import Answer, Found, IndexState, VectorQuery
from tandem_gateway.ports.store import ChangeFeed
from tandem_gateway.records.documents import CollectionRecord, LiveDocument
from tandem_gateway.records.index import SnapshotManifest
from tandem_gateway.records.search import Hit

log = logging.getLogger(__name__)

# Number of attempts before a search leaves out hits whose rows were replaced during the search.
_MAX_REPEATS = 3
# Size of the cache of recent hits. A cached row costs a tenth of a row that is read and checksummed.
_KEPT_BYTES = 4 << 20


class Indexes:
    """The indexes and their positions in the store's sequence of changes."""

    def __init__(self, places: Places, limits: AnswerLimits, *, on_search: Callable[[float, int], None]) -> None:
        """Create them without indexes; ``load`` fills them.

        Args:
            places: the store, the snapshots and the graph factory; ``close`` closes the store.
            limits: see ``AnswerLimits``.
            on_search: called with the duration in seconds and the number of queries of each batch.
        """
        self._places = places
        self._limits = limits
        self._on_search = on_search
        self._followed: dict[int, FollowedIndex] = {}
        self._records: dict[str, CollectionRecord] = {}
        self._served: dict[int, CollectionRecord] = {}
        """Space → record of its collection, for spaces whose model is known."""
        self._catalogue: int | None = None
        """The store's catalogue version that ``_records`` and ``_served`` have."""
        self._reached = 0
        """Every index has all changes up to this one."""
        self._rows = DocumentCache(_KEPT_BYTES)
        self._seen: int | None = None
        """The store's version that the indexes have caught up with; None if they may be behind."""
        self._version = 0
        """Grows with every change of an index."""

    @property
    def _feed(self) -> ChangeFeed:
        return self._places.feed

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to, None if it is not known. Thread-safe."""
        record = self._records.get(collection)
        return record.fingerprint if record is not None else None

    def load(self) -> list[str]:
        """Load every index. Return a log line for each repair."""
        records = self._feed.collections()
        notices = [
            f"index folder {name!r} belonged to no collection and was removed"
            for name in self._places.snapshots.remove_orphans(record.space_id for record in records)
        ]
        for record in records:
            if record.dim is not None:
                self._load(record, notices)
        self.follow()
        return notices

    def _load(self, record: CollectionRecord, notices: list[str]) -> None:
        started = time.monotonic()
        base, position, origin = restored_base(self._places, record, notices)
        followed = following(self._feed, record, base, position)
        self._followed[record.space_id] = followed
        log.info(
            "index loaded",
            extra={
                "collection": record.name,
                "model": record.model,
                "fingerprint": record.fingerprint,
                "origin": origin,
                "vectors": len(followed.index),
                "exact": followed.index.exact,
                "changes_applied": followed.position.added - followed.saved,
                "seconds": round(time.monotonic() - started, 3),
            },
        )

    def adopt(self, space_id: int, base: Base, manifest: SnapshotManifest) -> None:
        """Replace a space's index with a new snapshot.

        Args:
            space_id: the space; a deleted one is ignored.
            base: the snapshot's graphs; see ``load_base``.
            manifest: the snapshot's manifest.

        Raises:
            SnapshotUnusable: if the snapshot does not match the collection in the store.
        """
        for record in self._feed.collections():
            if record.space_id == space_id and record.dim is not None:
                catch_up.check_manifest(manifest, self._feed, record)
                position = Position(manifest.position, manifest.position)
                self._version += 1
                self._followed[space_id] = following(self._feed, record, base, position)

    def state(self) -> list[IndexState]:
        """Return the state of each index."""
        self.follow()
        return [
            IndexState(
                record.space_id,
                record.name,
                len(followed.index),
                followed.index.exact,
                followed.index.new if len(followed.index) >= self._places.sizes.graph else 0,
                followed.index.strays,
                followed.index.unproven,
                followed.position.added,
                followed.saved,
            )
            for record in self._records.values()
            if (followed := self._followed.get(record.space_id)) is not None
        ]

    def follow(self) -> bool:
        """Bring every index up to date. Return whether anything was committed since the last call."""
        version = self._feed.version()
        if version == self._seen:
            return False
        self._version += 1
        try:
            self._follow()
        except BaseException:
            self._seen = None
            raise
        self._seen = version
        return True

    def _follow(self) -> None:
        """Apply all changes. The cost depends on the spaces that have changed, not on the number of spaces."""
        catalogue, last = self._feed.catalogue(), self._feed.last_change()
        if catalogue != self._catalogue:
            self._records = {record.name: record for record in self._feed.collections()}
            self._served = {record.space_id: record for record in self._records.values() if record.dim is not None}
            for gone in self._followed.keys() - self._served.keys():
                del self._followed[gone]
            for space_id in self._served.keys() - self._followed.keys():
                self._followed[space_id] = following(self._feed, self._served[space_id], None, None)
        for space_id in self._feed.changed_spaces(self._reached):
            record, followed = self._served.get(space_id), self._followed.get(space_id)
            if record is None or followed is None:
                continue
            followed.position.advance(self._reached)
            if self._catch_up(followed, record) is None:
                self._followed[space_id] = following(self._feed, record, None, None)
        self._catalogue, self._reached = catalogue, last

    def _catch_up(self, followed: FollowedIndex, record: CollectionRecord) -> int | None:
        return catch_up.catch_up(followed.index, followed.position, self._feed, record)

    def search(self, queries: Sequence[VectorQuery], found: Found | None = None) -> list[Answer]:
        """Answer queries. Each answer includes everything that was committed before the call.

        Args:
            queries: see ``VectorQuery``.
            found: the candidates that ``find_in_memory`` found; used if no index has changed since.
        """
        started = found.started if found is not None else time.monotonic()
        self.follow()
        candidates: list[Candidates | GatewayError] = []
        rows: dict[int, LiveDocument] = {}
        for _ in range(_MAX_REPEATS):
            if found is not None and found.version == self._version:
                candidates, found = found.candidates, None
            else:
                candidates = self._candidates(queries)
            wanted = _keys(candidates)
            try:
                rows = self._rows.get(wanted, self._feed, self._limits.bytes)
            except TooManyBytes:
                return self._answer_one_by_one(queries, candidates, started)
            if len(rows) == len(wanted):
                break
            # A row was replaced between the index search and the read. The store has its successor, but the writer may
            # not have announced the commit yet.
            self._seen = None
            self.follow()
        return self._answers(queries, candidates, rows, started)

    def find_in_memory(self, queries: Sequence[VectorQuery], most: int) -> Found | None:
        """Return the candidates of queries, or None if the search needs the disk or takes long.

        Args:
            queries: see ``search``.
            most: maximum sum of the sizes of the indexes that the queries search.
        """
        started = time.monotonic()
        if sum(self._size(query.collection) for query in queries) > most:
            return None
        if self._feed.version() != self._seen:
            return None
        return Found(self._candidates(queries), self._version, started)

    def answer_in_memory(self, queries: Sequence[VectorQuery], found: Found) -> list[Answer] | None:
        """Answer queries from the document cache; return None if it lacks a row of ``found``."""
        rows = self._rows.kept(_keys(found.candidates))
        return None if rows is None else self._answers(queries, found.candidates, rows, found.started)

    def close(self) -> None:
        """Close the store's feed."""
        self._feed.close()

    def _size(self, collection: str) -> int:
        record = self._records.get(collection)
        followed = self._followed.get(record.space_id) if record is not None else None
        return len(followed.index) if followed is not None else 0

    def _candidates(self, queries: Sequence[VectorQuery]) -> list[Candidates | GatewayError]:
        """Return each query's candidates. One call to an index searches all queries of its collection."""
        found: list[Candidates | GatewayError] = [_NONE] * len(queries)
        together: dict[tuple[str, int], list[int]] = {}
        for place, query in enumerate(queries):
            record = self._records.get(query.collection)
            if record is None:
                message = f"collection: there is no collection {query.collection!r}"
                found[place] = NotFound(message, param="collection")
            elif record.space_id in self._followed:
                if record.fingerprint == query.fingerprint and record.dim == len(query.vector):
                    together.setdefault((query.collection, query.top_k), []).append(place)
                else:
                    found[place] = FingerprintMismatch(
                        record.name, pinned=str(record.fingerprint), offered=query.fingerprint
                    )
        for (collection, top_k), places in together.items():
            index = self._followed[self._records[collection].space_id].index
            vectors = np.array([queries[place].vector for place in places])
            for place, candidates in zip(places, index.search(vectors, top_k), strict=True):
                found[place] = candidates
        return found

    def _answers(
        self,
        queries: Sequence[VectorQuery],
        candidates: Sequence[Candidates | GatewayError],
        rows: dict[int, LiveDocument],
        started: float,
    ) -> list[Answer]:
        """Score the candidates of each query, and report the batch, which began at ``started``."""
        answers: list[Answer] = [
            each if isinstance(each, GatewayError) else self._held(score(query.vector, each, rows, query.top_k), query)
            for query, each in zip(queries, candidates, strict=True)
        ]
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _answer_one_by_one(
        self, queries: Sequence[VectorQuery], candidates: Sequence[Candidates | GatewayError], started: float
    ) -> list[Answer]:
        """Answer queries one at a time, because their documents together exceed the limit on bytes."""
        answers: list[Answer] = []
        for query, each in zip(queries, candidates, strict=True):
            if isinstance(each, GatewayError):
                answers.append(each)
                continue
            try:
                rows = self._rows.get(_keys([each]), self._feed, self._limits.bytes)
            except TooManyBytes:
                answers.append(self._limits.too_large(query.top_k))
            else:
                answers.append(self._held(score(query.vector, each, rows, query.top_k), query))
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _held(self, hits: list[Hit], query: VectorQuery) -> Answer:
        """Return hits with a lease on their memory, or the error of this query."""
        try:
            return self._limits.held(hits, query.top_k)
        except (InvalidRequest, Overloaded) as error:
            # The traceback refers to the hits and, through the frames before this one, to all answers of the batch and
            # so to the error. Their leases would wait for the garbage collector.
            return error.with_traceback(None)


_NONE = Candidates([], {})


def _keys(candidates: Sequence[Candidates | GatewayError]) -> dict[int, bool]:
    """Return the rows of all candidates, and whether their vectors must be read."""
    return {key: each.vectors is None for each in candidates if not isinstance(each, GatewayError) for key in each.keys}
