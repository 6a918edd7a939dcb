"""Vectors in PostgreSQL with the extension pgvector, 0.8 or later: one table of ``halfvec`` for each generation.

The database may be that of the store, or another one. A vector has 16 bits for each number, and an HNSW index.
"""

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import psycopg

from tandem_gateway.adapters.postgres.connection import Connection, explain
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection
from tandem_gateway.errors import StorageUnavailable, VectorsGone
from tandem_gateway.ports.vector_engine import MAX_COUNT
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState

MAX_DIM: Final = 4000
"""Longest vectors that an HNSW index of ``halfvec`` takes."""

_SETUP: Final = """
SELECT pg_advisory_xact_lock(hashtext('tandem_engine'));
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS engine_generations (
  generation text PRIMARY KEY,
  store_id   text NOT NULL,
  space_id   bigint NOT NULL,
  dim        integer NOT NULL,
  position   bigint NOT NULL DEFAULT 0,
  vectors    bigint NOT NULL DEFAULT 0,
  published  bigint  -- grows with each publication; null before
);
"""
_IS_SET_UP: Final = "SELECT to_regclass('engine_generations') IS NOT NULL"
# Each graph search keeps this many candidates, as that of the gateway's own graphs.
_EFFORT: Final = 112
_MAX_EFFORT: Final = 1000
_PAGE: Final = 10_000
# A search by many of the vectors compares them in a scan; PostgreSQL prefers the index otherwise.
_SEARCH: Final = """
SELECT q.n, h.key, h.score FROM unnest(%(queries)s::text[]) WITH ORDINALITY AS q(v, n), LATERAL (
  SELECT t.key, -(t.vector <#> q.v::halfvec({dim})) AS score FROM {table} t
  ORDER BY t.vector <#> q.v::halfvec({dim}) LIMIT %(count)s) h
ORDER BY q.n, h.score DESC, h.key
"""
_SEARCH_AMONG: Final = """
WITH few AS MATERIALIZED (SELECT t.key, t.vector FROM {table} t WHERE t.key = ANY(%(among)s::bigint[]))
SELECT q.n, h.key, h.score FROM unnest(%(queries)s::text[]) WITH ORDINALITY AS q(v, n), LATERAL (
  SELECT f.key, -(f.vector <#> q.v::halfvec({dim})) AS score FROM few f
  ORDER BY f.vector <#> q.v::halfvec({dim}) LIMIT %(count)s) h
ORDER BY q.n, h.score DESC, h.key
"""


