"""Verifies an index: it has exactly the rows of the store, and it finds each row by the row's own vector."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tandem_gateway.errors import NoSnapshotYet, SnapshotOutdated, SnapshotUnusable
from tandem_gateway.index import catch_up
from tandem_gateway.index.base import SEARCH_EFFORT, Base
from tandem_gateway.index.catch_up import Position
from tandem_gateway.index.findable import FindableIndex
from tandem_gateway.index.overlay import SCORE_DECIMALS, exact_scores
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionRecord

Print = Callable[[str], None]

_PAGE: Final = 1000
_TELL_EVERY: Final = 50_000
# A search with little effort finds most vectors. Any vector that it finds, a search with more effort finds too.
_LITTLE_EFFORT: Final = 12
_TIE: Final = 10.0**-SCORE_DECIMALS
_REBUILD: Final = "run `python -m tandem_gateway rebuild`"


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of a verification: whether the index is sound, and a line with the verdict or the fault."""

    sound: bool
    verdict: str


def verify(places: Places, record: CollectionRecord, report: Print) -> Verified:
    """Compare a collection's index with the store, and search for every vector in it.

    Args:
        places: see ``Places``.
        record: of a collection that has a dim.
        report: called with a line of progress.

    Raises:
        StorageError: if the store cannot be read.
    """
    base: Base | None = None
    position: Position | None = None
    origin = "built from the store"
    try:
        base, position = catch_up.restore(places.feed, places.snapshots, places.factory, record, writable=False)
        origin = "from its snapshot"
    except (NoSnapshotYet, SnapshotOutdated):
        pass
    except SnapshotUnusable as reason:
        return Verified(False, f"{reason}; the next start builds it from the store")
    assert record.dim is not None
    index = FindableIndex(record.dim, base)
    position = position or catch_up.beginning(places.feed)
    changes = catch_up.catch_up(index, position, places.feed, record)
    if changes is None:
        return Verified(True, "its snapshot is too old to follow the store; the next start builds it again")
    difference = np.setxor1d(index.keys(), places.feed.passage_ids(record.space_id))
    if len(difference):
        return Verified(
            False, f"differs from the store in {len(difference)} rows (first: {difference[:5].tolist()}); {_REBUILD}"
        )
    lost = _lost(index, places, record, report)
    if lost:
        return Verified(False, f"does not find {len(lost)} vectors (first rows: {lost[:5]}); {_REBUILD}")
    exact = f", {index.exact} of them compared one by one" if base is not None else ""
    return Verified(True, f"agrees and finds all {len(index)} vectors{exact} ({origin}, {changes} changes newer)")


def _lost(index: FindableIndex, places: Places, record: CollectionRecord, report: Print) -> list[int]:
    """Return the rows that a search for their own vectors neither ranks first nor ties with the first."""
    lost: list[int] = []
    position, done = 0, 0
    while True:
        changes = places.feed.changes(record, after=position, removals_after=1 << 62, limit=_PAGE)
        assert changes is not None, "the store forgets no removals that are still to come"
        keys, vectors = changes.added, changes.vectors
        for effort in (_LITTLE_EFFORT, SEARCH_EFFORT):
            missing = _not_first(index, places, record, keys, vectors, effort)
            keys, vectors = keys[missing], vectors[missing]
        lost += keys.tolist()
        position, done = changes.upto, done + len(changes.added)
        if changes.complete:
            return lost
        if done % _TELL_EVERY == 0:
            report(f"collection {record.name}: searched for {done} of {len(index)} vectors")


def _not_first(
    index: FindableIndex, places: Places, record: CollectionRecord, keys: Keys, vectors: Vectors, effort: int
) -> list[int]:
    """Return the places of the keys that a search for their vector neither ranks first nor ties with the first.

    A key among the candidates passes: its exact score is 1, and no score is higher.
    """
    candidates = index.search(vectors, 1, effort=effort)
    absent = [place for place, key in enumerate(keys.tolist()) if key not in candidates[place].keys]
    rows = places.feed.vectors(record.space_id, sorted({key for place in absent for key in candidates[place].keys}))
    return [
        place
        for place in absent
        if not any(_are_equal(vectors[place], rows[key]) for key in candidates[place].keys if key in rows)
    ]


def _are_equal(vector: Vectors, other: bytes) -> bool:
    (cosine,) = exact_scores(np.frombuffer(other, "<f4")[None], vector).tolist()
    return bool(cosine >= 1 - _TIE)
