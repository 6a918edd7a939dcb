"""The statements with which the indexes follow the store and look up the rows of hits."""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from tandem_gateway.adapters.sqlite.counters import value
from tandem_gateway.adapters.sqlite.reads import DOCUMENT_CHECKSUM, damaged
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.index import Changes
from tandem_gateway.records.search import PassageView
from tandem_gateway.records.texts import PassageText, Removals, RemovedPassage, Texts
from tandem_runtime.memory import utf8_bytes

_MAX_PARAMETERS = 4096
_ALL_PASSAGE_IDS = "SELECT passage_id FROM documents JOIN passages USING (document_id) WHERE collection_id = ?"


def changes(
    connection: sqlite3.Connection, space_id: int, dim: int, after: int, removals_after: int, limit: int
) -> Changes | None:
    """Return the changes of a space; see ``ChangeLog.changes``. Call this in a read transaction."""
    found = connection.execute(
        "SELECT collection_id, removal_floor FROM spaces JOIN collections USING (collection_id) WHERE space_id = ?",
        (space_id,),
    ).fetchone()
    # A collection that was just deleted has no floor: it has no changes either, and nothing to rebuild from.
    collection_id, floor = found or (0, 0)
    if removals_after < floor:
        return None
    upto = value(connection, "change")
    added = connection.execute(
        f"SELECT passage_id, vector, change, checksum IS {CHECKSUMS['vectors']} FROM vectors "
        "WHERE space_id = ? AND change > ? ORDER BY change LIMIT ?",
        (space_id, after, limit),
    ).fetchall()
    for passage_id, vector, _, sound in added:
        if not sound or len(vector) != dim * 4:
            raise damaged("vectors", passage_id)
    complete = len(added) < limit
    if not complete:
        upto = added[-1][2]
    removed = [
        passage_id
        for (passage_id,) in connection.execute(
            "SELECT passage_id FROM removals WHERE collection_id = ? AND change > ? AND change <= ?",
            (collection_id, removals_after, upto),
        )
    ]
    vectors = np.frombuffer(b"".join(row[1] for row in added), dtype="<f4").reshape(len(added), dim)
    return Changes(
        upto=upto,
        removed=np.array(removed, dtype=np.uint64),
        added=np.array([row[0] for row in added], dtype=np.uint64),
        vectors=vectors.astype(np.float32, copy=False),
        complete=complete,
    )


def changed_spaces(connection: sqlite3.Connection, after: int) -> list[int]:
    """Return the spaces that have changes with a higher number than ``after``."""
    rows = connection.execute("SELECT space_id FROM spaces WHERE last_change > ?", (after,))
    return [space_id for (space_id,) in rows]


