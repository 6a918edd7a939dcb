"""Vectors in Milvus: one collection for each generation, and one that lists the generations.

Searches use the consistency level *Bounded*, because *Strong* costs each of them hundreds of milliseconds. They may
miss what was written in the last seconds. A change therefore counts as visible some seconds after it was written; until
then each gateway has it in memory. What Tandem keeps about its generations is read at the level *Strong*.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import grpc  # of pymilvus
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from tandem_gateway.errors import StorageUnavailable, VectorsGone
from tandem_gateway.ports.vector_engine import MAX_COUNT
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState

# It logs each error with its traceback; the callers get the errors.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

_GENERATIONS: Final = "tandem_generations"
_NUMBERS: Final = ["space_id", "dim", "written", "settling", "settling_since", "settled", "vectors", "published"]
_FIELDS: Final = ["generation", "store_id", *_NUMBERS]
_EFFORT: Final = 112
_PAGE: Final = 1000
_SEARCH_SECONDS: Final = 5.0
_WRITE_SECONDS: Final = 60.0
# After an error of the connection, calls fail at once for so long: each would else wait for its deadline.
_PAUSE_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 10.0
"""Seconds after which searches see what was written: twice Milvus' bound, so that clocks may differ."""
_MAX_GENERATIONS: Final = 10_000
_NOT_FOUND: Final = 100
"""Milvus' code of the error for a collection that does not exist."""
_NOT_LOADED: Final = 101
"""Milvus' code of the error for a collection whose vectors are not in its memory."""


