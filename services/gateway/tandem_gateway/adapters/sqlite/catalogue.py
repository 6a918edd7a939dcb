"""The statements that create, pin and remove collections and their spaces, inside the writer's transaction."""

import dataclasses
import sqlite3

import msgspec

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import counters, reads
from tandem_gateway.adapters.sqlite.schema import seal, sealed_insert
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.records.chunking import DEFAULT_CHUNKING, Chunking
from tandem_gateway.records.reembedding import SpaceModel


def follower_of(space_id: int) -> str:
    """Return the name under which the index of a space follows its collection's removals."""
    return f"space {space_id}"


def collection_id(connection: sqlite3.Connection, name: str, limits: Limits) -> int:
    """Return a collection's number; create the collection if it is new.

    Raises:
        InvalidRequest: the collection is new and the limit on collections is reached.
    """
    record = reads.collection_by_name(connection, name)
    if record is not None:
        return record.collection_id
    (count,) = connection.execute("SELECT count(*) FROM collections WHERE removed = 0").fetchone()
    limits.check_collections(count)
    return create(connection, name)


def truncated_in(space_id: int) -> str:
    """Return the name of the counter of the truncated vectors that were ever stored in a second space."""
    return f"truncated in space {space_id}"


def create(connection: sqlite3.Connection, name: str, chunking: Chunking | None = DEFAULT_CHUNKING) -> int:
    """Make an empty collection with one space, which its first vector pins to a model; return its number."""
    number = counters.next_number(connection, "collection")
    connection.execute(
        sealed_insert("collections"),
        {
            "collection_id": number,
            "name": name,
            "removal_floor": 0,
            "removed": 0,
            "chunking": chunking_column(chunking),
            "language": DEFAULT_LANGUAGE,
        },
    )
    _insert_space(connection, number, "serving", None, 0)
    counters.next_number(connection, "catalogue")
    return number


def create_space(connection: sqlite3.Connection, collection: int, target: SpaceModel) -> None:
    """Make an empty second space of a collection; its index follows the changes from now on."""
    space_id = _insert_space(connection, collection, "filling", target, counters.value(connection, "change"))
    counters.set_value(connection, truncated_in(space_id), 0)
    counters.next_number(connection, "catalogue")


def retire_space(connection: sqlite3.Connection, space_id: int) -> None:
    """Drop a space; ``purge`` removes its vectors."""
    connection.execute("UPDATE spaces SET state = 'retired' WHERE space_id = ?", (space_id,))
    seal(connection, "spaces", "space_id", space_id)
    connection.execute("DELETE FROM followers WHERE follower = ?", (follower_of(space_id),))
    connection.execute("DELETE FROM counters WHERE name = ?", (truncated_in(space_id),))
    counters.next_number(connection, "catalogue")


def _insert_space(
    connection: sqlite3.Connection, collection: int, state: str, model: SpaceModel | None, last_change: int
) -> int:
    space_id = counters.next_number(connection, "space")
    connection.execute(
        sealed_insert("spaces"),
        {
            "space_id": space_id,
            "collection_id": collection,
            "state": state,
            "fingerprint": model.fingerprint if model is not None else None,
            "model": model.model if model is not None else None,
            "dim": model.dim if model is not None else None,
            "last_change": last_change,
        },
    )
    follower = {"collection_id": collection, "follower": follower_of(space_id), "position": last_change}
    connection.execute(sealed_insert("followers"), follower)
    return space_id


def chunking_column(chunking: Chunking | None) -> str | None:
    """Return the value of the column ``collections.chunking``; ``reads.chunking_of`` reads it."""
    if chunking is None:
        return None
    given = {name: value for name, value in dataclasses.asdict(chunking).items() if value is not None}
    return msgspec.json.encode(given).decode()


def set_chunking(connection: sqlite3.Connection, collection: int, chunking: Chunking | None) -> None:
    """Change how the collection's texts are split from now on."""
    column = chunking_column(chunking)
    connection.execute("UPDATE collections SET chunking = ? WHERE collection_id = ?", (column, collection))
    seal(connection, "collections", "collection_id", collection)
    counters.next_number(connection, "catalogue")


def set_language(connection: sqlite3.Connection, collection: int, language: str) -> None:
    """Change the language of a collection's keyword search."""
    connection.execute("UPDATE collections SET language = ? WHERE collection_id = ?", (language, collection))
    seal(connection, "collections", "collection_id", collection)
    counters.next_number(connection, "catalogue")


def pin(connection: sqlite3.Connection, space_id: int, fingerprint: str, model: str, dim: int) -> None:
    """Pin a space to the model of its first vector."""
    connection.execute(
        "UPDATE spaces SET fingerprint = ?, model = ?, dim = ? WHERE space_id = ?", (fingerprint, model, dim, space_id)
    )
    seal(connection, "spaces", "space_id", space_id)
    counters.next_number(connection, "catalogue")


def note_change(connection: sqlite3.Connection, collection: int) -> None:
    """Record in the collection's spaces that their indexes have changes to follow, up to the latest number."""
    last = counters.value(connection, "change")
    connection.execute("UPDATE spaces SET last_change = ? WHERE collection_id = ?", (last, collection))
    seal(connection, "spaces", "collection_id", collection)