def vectors(connection: sqlite3.Connection, passage_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the vectors of passages; see ``ChangeLog.vectors``."""
    found: dict[int, bytes] = {}
    for part in _padded(passage_ids):
        found.update(connection.execute(_vectors_statement(len(part)), part))
    return found


def passages(
    connection: sqlite3.Connection, passage_ids: Sequence[int], max_bytes: int | None = None
) -> dict[int, PassageView]:
    """Return passages with their documents; see ``PassageReader.passages``."""
    found: dict[int, PassageView] = {}
    taken = 0
    for part in _padded(passage_ids):
        for columns in connection.execute(_passages_statement(len(part)), part):
            passage = PassageView(*columns)
            found[passage.passage_id] = passage
            if max_bytes is not None:
                taken += utf8_bytes(passage.text) + utf8_bytes(passage.metadata)
                if taken > max_bytes:
                    raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
    return found


def findable(connection: sqlite3.Connection, passage_ids: Sequence[int]) -> set[int]:
    """Return the passages that keyword search may show: those of live documents, and of new pending ones."""
    found: set[int] = set()
    for part in _padded(passage_ids):
        (shown,) = connection.execute(_findable_statement(len(part)), part).fetchone()
        found.update(map(int, shown.split(",")) if shown else ())
    return found


def texts(connection: sqlite3.Connection, after: int, limit: int, max_chars: int) -> Texts:
    """Return a page of passages with their texts; see ``TextLog.texts``. Call this in a read transaction."""
    rows = connection.execute(
        "SELECT p.passage_id, d.collection_id, d.text, p.start, p.stop FROM passages p JOIN documents d "
        "ON d.document_id = p.document_id WHERE p.passage_id > ? ORDER BY p.passage_id LIMIT ?",
        (after, limit),
    )
    page: list[PassageText] = []
    chars = 0
    for passage_id, collection_id, text, start, stop in rows:
        page.append(PassageText(passage_id, collection_id, text[start:stop]))
        chars += len(page[-1].text)
        if chars >= max_chars:
            break
    complete = len(page) < limit and chars < max_chars
    return Texts(page, value(connection, "passage") if complete else page[-1].passage_id)


def metadata(connection: sqlite3.Connection, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
    """Return a collection's passages with their metadata; see ``MetadataLog.metadata``."""
    rows = connection.execute(
        f"SELECT p.passage_id, d.metadata, d.document_id, d.checksum IS {DOCUMENT_CHECKSUM} "
        "FROM passages p CROSS JOIN documents d ON d.document_id = p.document_id "
        "WHERE p.passage_id > ? AND p.passage_id <= ? AND d.collection_id = ? ORDER BY p.passage_id",
        (after, upto, collection_id),
    )
    found: list[tuple[int, str]] = []
    for passage_id, of_document, document_id, sound in rows:
        if not sound:
            raise damaged("documents", document_id)
        found.append((passage_id, of_document))
    return found


def removals(connection: sqlite3.Connection, collection_id: int, after: int, limit: int) -> Removals:
    """Return a page of a collection's removals; see ``TextLog.removals``. Call this in a read transaction."""
    found = connection.execute(
        "SELECT removal_floor FROM collections WHERE collection_id = ?", (collection_id,)
    ).fetchone()
    rows = connection.execute(
        "SELECT passage_id, change FROM removals WHERE collection_id = ? AND change > ? ORDER BY change LIMIT ?",
        (collection_id, after, limit),
    )
    return Removals([RemovedPassage(*row) for row in rows], whole=found is None or after >= found[0])


def all_passage_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the ids of a collection's passages, including pending ones, ``(n,) uint64``."""
    rows = connection.execute(_ALL_PASSAGE_IDS, (collection_id,))
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def passage_count(connection: sqlite3.Connection, collection_id: int) -> int:
    """Return how many passages a collection has, including pending ones."""
    (count,) = connection.execute(f"SELECT count(*) FROM ({_ALL_PASSAGE_IDS})", (collection_id,)).fetchone()
    return int(count)


def indexed_passage_ids(connection: sqlite3.Connection, space_id: int) -> Keys:
    """Return the ids of the passages whose vectors an index of the space has, ``(n,) uint64``."""
    rows = connection.execute("SELECT passage_id FROM vectors WHERE space_id = ? AND change IS NOT NULL", (space_id,))
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def _padded(passage_ids: Sequence[int]) -> Iterator[list[int]]:
    """Return the ids in parts, each padded to a power of two, so that SQLite's statement cache serves all calls."""
    for start in range(0, len(passage_ids), _MAX_PARAMETERS):
        part = list(passage_ids[start : start + _MAX_PARAMETERS])
        yield part + part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))


def _vectors_statement(count: int) -> str:
    return (
        "SELECT v.passage_id, v.vector "
        "FROM vectors v JOIN spaces s ON s.space_id = v.space_id AND s.state = 'serving' "
        f"WHERE v.passage_id IN ({','.join('?' * count)}) AND v.change IS NOT NULL"
    )


def _passages_statement(count: int) -> str:
    return (
        "SELECT p.passage_id, d.doc_id, d.text, d.metadata "
        "FROM passages p JOIN documents d ON d.document_id = p.document_id "
        f"WHERE p.passage_id IN ({','.join('?' * count)})"
    )


def _findable_statement(count: int) -> str:
    # One row, as in ``LexicalCache.search``.
    return (
        "SELECT group_concat(p.passage_id) FROM passages p JOIN documents d ON d.document_id = p.document_id "
        f"WHERE p.passage_id IN ({','.join('?' * count)}) AND (d.live = 1 OR NOT EXISTS ("
        "SELECT 1 FROM documents AS l WHERE l.collection_id = d.collection_id AND l.doc_id = d.doc_id AND l.live = 1))"
    )
