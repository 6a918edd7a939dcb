"""The indexes of all collections: they follow the store, and answer queries whose vectors are known.

Nothing here is safe for threads; ``index.thread`` sees to it that one at a time is in here.
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

# How often hits whose rows were replaced meanwhile are looked for again before they are left out.
_MAX_REPEATS = 3
# Of documents that were hits lately; a row from memory costs a tenth of one from the store, with its checksum.
_KEPT_BYTES = 4 << 20


class Indexes:
    """The indexes and their positions in the store's sequence of changes."""

    def __init__(self, places: Places, limits: AnswerLimits, *, on_search: Callable[[float, int], None]) -> None:
        """Make them empty; ``load`` fills them.

        Args:
            places: the store, which is closed with them, the snapshots, and what makes graphs.
            limits: see ``AnswerLimits``.
            on_search: called with the seconds and the queries of each batch.
        """
        self._places = places
        self._limits = limits
        self._on_search = on_search
        self._followed: dict[int, FollowedIndex] = {}
        self._records: dict[str, CollectionRecord] = {}
        self._rows = DocumentCache(_KEPT_BYTES)
        self._seen: int | None = None
        """The store's version that the indexes have caught up with; None if they may be behind."""
        self._version = 0
        """Grows with every change of an index."""

    @property
    def _feed(self) -> ChangeFeed:
        return self._places.feed

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to, as far as is known; any thread may ask."""
        record = self._records.get(collection)
        return record.fingerprint if record is not None else None

    def load(self) -> list[str]:
        """Load every index, and return what was repaired."""
        records = self._feed.collections()
        notices = [
            f"index folder {name!r} belonged to no collection and was removed"
            for name in self._places.snapshots.remove_orphans(record.collection_id for record in records)
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
        self._followed[record.collection_id] = followed
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

    def adopt(self, collection_id: int, base: Base, manifest: SnapshotManifest) -> None:
        """Take a collection's index from a new snapshot.

        Args:
            collection_id: of the collection; nothing happens if it is gone.
            base: of the snapshot; see ``load_base``.
            manifest: of the snapshot.

        Raises:
            SnapshotUnusable: if the snapshot is not of the collection as the store has it.
        """
        for record in self._feed.collections():
            if record.collection_id == collection_id and record.dim is not None:
                catch_up.check_manifest(manifest, self._feed, record)
                position = Position(manifest.position, manifest.position)
                self._version += 1
                self._followed[collection_id] = following(self._feed, record, base, position)

    def state(self) -> list[IndexState]:
        """Return how each index is."""
        self.follow()
        return [
            IndexState(
                record.collection_id,
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
            if (followed := self._followed.get(record.collection_id)) is not None
        ]

    def follow(self) -> bool:
        """Bring every index up to date, and return whether anything was committed since the last time."""
        version = self._feed.version()
        if version == self._seen:
            return False
        self._version += 1
        try:
            self._records = {record.name: record for record in self._feed.collections()}
            known = {record.collection_id for record in self._records.values()}
            for gone in self._followed.keys() - known:
                del self._followed[gone]
            for record in self._records.values():
                if record.dim is None:
                    continue
                followed = self._followed.get(record.collection_id)
                if followed is None or self._catch_up(followed, record) is None:
                    self._followed[record.collection_id] = following(self._feed, record, None, None)
        except BaseException:
            self._seen = None
            raise
        self._seen = version
        return True

    def _catch_up(self, followed: FollowedIndex, record: CollectionRecord) -> int | None:
        return catch_up.catch_up(followed.index, followed.position, self._feed, record)

    def search(self, queries: Sequence[VectorQuery], found: Found | None = None) -> list[Answer]:
        """Answer queries, each by what was committed before.

        Args:
            queries: see ``VectorQuery``.
            found: what ``find_in_memory`` found for them; it is used if nothing has changed since.
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
            # A row was replaced between index and store. Its successor is in the store, though the writer may not have
            # told of it yet.
            self._seen = None
            self.follow()
        return self._answers(queries, candidates, rows, started)

    def find_in_memory(self, queries: Sequence[VectorQuery], most: int) -> Found | None:
        """Return the candidates of queries, if that needs no disk and little time; None if it does.

        Args:
            queries: see ``search``.
            most: vectors that may be compared, all queries together, where a query looks at every vector of its index.
        """
        started = time.monotonic()
        if sum(self._size(query.collection) for query in queries) > most:
            return None
        if self._feed.version() != self._seen:
            return None
        return Found(self._candidates(queries), self._version, started)

    def answer_in_memory(self, queries: Sequence[VectorQuery], found: Found) -> list[Answer] | None:
        """Answer queries whose candidates were just found, if all their rows are kept; return None if some are not."""
        rows = self._rows.kept(_keys(found.candidates))
        return None if rows is None else self._answers(queries, found.candidates, rows, found.started)

    def close(self) -> None:
        """Close the feed."""
        self._feed.close()

    def _size(self, collection: str) -> int:
        record = self._records.get(collection)
        followed = self._followed.get(record.collection_id) if record is not None else None
        return len(followed.index) if followed is not None else 0

    def _candidates(self, queries: Sequence[VectorQuery]) -> list[Candidates | GatewayError]:
        """Return each query's candidates; queries of one collection go to its index together."""
        found: list[Candidates | GatewayError] = [_NONE] * len(queries)
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
        """Return what each query's candidates come to, and report the batch, which began at ``started``."""
        answers: list[Answer] = [
            each if isinstance(each, GatewayError) else self._held(score(query.vector, each, rows, query.top_k), query)
            for query, each in zip(queries, candidates, strict=True)
        ]
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _answer_one_by_one(
        self, queries: Sequence[VectorQuery], candidates: Sequence[Candidates | GatewayError], started: float
    ) -> list[Answer]:
        """Answer queries whose documents are too large to be read together."""
        answers: list[Answer] = []
        for query, each in zip(queries, candidates, strict=True):
            if isinstance(each, GatewayError):
                answers.append(each)
                continue
            try:
                rows = self._rows.get(each.keys, self._feed, self._limits.bytes)
            except TooManyBytes:
                answers.append(self._limits.too_large(query.top_k))
            else:
                answers.append(self._held(score(query.vector, each, rows, query.top_k), query))
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _held(self, hits: list[Hit], query: VectorQuery) -> Answer:
        """Return hits with a lease on the memory that they take, or the error that concerns this query."""
        try:
            return self._limits.held(hits, query.top_k)
        except (InvalidRequest, Overloaded) as error:
            return error


_NONE = Candidates([], {})


def _keys(candidates: Sequence[Candidates | GatewayError]) -> set[int]:
    return {key for each in candidates if not isinstance(each, GatewayError) for key in each.keys}