class PgvectorEngine:
    """Implements ``VectorEngine``."""

    def __init__(self, url: str, *, prepared: bool = True) -> None:
        """Make the adapter; it connects with the first call, and then makes what the database lacks.

        Args:
            url: a connection string of libpq. Its user must be allowed to make tables; and the extension, unless it
                is there.
            prepared: see ``postgres.connection.connect``.
        """
        self._kept = KeptConnection(url, prepared=prepared)
        self._set_up = False

    def state(self, space: EngineSpace) -> EngineState | None:
        """Return the published generation; see ``VectorEngine.state``."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT generation, position, vectors FROM engine_generations WHERE store_id = %s AND space_id = %s "
                "AND dim = %s AND published IS NOT NULL ORDER BY published DESC LIMIT 1",
                (space.store_id, space.space_id, space.dim),
            ).fetchone()
        return EngineState(row[0], row[1], row[1], row[2]) if row is not None else None

    def begin(self, space: EngineSpace) -> EngineState:
        """Make a generation; see ``VectorEngine.begin``.

        Raises:
            StorageUnavailable: also for vectors that are too long for an index.
        """
        if space.dim > MAX_DIM:
            raise StorageUnavailable(f"pgvector indexes vectors of up to {MAX_DIM} numbers, and these have {space.dim}")
        state = EngineState(secrets.token_hex(8), 0, 0, 0)
        with self._connection() as connection, connection.transaction():
            connection.execute(
                "INSERT INTO engine_generations (generation, store_id, space_id, dim) VALUES (%s, %s, %s, %s)",
                (state.generation, space.store_id, space.space_id, space.dim),
            )
            self._run(
                connection,
                "CREATE TABLE {table} (key bigint PRIMARY KEY, vector halfvec({dim}) NOT NULL)",
                space,
                state,
            )
            self._run(connection, "ALTER TABLE {table} ALTER vector SET STORAGE PLAIN", space, state)
            self._run(
                connection,
                "CREATE INDEX ON {table} USING hnsw (vector halfvec_ip_ops) WITH (m = 16, ef_construction = 128)",
                space,
                state,
            )
        return state

    def write(
        self, space: EngineSpace, state: EngineState, added: Keys, vectors: Vectors, removed: Keys, position: int
    ) -> EngineState:
        """Add and remove vectors, and record the position, in one transaction; see ``VectorEngine.write``."""
        with self._connection() as connection, connection.transaction():
            inserted = self._run(
                connection,
                "INSERT INTO {table} SELECT u.key, u.v::halfvec({dim}) FROM unnest(%s::bigint[], %s::text[]) "
                "AS u(key, v) ON CONFLICT (key) DO NOTHING",
                space,
                state,
                (added.astype(np.int64).tolist(), _texts(vectors)),
            ).rowcount
            deleted = self._run(
                connection,
                "DELETE FROM {table} WHERE key = ANY(%s::bigint[])",
                space,
                state,
                (removed.astype(np.int64).tolist(),),
            ).rowcount
            row = connection.execute(
                "UPDATE engine_generations SET position = greatest(position, %s), vectors = vectors + %s "
                "WHERE generation = %s RETURNING position, vectors",
                (position, inserted - deleted, state.generation),
            ).fetchone()
            if row is None:
                raise VectorsGone
        return replace(state, written=row[0], visible=row[0], count=row[1])

    def publish(self, space: EngineSpace, state: EngineState) -> None:
        """Publish a generation; see ``VectorEngine.publish``."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE engine_generations SET published = (SELECT coalesce(max(published), 0) + 1 "
                "FROM engine_generations) WHERE generation = %s",
                (state.generation,),
            )

    def search(
        self, space: EngineSpace, state: EngineState, queries: Vectors, count: int, among: Keys | None = None
    ) -> list[dict[int, float]]:
        """Search a generation; see ``VectorEngine.search``."""
        values: dict[str, Any] = {"queries": _texts(queries), "count": min(count, MAX_COUNT)}
        statement = _SEARCH
        if among is not None:
            statement = _SEARCH_AMONG
            values["among"] = among.astype(np.int64).tolist()
        found: list[dict[int, float]] = [{} for _ in queries]
        with self._connection() as connection, connection.transaction():
            effort = min(max(_EFFORT, count), _MAX_EFFORT)
            # Without the scan in steps, a search finds no more than the effort, and less if rows were deleted.
            connection.execute(
                "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', %s, true), "
                "set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)",
                (str(effort), "relaxed_order"),
            )
            for place, key, score in self._run(connection, statement, space, state, values):
                found[place - 1][key] = score
        return found

    def keys(self, space: EngineSpace, state: EngineState) -> Iterator[Keys]:
        """Yield keys; see ``VectorEngine.keys``."""
        after = -1
        while True:
            with self._connection() as connection:
                statement = "SELECT key FROM {table} WHERE key > %s ORDER BY key LIMIT %s"
                rows = self._run(connection, statement, space, state, (after, _PAGE)).fetchall()
            if not rows:
                return
            page = np.array([key for (key,) in rows], np.uint64)
            after = int(page[-1])
            yield page

    def count(self, space: EngineSpace, state: EngineState) -> int:
        """Return the number of vectors; see ``VectorEngine.count``."""
        with self._connection() as connection:
            row = self._run(connection, "SELECT count(*) FROM {table}", space, state).fetchone()
        assert row is not None
        return int(row[0])

    def remove_orphans(self, store_id: str, spaces: Collection[int]) -> list[str]:
        """Remove what no gateway needs; see ``VectorEngine.remove_orphans``."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT g.generation, g.space_id, g.dim FROM engine_generations g WHERE g.store_id = %s AND "
                "(NOT g.space_id = ANY(%s::bigint[]) OR g.published IS NULL OR g.published < ("
                "SELECT x.published FROM engine_generations x WHERE x.store_id = g.store_id "
                "AND x.space_id = g.space_id AND x.published IS NOT NULL ORDER BY x.published DESC OFFSET 1 LIMIT 1))",
                (store_id, list(spaces)),
            ).fetchall()
            removed = []
            for generation, space_id, dim in rows:
                space, state = EngineSpace(store_id, space_id, dim), EngineState(generation, 0, 0, 0)
                with connection.transaction():
                    self._run(connection, "DROP TABLE IF EXISTS {table}", space, state)
                    connection.execute("DELETE FROM engine_generations WHERE generation = %s", (generation,))
                removed.append(f"{space.name}_{generation}")
        return removed

    def close(self) -> None:
        """Close the connection."""
        self._kept.close()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            connection = self._kept.usable()
            if not self._set_up:
                _prepare(connection)
                self._set_up = True
            yield connection
        except psycopg.errors.UndefinedTable as error:
            raise VectorsGone(str(error)) from error
        except psycopg.Error as error:
            told = explain(error)
            raise StorageUnavailable(f"pgvector: {told}", detail=f"pgvector: {told.detail or told}") from error

    def _run(
        self,
        connection: Connection,
        statement: str,
        space: EngineSpace,
        state: EngineState,
        values: tuple[Any, ...] | dict[str, Any] = (),
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement on the table of a generation, whose name is made here and never a caller's."""
        assert state.generation.isalnum()
        text = statement.format(table=f"engine_{state.generation}", dim=space.dim)
        return connection.execute(text, values)


def _prepare(connection: Connection) -> None:
    """Make the extension and the table of generations, if they are not there."""
    row = connection.execute(_IS_SET_UP).fetchone()
    if row != (True,):
        with connection.transaction():
            connection.execute(_SETUP, prepare=False)


def _texts(vectors: Vectors) -> list[str]:
    """Return vectors as pgvector reads them; five digits are more than 16 bits hold."""
    return ["[" + ",".join([f"{number:.5g}" for number in row]) + "]" for row in vectors.tolist()]
