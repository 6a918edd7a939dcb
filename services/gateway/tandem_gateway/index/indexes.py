"""The vector indexes of all spaces: they follow the store's changes and find the candidates of queries.

Nothing here is thread-safe; ``index_thread`` lets one thread in at a time.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.errors import (
    FingerprintMismatch,
    GatewayError,
    NotFound,
    StorageUnavailable,
    VectorsGone,
)
from tandem_gateway.index import catch_up, neighbours
from tandem_gateway.index.base import Base
from tandem_gateway.index.catch_up import Position
from tandem_gateway.index.engine_index import SearchedIndex
from tandem_gateway.index.engine_spaces import EngineSpaces, error_of_engine
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.first_passages import FirstPassages, passages_to_find
from tandem_gateway.index.followed import FollowedIndex, following, restored_base
from tandem_gateway.index.sizes import position_of
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.index.state import IndexState, VectorQuery
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.records.index import SnapshotManifest
from tandem_gateway.records.sizes import IndexPosition

log = logging.getLogger(__name__)

R = TypeVar("R")


class Indexes:
    """The indexes and their positions in the store's sequence of changes."""

    def __init__(self, places: Places) -> None:
        """Create them without indexes; ``load`` fills them.

        Args:
            places: the store, the snapshots and the graph factory; ``close`` closes the store.
        """
        self._places = places
        self._followed: dict[int, FollowedIndex] = {}
        self._records: dict[str, CollectionRecord] = {}
        self._served: dict[int, CollectionRecord] = {}
        """Space → record of its collection with that space, for spaces whose model is known; also second spaces."""
        self._catalogue: int | None = None
        """The store's catalogue version that ``_records`` and ``_served`` have."""
        self._reached = 0
        """Every index has all changes up to this one."""
        self._seen: int | None = None
        """The store's version that the indexes have caught up with; None if they may be behind."""
        self._version = 0
        """Grows with every change of an index."""
        self._engines = EngineSpaces(places)

    @property
    def _feed(self) -> IndexFeed:
        return self._places.feed

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to, None if it is not known. Thread-safe."""
        record = self._records.get(collection)
        return record.fingerprint if record is not None else None

    def collection(self, name: str) -> CollectionRecord:
        """Return the record of a collection as of the last ``follow``.

        Raises:
            NotFound: there is no such collection.
        """
        record = self._records.get(name)
        if record is None:
            raise _no_collection(name)
        return record

    def splits(self, collection: str) -> bool:
        """Return whether a collection's texts are split into passages; true if it is not known. Thread-safe."""
        record = self._records.get(collection)
        return record is None or record.chunking is not None

    def language(self, collection: str) -> str:
        """Return the language of a collection; the default if it is not known. Thread-safe."""
        record = self._records.get(collection)
        return DEFAULT_LANGUAGE if record is None else record.language

    def load(self) -> list[str]:
        """Load every index. Return a log line for each repair."""
        records = self._feed.spaces().all()
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
        if record.engine != OWN_ENGINE:
            origin = record.engine
            if (followed := self._engines.begin(record, None)) is None:
                return
        else:
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
        self.follow()  # so that the first passages have all changes that the snapshot has
        for record in self._feed.spaces().all():
            if record.space_id == space_id and record.dim is not None:
                catch_up.check_manifest(manifest, self._feed, record)
                position = Position(manifest.position, manifest.position)
                self._version += 1
                known = self._followed.get(space_id)
                firsts = known.firsts if known is not None else None
                self._followed[space_id] = following(self._feed, record, base, position, firsts)

    def refresh(self, space_id: int) -> None:
        """Search the last state of a space in its engine, and forget the changes that the engine has."""
        self.follow()  # so that the first passages have all changes that the engine has
        for record in self._feed.spaces().all():
            if record.space_id == space_id and record.dim is not None and record.engine != OWN_ENGINE:
                self._version += 1
                known = self._followed.get(space_id)
                followed = self._engines.begin(record, known.firsts if known is not None else None)
                if followed is not None:
                    self._followed[space_id] = followed

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
                self._serves(record),
                record.engine != OWN_ENGINE,
            )
            for record in self._served.values()
            if (followed := self._followed.get(record.space_id)) is not None
        ]

    def follow(self, at_least: int | None = None) -> None:
        """Bring every index up to date; not needed if all have the position ``at_least`` of the store."""
        if self.has(at_least) and not self._engines.due:
            return
        version = self._feed.version()
        if version == self._seen and not self._engines.due:
            return
        self._version += 1
        try:
            self._follow()
        except BaseException:
            self._seen = None
            raise
        self._seen = version

    def _follow(self) -> None:
        """Apply all changes. The cost depends on the spaces that have changed, not on the number of spaces."""
        catalogue, last = self._feed.catalogue(), self._feed.last_change()
        if catalogue != self._catalogue:
            spaces = self._feed.spaces()
            self._records = {record.name: record for record in spaces.serving}
            self._served = {record.space_id: record for record in spaces.all() if record.dim is not None}
            for gone in self._followed.keys() - self._served.keys():
                del self._followed[gone]
            self._engines.keep(space_id for space_id, each in self._served.items() if each.engine != OWN_ENGINE)
            for space_id, served in self._served.items():
                if space_id in self._followed and self._followed[space_id].engine != served.engine:
                    del self._followed[space_id]
            for space_id in self._served.keys() - self._followed.keys() - self._engines.waiting:
                self._begin(self._served[space_id])
        for space_id in self._engines.due:
            self._begin(self._served[space_id])
        for space_id in self._feed.changed_spaces(self._reached):
            record, followed = self._served.get(space_id), self._followed.get(space_id)
            if record is None or followed is None:
                continue
            followed.position.advance(self._reached)
            if catch_up.catch_up(followed.index, followed.position, self._feed, record, followed.firsts) is None:
                self._begin(record)
        self._catalogue, self._reached = catalogue, last

    def _begin(self, record: CollectionRecord) -> None:
        """Begin to follow a space, with all changes of the store."""
        self._followed.pop(record.space_id, None)
        if record.engine == OWN_ENGINE:
            self._followed[record.space_id] = following(self._feed, record, None, None)
        elif (followed := self._engines.begin(record, None)) is not None:
            self._followed[record.space_id] = followed

    def nearest(self, space_id: int, vectors: Vectors, count: int) -> list[list[int]]:
        """Return the documents nearest to each vector in a space; see ``neighbours.nearest``.

        Raises:
            NotFound: there is no such space any more.
        """
        self.follow()
        followed = self._followed.get(space_id)
        if followed is None or followed.index.dim != vectors.shape[1]:
            raise NotFound("collection: it is not being re-embedded any more", param="collection")
        return neighbours.nearest(followed, self._feed, space_id, vectors, count)

    def _serves(self, record: CollectionRecord) -> bool:
        """Return whether searches of the collection use the space of this record."""
        serving = self._records.get(record.name)
        return serving is not None and serving.space_id == record.space_id

    def space(self, collection: str) -> int | None:
        """Return the space that a collection serves from; None if the collection does not exist."""
        record = self._records.get(collection)
        return record.space_id if record is not None else None

    @property
    def catalogue(self) -> int | None:
        """The version of the store's catalogue that the indexes have; None before the first ``follow``."""
        return self._catalogue

    def unread(self) -> None:
        """Make the next ``follow`` look at the store, even if it has announced no commit."""
        self._seen = None

    def current(self, at_least: int | None = None) -> bool:
        """Return whether the indexes have a position of the store; None: every commit that it has announced."""
        if self._engines.due:
            return False
        return self._feed.version() == self._seen if at_least is None else self.has(at_least)

    def has(self, at_least: int | None) -> bool:
        """Return whether the indexes are known to have a position of the store, without asking; false for None."""
        return at_least is not None and self._seen is not None and self._seen >= at_least

    @property
    def version(self) -> int:
        """Number that grows with every change of an index."""
        return self._version

    def size(self, collection: str) -> int:
        """Return how many vectors a collection's index holds; 0 without an index."""
        record = self._records.get(collection)
        followed = self._followed.get(record.space_id) if record is not None else None
        return len(followed.index) if followed is not None else 0

    def position(self, collection: str) -> IndexPosition | None:
        """Return what a collection's index holds now; None if the collection or its model is not known."""
        record = self._records.get(collection)
        followed = self._followed.get(record.space_id) if record is not None else None
        return position_of(followed, self._reached) if followed is not None else None

    def firsts(self, collection: str) -> FirstPassages | None:
        """Return the first passages of the documents that have several; None if no document has."""
        record = self._records.get(collection)
        followed = self._followed.get(record.space_id) if record is not None else None
        return followed.firsts if followed is not None and len(followed.firsts) else None

    def candidates(self, queries: Sequence[VectorQuery], widening: int = 1) -> list[Candidates | GatewayError]:
        """Return each query's candidates. One call to an index searches all queries of its collection.

        Args:
            queries: see ``VectorQuery``.
            widening: where documents have several passages, how many times as many passages to find as at first.
        """
        found: list[Candidates | GatewayError] = [_NONE] * len(queries)
        together: dict[tuple[str, int], list[int]] = {}
        for place, query in enumerate(queries):
            record = self._records.get(query.collection)
            if record is None:
                found[place] = _no_collection(query.collection)
            elif record.space_id in self._engines:
                found[place] = self._engines.error(record.space_id)
            elif record.space_id in self._followed:
                if record.fingerprint == query.fingerprint and record.dim == len(query.vector):
                    followed = self._followed[record.space_id]
                    count = query.top_k
                    if len(followed.firsts):
                        count = passages_to_find(count, len(followed.index), len(followed.firsts), widening)
                    if query.among is None:
                        together.setdefault((query.collection, count), []).append(place)
                    else:
                        among = followed.firsts.passages_of(query.among)
                        found[place] = self._candidates_among(query, count, among)
                else:
                    found[place] = FingerprintMismatch(
                        record.name, pinned=str(record.fingerprint), offered=query.fingerprint
                    )
        for (collection, count), places in together.items():
            vectors = np.array([queries[place].vector for place in places])
            answers = self._searched(collection, partial(_search, vectors, count))
            for number, place in enumerate(places):
                found[place] = answers[number] if isinstance(answers, list) else error_of_engine(answers)
        return found

    def _candidates_among(self, query: VectorQuery, count: int, among: Keys) -> Candidates | GatewayError:
        return self._searched(query.collection, lambda index: index.search_among(query.vector, count, among))

    def _searched(self, collection: str, search: Callable[[SearchedIndex], R]) -> R | StorageUnavailable:
        """Return what a search of a collection's index returns, or the error of its engine.

        If another generation was published, and the searched one is gone, the search is repeated in the new one.
        """
        space_id = self._records[collection].space_id
        try:
            try:
                return search(self._followed[space_id].index)
            except VectorsGone:
                self.refresh(space_id)
                return search(self._followed[space_id].index)
        except (StorageUnavailable, VectorsGone) as error:
            return error_of_engine(error)

    def close(self) -> None:
        """Close the store's feed and the engines."""
        self._feed.close()
        for engine in self._places.engines.values():
            engine.close()


def _search(vectors: Vectors, count: int, index: SearchedIndex) -> list[Candidates]:
    return index.search(vectors, count)


def _no_collection(name: str) -> NotFound:
    return NotFound(f"collection: there is no collection {name!r}", param="collection")


_NONE = Candidates([], {})