class MilvusEngine:
    """Implements ``VectorEngine``."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        database: str = "",
        settle_seconds: float = SETTLE_SECONDS,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make the adapter; it connects with the first call.

        Args:
            url: such as ``http://milvus:19530``.
            token: ``user:password`` or an API key; empty for none.
            database: name of the database in Milvus; empty for the default.
            settle_seconds: see ``SETTLE_SECONDS``.
            clock: returns seconds since 1970; the clocks of gateways may differ by some seconds.
            sleep: waits for a number of seconds.
        """
        self._url = url
        self._token = token
        self._database = database
        self._settle = settle_seconds
        self._clock = clock
        self._sleep = sleep
        self._connected: MilvusClient | None = None
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._reason = ""

    def state(self, space: EngineSpace) -> EngineState | None:
        """Return the published generation; see ``VectorEngine.state``."""
        with self._client() as client:
            rows = [row for row in self._rows(client, space.store_id, space.space_id) if row["published"] > 0]
            rows = [row for row in rows if row["dim"] == space.dim]
            if not rows:
                return None
            state = self._state(max(rows, key=lambda row: row["published"]))
            return state if client.has_collection(_name(space, state), timeout=_SEARCH_SECONDS) else None

    def begin(self, space: EngineSpace) -> EngineState:
        """Make a generation; see ``VectorEngine.begin``."""
        state = EngineState(secrets.token_hex(8), 0, 0, 0)
        with self._client() as client:
            # The row first, so that whatever is made has a row that tells of it.
            names = {"generation": state.generation, "store_id": space.store_id, "unused": [0.0, 0.0]}
            row = dict.fromkeys(_NUMBERS, 0) | {"space_id": space.space_id, "dim": space.dim}
            client.upsert(_GENERATIONS, [names | row], timeout=_WRITE_SECONDS)
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("key", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dim)
            parameters = client.prepare_index_params()
            parameters.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 128})
            client.create_collection(
                _name(space, state), schema=schema, index_params=parameters, timeout=_WRITE_SECONDS
            )
        return state

    def write(
        self, space: EngineSpace, state: EngineState, added: Keys, vectors: Vectors, removed: Keys, position: int
    ) -> EngineState:
        """Add and remove vectors; see ``VectorEngine.write``."""
        name = _name(space, state)
        keys = added.astype(np.int64).tolist()
        gone = removed.astype(np.int64).tolist()
        with self._client() as client:
            row = self._row(client, state)
            for start in range(0, len(keys), _PAGE):
                pairs = zip(keys[start : start + _PAGE], vectors[start : start + _PAGE], strict=True)
                client.upsert(name, [{"key": key, "vector": vector} for key, vector in pairs], timeout=_WRITE_SECONDS)
            for start in range(0, len(gone), _PAGE):
                client.delete(name, ids=gone[start : start + _PAGE], timeout=_WRITE_SECONDS)
            # At the level Strong, the count waits for all that was written.
            row |= settled(row, max(position, row["written"]), int(self._clock()), self._settle)
            row["vectors"] = self._count(client, name)
            client.upsert(_GENERATIONS, [row], timeout=_WRITE_SECONDS)
            return self._state(row)

    def publish(self, space: EngineSpace, state: EngineState) -> None:
        """Publish a generation, after all that was written is visible; see ``VectorEngine.publish``."""
        self._sleep(self._settle)
        with self._client() as client:
            row = self._row(client, state)
            row |= {"settled": row["written"], "settling": row["written"]}
            rows = self._rows(client, space.store_id, space.space_id)
            row["published"] = max((each["published"] for each in rows), default=0) + 1
            client.upsert(_GENERATIONS, [row], timeout=_WRITE_SECONDS)

    def search(
        self, space: EngineSpace, state: EngineState, queries: Vectors, count: int, among: Keys | None = None
    ) -> list[dict[int, float]]:
        """Search a generation; see ``VectorEngine.search``."""
        limit = min(count, MAX_COUNT)
        condition = "" if among is None else f"key in [{','.join(map(str, among.tolist()))}]"
        with self._client() as client:
            found = self._loaded(
                client,
                _name(space, state),
                lambda name: client.search(
                    name,
                    data=list(queries),
                    limit=limit,
                    filter=condition,
                    search_params={"params": {"ef": max(_EFFORT, limit)}},
                    output_fields=["key"],
                    consistency_level="Bounded",
                    timeout=_SEARCH_SECONDS,
                ),
            )
        return [{int(hit["key"]): float(hit["distance"]) for hit in hits} for hits in found]

    def keys(self, space: EngineSpace, state: EngineState) -> Iterator[Keys]:
        """Yield keys; see ``VectorEngine.keys``."""
        with self._client() as client:
            pages = self._loaded(
                client,
                _name(space, state),
                lambda name: client.query_iterator(name, batch_size=_PAGE, output_fields=["key"]),
            )
            while page := pages.next():
                yield np.array([row["key"] for row in page], np.uint64)
            pages.close()

    def count(self, space: EngineSpace, state: EngineState) -> int:
        """Return the number of vectors; see ``VectorEngine.count``."""
        with self._client() as client:
            return self._count(client, _name(space, state))

    def remove_orphans(self, store_id: str, spaces: Collection[int]) -> list[str]:
        """Remove what no gateway needs; see ``VectorEngine.remove_orphans``."""
        removed = []
        with self._client() as client:
            rows = self._rows(client, store_id)
            for row in rows:
                published = [
                    each["published"] for each in rows if each["space_id"] == row["space_id"] and each["published"] > 0
                ]
                if row["space_id"] in spaces and row["published"] in sorted(published)[-2:]:
                    continue
                space = EngineSpace(store_id, row["space_id"], row["dim"])
                name = _name(space, EngineState(row["generation"], 0, 0, 0))
                client.drop_collection(name, timeout=_WRITE_SECONDS)
                client.delete(_GENERATIONS, ids=[row["generation"]], timeout=_WRITE_SECONDS)
                removed.append(f"{space.name}_{row['generation']}")
        return removed

    def close(self) -> None:
        """Close the connection."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    @contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        if self._clock() < self._not_before:
            raise StorageUnavailable("Milvus cannot be reached", detail=self._reason)
        try:
            if self._connected is None:
                self._connected = self._connect()
            yield self._connected
        except (MilvusException, grpc.RpcError) as error:  # the library passes some codes on, such as a deadline's
            told = f"Milvus at {self._url}: {' '.join(str(error).split())}"
            if _is_lost(error):
                self._not_before = self._clock() + _PAUSE_SECONDS
                self._reason = told
                self.close()
                raise StorageUnavailable("Milvus cannot be reached", detail=told) from error
            if error.code == _NOT_FOUND:
                self.close()  # the next connection makes the list of generations, if that is what is gone
                raise VectorsGone(told) from error
            raise StorageUnavailable("Milvus did not do what the gateway asked for", detail=told) from error

    def _connect(self) -> MilvusClient:
        client = MilvusClient(
            uri=self._url, token=self._token, db_name=self._database, timeout=_SEARCH_SECONDS, dedicated=True
        )
        if not client.has_collection(_GENERATIONS, timeout=_SEARCH_SECONDS):
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("generation", DataType.VARCHAR, max_length=64, is_primary=True)
            schema.add_field("store_id", DataType.VARCHAR, max_length=64)
            for name in _NUMBERS:
                schema.add_field(name, DataType.INT64)
            schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)  # a collection has to have vectors
            parameters = client.prepare_index_params()
            parameters.add_index("unused", index_type="FLAT", metric_type="L2")
            client.create_collection(_GENERATIONS, schema=schema, index_params=parameters, timeout=_WRITE_SECONDS)
        return client

    def _loaded(self, client: MilvusClient, name: str, call: Callable[[str], Any]) -> Any:
        """Call for a collection; load it first if it is not loaded, as after a restart of some servers."""
        try:
            return call(name)
        except MilvusException as error:
            if _is_lost(error) or error.code != _NOT_LOADED:
                raise
            client.load_collection(name, timeout=_WRITE_SECONDS)
            return call(name)

    def _rows(self, client: MilvusClient, store_id: str, space_id: int | None = None) -> list[dict[str, Any]]:
        condition = f'store_id == "{store_id}"' + ("" if space_id is None else f" and space_id == {space_id}")
        return self._generations(client, condition)

    def _row(self, client: MilvusClient, state: EngineState) -> dict[str, Any]:
        rows = self._generations(client, f'generation == "{state.generation}"')
        if not rows:
            raise VectorsGone
        return rows[0]

    def _generations(self, client: MilvusClient, condition: str) -> list[dict[str, Any]]:
        found = self._loaded(
            client,
            _GENERATIONS,
            lambda name: client.query(
                name,
                filter=condition,
                output_fields=_FIELDS,
                limit=_MAX_GENERATIONS,
                consistency_level="Strong",
                timeout=_SEARCH_SECONDS,
            ),
        )
        return [{**{name: row[name] for name in _FIELDS}, "unused": [0.0, 0.0]} for row in found]

    def _state(self, row: dict[str, Any]) -> EngineState:
        now = settled(row, row["written"], int(self._clock()), self._settle)
        return EngineState(row["generation"], row["written"], now["settled"], row["vectors"])

    def _count(self, client: MilvusClient, name: str) -> int:
        rows = self._loaded(
            client,
            name,
            lambda name: client.query(
                name,
                filter="key >= 0",
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=_WRITE_SECONDS,
            ),
        )
        return int(rows[0]["count(*)"])


def _name(space: EngineSpace, state: EngineState) -> str:
    """Return the name of the collection of a generation."""
    return f"tandem_{space.name}_{state.generation}"


def _is_lost(error: Exception) -> bool:
    """Return whether the server did not answer."""
    text = str(error).lower()
    return any(sign in text for sign in ("connect", "unavailable", "deadline", "timeout", "retry"))


def settled(row: Mapping[str, int], written: int, now: int, settle: float) -> dict[str, int]:
    """Return the positions of a generation after a write up to a change, or at a later time.

    Args:
        row: the positions before. Searches see all changes up to ``settled``. They will see those up to ``settling``
            some time after ``settling_since``. ``written`` is the last change that was written.
        written: the last change that is written now.
        now: seconds since 1970.
        settle: seconds until searches see a change.
    """
    found = {name: row[name] for name in ("settled", "settling", "settling_since")}
    if now - row["settling_since"] >= settle:
        found["settled"] = row["settling"]
    if found["settled"] == row["settling"] and written > row["settling"]:
        found |= {"settling": written, "settling_since": now}
    return found | {"written": written}
