"""Implements second spaces on the store: all their statements.

A second space has the state ``filling``. Its vectors get change numbers when they are stored, so that an index follows
it while the other space serves. A switch exchanges the states of the two spaces: before and after it, each live passage
has an indexed vector in both. A space that was dropped is ``retired``, and ``purge`` removes its vectors.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from tandem_gateway.adapters.reembeddings import (
    SCANNED,
    check_start,
    check_switch,
    check_vectors,
    second_space,
    spread,
)
from tandem_gateway.adapters.sqlite import catalogue, counters, reads
from tandem_gateway.adapters.sqlite.embedding_queue import passage_texts
from tandem_gateway.adapters.sqlite.passages import NewVector, add_second_vector
from tandem_gateway.adapters.sqlite.schema import seal
from tandem_gateway.records.documents import PendingPassage
from tandem_gateway.records.reembedding import (
    MissingPage,
    Reembedding,
    SampledPassage,
    SecondSpace,
    SecondVectors,
    SpaceModel,
)
from tandem_runtime.memory import utf8_bytes

R = TypeVar("R")

_SECOND: Final = (
    "SELECT c.collection_id, c.name, o.space_id, o.model, o.fingerprint, o.dim, s.space_id, s.model, s.fingerprint, "
    "s.dim FROM spaces o JOIN collections c ON c.collection_id = o.collection_id "
    "JOIN spaces s ON s.collection_id = o.collection_id AND s.state = 'serving' WHERE o.state = 'filling'"
)
_MISSING: Final = (
    "SELECT v.change, v.passage_id, EXISTS (SELECT 1 FROM vectors o WHERE o.passage_id = v.passage_id "
    "AND o.space_id = :second) FROM vectors v WHERE v.space_id = :serving AND v.change > :after "
    "ORDER BY v.change LIMIT :scanned"
)
_FIRST_NEAR: Final = (
    "SELECT f.passage_id, a.vector, b.vector FROM vectors v JOIN passages p ON p.passage_id = v.passage_id "
    "JOIN passages f ON f.document_id = p.document_id AND f.ordinal = 0 "
    "JOIN vectors a ON a.passage_id = f.passage_id AND a.space_id = :serving AND a.change IS NOT NULL "
    "JOIN vectors b ON b.passage_id = f.passage_id AND b.space_id = :second AND b.change IS NOT NULL "
    "WHERE v.space_id = :second AND v.change >= :change ORDER BY v.change LIMIT 1"
)


class Run(Protocol):
    """Runs statements on a connection in its thread, and returns their result."""

    def __call__(self, statement: Callable[[sqlite3.Connection], R], /) -> Awaitable[R]:
        """Run ``statement`` in a transaction."""
        ...


class SqliteReembeddings:
    """Implements ``Reembeddings``; any number of callers of one event loop may use it."""

    def __init__(self, read: Run, write: Run, *, batch_bytes: int) -> None:
        """Use a store.

        Args:
            read: runs a read.
            write: runs a write; returns once it is on disk.
            batch_bytes: maximum UTF-8 bytes of the texts of a page; a longer text comes alone.
        """
        self._read = read
        self._write = write
        self._batch_bytes = batch_bytes

    async def start(self, collection: str, target: SpaceModel) -> Reembedding:
        """Make a second space; see ``Reembeddings.start``."""
        return await self._write(lambda c: start(c, collection, target))

    async def reembedding(self, collection: str) -> Reembedding | None:
        """Return a collection's second space; see ``Reembeddings.reembedding``."""
        return await self._read(lambda c: reembedding(c, collection))

    async def spaces(self) -> list[SecondSpace]:
        """Return all second spaces; see ``Reembeddings.spaces``."""
        return await self._read(spaces)

    async def missing(self, space: SecondSpace, after: int, limit: int) -> MissingPage:
        """Return passages without a vector; see ``Reembeddings.missing``."""
        return await self._read(lambda c: missing(c, space, after, limit, self._batch_bytes))

    async def add(self, batch: SecondVectors) -> int:
        """Store vectors; see ``Reembeddings.add``."""
        return await self._write(lambda c: add(c, batch))

    async def switch(self, collection: str, *, back: bool = False) -> Reembedding:
        """Exchange the spaces; see ``Reembeddings.switch``."""
        return await self._write(lambda c: switch(c, collection, back=back))

    async def drop(self, collection: str) -> bool:
        """Drop the second space; see ``Reembeddings.drop``."""
        return await self._write(lambda c: drop(c, collection))

    async def sample(self, collection: str, count: int) -> list[SampledPassage]:
        """Return some first passages; see ``Reembeddings.sample``."""
        return await self._read(lambda c: sample(c, collection, count))


def start(connection: sqlite3.Connection, collection: str, target: SpaceModel) -> Reembedding:
    """Make a second space; see ``Reembeddings.start``."""
    record = reads.collection_by_name(connection, collection)
    check_start(record, collection, target, second=_of_collection(connection, collection) is not None)
    assert record is not None
    catalogue.create_space(connection, record.collection_id, target)
    made = reembedding(connection, collection)
    assert made is not None
    return made


def reembedding(connection: sqlite3.Connection, collection: str) -> Reembedding | None:
    """Return a collection's second space; see ``Reembeddings.reembedding``."""
    space = _of_collection(connection, collection)
    if space is None:
        return None
    passages, embedded = (_indexed(connection, number) for number in (space.serving_id, space.space_id))
    return Reembedding(space, passages, embedded, counters.value(connection, catalogue.truncated_in(space.space_id)))


