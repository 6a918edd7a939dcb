"""The statements that add, copy and remove passages with their vectors, and record removals for the indexes.

Each function runs inside the writer's transaction. A change of what an index holds gets a change number here; the
caller then calls ``catalogue.note_change`` once.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from tandem_gateway.adapters.sqlite.counters import next_number
from tandem_gateway.adapters.sqlite.schema import sealed_insert
from tandem_gateway.records.coverage import Coverage

_INSERT_PASSAGE = sealed_insert("passages")
_INSERT_VECTOR = sealed_insert("vectors")
_INSERT_REMOVAL = sealed_insert("removals")


class NewVector(NamedTuple):
    """The vector of a passage: float32, little-endian; and how much of the passage it stands for, None if unknown."""

    passage_id: int
    vector: bytes
    coverage: Coverage | None


class StoredPassage(NamedTuple):
    """A passage without its id, and the columns of its vectors."""

    ordinal: int
    start: int
    stop: int | None
    vectors: list[tuple[int, int, bytes, int | None, float | None]]
    """Space, whether an index has it, vector, truncated and unknown."""


def insert(
    connection: sqlite3.Connection, passage_id: int, document_id: int, ordinal: int, start: int, stop: int | None
) -> None:
    """Store a passage without a vector.

    Args:
        connection: the writer's.
        passage_id: an id that no passage has.
        document_id: of its version.
        ordinal: its place in the version, from 0.
        start: of its span in characters.
        stop: of its span; None for a span that reaches the end of the text.
    """
    connection.execute(
        _INSERT_PASSAGE,
        {"passage_id": passage_id, "document_id": document_id, "ordinal": ordinal, "start": start, "stop": stop},
    )


def of_version(connection: sqlite3.Connection, document_id: int) -> list[StoredPassage]:
    """Return the passages of a version, in order."""
    rows = connection.execute(
        "SELECT passage_id, ordinal, start, stop FROM passages WHERE document_id = ? ORDER BY ordinal", (document_id,)
    ).fetchall()
    vectors = "SELECT space_id, change IS NOT NULL, vector, truncated, unknown FROM vectors WHERE passage_id = ?"
    return [
        StoredPassage(ordinal, start, stop, connection.execute(vectors, (passage_id,)).fetchall())
        for passage_id, ordinal, start, stop in rows
    ]


def insert_copies(connection: sqlite3.Connection, document_id: int, passages: Sequence[StoredPassage]) -> None:
    """Store passages with their vectors under new ids; the vectors that an index has get new change numbers."""
    for ordinal, start, stop, vectors in passages:
        passage_id = next_number(connection, "passage")
        insert(connection, passage_id, document_id, ordinal, start, stop)
        for space_id, indexed, vector, truncated, unknown in vectors:
            connection.execute(
                _INSERT_VECTOR,
                {
                    "passage_id": passage_id,
                    "space_id": space_id,
                    "change": next_number(connection, "change") if indexed else None,
                    "vector": vector,
                    "truncated": truncated,
                    "unknown": unknown,
                },
            )


def insert_vector(connection: sqlite3.Connection, space_id: int, vector: NewVector, change: int | None) -> None:
    """Store the vector of a passage in a space; ``change`` is None until an index may have it."""
    connection.execute(
        _INSERT_VECTOR,
        {
            "passage_id": vector.passage_id,
            "space_id": space_id,
            "change": change,
            "vector": vector.vector,
            "truncated": vector.coverage.truncated if vector.coverage else None,
            "unknown": vector.coverage.unknown if vector.coverage else None,
        },
    )


def add_second_vector(connection: sqlite3.Connection, space_id: int, vector: NewVector) -> bool:
    """Store the vector of a live document's passage in a space that does not serve; return whether it was missing."""
    wanted = connection.execute(
        "SELECT 1 FROM passages JOIN documents USING (document_id) WHERE passage_id = :passage_id AND live = 1 "
        "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage_id = :passage_id AND v.space_id = :space_id)",
        {"passage_id": vector.passage_id, "space_id": space_id},
    ).fetchone()
    if wanted is None:
        return False
    insert_vector(connection, space_id, vector, next_number(connection, "change"))
    return True


def remove_all(connection: sqlite3.Connection, collection_id: int, document_id: int) -> None:
    """Remove the passages of a version with their vectors, and record the removal of each."""
    passages = connection.execute("SELECT passage_id FROM passages WHERE document_id = ?", (document_id,)).fetchall()
    for (passage_id,) in passages:
        connection.execute("DELETE FROM vectors WHERE passage_id = ?", (passage_id,))
        connection.execute("DELETE FROM passages WHERE passage_id = ?", (passage_id,))
        connection.execute(
            _INSERT_REMOVAL,
            {"collection_id": collection_id, "change": next_number(connection, "change"), "passage_id": passage_id},
        )
