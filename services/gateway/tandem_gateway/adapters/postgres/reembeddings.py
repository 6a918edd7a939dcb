"""Implements second spaces in the database; see ``adapters/sqlite/reembeddings.py`` for what they are."""

from typing import Any, Final

from tandem_gateway.adapters.postgres import reads
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.lanes import Lane
from tandem_gateway.adapters.postgres.snapshot import one_state
from tandem_gateway.adapters.reembeddings import (
    SCANNED,
    check_start,
    check_switch,
    check_vectors,
    second_space,
    spread,
)
from tandem_gateway.errors import Overloaded
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

_ATTEMPTS: Final = 20
_TEXTS_AT_ONCE: Final = 64
_SECOND: Final = (
    "SELECT c.collection_id, c.name, o.space_id, o.model, o.fingerprint, o.dim, s.space_id, s.model, s.fingerprint, "
    "s.dim FROM spaces o JOIN collections c ON c.collection_id = o.collection_id "
    "JOIN spaces s ON s.collection_id = o.collection_id AND s.state = 'serving' WHERE o.state = 'filling'"
)
_MISSING: Final = (
    "SELECT v.change, v.passage_id, EXISTS (SELECT 1 FROM vectors o WHERE o.passage_id = v.passage_id "
    "AND o.space_id = %(second)s) FROM vectors v WHERE v.space_id = %(serving)s AND v.change > %(after)s "
    "ORDER BY v.change LIMIT %(scanned)s"
)
_TEXTS: Final = (
    "SELECT p.passage_id, CASE WHEN p.stop IS NULL THEN substr(d.text, p.start + 1) "
    "ELSE substr(d.text, p.start + 1, p.stop - p.start) END, (SELECT w.job_id FROM waiting w "
    "WHERE w.document_id = p.document_id ORDER BY w.document_id, w.job_id LIMIT 1) FROM unnest(%s::bigint[]) AS "
    "u(passage_id) "
    "CROSS JOIN LATERAL (SELECT x.* FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p "
    "CROSS JOIN LATERAL (SELECT x.text FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d"
)
_FIRST_NEAR: Final = (
    "SELECT f.passage_id, a.vector, b.vector FROM vectors v JOIN passages p ON p.passage_id = v.passage_id "
    "JOIN passages f ON f.document_id = p.document_id AND f.ordinal = 0 "
    "JOIN vectors a ON a.passage_id = f.passage_id AND a.space_id = %(serving)s AND a.change IS NOT NULL "
    "JOIN vectors b ON b.passage_id = f.passage_id AND b.space_id = %(second)s AND b.change IS NOT NULL "
    "WHERE v.space_id = %(second)s AND v.change >= %(change)s ORDER BY v.change LIMIT 1"
)


class PostgresReembeddings:
    """Implements ``Reembeddings``; any number of callers of one event loop may use it."""

    def __init__(self, reading: Lane, writing: Lane, *, batch_bytes: int) -> None:
        """Use a store.

        Args:
            reading: runs the reads.
            writing: runs the writes.
            batch_bytes: maximum UTF-8 bytes of the texts of a page; a longer text comes alone.
        """
        self._reading = reading
        self._writing = writing
        self._batch_bytes = batch_bytes

    async def start(self, collection: str, target: SpaceModel) -> Reembedding:
        """Make a second space; see ``Reembeddings.start``."""
        return await self._writing.run(lambda c: _start(c, collection, target), repeatable=False)

    async def reembedding(self, collection: str) -> Reembedding | None:
        """Return a collection's second space; see ``Reembeddings.reembedding``."""
        return await self._reading.run(one_state(lambda c: reembedding(c, collection)), repeatable=True)

    async def spaces(self) -> list[SecondSpace]:
        """Return all second spaces; see ``Reembeddings.spaces``."""
        return await self._reading.run(
            lambda c: [second_space(*row) for row in c.execute(f"{_SECOND} ORDER BY c.name")], repeatable=True
        )

    async def missing(self, space: SecondSpace, after: int, limit: int) -> MissingPage:
        """Return passages without a vector; see ``Reembeddings.missing``."""
        return await self._reading.run(
            one_state(lambda c: _missing(c, space, after, limit, self._batch_bytes)), repeatable=True
        )

    async def add(self, batch: SecondVectors) -> int:
        """Store vectors; see ``Reembeddings.add``."""
        check_vectors(batch)
        return await self._writing.run(lambda c: _add(c, batch), repeatable=False)

    async def switch(self, collection: str, *, back: bool = False) -> Reembedding:
        """Exchange the spaces; see ``Reembeddings.switch``."""
        return await self._writing.run(lambda c: _switch(c, collection, back=back), repeatable=False)

    async def drop(self, collection: str) -> bool:
        """Drop the second space; see ``Reembeddings.drop``."""
        return await self._writing.run(
            lambda c: bool(_one(c, "SELECT drop_space_v1(%s)", (collection,))[0]), repeatable=False
        )

    async def sample(self, collection: str, count: int) -> list[SampledPassage]:
        """Return some first passages; see ``Reembeddings.sample``."""
        return await self._reading.run(one_state(lambda c: _sample(c, collection, count)), repeatable=True)