def spaces(connection: sqlite3.Connection) -> list[SecondSpace]:
    """Return all second spaces, by collection; see ``Reembeddings.spaces``."""
    return [second_space(*row) for row in connection.execute(f"{_SECOND} ORDER BY c.name")]


def missing(connection: sqlite3.Connection, space: SecondSpace, after: int, limit: int, max_bytes: int) -> MissingPage:
    """Return passages without a vector; see ``Reembeddings.missing``."""
    if not _is_current(connection, space):
        return MissingPage([], after, complete=True)
    rows = connection.execute(
        _MISSING, {"second": space.space_id, "serving": space.serving_id, "after": after, "scanned": SCANNED}
    ).fetchall()
    wanted = [(change, passage_id) for change, passage_id, there in rows if not there]
    texts = passage_texts(connection, [passage_id for _, passage_id in wanted], {})
    found: list[PendingPassage] = []
    taken = 0
    for (change, _), each in zip(wanted, texts, strict=True):
        taken += utf8_bytes(each.passage.text)
        if len(found) == limit or (found and taken > max_bytes):
            return MissingPage(found, change - 1, complete=False)
        found.append(each.passage)
    return MissingPage(found, rows[-1][0] if rows else after, complete=len(rows) < SCANNED)


def add(connection: sqlite3.Connection, batch: SecondVectors) -> int:
    """Store vectors; see ``Reembeddings.add``."""
    check_vectors(batch)
    if not _is_current(connection, batch.space):
        return 0
    space_id = batch.space.space_id
    little_endian = batch.vectors.astype("<f4", copy=False)
    added = truncated = 0
    for row, passage_id in enumerate(batch.passage_ids):
        coverage = batch.coverages[row] if batch.coverages else None
        vector = NewVector(passage_id, little_endian[row].tobytes(), coverage)
        if add_second_vector(connection, space_id, vector):
            added += 1
            truncated += coverage is not None and coverage.truncated
    if truncated:
        name = catalogue.truncated_in(space_id)
        counters.set_value(connection, name, counters.value(connection, name) + truncated)
    if added:
        catalogue.note_change(connection, batch.space.collection_id)
    return added


def switch(connection: sqlite3.Connection, collection: str, *, back: bool) -> Reembedding:
    """Exchange the spaces; see ``Reembeddings.switch``."""
    before = check_switch(reembedding(connection, collection), collection, back=back)
    space = before.space
    # Vectors of documents that are not live: those documents wait for all vectors of the other model.
    connection.execute("DELETE FROM vectors WHERE space_id = ? AND change IS NULL", (space.serving_id,))
    # In this order, because at most one space serves.
    for space_id, state in ((space.serving_id, "filling"), (space.space_id, "serving")):
        connection.execute("UPDATE spaces SET state = ? WHERE space_id = ?", (state, space_id))
        seal(connection, "spaces", "space_id", space_id)
    counters.next_number(connection, "catalogue")
    switched = _of_collection(connection, collection)
    assert switched is not None
    # Not counted again: both spaces have a vector of each live passage.
    truncated = counters.value(connection, catalogue.truncated_in(switched.space_id))
    return Reembedding(switched, before.embedded, before.passages, truncated)


def drop(connection: sqlite3.Connection, collection: str) -> bool:
    """Drop the second space; see ``Reembeddings.drop``."""
    space = _of_collection(connection, collection)
    if space is None:
        return False
    catalogue.retire_space(connection, space.space_id)
    return True


def sample(connection: sqlite3.Connection, collection: str, count: int) -> list[SampledPassage]:
    """Return some first passages; see ``Reembeddings.sample``."""
    space = _of_collection(connection, collection)
    if space is None:
        return []
    first, last = connection.execute(
        "SELECT (SELECT min(change) FROM vectors WHERE space_id = :id AND change IS NOT NULL), "
        "(SELECT max(change) FROM vectors WHERE space_id = :id AND change IS NOT NULL)",
        {"id": space.space_id},
    ).fetchone()
    found: dict[int, SampledPassage] = {}
    if first is None:
        return []
    for change in spread(count, range(first, last + 1)):
        row = connection.execute(
            _FIRST_NEAR, {"serving": space.serving_id, "second": space.space_id, "change": change}
        ).fetchone()
        if row is not None:
            found.setdefault(row[0], SampledPassage(*row))
    return list(found.values())


def _of_collection(connection: sqlite3.Connection, collection: str) -> SecondSpace | None:
    row = connection.execute(f"{_SECOND} AND c.name = ?", (collection,)).fetchone()
    return second_space(*row) if row else None


def _is_current(connection: sqlite3.Connection, space: SecondSpace) -> bool:
    """Return whether the spaces have the roles that they had when ``space`` was read."""
    states: dict[int, str] = dict(
        connection.execute(
            "SELECT space_id, state FROM spaces WHERE collection_id = ?", (space.collection_id,)
        ).fetchall()
    )
    return (states.get(space.space_id), states.get(space.serving_id)) == ("filling", "serving")


def _indexed(connection: sqlite3.Connection, space_id: int) -> int:
    """Return how many vectors of a space an index holds. A scan of an index: 1,000,000 vectors take some 80 ms."""
    (count,) = connection.execute(
        "SELECT count(*) FROM vectors WHERE space_id = ? AND change > 0", (space_id,)
    ).fetchone()
    return int(count)