def reembedding(connection: Connection, collection: str) -> Reembedding | None:
    """Return a collection's second space; see ``Reembeddings.reembedding``."""
    space = _of_collection(connection, collection)
    if space is None:
        return None
    passages, embedded = (_indexed(connection, number) for number in (space.serving_id, space.space_id))
    (truncated,) = _one(
        connection, "SELECT coalesce(max(truncated), 0) FROM spaces WHERE space_id = %s", (space.space_id,)
    )
    return Reembedding(space, passages, embedded, truncated)


def _start(connection: Connection, collection: str, target: SpaceModel) -> Reembedding:
    for _ in range(_ATTEMPTS):
        record = reads.collection_by_name(connection, collection)
        check_start(record, collection, target, second=_of_collection(connection, collection) is not None)
        assert record is not None
        values = (record.collection_id, record.space_id, target.model, target.fingerprint, target.dim)
        if _one(connection, "SELECT start_space_v1(%s, %s, %s, %s, %s)", values)[0]:
            made = reembedding(connection, collection)
            if made is not None:
                return made
    raise Overloaded(f"collection {collection!r} changes faster than it can be re-embedded")


def _missing(connection: Connection, space: SecondSpace, after: int, limit: int, max_bytes: int) -> MissingPage:
    if not _is_current(connection, space):
        return MissingPage([], after, complete=True)
    rows = connection.execute(
        _MISSING, {"second": space.space_id, "serving": space.serving_id, "after": after, "scanned": SCANNED}
    ).fetchall()
    wanted = [(change, passage_id) for change, passage_id, there in rows if not there]
    found: list[PendingPassage] = []
    taken = 0
    for start in range(0, len(wanted), _TEXTS_AT_ONCE):
        part = wanted[start : start + _TEXTS_AT_ONCE]
        texts = {row[0]: row for row in connection.execute(_TEXTS, ([passage_id for _, passage_id in part],))}
        for change, passage_id in part:
            _, text, job = texts[passage_id]
            taken += utf8_bytes(text)
            if len(found) == limit or (found and taken > max_bytes):
                return MissingPage(found, change - 1, complete=False)
            found.append(PendingPassage(passage_id, text, job=job))
    return MissingPage(found, rows[-1][0] if rows else after, complete=len(rows) < SCANNED)


def _add(connection: Connection, batch: SecondVectors) -> int:
    unknown: list[Any] = [None] * len(batch.passage_ids)
    values = (
        batch.space.collection_id,
        batch.space.space_id,
        batch.space.serving_id,
        list(batch.passage_ids),
        batch.vectors.astype("<f4", copy=False).tobytes(),
        int(batch.vectors.shape[1]) * 4,
        [each.truncated for each in batch.coverages] or unknown,
        [each.unknown for each in batch.coverages] or unknown,
    )
    statement = "SELECT add_second_v1(%s, %s, %s, %b::bigint[], %b, %s, %s::boolean[], %s::float8[])"
    return int(_one(connection, statement, values)[0])


def _switch(connection: Connection, collection: str, *, back: bool) -> Reembedding:
    for _ in range(_ATTEMPTS):
        before = check_switch(reembedding(connection, collection), collection, back=back)
        space = before.space
        values = (space.collection_id, space.space_id, space.serving_id)
        if _one(connection, "SELECT switch_v1(%s, %s, %s)", values)[0]:
            after = reembedding(connection, collection)
            if after is not None:
                return after
    raise Overloaded(f"collection {collection!r} changes faster than it can be switched")


def _sample(connection: Connection, collection: str, count: int) -> list[SampledPassage]:
    space = _of_collection(connection, collection)
    if space is None:
        return []
    first, last = _one(
        connection,
        "SELECT min(change), max(change) FROM vectors WHERE space_id = %s AND change IS NOT NULL",
        (space.space_id,),
    )
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


def _of_collection(connection: Connection, collection: str) -> SecondSpace | None:
    row = connection.execute(f"{_SECOND} AND c.name = %s", (collection,)).fetchone()
    return second_space(*row) if row is not None else None


def _is_current(connection: Connection, space: SecondSpace) -> bool:
    """Return whether the spaces have the roles that they had when ``space`` was read."""
    rows = connection.execute("SELECT space_id, state FROM spaces WHERE collection_id = %s", (space.collection_id,))
    states: dict[int, str] = dict(rows.fetchall())
    return (states.get(space.space_id), states.get(space.serving_id)) == ("filling", "serving")


def _indexed(connection: Connection, space_id: int) -> int:
    """Return how many vectors of a space an index holds. A scan of an index."""
    found: int = _one(
        connection, "SELECT count(*) FROM vectors WHERE space_id = %s AND change IS NOT NULL", (space_id,)
    )[0]
    return found


def _one(connection: Connection, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row
